// Samples as a model takes them: tokens and their targets, one sample a row. What the world gave is
// checked here: a token outside the vocabulary is DataLoss, before the model sees it. One thread.
//
//   SampleBatch batch;
//   batch.Read(data, vocabulary_size, {4, 0, 17});    // then batch.tokens(), batch.targets()
#ifndef WEFT_WORKER_TRAINING_BATCH_H_
#define WEFT_WORKER_TRAINING_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/transformer.h"
#include "tokenizer/token_shard_reader.h"

namespace weft {

class SampleBatch {
 public:
  absl::Status Read(const TokenDataset& data, uint32_t vocabulary_size,
                    absl::Span<const uint64_t> samples);
  // samples.size() x data.sequence_length(), row-major.
  absl::Span<const int32_t> tokens() const { return tokens_; }
  absl::Span<const int32_t> targets() const { return targets_; }

 private:
  std::vector<int32_t> sample_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> targets_;
};

// The loss (nats per token) of the model on the first `sample_count` samples of held-out text,
// without gradients, a batch at a time. Requires that there are so many.
absl::StatusOr<double> HeldOutLoss(Transformer* model, const TokenDataset& held_out,
                                   uint32_t sample_count, uint32_t batch_size);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_BATCH_H_
