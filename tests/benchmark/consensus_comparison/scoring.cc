#include "tests/benchmark/consensus_comparison/scoring.h"

#include <future>
#include <memory>
#include <utility>

#include "eval/scorer.h"
#include "model/transformer.h"
#include "tests/benchmark/consensus_comparison/setting.h"

namespace weft::comparison {
namespace {

absl::StatusOr<VectorScore> ScoreVector(absl::Span<const float> vector, const SiteData& data) {
  SetComputeThreads(1);
  absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(ComparisonModel());
  if (!model.ok()) return model.status();
  (*model)->LoadParameters(vector);
  const Scorer scorer(
      [&](absl::Span<const int32_t> tokens, absl::Span<const int32_t> targets, int batch,
          int length) { return (*model)->TargetLogProbabilities(tokens, targets, batch, length); });
  VectorScore score;
  for (const SiteText& site : data.sites) {
    absl::StatusOr<TextScore> text =
        ScoreText(site.held_out, *data.tokenizer, kSequenceLength, scorer);
    if (!text.ok()) return text.status();
    score.sites.push_back(*std::move(text));
  }
  score.pooled = PoolScores(score.sites);
  return score;
}

}  // namespace

absl::StatusOr<std::vector<VectorScore>> ScoreVectors(
    absl::Span<const absl::Span<const float>> vectors, const SiteData& data,
    testing::WorkerThreads* threads) {
  std::vector<std::future<absl::StatusOr<VectorScore>>> work;
  for (const absl::Span<const float> vector : vectors) {
    work.push_back(threads->Do([vector, &data] { return ScoreVector(vector, data); }));
  }
  std::vector<VectorScore> scores;
  absl::Status status;
  for (auto& one : work) {  // all of them: they use what the caller holds
    absl::StatusOr<VectorScore> score = one.get();
    if (score.ok()) {
      scores.push_back(*std::move(score));
    } else {
      status.Update(score.status());
    }
  }
  if (!status.ok()) return status;
  return scores;
}

}  // namespace weft::comparison
