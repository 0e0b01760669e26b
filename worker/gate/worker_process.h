// The worker as the gate starts it: a child of its own (`--start-worker`), started again within a
// bound when it dies, or a command that asks a scheduler for one (`--worker-command`).
//
//   WorkerProcess worker({"/opt/weft/weft-worker", "run", "--site-directory", "exchange"});
//   worker.Start();
//   if (auto why = worker.Poll()) ...   // it died too often
//   worker.End(absl::Seconds(20));
//
// The kernel ends the child when the gate is killed. Belongs to the thread that starts it.
#ifndef WEFT_WORKER_GATE_WORKER_PROCESS_H_
#define WEFT_WORKER_GATE_WORKER_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace weft {

class WorkerProcess {
 public:
  // After a death, waits `first_wait`, then twice as long each time, and gives up at the sixth in a
  // row.
  explicit WorkerProcess(std::vector<std::string> command,
                         absl::Duration first_wait = absl::Seconds(1))
      : command_(std::move(command)), first_wait_(first_wait) {}
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  absl::Status Start();
  bool running() const { return pid_ > 0; }
  // Notices a death, and starts the child again after a while that grows. A reason: it died too
  // often.
  std::optional<std::string> Poll();
  // It has done something: the deaths before are forgiven.
  void ForgiveDeaths() { deaths_ = 0; }
  // Lets it end by itself for `grace`, then by SIGTERM, then by SIGKILL.
  void End(absl::Duration grace);

 private:
  bool WaitUntil(absl::Time deadline);

  std::vector<std::string> command_;
  absl::Duration first_wait_;
  pid_t pid_ = 0;
  int deaths_ = 0;
  absl::Time start_again_ = absl::InfiniteFuture();
};

// Runs `command` by the shell without waiting for its end. The exit is collected by the next call.
class CommandRunner {
 public:
  absl::Status Run(const std::string& command);
  // How the last command ended, once: a reason if it failed.
  std::optional<std::string> Poll();
  bool running() const { return pid_ > 0; }

 private:
  pid_t pid_ = 0;
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_WORKER_PROCESS_H_
