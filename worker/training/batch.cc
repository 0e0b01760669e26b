#include "worker/training/batch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace weft {

absl::Status SampleBatch::Read(const TokenDataset& data, uint32_t vocabulary_size,
                               absl::Span<const uint64_t> samples) {
  const size_t length = static_cast<size_t>(data.sequence_length());
  const int64_t vocabulary = vocabulary_size;
  sample_.resize(length + 1);
  tokens_.resize(samples.size() * length);
  targets_.resize(tokens_.size());
  for (size_t j = 0; j < samples.size(); ++j) {
    data.ReadSample(samples[j], absl::MakeSpan(sample_));
    for (int32_t token : sample_) {
      if (token < 0 || token >= vocabulary) {
        return absl::DataLossError(absl::StrCat(
            "data: sample ", samples[j], " holds token ", token, ", the vocabulary has ",
            vocabulary, ": the shards are damaged or of another tokenizer; prepare them again"));
      }
    }
    std::copy_n(sample_.begin(), length, tokens_.begin() + j * length);
    std::copy_n(sample_.begin() + 1, length, targets_.begin() + j * length);
  }
  return absl::OkStatus();
}

absl::StatusOr<double> HeldOutLoss(Transformer* model, const TokenDataset& held_out,
                                   uint32_t sample_count, uint32_t batch_size) {
  WEFT_CHECK(sample_count >= 1 && sample_count <= held_out.sample_count());
  SampleBatch batch;
  std::vector<uint64_t> samples;
  double sum = 0;
  for (uint64_t begin = 0; begin < sample_count; begin += samples.size()) {
    samples.clear();
    for (uint64_t i = begin; i < std::min<uint64_t>(begin + batch_size, sample_count); ++i) {
      samples.push_back(i);
    }
    if (absl::Status status = batch.Read(held_out, model->config().vocabulary_size(), samples);
        !status.ok()) {
      return status;
    }
    for (float value : model->TargetLogProbabilities(batch.tokens(), batch.targets(),
                                                     static_cast<int>(samples.size()),
                                                     held_out.sequence_length())) {
      sum -= value;
    }
  }
  return sum / (static_cast<double>(sample_count) * held_out.sequence_length());
}

}  // namespace weft
