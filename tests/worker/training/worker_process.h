// weft-worker as a real process beside the test, to be killed at bad moments.
#ifndef WEFT_TESTS_WORKER_TRAINING_WORKER_PROCESS_H_
#define WEFT_TESTS_WORKER_TRAINING_WORKER_PROCESS_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/check.h"
#include "proto/durable_file.h"

namespace weft {

// A weft-worker beside us; killed when it goes.
class Worker {
 public:
  // `prefix` are programs that start it in another world.
  Worker(std::vector<std::string> arguments, const std::string& output,
         std::vector<std::string> prefix = {}) {
    const char* bin = std::getenv("WEFT_BIN");
    WEFT_CHECK(bin != nullptr);
    prefix.push_back(std::string(bin) + "/weft-worker");
    arguments.insert(arguments.begin(), prefix.begin(), prefix.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      dup2(fd, 1);
      dup2(fd, 2);
      execvp(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Worker() { Kill(); }

  void Kill() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }
  void Terminate() { kill(pid_, SIGTERM); }
  pid_t pid() const { return pid_; }
  // The exit code; -1: not ended within the time.
  int Wait(double seconds = 30) {
    for (double waited = 0; waited < seconds; waited += 0.01) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
  }

 private:
  pid_t pid_ = -1;
};

inline bool Eventually(const std::function<bool()>& condition, double seconds = 30) {
  for (double waited = 0; waited < seconds; waited += 0.002) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

inline std::string Text(const std::string& path) {
  absl::StatusOr<std::string> text = ReadWholeFile(path);
  return text.ok() ? *text : "";
}

inline size_t Lines(const std::string& path) {
  const std::string text = Text(path);
  return std::count(text.begin(), text.end(), '\n');
}

}  // namespace weft

#endif  // WEFT_TESTS_WORKER_TRAINING_WORKER_PROCESS_H_
