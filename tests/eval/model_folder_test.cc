#include "eval/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eval/scorer.h"
#include "eval/text_score.h"
#include "model/formats/huggingface.h"
#include "model/parameters/parameter_codec.h"
#include "model/parameters/parameter_vector.h"
#include "proto/blob_directory.h"
#include "proto/durable_file.h"
#include "tests/model/small_config.h"

namespace weft {
namespace {

using ::testing::HasSubstr;
using testing::RandomTokens;
using testing::RandomVector;
using testing::SmallConfig;

class ModelFolderTest : public ::testing::Test {
 protected:
  ModelFolderTest() : folder_(::testing::TempDir() + "/model_folder_test") {
    std::filesystem::remove_all(folder_);
  }
  ~ModelFolderTest() override { std::filesystem::remove_all(folder_); }

  void WriteModel(const std::vector<float>& vector) {
    const absl::Status written = WriteHuggingFaceFolder(folder_, SmallConfig(), vector, "");
    ASSERT_TRUE(written.ok()) << written;
  }
  std::string Refusal() {
    return std::string(OpenModelFolder(folder_, Device::kCpu).status().message());
  }

  const ParameterLayout layout_ = *TransformerLayout(SmallConfig());
  const std::string folder_;
};

TEST_F(ModelFolderTest, NamesTheFileThatIsMissing) {
  EXPECT_THAT(Refusal(), HasSubstr("config.json"));
  WriteModel(RandomVector(layout_.element_count(), 1));
  EXPECT_THAT(Refusal(), HasSubstr("model_folder_test/tokenizer.model: no such file"));
}

TEST_F(ModelFolderTest, RefusesATokenizerThatIsNone) {
  WriteModel(RandomVector(layout_.element_count(), 1));
  ASSERT_TRUE(WriteFileDurably(folder_ + "/tokenizer.model", "this is no tokenizer").ok());
  EXPECT_THAT(Refusal(), HasSubstr("tokenizer.model"));
}

TEST_F(ModelFolderTest, RefusesTheTokenizerOfAnotherModel) {
  EXPECT_TRUE(CheckVocabulary("m", 250, 256).ok());  // models pad their vocabulary
  EXPECT_TRUE(CheckVocabulary("m", 256, 256).ok());
  EXPECT_THAT(std::string(CheckVocabulary("m", 257, 256).message()),
              HasSubstr("tokenizer.model has 257 tokens, but config.json has vocab_size 256"));
}

TEST_F(ModelFolderTest, TheVectorsDigestIsThatOfItsBlob) {
  const std::vector<float> vector = RandomVector(layout_.element_count(), 3);
  const absl::StatusOr<BlobDirectory> blobs = BlobDirectory::Open(folder_ + "/blobs");
  ASSERT_TRUE(blobs.ok()) << blobs.status();
  const absl::StatusOr<Digest> blob = WriteVector(
      *blobs, {.element_count = layout_.element_count(), .layout = layout_.digest()}, vector, {});
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(ToHex(*VectorDigest(layout_, vector)), ToHex(*blob));
}

TEST_F(ModelFolderTest, RefusesParametersThatAreNotFinite) {
  std::vector<float> vector = RandomVector(layout_.element_count(), 3);
  vector[77] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(std::string(VectorDigest(layout_, vector).status().message()), HasSubstr("77"));
}

// What batches promise: a sequence's score is its own, whatever is scored beside it.
TEST(TransformerScoringTest, HardlyDependsOnTheBatchSize) {
  SetComputeThreads(1);
  auto transformer = Transformer::Create(SmallConfig());
  ASSERT_TRUE(transformer.ok()) << transformer.status();
  (*transformer)->LoadParameters(RandomVector((*transformer)->layout().element_count(), 5));
  ModelFolder model;
  model.transformer = *std::move(transformer);
  std::vector<TokenSequence> sequences;
  for (int i = 0; i < 11; ++i) {
    sequences.push_back({.tokens = RandomTokens(i % 3 == 0 ? 30 : 65, i), .scored = 20});
  }
  const std::vector<double> alone = *Scorer(model.Scores(), {.batch_size = 1}).Score(sequences);
  for (const int batch_size : {2, 3, 8, 64}) {
    const std::vector<double> together =
        *Scorer(model.Scores(), {.batch_size = batch_size}).Score(sequences);
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_NEAR(together[i], alone[i], 1e-5 * std::abs(alone[i]))
          << "batch " << batch_size << ", sequence " << i;
    }
  }
  // The comparison has something to find: other tokens have another score.
  EXPECT_GT(std::abs(alone[1] - alone[2]), 0.02);
}

}  // namespace
}  // namespace weft
