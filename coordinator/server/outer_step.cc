#include "coordinator/server/outer_step.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "coordinator/core/aggregator.h"
#include "coordinator/core/change_products.h"
#include "coordinator/core/outer_optimizer.h"
#include "coordinator/server/step_vectors.h"
#include "kernels/vector_ops.h"
#include "proto/check.h"

namespace weft {
namespace {

// A multiple of every encoding's block, and of the eight lanes of a sum.
constexpr uint64_t kBlockElements = uint64_t{1} << 16;

class OuterStep {
 public:
  OuterStep(const OuterStepOptions& options, const ConsensusVersion& base,
            const RoundRecord& record)
      : options_(options),
        base_(base),
        record_(record),
        cohort_(CohortOf(record)),
        cosines_(cohort_.weights, cohort_.scales) {}

  absl::StatusOr<OuterStepResult> Run() {
    absl::Status status = OpenInputs();
    if (status.ok()) status = MakeRule();
    if (status.ok()) status = OpenOutputs();
    if (status.ok()) status = ForEachBlock([this](uint64_t begin) { return StepBlock(begin); });
    if (!status.ok()) return status;
    return Commit();
  }

 private:
  absl::Status OpenInputs() {
    auto update = MakeOuterUpdate(options_.scheme.outer());
    if (!update.ok()) return update.status();
    update_ = *std::move(update);
    absl::StatusOr<VectorReader> z = OpenNamed(*options_.vectors, base_.digest());
    if (!z.ok()) return z.status();
    header_ = z->header();
    z_reader_ = *std::move(z);
    absl::Status status =
        contributions_.Open(*options_.contributions, *options_.vectors, record_, base_.digest(),
                            /*absolute=*/options_.scheme.asynchrony() == "elastic");
    WEFT_CHECK(!status.ok() || contributions_.AllHave(header_.element_count));
    return status;
  }

  absl::Status MakeRule() {
    const absl::StatusOr<const CombinationRule*> rule = FindRule(options_.scheme.combine());
    if (!rule.ok()) return rule.status();
    std::optional<ChangeProducts> products;
    if ((*rule)->needs_products) {
      products.emplace(cohort_.scales);
      absl::Status status = ForEachBlock([this, &products](uint64_t) {
        products->Add(z_, contributions_.blocks());
        return absl::OkStatus();
      });
      if (!status.ok()) return status;
    }
    auto aggregator = MakeAggregator(options_.scheme, cohort_, products ? &*products : nullptr);
    if (!aggregator.ok()) return aggregator.status();
    aggregator_ = *std::move(aggregator);
    return absl::OkStatus();
  }

  absl::Status OpenOutputs() {
    absl::StatusOr<VectorWriter> next = VectorWriter::Create(*options_.vectors, header_);
    if (!next.ok()) return next.status();
    next_writer_ = *std::move(next);
    const std::string* digests[] = {&base_.momentum_digest(), &base_.second_moment_digest()};
    for (const float initial : update_->initial_state()) {
      WEFT_CHECK(state_.size() < std::size(digests));
      const std::string& digest = *digests[state_.size()];
      state_.emplace_back().initial = initial;
      absl::Status status = state_.back().Open(*options_.vectors, header_, digest);
      if (!status.ok()) return status;
    }
    if (!IsDelta(options_.down)) return absl::OkStatus();
    VectorHeader delta_header = header_;
    delta_header.encoding = options_.down;
    delta_header.base = *DigestFromBytes(base_.digest());
    absl::StatusOr<VectorWriter> delta = VectorWriter::Create(*options_.vectors, delta_header);
    if (!delta.ok()) return delta.status();
    delta_writer_ = *std::move(delta);
    return residual_.Open(*options_.vectors, header_, base_.residual_digest());
  }

  // use(begin) when a block of the base and of all contributions is read.
  template <typename Use>
  absl::Status ForEachBlock(const Use& use) {
    for (uint64_t begin = 0; begin < header_.element_count; begin += kBlockElements) {
      z_.resize(std::min(kBlockElements, header_.element_count - begin));
      absl::Status status = z_reader_->Read(begin, {}, absl::MakeSpan(z_));
      if (status.ok()) status = contributions_.Read(begin, z_);
      if (status.ok()) status = use(begin);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status StepBlock(uint64_t begin) {
    const uint64_t count = z_.size();
    absl::Status status = residual_.Read(begin, count);
    std::vector<absl::Span<float>> state;
    for (StateVector& vector : state_) {
      if (status.ok()) status = vector.Read(begin, count);
      state.push_back(absl::MakeSpan(vector.block));
    }
    if (!status.ok()) return status;
    combined_.resize(count);
    target_.resize(count);
    const std::vector<absl::Span<const float>> blocks = contributions_.blocks();
    aggregator_->Combine(z_, blocks, absl::MakeSpan(combined_));
    cosines_.Add(z_, blocks);
    update_->Step(z_, combined_, state, absl::MakeSpan(target_));
    for (size_t i = 0; i < residual_.block.size(); ++i) target_[i] += residual_.block[i];
    return WriteBlock(begin, count);
  }

  absl::Status WriteBlock(uint64_t begin, uint64_t count) {
    next_.resize(count);
    for (uint64_t i = 0; i < count; ++i) next_[i] = static_cast<float>(target_[i]);
    if (delta_writer_.has_value()) {
      absl::Status status = delta_writer_->Append(next_, z_, begin, &encoded_);
      if (!status.ok()) return status;
      // From here on the decoded value is the consensus, as it is at the sites.
      status = DecodeElements(options_.down, encoded_, z_, begin, absl::MakeSpan(next_));
      if (!status.ok()) return status;
      for (uint64_t i = 0; i < count; ++i) {
        residual_.block[i] = static_cast<float>(target_[i] - next_[i]);
      }
    }
    absl::Status status = next_writer_->Append(next_, {}, begin, &encoded_);
    for (StateVector& vector : state_) {
      if (status.ok()) status = vector.Write(begin, &encoded_);
    }
    if (status.ok()) status = residual_.Write(begin, &encoded_);
    for (uint64_t i = 0; i < count; ++i) target_[i] = double{next_[i]} - double{z_[i]};
    kernels::AccumulateDot(target_.data(), target_.data(), count, step_squared_.data());
    return status;
  }

  absl::StatusOr<OuterStepResult> Commit() {
    OuterStepResult result;
    ConsensusVersion& next = result.next;
    next.set_version(base_.version() + 1);
    next.set_bytes(EncodedBytes(header_.encoding, header_.element_count));
    absl::Status status = CommitTo(&next_writer_, next.mutable_digest());
    std::string* const digests[] = {next.mutable_momentum_digest(),
                                    next.mutable_second_moment_digest()};
    for (size_t i = 0; i < state_.size() && status.ok(); ++i) {
      status = CommitTo(&state_[i].after, digests[i]);
    }
    if (status.ok()) status = CommitTo(&residual_.after, next.mutable_residual_digest());
    if (status.ok() && delta_writer_.has_value()) {
      next.set_delta_bytes(EncodedBytes(options_.down, header_.element_count));
      next.set_delta_base_digest(base_.digest());
      status = CommitTo(&delta_writer_, next.mutable_delta_digest());
    }
    if (!status.ok()) return status;
    result.cosines = cosines_.Cosines();
    result.step_norm = std::sqrt(kernels::SumOfLanes(step_squared_.data()));
    return result;
  }

  const OuterStepOptions& options_;
  const ConsensusVersion& base_;
  const RoundRecord& record_;
  const Cohort cohort_;
  VectorHeader header_;
  std::unique_ptr<OuterUpdate> update_;
  std::unique_ptr<Aggregator> aggregator_;
  std::optional<VectorReader> z_reader_;
  ContributionBlocks contributions_;
  std::optional<VectorWriter> next_writer_, delta_writer_;
  std::vector<StateVector> state_;
  StateVector residual_;
  MeanCosines cosines_;
  Lanes step_squared_{};
  // The block under way.
  std::vector<float> z_, next_;
  std::vector<double> combined_, target_;
  std::string encoded_;
};

}  // namespace

absl::StatusOr<OuterStepResult> ComputeOuterStep(const OuterStepOptions& options,
                                                 const ConsensusVersion& base,
                                                 const RoundRecord& record) {
  WEFT_CHECK(record.contributions_size() > 0);
  return OuterStep(options, base, record).Run();
}

}  // namespace weft
