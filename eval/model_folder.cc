#include "eval/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "proto/blob_digest.h"

namespace weft {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 20;

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/tokenizer.model");
  if (!std::filesystem::exists(path)) {
    return absl::NotFoundError(absl::StrCat(path,
                                            ": no such file; a text is scored with the model's own "
                                            "tokenizer, put its tokenizer.model there"));
  }
  return LoadTokenizer(path);
}

}  // namespace

absl::Status CheckVocabulary(const std::string& folder, int64_t tokenizer_size,
                             int64_t model_size) {
  if (tokenizer_size <= model_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(folder, ": tokenizer.model has ", tokenizer_size,
                                                 " tokens, but config.json has vocab_size ",
                                                 model_size, ": the tokenizer of another model"));
}

absl::StatusOr<Digest> VectorDigest(const ParameterLayout& layout, absl::Span<const float> vector) {
  BlobHasher hasher;
  hasher.Update(PrintVectorHeader({.encoding = Encoding::kParametersFp32,
                                   .element_count = layout.element_count(),
                                   .layout = layout.digest()}));
  std::string block;
  for (uint64_t begin = 0; begin < vector.size(); begin += kBlockElements) {
    block.clear();
    const absl::Status encoded = EncodeElements(
        Encoding::kParametersFp32, vector.subspan(begin, kBlockElements), {}, begin, &block);
    if (!encoded.ok()) return encoded;
    hasher.Update(block);
  }
  return hasher.Finish();
}

TargetScores ModelFolder::Scores() const {
  return [model = transformer.get()](absl::Span<const int32_t> tokens,
                                     absl::Span<const int32_t> targets, int batch, int length) {
    return model->TargetLogProbabilities(tokens, targets, batch, length);
  };
}

absl::StatusOr<ModelFolder> OpenModelFolder(const std::string& folder, Device device) {
  // The small files first: what is wrong with them shows before gigabytes are read.
  absl::StatusOr<ModelConfig> config = ReadHuggingFaceConfig(folder);
  if (!config.ok()) return config.status();
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = OpenTokenizer(folder);
  if (!tokenizer.ok()) return tokenizer.status();
  const absl::Status fits =
      CheckVocabulary(folder, (*tokenizer)->vocabulary_size(), config->vocabulary_size());
  if (!fits.ok()) return fits;

  absl::StatusOr<HuggingFaceModel> model = ReadHuggingFaceFolder(folder);
  if (!model.ok()) return model.status();
  absl::StatusOr<Digest> digest = VectorDigest(model->layout, model->vector.span());
  if (!digest.ok())
    return absl::Status(digest.status().code(),
                        absl::StrCat(folder, ": ", digest.status().message()));
  absl::StatusOr<std::unique_ptr<Transformer>> transformer =
      Transformer::Create(model->config, device);
  if (!transformer.ok()) return transformer.status();
  (*transformer)->LoadParameters(model->vector.span());

  ModelFolder opened{.folder = folder, .config = model->config};
  opened.parameter_count = model->layout.element_count();
  opened.layout_digest = model->layout.digest();
  opened.vector_digest = *digest;
  opened.tokenizer = *std::move(tokenizer);
  opened.transformer = *std::move(transformer);
  return opened;
}

}  // namespace weft
