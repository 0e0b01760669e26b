// The model that is scored: a release, or any Hugging Face folder of an architecture that the
// transformer knows.
//
//   absl::StatusOr<ModelFolder> model = OpenModelFolder("releases/round-000008", Device::kCpu);
//   Scorer scorer(model->Scores());
#ifndef WEFT_EVAL_MODEL_FOLDER_H_
#define WEFT_EVAL_MODEL_FOLDER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eval/scorer.h"
#include "model/parameters/parameter_layout.h"
#include "model/transformer.h"
#include "proto/digest.h"
#include "proto/run_manifest.pb.h"
#include "tokenizer/tokenizer.h"

namespace weft {

struct ModelFolder {
  std::string folder;
  ModelConfig config;
  uint64_t parameter_count = 0;
  Digest layout_digest{};
  // Blob digest of the parameters as parameters_fp32: for a release, the digest of its consensus.
  Digest vector_digest{};
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Transformer> transformer;

  // For a Scorer, which must not outlive this.
  TargetScores Scores() const;
};

// NotFound, DataLoss or InvalidArgument naming the file that is missing or wrong; the tokenizer
// must fit into the model's vocabulary.
absl::StatusOr<ModelFolder> OpenModelFolder(const std::string& folder, Device device);

// InvalidArgument for a tokenizer that has ids which the model does not know.
absl::Status CheckVocabulary(const std::string& folder, int64_t tokenizer_size, int64_t model_size);

// The digest that names this vector as a blob of parameters_fp32. InvalidArgument if an element is
// not finite.
absl::StatusOr<Digest> VectorDigest(const ParameterLayout& layout, absl::Span<const float> vector);

}  // namespace weft

#endif  // WEFT_EVAL_MODEL_FOLDER_H_
