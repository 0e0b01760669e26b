#include "worker/gate/site_vectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

constexpr int kElements = 300000;  // more than a block of the files, and a ragged end

class SiteVectorsTest : public ::testing::Test {
 protected:
  SiteVectorsTest() {
    layout_.fill(7);
    for (int i = 0; i < kElements; ++i) {
      const auto t = static_cast<float>(i);
      z_.push_back(std::sin(t));
      x_.push_back(z_.back() + 0.01f * std::cos(t));
    }
  }
  SiteVectors Vectors() { return {&site_, &own_, layout_}; }
  Digest Write(const BlobDirectory& to, const std::vector<float>& vector) {
    return *WriteVector(to, {.element_count = vector.size(), .layout = layout_}, vector, {});
  }
  static std::vector<float> Read(const BlobDirectory& from, const Digest& digest,
                                 const std::vector<float>& base = {}) {
    auto reader = VectorReader::Open(from.PathOf(digest));
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::vector<float> vector(reader->header().element_count);
    EXPECT_TRUE(reader->Read(0, base, absl::MakeSpan(vector)).ok());
    return vector;
  }
  ContributionParts Parts(const std::vector<float>& x, const std::vector<float>& z) {
    return {.encoding = Encoding::kDeltaBf16, .vector = Write(site_, x), .base = Write(site_, z)};
  }

  testing::TemporaryFolder folder_;
  BlobDirectory site_ = *BlobDirectory::Open(folder_ / "site");
  BlobDirectory own_ = *BlobDirectory::Open(folder_ / "own");
  Digest layout_{};
  std::vector<float> z_, x_;
};

TEST_F(SiteVectorsTest, WholeVectorsKeepEveryBit) {
  ContributionParts parts = Parts(x_, z_);
  parts.encoding = Encoding::kParametersFp32;
  auto encoded = EncodeContribution(Vectors(), parts);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->blob, parts.vector);
  EXPECT_FALSE(encoded->residual.has_value());
  EXPECT_FALSE(encoded->sent.has_value());
}

TEST_F(SiteVectorsTest, WhatEncodingLosesIsKeptExactly) {
  ContributionParts parts = Parts(x_, z_);
  parts.residual_kept = 1;
  auto encoded = EncodeContribution(Vectors(), parts);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  const std::vector<float> decoded = Read(own_, encoded->blob, z_);
  const std::vector<float> lost = Read(own_, *encoded->residual);
  EXPECT_NE(decoded, x_);
  for (int i = 0; i < kElements; ++i) ASSERT_EQ(decoded[i] + lost[i], x_[i]) << i;
}

TEST_F(SiteVectorsTest, TheResidualIsSentWithTheNextAndItsShareKept) {
  std::vector<float> e(kElements);
  for (int i = 0; i < kElements; ++i) e[i] = 1e-3f * std::sin(0.1f * static_cast<float>(i));
  ContributionParts parts = Parts(x_, z_);
  parts.residual = Write(own_, e);
  parts.residual_kept = 0.5;
  auto encoded = EncodeContribution(Vectors(), parts);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  std::vector<float> sum = x_;
  for (int i = 0; i < kElements; ++i) sum[i] += e[i];
  // The same bytes as of a site whose vector is x + e.
  EXPECT_EQ(encoded->blob, EncodeContribution(Vectors(), Parts(sum, z_))->blob);
  const std::vector<float> decoded = Read(own_, encoded->blob, z_);
  const std::vector<float> kept = Read(own_, *encoded->residual);
  for (int i = 0; i < kElements; ++i) ASSERT_EQ(kept[i], 0.5f * (sum[i] - decoded[i])) << i;
}

// What has been sent over many rounds stays within one round's rounding of what there was to send;
// without feedback the losses add up.
TEST_F(SiteVectorsTest, FeedbackSendsEverythingInTheEnd) {
  const std::vector<float> zeros(4, 0.0f);
  const std::vector<float> x = {1.001f, -0.3337f, 1e-4f, 3.0e-5f};
  std::vector<double> with(4), without(4);
  std::optional<Digest> e;
  constexpr int kRounds = 16;
  for (int round = 0; round < kRounds; ++round) {
    ContributionParts parts = Parts(x, zeros);
    const auto plain = Read(own_, EncodeContribution(Vectors(), parts)->blob, zeros);
    parts.residual = e;
    parts.residual_kept = 1;
    auto encoded = EncodeContribution(Vectors(), parts);
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    e = encoded->residual;
    const auto sent = Read(own_, encoded->blob, zeros);
    for (int i = 0; i < 4; ++i) {
      with[i] += sent[i];
      without[i] += plain[i];
    }
  }
  for (int i = 0; i < 4; ++i) {
    const double wanted = kRounds * static_cast<double>(x[i]);
    EXPECT_NEAR(with[i], wanted, std::abs(x[i]) / 128) << i;
  }
  EXPECT_GT(std::abs(without[0] - kRounds * 1.001), 0.005);
}

// Where only the largest changes travel, feedback brings the others to their turn.
TEST_F(SiteVectorsTest, FeedbackSendsWhatNeverIsAmongTheLargest) {
  const std::vector<float> zeros(256, 0.0f);
  std::vector<float> x(256);
  for (int i = 0; i < 256; ++i) x[i] = 1.0f + 0.5f * static_cast<float>(i) / 256;
  std::vector<double> with(256), without(256);
  std::optional<Digest> e;
  constexpr int kRounds = 24;
  for (int round = 0; round < kRounds; ++round) {
    ContributionParts parts = Parts(x, zeros);
    parts.encoding = VectorFormat(Encoding::kTopkInt4, 64);
    parts.residual = e;
    parts.residual_kept = 1;
    auto encoded = EncodeContribution(Vectors(), parts);
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    e = encoded->residual;
    const auto sent = Read(own_, encoded->blob, zeros);
    parts.residual.reset();
    const auto plain = Read(own_, EncodeContribution(Vectors(), parts)->blob, zeros);
    for (int i = 0; i < 256; ++i) {
      with[i] += sent[i];
      without[i] += plain[i];
    }
  }
  // A quarter travels at a time: no element is more than some four rounds behind.
  for (int i = 0; i < 256; ++i) ASSERT_NEAR(with[i], kRounds * x[i], 6 * x[i]) << i;
  EXPECT_EQ(without[0], 0);
}

TEST_F(SiteVectorsTest, HowMuchIsKeptFollowsTheScheme) {
  ConsensusScheme scheme;
  scheme.set_alpha(0.25);
  EXPECT_EQ(ResidualKept(scheme, Encoding::kDeltaBf16), 0.25);
  EXPECT_EQ(ResidualKept(scheme, Encoding::kParametersFp32), 0);
  scheme.set_mix_with("previous");
  EXPECT_EQ(ResidualKept(scheme, Encoding::kDeltaBf16), 0);
  scheme.clear_mix_with();
  scheme.set_asynchrony("delayed");
  EXPECT_EQ(ResidualKept(scheme, Encoding::kDeltaBf16), 0.25);
  scheme.set_asynchrony("elastic");
  EXPECT_EQ(ResidualKept(scheme, Encoding::kDeltaBf16), 0);
  scheme.clear_asynchrony();
  scheme.set_dual(true);
  EXPECT_EQ(ResidualKept(scheme, Encoding::kDeltaBf16), 0);
}

TEST_F(SiteVectorsTest, WithADualTheChangeOfTheSumIsSent) {
  const std::vector<float> z = {1, 2, 3}, x = {1.5f, 2, 2}, u = {0.25f, -0.5f, 0},
                           sent = {1, 1, 1};
  ContributionParts parts = Parts(x, z);
  parts.encoding = Encoding::kParametersFp32;
  parts.with_dual = true;
  parts.dual = Write(own_, u);
  parts.sent = Write(own_, sent);
  auto encoded = EncodeContribution(Vectors(), parts);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  // z + (x + u - sent), by hand.
  EXPECT_THAT(Read(own_, encoded->blob), ::testing::ElementsAre(1.75f, 2.5f, 4.0f));
  EXPECT_THAT(Read(own_, *encoded->sent), ::testing::ElementsAre(1.75f, 1.5f, 2.0f));
  EXPECT_DOUBLE_EQ(encoded->primal_residual, std::sqrt(0.25 + 1));
}

TEST_F(SiteVectorsTest, WhatTheCoordinatorHasIsWhatWasDecoded) {
  ContributionParts parts = Parts(x_, z_);
  parts.with_dual = true;
  parts.sent = Write(own_, z_);
  auto encoded = EncodeContribution(Vectors(), parts);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_FALSE(encoded->residual.has_value());
  // `sent` was z: now it is what the coordinator decodes, and not x.
  EXPECT_EQ(Read(own_, *encoded->sent), Read(own_, encoded->blob, z_));
}

TEST_F(SiteVectorsTest, AnchorAndDualFollowTheirFormulas) {
  const Digest z = Write(site_, {1, 2, 3}), x = Write(site_, {2, 2, 1}),
               u = Write(own_, {0.5f, -1, 0});
  auto anchor = WriteAnchor(Vectors(), z, u);
  ASSERT_TRUE(anchor.ok()) << anchor.status();
  EXPECT_THAT(Read(site_, *anchor), ::testing::ElementsAre(0.5f, 3, 3));
  auto first = StepDual(Vectors(), {.vector = x, .base = z});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(Read(own_, *first), ::testing::ElementsAre(1, 0, -2));
  auto next = StepDual(Vectors(), {.dual = u, .vector = x, .base = z, .scale = 0.5});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_THAT(Read(own_, *next), ::testing::ElementsAre(0.75f, -0.5f, -1));
  auto scaled = StepDual(Vectors(), {.dual = u, .base = z, .scale = 2});
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_THAT(Read(own_, *scaled), ::testing::ElementsAre(1, -2, 0));
}

// Boyd et al. 2011, section 7.1, with f_k(x) = c_k/2 (x - m_k)^2, whose x step has a closed form,
// and sites absent at random: the consensus is the minimum of the sum, sum c_k m_k / sum c_k,
// though every change travels as bf16.
TEST_F(SiteVectorsTest, AdmmOnQuadraticsFindsThePooledOptimum) {
  const double c[] = {1, 2, 5}, m[] = {-3, 1, 2}, rho = 2;
  const double optimum = (1 * -3 + 2 * 1 + 5 * 2) / 8.0;
  double z = 0.25, x[3] = {};
  std::vector<float> start = {static_cast<float>(z)};
  std::optional<Digest> dual[3], counted[3];
  Digest sent[3];
  sent[0] = sent[1] = sent[2] = Write(own_, start);
  uint32_t random = 12345;
  for (int round = 0; round < 40; ++round) {
    const std::vector<float> base = {static_cast<float>(z)};
    const Digest base_digest = Write(site_, base);
    for (int k = 0; k < 3; ++k) {
      random = random * 1664525 + 1013904223;
      if (round > 0 && random >> 30 == 0) continue;  // absent, one time in four
      if (counted[k]) {
        dual[k] =
            *StepDual(Vectors(), {.dual = dual[k], .vector = counted[k], .base = base_digest});
      }
      const double anchor =
          dual[k] ? Read(site_, *WriteAnchor(Vectors(), base_digest, *dual[k]))[0] : base[0];
      x[k] = (c[k] * m[k] + rho * anchor) / (c[k] + rho);
      ContributionParts parts = Parts({static_cast<float>(x[k])}, base);
      parts.with_dual = true;
      parts.dual = dual[k];
      parts.sent = sent[k];
      auto encoded = EncodeContribution(Vectors(), parts);
      ASSERT_TRUE(encoded.ok()) << encoded.status();
      sent[k] = *encoded->sent;
      counted[k] = parts.vector;
      z += (Read(own_, encoded->blob, base)[0] - double{base[0]}) / 3;
    }
  }
  EXPECT_NEAR(z, optimum, 1e-3);
}

TEST_F(SiteVectorsTest, VectorsOfAnotherShapeOrDamagedAreNotUsed) {
  ContributionParts parts = Parts({1, 2, 3}, {1, 2});
  EXPECT_THAT(EncodeContribution(Vectors(), parts).status().ToString(),
              HasSubstr("has 3 elements"));
  parts = Parts(x_, z_);
  parts.residual = Write(own_, x_);
  std::fstream(own_.PathOf(*parts.residual), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(5000)
      .put('!');
  EXPECT_EQ(EncodeContribution(Vectors(), parts).status().code(), absl::StatusCode::kDataLoss);
  layout_.fill(8);
  EXPECT_THAT(EncodeContribution(Vectors(), Parts(x_, z_)).status().code(),
              absl::StatusCode::kOk);
  EXPECT_THAT(KeepVector({&site_, &own_, Digest{}}, parts.base).ToString(),
              HasSubstr("accepted layout"));
  EXPECT_TRUE(KeepVector(Vectors(), Write(site_, z_)).ok());
  EXPECT_TRUE(own_.Has(Write(site_, z_)));
}

}  // namespace
}  // namespace weft
