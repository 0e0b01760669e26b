#include "worker/gate/worker_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ops/log.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

constexpr int kDeathsMax = 5;

// Between fork and exec only calls that are safe in a process with several threads (POSIX:
// async-signal-safe).
absl::Status Spawn(const std::vector<std::string>& command, bool dies_with_us, pid_t* pid) {
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return ErrnoStatus("cannot fork", command[0]);
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (dies_with_us) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != parent) _exit(1);  // The gate died before the line above.
    }
    execvp(arguments[0], arguments.data());
    constexpr char kWords[] = "weft-gate: cannot execute the worker\n";
    (void)!write(STDERR_FILENO, kWords, sizeof kWords - 1);
    _exit(127);
  }
  *pid = child;
  return absl::OkStatus();
}

std::string Describe(int status) {
  if (WIFSIGNALED(status))
    return absl::StrCat("ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)),
                        ")");
  return absl::StrCat("exit code ", WEXITSTATUS(status),
                      WEXITSTATUS(status) == 127 ? " (cannot be executed)" : "");
}

}  // namespace

WorkerProcess::~WorkerProcess() { End(absl::ZeroDuration()); }

absl::Status WorkerProcess::Start() {
  start_again_ = absl::InfiniteFuture();
  absl::Status status = Spawn(command_, /*dies_with_us=*/true, &pid_);
  if (status.ok()) LogInfo("worker started", {{"pid", absl::StrCat(pid_)}});
  return status;
}

std::optional<std::string> WorkerProcess::Poll() {
  if (!running()) {
    if (absl::Now() < start_again_) return std::nullopt;
    absl::Status status = Start();
    return status.ok() ? std::nullopt : std::optional<std::string>(status.message());
  }
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  ++deaths_;
  if (deaths_ > kDeathsMax)
    return absl::StrCat("it ended ", deaths_, " times in a row, at last by ", Describe(status));
  const absl::Duration wait = first_wait_ * (1 << (deaths_ - 1));
  start_again_ = absl::Now() + wait;
  LogWarning("the worker ended, it is started again", {{"how", Describe(status)},
                                                       {"in", absl::FormatDuration(wait)},
                                                       {"deaths", absl::StrCat(deaths_)}});
  return std::nullopt;
}

bool WorkerProcess::WaitUntil(absl::Time deadline) {
  do {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return true;
    }
    absl::SleepFor(absl::Milliseconds(20));
  } while (absl::Now() < deadline);
  return false;
}

void WorkerProcess::End(absl::Duration grace) {
  start_again_ = absl::InfiniteFuture();
  if (!running()) return;
  if (grace > absl::ZeroDuration() && WaitUntil(absl::Now() + grace)) return;
  kill(pid_, SIGTERM);
  if (WaitUntil(absl::Now() + absl::Seconds(10))) return;
  LogWarning("the worker does not end, it is killed", {{"pid", absl::StrCat(pid_)}});
  kill(pid_, SIGKILL);
  WaitUntil(absl::Now() + absl::Seconds(10));
}

absl::Status CommandRunner::Run(const std::string& command) {
  return Spawn({"/bin/sh", "-c", command}, /*dies_with_us=*/false, &pid_);
}

std::optional<std::string> CommandRunner::Poll() {
  int status = 0;
  if (pid_ <= 0 || waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  return Describe(status);
}

}  // namespace weft
