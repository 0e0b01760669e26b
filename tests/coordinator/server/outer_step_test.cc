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
    options_.scheme.set_combine(rule);
    OuterOptimizer& outer = *options_.scheme.mutable_outer();
    outer.set_name("sgd");
    outer.set_learning_rate(rate);
    outer.set_momentum(momentum);
    outer.set_nesterov(nesterov);
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
  OuterStepOptions options_;
};

TEST_F(OuterStepTest, OneSiteWithRateOneGivesItsVectorExactly) {
  const std::vector<float> x = Random(2, 1.0f);
  RoundRecord record;
  Contribute(&record, x, 1.0);
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  const ConsensusVersion* next = &step->next;
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
  const auto two = ComputeOuterStep(options_, one->next, record);
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
  EXPECT_EQ(Read(two->next.digest()), z);
  EXPECT_EQ(Read(two->next.momentum_digest()), m);
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
  EXPECT_EQ(first->next.SerializeAsString(), again->next.SerializeAsString());
  EXPECT_EQ(vectors_.List().size(), 5);  // base, next, delta, momentum, residual
}

TEST_F(OuterStepTest, TheDecodedDeltaIsTheConsensusAndNothingIsLost) {
  options_.down = Encoding::kDeltaBf16;
  std::vector<float> x = z_;
  for (uint64_t i = 0; i < kElements; ++i) x[i] += 1e-3f * static_cast<float>(std::sin(i));
  RoundRecord record;
  Contribute(&record, x, 1.0);
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  const ConsensusVersion* next = &step->next;
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
  const std::vector<float> z3 = Read(third->next.digest());
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
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  const ConsensusVersion* next = &step->next;
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

TEST_F(OuterStepTest, ScaledChangesAndTheBasesOwnWeightCount) {
  const std::vector<std::vector<float>> x = {Random(2, 1), Random(3, 1)};
  RoundRecord record;
  Contribute(&record, x[0], 0.5);
  Contribute(&record, x[1], 0.25);
  record.mutable_contributions(0)->set_scale(0.75);
  record.mutable_contributions(1)->set_scale(1.5);
  record.set_base_weight(0.25);
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  const std::vector<float> z = Read(step->next.digest());
  for (uint64_t i = 0; i < kElements; ++i) {
    const double want =
        z_[i] + 0.5 * 0.75 * (double{x[0][i]} - z_[i]) + 0.25 * 1.5 * (double{x[1][i]} - z_[i]);
    ASSERT_NEAR(z[i], want, 1e-7) << i;
  }
}

TEST_F(OuterStepTest, KrumGivesOneOfTheVectorsExactlyAfterTwoReadings) {
  Configure("krum", 1.0, 0.0, false);
  options_.scheme.set_faulty_max(1);
  RoundRecord record;
  std::vector<std::vector<float>> x = {Random(2, 1e6f)};
  for (const float moved : {0.0f, 0.002f, 0.003f, 0.006f}) {
    x.push_back(z_);
    for (float& v : x.back()) v += moved;
  }
  for (const std::vector<float>& vector : x) Contribute(&record, vector, 0.2);
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(step->next.digest(), record.contributions(2).digest());
}

TEST_F(OuterStepTest, ARuleThatNeedsMoreContributionsFailsForGood) {
  Configure("krum", 1.0, 0.0, false);
  options_.scheme.set_faulty_max(1);
  RoundRecord record;
  for (uint32_t k = 0; k < 4; ++k) Contribute(&record, Random(2 + k, 1), 0.25);
  const absl::Status status = ComputeOuterStep(options_, base_, record).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("needs 5"));
}

TEST_F(OuterStepTest, AdamsTwoStatesComeFromDisk) {
  OuterOptimizer& outer = *options_.scheme.mutable_outer();
  outer.set_name("adam");
  outer.set_learning_rate(0.01);
  outer.set_momentum(0.9);
  outer.set_beta2(0.99);
  outer.set_tau(1e-3);
  const std::vector<float> x = Random(2, 1);
  RoundRecord record;
  Contribute(&record, x, 1.0);
  const auto one = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(one.ok()) << one.status();
  const auto two = ComputeOuterStep(options_, one->next, record);
  ASSERT_TRUE(two.ok()) << two.status();
  std::vector<float> z = z_, m(kElements, 0.0f), v(kElements, 1e-6f);
  for (int step = 0; step < 2; ++step) {
    for (uint64_t i = 0; i < kElements; ++i) {
      const double d = double{z[i]} - x[i];
      m[i] = static_cast<float>(0.9 * m[i] + (1 - 0.9) * d);
      v[i] = static_cast<float>(0.99 * v[i] + (1 - 0.99) * (d * d));
      z[i] = static_cast<float>(z[i] - 0.01 * m[i] / (std::sqrt(double{v[i]}) + 1e-3));
    }
  }
  EXPECT_EQ(Read(two->next.momentum_digest()), m);
  EXPECT_EQ(Read(two->next.second_moment_digest()), v);
  EXPECT_EQ(Read(two->next.digest()), z);
}

// Contributions of a site whose base is older than today's.
class OlderBaseTest : public OuterStepTest {
 protected:
  OlderBaseTest() {
    for (float& v : old_) v += 0.125f;
    old_digest_ = Write(vectors_, header_, old_, {});
    for (float& v : x_) v += 0.375f;  // 0.25 from the old base
  }
  std::vector<float> StepWith(Encoding encoding) {
    VectorHeader header = header_;
    header.encoding = encoding;
    const bool delta = IsDelta(encoding);
    if (delta) header.base = *DigestFromBytes(old_digest_);
    RoundRecord record;
    auto* c = record.add_contributions();
    c->set_digest(Write(contributions_, header, x_,
                        delta ? absl::Span<const float>(old_) : absl::Span<const float>()));
    c->set_base_digest(old_digest_);
    c->set_weight(1);
    const auto step = ComputeOuterStep(options_, base_, record);
    EXPECT_TRUE(step.ok()) << step.status();
    return Read(step->next.digest());
  }
  void ExpectFrom(const std::vector<float>& got, float moved) {
    for (uint64_t i = 0; i < kElements; ++i) ASSERT_NEAR(got[i], z_[i] + moved, 1e-6) << i;
  }
  std::vector<float> old_ = z_, x_ = z_;
  std::string old_digest_;
};

TEST_F(OlderBaseTest, CountsAsItsChangeSinceThen) {
  ExpectFrom(StepWith(Encoding::kParametersFp32), 0.25f);
  ExpectFrom(StepWith(Encoding::kDeltaBf16), 0.25f);
}

TEST_F(OlderBaseTest, ElasticCountsTheVectorItself) {
  options_.scheme.set_asynchrony("elastic");
  EXPECT_EQ(StepWith(Encoding::kParametersFp32), x_);
  ExpectFrom(StepWith(Encoding::kDeltaBf16), 0.375f);
}

TEST_F(OlderBaseTest, ElasticMovesTheConsensusByAlphaOfTheDistance) {
  options_.scheme.set_asynchrony("elastic");
  Configure("mean", 0.5, 0.0, false);
  ExpectFrom(StepWith(Encoding::kParametersFp32), 0.5f * 0.375f);
}

TEST_F(OuterStepTest, TellsCosinesAndHowFarItMoved) {
  std::vector<float> up = z_, down = z_;
  double squares = 0;
  for (uint64_t i = 0; i < kElements; ++i) {
    up[i] += i % 2 == 0 ? 0.5f : 0.0f;
    down[i] -= i % 2 == 0 ? 0.25f : 0.0f;
    squares += i % 2 == 0 ? 0.25 * 0.25 * 0.25 : 0;
  }
  RoundRecord record;
  Contribute(&record, up, 0.75);
  Contribute(&record, down, 0.25);
  Contribute(&record, z_, 0.0);
  options_.scheme.mutable_outer()->set_learning_rate(0.4);
  const auto step = ComputeOuterStep(options_, base_, record);
  ASSERT_TRUE(step.ok()) << step.status();
  ASSERT_EQ(step->cosines.size(), 3);
  EXPECT_NEAR(step->cosines[0], 1, 1e-6);
  EXPECT_NEAR(step->cosines[1], -1, 1e-6);
  EXPECT_EQ(step->cosines[2], 0);
  // The mean moves by 0.75 * 0.5 - 0.25 * 0.25 = 0.3125, the step by 0.4 of it: 0.125.
  EXPECT_NEAR(step->step_norm, std::sqrt(squares), 1e-4);
}

}  // namespace
}  // namespace weft
