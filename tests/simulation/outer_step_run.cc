#include "tests/simulation/outer_step_run.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/check.h"

namespace weft::simulation {

std::string VectorFile(const std::string& digest) { return "vector/" + digest; }
std::string ContributionFile(uint64_t round, const std::string& digest) {
  return absl::StrFormat("contribution/%06d/", round) + digest;
}

OuterStepRun::OuterStepRun(const Scenario& scenario, const Mutation& mutation, SimulatedDisk* disk,
                           RunOuterStep step)
    : scenario_(scenario),
      mutation_(mutation),
      disk_(disk),
      step_(std::move(step)),
      part_(scenario.part(step_.record.fragment())),
      elements_(scenario.range(step_.record.fragment()).size),
      update_(*MakeOuterUpdate(scenario.manifest.consensus().outer())) {}

bool OuterStepRun::ReadState(const std::string& digest, Vector* state, float initial) {
  state->assign(elements_, initial);
  if (digest.empty()) return true;
  const std::string* blob = disk_->Read(VectorFile(digest));
  if (blob == nullptr) return false;
  absl::StatusOr<Vector> vector = ReadPlainBlob(*blob, part_);
  if (!vector.ok()) return false;
  *state = *std::move(vector);
  return true;
}

bool OuterStepRun::Open() {
  const ConsensusVersion& base = step_.base;
  if (!ReadState(base.digest(), &z_) || !ReadState(base.residual_digest(), &residual_)) {
    return false;
  }
  const std::string* digests[] = {&base.momentum_digest(), &base.second_moment_digest()};
  for (const float initial : update_->initial_state()) {
    const std::string& digest = *digests[state_.size()];
    if (!ReadState(digest, &state_.emplace_back(), initial)) return false;
  }
  for (const StoredContribution& stored : step_.record.contributions()) {
    if (!ReadContribution(stored)) return false;
    if (!problem_.empty()) return true;
  }
  next_.resize(elements_);
  return MakeRule();
}

bool OuterStepRun::ReadContribution(const StoredContribution& stored) {
  const std::string& base = step_.base.digest();
  const std::string* blob = disk_->Read(ContributionFile(round(), stored.digest()));
  if (blob == nullptr) return false;
  // The vector as it was at its site, or its change since the base that it had there.
  const bool absolute = scenario_.manifest.consensus().asynchrony() == "elastic";
  const bool older = !stored.base_digest().empty() && stored.base_digest() != base;
  const bool delta = IsDelta(scenario_.up);
  Vector old = z_;
  if (older && delta == absolute && !ReadState(stored.base_digest(), &old)) return false;
  absl::StatusOr<Vector> x = DecodeBlob(scenario_.up, *blob, elements_, absolute ? old : z_,
                                        older ? stored.base_digest() : base, part_);
  if (!x.ok()) {
    problem_ = std::string(x.status().message());
    return true;
  }
  for (size_t i = 0; older && !absolute && !delta && i < x->size(); ++i) {
    (*x)[i] = static_cast<float>(double{z_[i]} + (double{(*x)[i]} - double{old[i]}));
  }
  x_.push_back(*std::move(x));
  return true;
}

bool OuterStepRun::MakeRule() {
  const ConsensusScheme& scheme = scenario_.manifest.consensus();
  const Cohort cohort = CohortOf(step_.record);
  std::optional<ChangeProducts> products;
  const absl::StatusOr<const CombinationRule*> rule = FindRule(scheme.combine());
  if (rule.ok() && (*rule)->needs_products) {
    products.emplace(cohort.scales);
    products->Add(z_, std::vector<absl::Span<const float>>(x_.begin(), x_.end()));
  }
  auto aggregator = MakeAggregator(scheme, cohort, products ? &*products : nullptr);
  if (aggregator.ok()) aggregator_ = *std::move(aggregator);
  if (!aggregator.ok()) problem_ = std::string(aggregator.status().message());
  return true;
}

bool OuterStepRun::StepBlock() {
  const uint64_t count = std::min(scenario_.block_elements, elements_ - begin_);
  std::vector<absl::Span<const float>> blocks;
  for (const Vector& x : x_) blocks.push_back(absl::MakeConstSpan(x).subspan(begin_, count));
  std::vector<double> combined(count), target(count);
  const absl::Span<const float> z = absl::MakeConstSpan(z_).subspan(begin_, count);
  aggregator_->Combine(z, blocks, absl::MakeSpan(combined));
  std::vector<absl::Span<float>> state;
  for (Vector& vector : state_) state.push_back(absl::MakeSpan(vector).subspan(begin_, count));
  update_->Step(z, combined, state, absl::MakeSpan(target));
  for (uint64_t i = 0; i < count; ++i) {
    if (IsDelta(scenario_.down)) target[i] += residual_[begin_ + i];
    next_[begin_ + i] = static_cast<float>(target[i]);
  }
  const absl::Span<float> next = absl::MakeSpan(next_).subspan(begin_, count);
  if (IsDelta(scenario_.down)) {
    std::string delta;
    const absl::Status status = EncodeElements(scenario_.down, next, z, begin_, &delta);
    if (status.ok()) WEFT_CHECK(DecodeElements(scenario_.down, delta, z, begin_, next).ok());
    if (!status.ok()) problem_ = std::string(status.message());
    for (uint64_t i = 0; i < count; ++i) {
      residual_[begin_ + i] = static_cast<float>(target[i] - next[i]);
    }
  }
  for (const float value : next) {
    if (!std::isfinite(value)) problem_ = "an element of the consensus is not finite";
  }
  begin_ += count;
  // The mutation: the momentum of the version that is still in force is overwritten.
  if (mutation_.changes_momentum_in_place && !step_.base.momentum_digest().empty()) {
    const auto blob = EncodeBlob(Encoding::kParametersFp32, state_[0], {}, "", part_);
    if (blob.ok()) disk_->Write({{VectorFile(step_.base.momentum_digest()), *blob}}, Sync::kYes);
  }
  disk_->Write({{absl::StrCat("temporary/", round()), std::string(begin_, 'b')}}, Sync::kNo);
  return begin_ == elements_;
}

double OuterStepRun::StepNorm() const {
  double sum = 0;
  for (size_t i = 0; i < z_.size(); ++i) sum += std::pow(double{next_[i]} - double{z_[i]}, 2);
  return std::sqrt(sum);
}

void OuterStepRun::Encode(std::vector<Output>* outputs) {
  const auto whole = [this](const Vector& x) { return PlainBlob(x, part_); };
  outputs->push_back({whole(next_), result_.mutable_digest()});
  std::string* const digests[] = {result_.mutable_momentum_digest(),
                                  result_.mutable_second_moment_digest()};
  for (size_t i = 0; i < state_.size(); ++i) outputs->push_back({whole(state_[i]), digests[i]});
  if (!IsDelta(scenario_.down)) return;
  outputs->push_back({whole(residual_), result_.mutable_residual_digest()});
  outputs->push_back({*EncodeBlob(scenario_.down, next_, z_, step_.base.digest(), part_),
                      result_.mutable_delta_digest()});
  result_.set_delta_bytes(outputs->back().blob.size());
  result_.set_delta_base_digest(step_.base.digest());
}

std::optional<bool> OuterStepRun::CommitNext() {
  if (!encoded_) {
    result_.set_version(step_.base.version() + 1);
    result_.set_bytes(EncodedBytes(Encoding::kParametersFp32, elements_));
    Encode(&outputs_);
    encoded_ = true;
  }
  if (outputs_.empty()) return true;
  Output output = std::move(outputs_.back());
  outputs_.pop_back();
  *output.digest = DigestOf(output.blob);
  if (!disk_->Write({{VectorFile(*output.digest), std::move(output.blob)}}, Sync::kYes).ok) {
    return std::nullopt;
  }
  return outputs_.empty();
}

}  // namespace weft::simulation
