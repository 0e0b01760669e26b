// Cohorts that tests combine: ordinary, with ties, with zeros of both signs, equal, and with
// hostile sites that send whatever hurts.
#ifndef WEFT_TESTS_COORDINATOR_CORE_AGGREGATION_CASES_H_
#define WEFT_TESTS_COORDINATOR_CORE_AGGREGATION_CASES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "coordinator/core/aggregator.h"
#include "coordinator/core/influence.h"
#include "proto/check.h"

namespace weft::testing {

using Vectors = std::vector<std::vector<float>>;

struct Case {
  std::vector<float> z;
  Vectors x;  // the hostile sites come first
  Cohort cohort;
};

inline ConsensusScheme Scheme(const std::string& combine, uint32_t faulty_max = 0,
                              double clip_factor = 0) {
  ConsensusScheme scheme;
  scheme.set_combine(combine);
  scheme.set_faulty_max(faulty_max);
  scheme.set_clip_factor(clip_factor);
  return scheme;
}

// The kind of numbers follows from the seed. Most honest sites move by up to 0.1 from z.
inline Case DrawCase(uint32_t seed, size_t sites, size_t hostile, size_t elements = 37) {
  std::mt19937 random(seed);
  const auto draw = [&random] { return static_cast<float>(random()) / 2147483648.0f - 1.0f; };
  Case c;
  for (size_t i = 0; i < elements; ++i) c.z.push_back(draw());
  const uint32_t kind = seed % 4;
  std::vector<double> raw;
  for (size_t k = 0; k < sites; ++k) {
    c.x.push_back(c.z);
    raw.push_back(1.5 + draw());
    for (float& value : c.x[k]) {
      if (kind == 1) {
        value = static_cast<float>(random() % 3) / 16 - 0.0625f;  // ties
      } else if (kind == 2 && random() % 2 == 0) {
        value = random() % 2 == 0 ? 0.0f : -0.0f;
      } else {
        value += 0.1f * draw();
      }
    }
  }
  const float size = kind == 3 ? 1e30f : 50.0f;
  for (size_t k = 0; k < hostile; ++k) {
    for (float& value : c.x[k]) value = size * (seed % 2 == 0 ? draw() : 1.0f);
  }
  c.cohort.weights = *NormalizedWeights(raw);
  c.cohort.scales.assign(sites, 1.0);
  return c;
}

inline std::vector<absl::Span<const float>> BlockOf(const Case& c, size_t begin, size_t count) {
  std::vector<absl::Span<const float>> blocks;
  for (const std::vector<float>& x : c.x) {
    blocks.push_back(absl::MakeConstSpan(x).subspan(begin, count));
  }
  return blocks;
}

// As the outer step does it, in blocks of `block` elements; 0: all at once.
inline std::vector<double> Combine(const ConsensusScheme& scheme, const Case& c, size_t block = 0) {
  if (block == 0) block = c.z.size();
  std::vector<double> combined(c.z.size(), 99);
  const auto for_each_block = [&](const auto& use) {
    for (size_t begin = 0; begin < c.z.size(); begin += block) {
      const size_t count = std::min(block, c.z.size() - begin);
      use(absl::MakeConstSpan(c.z).subspan(begin, count), BlockOf(c, begin, count),
          absl::MakeSpan(combined).subspan(begin, count));
    }
  };
  std::optional<ChangeProducts> products;
  if ((*FindRule(scheme.combine()))->needs_products) {
    products.emplace(c.cohort.scales);
    for_each_block([&](auto z, const auto& x, auto) { products->Add(z, x); });
  }
  const auto aggregator = MakeAggregator(scheme, c.cohort, products ? &*products : nullptr);
  WEFT_CHECK(aggregator.ok());
  for_each_block([&](auto z, const auto& x, auto out) { (*aggregator)->Combine(z, x, out); });
  return combined;
}

inline double Norm(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

inline void ExpectSameBits(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(double)), 0)
        << "element " << i << ": " << got[i] << " instead of " << want[i];
  }
}

}  // namespace weft::testing

#endif  // WEFT_TESTS_COORDINATOR_CORE_AGGREGATION_CASES_H_
