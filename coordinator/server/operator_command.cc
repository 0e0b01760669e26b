#include "coordinator/server/operator_command.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ops/log.h"
#include "proto/durable_file.h"
#include "proto/text_file.h"

namespace weft {
namespace fs = std::filesystem;
namespace {

constexpr absl::string_view kAsked = ".command";
constexpr absl::string_view kTaken = ".taken";
constexpr absl::string_view kAnswer = ".answer";
constexpr size_t kReasonBytesMax = 500;
constexpr uint64_t kCommandBytesMax = 4096;
constexpr absl::Duration kPoll = absl::Milliseconds(50);

std::string With(absl::string_view stem, absl::string_view suffix) {
  return absl::StrCat(stem, suffix);
}

absl::StatusOr<std::string> ReadAnswer(const std::string& stem) {
  OperatorAnswer answer;
  absl::Status status = ReadTextProto(With(stem, kAnswer), &answer);
  std::error_code ignored;
  fs::remove(With(stem, kAnswer), ignored);
  if (!status.ok()) return status;
  if (!answer.done()) return absl::FailedPreconditionError("refused: " + answer.words());
  return answer.words();
}

OperatorAnswer Answer(bool done, std::string words) {
  OperatorAnswer answer;
  answer.set_done(done);
  answer.set_words(std::move(words));
  return answer;
}

OperatorAnswer Act(const std::string& path,
                   const std::function<OperatorAnswer(const OperatorCommand&)>& act) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  if (error || bytes > kCommandBytesMax) return Answer(false, "not a command");
  OperatorCommand command;
  absl::Status status = ReadTextProto(path, &command);
  if (status.ok()) status = EventOf(command).status();
  return status.ok() ? act(command) : Answer(false, std::string(status.message()));
}

}  // namespace

absl::StatusOr<std::string> SendOperatorCommand(const std::string& folder,
                                                const OperatorCommand& command,
                                                absl::Duration wait) {
  absl::Status status = EventOf(command).status();
  if (status.ok()) status = MakeDirectories(folder);
  const std::string stem =
      absl::StrFormat("%s/%020d-%d", folder, absl::ToUnixNanos(absl::Now()), getpid());
  if (status.ok()) status = WriteTextProto(With(stem, kAsked), command);
  if (!status.ok()) return status;
  const absl::Time until = absl::Now() + wait;
  std::error_code error;
  bool withdrawn = false;
  while (!withdrawn && absl::Now() < until + wait) {
    if (fs::exists(With(stem, kAnswer), error)) return ReadAnswer(stem);
    // What a server has taken in the meantime is not there to be removed: its answer follows.
    if (absl::Now() >= until) withdrawn = fs::remove(With(stem, kAsked), error);
    absl::SleepFor(kPoll);
  }
  return absl::UnavailableError(
      withdrawn ? absl::StrCat(folder, ": no coordinator has taken the command within ",
                               absl::FormatDuration(wait),
                               "; it is withdrawn. Does one serve this directory?")
                : absl::StrCat(stem, ": taken by a coordinator, which gave no answer within ",
                               absl::FormatDuration(2 * wait), "; look at its status"));
}

void TakeOperatorCommands(const std::string& folder,
                          const std::function<OperatorAnswer(const OperatorCommand&)>& act) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string path = entry.path().string();
    if (absl::EndsWith(path, kAsked) || absl::EndsWith(path, kTaken)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const std::string stem = path.substr(0, path.rfind('.'));
    const std::string taken = With(stem, kTaken);
    if (path != taken) fs::rename(path, taken, error);
    if (!fs::exists(taken, error)) continue;  // withdrawn
    absl::Status status = WriteTextProto(With(stem, kAnswer), Act(taken, act));
    if (!status.ok()) LogWarning("no answer to a command: " + std::string(status.message()));
    fs::remove(taken, error);
  }
}

absl::StatusOr<Event> EventOf(const OperatorCommand& command) {
  const std::string& reason = command.reason();
  if (reason.empty() || reason.size() > kReasonBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the reason has ", reason.size(), " bytes; allowed: 1 to ", kReasonBytesMax));
  }
  switch (command.kind()) {
    case OperatorCommand::PAUSE:
      return OperatorPaused{reason};
    case OperatorCommand::RESUME:
      return OperatorResumed{reason};
    case OperatorCommand::GATE:
      return EvaluationDone{command.version(), command.accepted(), reason};
    default:
      return absl::InvalidArgumentError("not a command that this coordinator knows");
  }
}

}  // namespace weft
