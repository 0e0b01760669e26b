#include "coordinator/server/outer_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

#include "coordinator/core/round_machine.h"
#include "proto/durable_file.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

constexpr uint64_t kElements = 70000;  // more than one block, with a ragged tail

class OuterStepTest : public ::testing::Test {
 protected:
  OuterStepTest() {
    header_.element_count = kElements;
    header_.layout.fill(9);
    z_ = Random(1, 1.0f);
    base_.set_version(4);
    base_.set_digest(Write(vectors_, header_, z_, {}));
    Configure("mean", 1.0, 0.0, false);
    options_.vectors = &vectors_;
    options_.contributions = &contributions_;
  }
  static std::vector<float> Random(uint32_t seed, float scale) {
    std::mt19937 generator(seed);
    std::vector<float> x(kElements);
    for (float& v : x) v = scale * (static_cast<float>(generator()) / 4294967296.0f - 0.5f);
    return x;
  }
  static std::string Write(const BlobDirectory& blobs, const VectorHeader& header,
                           const std::vector<float>& x, absl::Span<const float> base) {
    return ToBytes(*WriteVector(blobs, header, x, base));
  }
  void Configure(const std::string& rule, double rate, double momentum, bool nesterov) {
    OuterOptimizer config;
    config.set_name("sgd");
    config.set_learning_rate(rate);
    config.set_momentum(momentum);
    config.set_nesterov(nesterov);
    update_ = *MakeOuterUpdate(config);
    aggregator_ = *MakeAggregator(rule);
    options_.update = update_.get();
    options_.aggregator = aggregator_.get();
  }
  // The contribution x near z, weighted.
  void Contribute(RoundRecord* record, const std::vector<float>& x, double weight,
                  Encoding encoding = Encoding::kParametersFp32) {
    VectorHeader header = header_;
    header.encoding = encoding;
    if (IsDelta(encoding)) header.base = *DigestFromBytes(base_.digest());
    auto* contribution = record->add_contributions();
    contribution->set_digest(
        Write(contributions_, header, x,
              IsDelta(encoding) ? absl::Span<const float>(z_) : absl::Span<const float>()));
    contribution->set_weight(weight);
  }
  std::vector<float> Read(const std::string& digest, absl::Span<const float> base = {}) {
    auto reader = VectorReader::Open(vectors_.PathOf(*DigestFromBytes(digest)));
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::vector<float> x(kElements);
    EXPECT_TRUE(reader->Read(0, base, absl::MakeSpan(x)).ok());
    return x;
  }

  testing::TemporaryFolder folder_;
  BlobDirectory vectors_ = *BlobDirectory::Open(folder_ / "vectors");
  BlobDirectory contributions_ = *BlobDirectory::Open(folder_ / "contributions");
  VectorHeader header_;
  std::vector<float> z_;
  ConsensusVersion base_;
  std::unique_ptr<OuterUpdate> update_;
  std::unique_ptr<Aggregator> aggregator_;
  OuterStepOptions options_;
};

TEST_F(OuterStepTest, OneSiteWithRateOneGivesItsVectorExactly) {
  const std::vector<float> x = Random(2, 1.0f);
  RoundRecord record;
  Contribute(&record, x, 1.0);
  const auto next = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->version(), 5);
  EXPECT_EQ(next->digest(), record.contributions(0).digest());
  EXPECT_EQ(next->delta_digest(), "");
  EXPECT_EQ(next->momentum_digest(), "");
}

TEST_F(OuterStepTest, EqualsAPlainLoopOverSites) {
  Configure("mean", 0.7, 0.9, true);
  std::vector<std::vector<float>> x = {Random(2, 1), Random(3, 1), Random(4, 1)};
  const double p[] = {0.5, 0.3, 0.2};
  RoundRecord record;
  for (int k = 0; k < 3; ++k) Contribute(&record, x[k], p[k]);
  const auto one = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(one.ok()) << one.status();
  // A second step from it, so that the momentum comes from disk.
  const auto two = ComputeOuterStep(options_, *one, record);
  ASSERT_TRUE(two.ok()) << two.status();

  std::vector<float> z = z_, m(kElements, 0.0f);
  for (int step = 0; step < 2; ++step) {
    for (uint64_t i = 0; i < kElements; ++i) {
      double combined = 0;
      for (int k = 0; k < 3; ++k) combined += p[k] * x[k][i];
      const double d = z[i] - combined;
      m[i] = static_cast<float>(0.9 * m[i] + d);
      z[i] = static_cast<float>(z[i] - 0.7 * (d + 0.9 * m[i]));
    }
  }
  EXPECT_EQ(Read(two->digest()), z);
  EXPECT_EQ(Read(two->momentum_digest()), m);
}

TEST_F(OuterStepTest, AgainGivesTheSameBytes) {
  Configure("mean", 0.7, 0.9, true);
  options_.down = Encoding::kDeltaBf16;
  RoundRecord record;
  Contribute(&record, Random(2, 1), 0.5);
  Contribute(&record, Random(3, 1), 0.5);
  const auto first = ComputeOuterStep(options_, base_, record);
  const auto again = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->SerializeAsString(), again->SerializeAsString());
  EXPECT_EQ(vectors_.List().size(), 5);  // base, next, delta, momentum, residual
}

TEST_F(OuterStepTest, TheDecodedDeltaIsTheConsensusAndNothingIsLost) {
  options_.down = Encoding::kDeltaBf16;
  std::vector<float> x = z_;
  for (uint64_t i = 0; i < kElements; ++i) x[i] += 1e-3f * static_cast<float>(std::sin(i));
  RoundRecord record;
  Contribute(&record, x, 1.0);
  const auto next = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->delta_base_digest(), base_.digest());
  const std::vector<float> z = Read(next->digest());
  EXPECT_EQ(Read(next->delta_digest(), z_), z);
  EXPECT_NE(z, x);  // bf16 lost something
  const std::vector<float> residual = Read(next->residual_digest());
  for (uint64_t i = 0; i < kElements; ++i) {
    ASSERT_FLOAT_EQ(z[i] + residual[i], x[i]) << i;
  }
  // Another step towards the same vector sends what was left: closer than bf16 alone comes.
  const auto third = ComputeOuterStep(options_, *next, record);
  ASSERT_TRUE(third.ok());
  double before = 0, after = 0;
  const std::vector<float> z3 = Read(third->digest());
  for (uint64_t i = 0; i < kElements; ++i) {
    before += std::abs(z[i] - x[i]);
    after += std::abs(z3[i] - residual[i] - x[i]);
  }
  EXPECT_LT(after, before / 50);
}

TEST_F(OuterStepTest, DecodesContributionsAgainstTheBase) {
  std::vector<float> x = z_;
  for (float& v : x) v += 0.01f;
  RoundRecord record;
  Contribute(&record, x, 1.0, Encoding::kDeltaBf16);
  const auto next = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(next.ok()) << next.status();
  auto reader =
      VectorReader::Open(contributions_.PathOf(*DigestFromBytes(record.contributions(0).digest())));
  std::vector<float> decoded(kElements);
  ASSERT_TRUE(reader->Read(0, z_, absl::MakeSpan(decoded)).ok());
  EXPECT_EQ(Read(next->digest()), decoded);
}

TEST_F(OuterStepTest, NumbersThatLeaveFp32AreInvalidAndLeaveNothingBehind) {
  Configure("mean", 3.0, 0.0, false);
  RoundRecord record;
  std::vector<float> x = z_;
  x[69999] = 3e38f;
  Contribute(&record, x, 1.0);
  const auto next = ComputeOuterStep(options_, base_, record);
  EXPECT_EQ(next.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(next.status().message()), ::testing::HasSubstr("69999"));
  EXPECT_EQ(vectors_.List().size(), 1);
}

TEST_F(OuterStepTest, NothingIsComputedFromABlobThatADiskHasChanged) {
  RoundRecord record;
  Contribute(&record, Random(2, 1.0f), 1.0);
  const auto flip = [](const std::string& path) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(200001);
    file.put('\x5a');
  };
  const std::string contribution =
      contributions_.PathOf(*DigestFromBytes(record.contributions(0).digest()));
  const std::string sound = *ReadWholeFile(contribution);
  flip(contribution);
  const absl::Status rotten = ComputeOuterStep(options_, base_, record).status();
  EXPECT_TRUE(absl::IsDataLoss(rotten)) << rotten;
  EXPECT_THAT(std::string(rotten.message()), ::testing::HasSubstr("weft-coordinator check"));
  ASSERT_TRUE(WriteFileDurably(contribution, sound).ok());
  ASSERT_TRUE(ComputeOuterStep(options_, base_, record).ok());
  flip(vectors_.PathOf(*DigestFromBytes(base_.digest())));
  EXPECT_TRUE(absl::IsDataLoss(ComputeOuterStep(options_, base_, record).status()));
}

TEST_F(OuterStepTest, AMissingContributionIsNotTheNumbersFault) {
  RoundRecord record;
  record.add_contributions()->set_digest(std::string(32, 'x'));
  EXPECT_EQ(ComputeOuterStep(options_, base_, record).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weft
