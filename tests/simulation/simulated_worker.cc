#include "tests/simulation/simulated_worker.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft::simulation {
namespace {

constexpr int64_t kPollMs = 700;
constexpr int64_t kRestartMs = 1500;

bool SameWork(const RoundOrder& a, const RoundOrder& b) {
  return a.round() == b.round() && a.base_digest() == b.base_digest();
}

}  // namespace

std::string BaseFile(const std::string& digest) { return "base/" + digest; }
std::string SiteVectorFile(const std::string& digest) { return "vector/" + digest; }

void SimulatedWorker::Start() {
  if (up()) return;
  Begin();
  is_training_ = false;
  Look();
}

void SimulatedWorker::Crash() {
  if (!up()) return;
  End();
  // Its gate, or the queue of jobs, starts it again.
  world_->scheduler.After(kRestartMs, [this] { Start(); });
}

void SimulatedWorker::Die(absl::string_view why) {
  world_->Trace(site_, "worker dies: ", why);
  ++deaths_;
  Crash();
}

void SimulatedWorker::OrderWritten() {
  After(world_->random.Between(1, kPollMs), [this] { Look(); });
}

void SimulatedWorker::Look() {
  const std::string* text = disk_->Read(kOrderFile);
  RoundOrder order;
  if (text == nullptr || !order.ParseFromString(*text)) return;
  RoundResult result;
  const std::string* done = disk_->Read(kResultFile);
  if (done != nullptr && result.ParseFromString(*done) && result.round() == order.round() &&
      result.base_digest() == order.base_digest()) {
    return;
  }
  if (is_training_ && SameWork(order, training_)) {
    const bool cut = order.steps_enough() > 0 && training_.steps_enough() == 0;
    training_ = order;
    if (cut) FinishAfter(world_->random.Between(1, 500));
    return;
  }
  std::string problem;
  const std::optional<Vector> start = ReadStart(order, &problem);
  if (!problem.empty()) return Die(problem);
  if (!start.has_value()) return After(kPollMs, [this] { Look(); });
  const uint64_t other = world_->mutation.forgets_contribution ? life() : 0;
  vector_ = Train(world_->scenario.seed + other, site_, order.base_version(), *start);
  training_ = order;
  is_training_ = true;
  int64_t ms = world_->random.Between(100, world_->scenario.training_ms_max);
  if (world_->faults.Happens(Fault::kSlowTraining)) ms += world_->random.Between(5000, 120'000);
  FinishAfter(ms);
}

// No value: what it trains from is not there yet, or there is a problem. A fragment is trained with
// all the others, and an anchor stands for the site's own vector, which it draws near.
std::optional<Vector> SimulatedWorker::ReadStart(const RoundOrder& order, std::string* problem) {
  std::vector<std::string> names(order.fragment_digests().begin(), order.fragment_digests().end());
  if (names.empty()) names.push_back(order.base_digest());
  if (!order.anchor_digest().empty()) names.push_back(order.anchor_digest());
  std::vector<std::string> digests;
  for (const std::string& name : names) {
    const std::string* blob = disk_->Read(BaseFile(name));
    if (blob == nullptr) return std::nullopt;
    digests.push_back(DigestOf(*blob));
    const bool whole = absl::BytesToHexString(digests.back()) == name;
    if (!whole && world_->mutation.verifies_base) *problem = "its base is damaged";
  }
  if (!problem->empty()) return std::nullopt;
  if (!order.anchor_digest().empty()) digests.pop_back();
  world_->checkers.TrainingBegan(site_, digests);
  const std::string& from =
      order.anchor_digest().empty() ? order.base_digest() : order.anchor_digest();
  absl::StatusOr<Vector> start =
      ReadPlainBlob(*disk_->Read(BaseFile(from)), world_->scenario.part(order.fragment()));
  if (start.ok()) return *std::move(start);
  *problem = "its base cannot be read";
  return std::nullopt;
}

void SimulatedWorker::FinishAfter(int64_t ms) {
  After(ms, [this, order = training_] {
    // A newer order ends the work on this one.
    if (is_training_ && SameWork(order, training_)) Finish();
  });
}

void SimulatedWorker::Finish() {
  const RoundOrder& order = training_;
  is_training_ = false;
  const std::string blob = PlainBlob(vector_, world_->scenario.part(order.fragment()));
  RoundResult result;
  result.set_protocol_version(1);
  result.set_run_id(order.run_id());
  result.set_round(order.round());
  result.set_base_digest(order.base_digest());
  result.set_vector_digest(absl::BytesToHexString(DigestOf(blob)));
  result.set_inner_steps(order.steps_enough() > 0 ? order.steps_enough() : order.inner_steps());
  // Sites have batches of different sizes.
  result.set_token_count(result.inner_steps() * (1 + static_cast<uint64_t>(site_.back()) % 4));
  if (world_->scenario.manifest.consensus().influence().validation_samples() > 0) {
    const bool rises = LossRises(world_->scenario.seed, site_, order.base_version());
    result.set_validation_before(2);
    result.set_validation_after(rises ? 2.2 : 1.9);
    if (rises) world_->faults.Count(Fault::kLossRose);
  }
  const std::string file = SiteVectorFile(result.vector_digest());
  if (!disk_->Write({{file, blob}}, Sync::kYes).ok) return Die("its vector cannot be written");
  if (world_->faults.Happens(Fault::kCrashInStep)) return Crash();
  if (world_->faults.Happens(Fault::kUnusableVector)) disk_->Corrupt(file);
  if (!disk_->Write({{kResultFile, result.SerializeAsString()}}, Sync::kYes).ok) {
    return Die("its result cannot be written");
  }
}

}  // namespace weft::simulation
