#include "worker/training/island.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "model/formats/huggingface.h"
#include "proto/digest.h"
#include "proto/durable_file.h"
#include "proto/round_schedule.h"
#include "proto/text_file.h"
#include "worker/site/site_directory.h"

namespace weft {
namespace {

constexpr uint64_t kLogBytesMax = uint64_t{1} << 36;

// The whole training as one order.
absl::StatusOr<RoundOrder> IslandOrder(const IslandOptions& island) {
  RunManifest manifest;
  if (absl::Status status = ReadTextProto(island.manifest, &manifest); !status.ok()) return status;
  const uint64_t steps = island.steps > 0 ? island.steps : TotalSteps(manifest);
  if (steps < 1 || steps > uint64_t{1} << 24) {
    return absl::InvalidArgumentError(
        absl::StrCat(island.manifest, ": its rounds have ", steps, " steps",
                     ", an island does 1 to 2^24 steps; --steps gives another number"));
  }
  RoundOrder order;
  order.set_protocol_version(manifest.protocol_version());
  order.set_run_id(manifest.run_id());
  order.set_inner_steps(static_cast<uint32_t>(steps));
  order.set_first_step(0);
  order.set_first_sample_step(0);
  order.set_total_steps(steps);
  order.set_seed(manifest.seed());
  order.set_site(island.site);
  *order.mutable_model() = manifest.model();
  *order.mutable_training() = manifest.training();
  order.mutable_consensus()->set_alpha(1);
  order.set_tokenizer_sha256(manifest.tokenizer_sha256());
  return order;
}

absl::StatusOr<ParameterVector> InitialVector(const IslandOptions& island,
                                              const ParameterLayout& layout) {
  absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(island.initial);
  if (!model.ok()) return model.status();
  if (model->layout.digest() != layout.digest()) {
    return absl::InvalidArgumentError(absl::StrCat(
        island.initial, ": its parameters have the layout ", ToHex(model->layout.digest()),
        ", the manifest's model has ", ToHex(layout.digest())));
  }
  return std::move(model->vector);
}

// The folder's tokenizer goes into the output: better refused before the training than after it.
absl::Status CheckTokenizer(const IslandOptions& island, const std::string& expected_sha256) {
  for (const char* name : kTokenizerFiles) {
    const std::string path = absl::StrCat(island.initial, "/", name);
    const absl::StatusOr<Digest> digest = Sha256OfFile(path);
    if (!digest.ok()) return digest.status();
    if (absl::string_view(name) == "tokenizer.model" && ToHex(*digest) != expected_sha256) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": its SHA-256 is ", ToHex(*digest),
                                                     ", the manifest's is ", expected_sha256));
    }
  }
  return absl::OkStatus();
}

// A trainer at the beginning, or where the newest checkpoint stands.
absl::Status BeginOrResume(const IslandOptions& island, const RoundOrder& order,
                           CheckpointFolder* checkpoints, Reporter* reporter, Trainer* trainer) {
  std::vector<std::string> warnings;
  absl::StatusOr<std::optional<Checkpoint>> checkpoint = checkpoints->LoadNewest(&warnings);
  for (const std::string& warning : warnings) reporter->Warning(warning);
  if (!checkpoint.ok()) return checkpoint.status();
  if (!checkpoint->has_value()) {
    absl::StatusOr<ParameterVector> initial = InitialVector(island, trainer->layout());
    if (!initial.ok()) return initial.status();
    return trainer->BeginRound(order, {.base = *std::move(initial)});
  }
  if ((*checkpoint)->header.order().SerializeAsString() != order.SerializeAsString()) {
    return absl::FailedPreconditionError(
        absl::StrCat(island.out,
                     ".training: was begun with another manifest, site or number of steps; remove "
                     "the folder to begin anew"));
  }
  std::string warning;
  absl::Status status = trainer->Resume(**std::move(checkpoint), Bases(), &warning);
  if (!warning.empty()) reporter->Warning(warning);
  reporter->Info(
      "resumes",
      {{"step", absl::StrCat(trainer->steps_done(), "/", trainer->order().inner_steps())}});
  return status;
}

absl::Status WriteOut(const IslandOptions& island, const RoundOrder& order,
                      const std::string& log_path, const Trainer& trainer) {
  absl::StatusOr<std::string> log = ReadWholeFile(log_path, kLogBytesMax);
  if (!log.ok()) return log.status();
  return WriteHuggingFaceFolder(island.out, order.model(), trainer.vector(), island.initial,
                                {{"training_log.jsonl", *std::move(log)}});
}

absl::Status RemoveFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat(folder, ": cannot remove: ", error.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunIsland(const IslandOptions& given, const WorkerOptions& options,
                       Reporter* reporter) {
  IslandOptions island = given;
  while (island.out.size() > 1 && island.out.back() == '/') island.out.pop_back();
  const std::string work = island.out + ".training";
  if (std::filesystem::exists(island.out)) {
    if (!std::filesystem::exists(work)) {
      return absl::AlreadyExistsError(
          absl::StrCat(island.out, ": is there already; give a folder that is not"));
    }
    // Ended between the last two things it does.
    reporter->Info("was done before", {{"out", island.out}});
    return RemoveFolder(work);
  }
  absl::StatusOr<RoundOrder> order = IslandOrder(island);
  if (!order.ok()) return order.status();
  if (absl::Status status = CheckTokenizer(island, order->tokenizer_sha256()); !status.ok()) {
    return status;
  }
  if (absl::Status status = MakeDirectories(work); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<WorkerLock>> lock = WorkerLock::Acquire(work + "/worker.lock");
  if (!lock.ok()) return lock.status();
  absl::StatusOr<std::unique_ptr<Trainer>> trainer = MakeTrainer(*order, options);
  if (!trainer.ok()) return trainer.status();
  absl::StatusOr<CheckpointFolder> checkpoints = CheckpointFolder::Open(work + "/checkpoints");
  if (!checkpoints.ok()) return checkpoints.status();
  if (absl::Status status = BeginOrResume(island, *order, &*checkpoints, reporter, trainer->get());
      !status.ok()) {
    return status;
  }
  const std::string log_path = work + "/training_log.jsonl";
  absl::StatusOr<TrainingLog> log = TrainingLog::Open(log_path);
  if (!log.ok()) return log.status();
  if (absl::Status status = log->GoOnFrom(0, (*trainer)->steps_done()); !status.ok()) {
    return status;
  }
  RoundRunner runner{options,
                     *reporter,
                     *log,
                     *checkpoints,
                     [&]() -> std::optional<std::string> {
                       if (options.interrupted()) return "ends early: a signal";
                       return std::nullopt;
                     },
                     [](uint32_t) { return false; },
                     [](const StepReport&, const RoundStats&) { return absl::OkStatus(); }};
  absl::StatusOr<bool> done = runner.Run(trainer->get());
  if (!done.ok()) return done.status();
  if (!*done) {
    return absl::CancelledError(
        absl::StrCat("not done: the same command goes on from the checkpoint in ", work));
  }
  if (absl::Status status = WriteOut(island, *order, log_path, **trainer); !status.ok()) {
    return status;
  }
  const RoundStats stats = (*trainer)->stats();
  reporter->Info("done", {{"out", island.out},
                          {"first_loss", absl::StrFormat("%.4f", stats.first_loss)},
                          {"last_loss", absl::StrFormat("%.4f", stats.last_loss)},
                          {"tokens", absl::StrCat(stats.token_count)},
                          {"tokens_per_second", absl::StrFormat("%.0f", TokensPerSecond(stats))}});
  return RemoveFolder(work);
}

}  // namespace weft
