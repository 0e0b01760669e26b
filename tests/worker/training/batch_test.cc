#include "worker/training/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class BatchTest : public ::testing::Test {
 protected:
  BatchTest() {
    WriteTinyShards(shards_);
    SetComputeThreads(1);
    model_->LoadParameters(TinyVector().span());
  }
  TokenDataset Open(Split split) {
    return *TokenDataset::Open({shards_}, TinyTokenizerSha256(), 16, split);
  }

  TestFolder folder_{"batch"};
  const std::string shards_ = folder_ / "shards";
  std::unique_ptr<Transformer> model_ = *Transformer::Create(TinyModel());
};

TEST_F(BatchTest, TargetsAreTheTokensOnePlaceOn) {
  const TokenDataset data = Open(Split::kTrain);
  SampleBatch batch;
  ASSERT_TRUE(batch.Read(data, 128, {5, 0}).ok());
  std::vector<int32_t> sample(17);
  for (const size_t row : {0, 1}) {
    data.ReadSample(row == 0 ? 5 : 0, absl::MakeSpan(sample));
    for (size_t i = 0; i < 16; ++i) {
      EXPECT_EQ(batch.tokens()[row * 16 + i], sample[i]);
      EXPECT_EQ(batch.targets()[row * 16 + i], sample[i + 1]);
    }
  }
}

TEST_F(BatchTest, ATokenOutsideTheVocabularyIsDataLoss) {
  SampleBatch batch;
  const absl::Status status = batch.Read(Open(Split::kTrain), 50, {0});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the vocabulary has 50"));
}

// Held to the loss of a training step on the same samples; batches of 4 leave a ragged one of 3.
TEST_F(BatchTest, TheHeldOutLossIsTheMeanOverTheFirstSamples) {
  const TokenDataset held_out = Open(Split::kHeldOut);
  SampleBatch batch;
  ASSERT_TRUE(batch.Read(held_out, 128, {0, 1, 2, 3, 4, 5, 6}).ok());
  const float expected = model_->LossAndGradients(batch.tokens(), batch.targets(), 7, 16);
  const absl::StatusOr<double> loss = HeldOutLoss(model_.get(), held_out, 7, 4);
  ASSERT_TRUE(loss.ok()) << loss.status();
  EXPECT_NEAR(*loss, expected, 1e-5);
  EXPECT_NE(*loss, *HeldOutLoss(model_.get(), held_out, 6, 4));
}

}  // namespace
}  // namespace weft
