#include "model/parameters/fragments.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "model/parameters/fragment_range.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

std::vector<float> Counting(uint64_t size) {
  std::vector<float> vector(size);
  for (uint64_t i = 0; i < size; ++i) vector[i] = static_cast<float>(i) * 0.5f;
  return vector;
}

TEST(FragmentRange, RangesFollowEachOtherAndCutNoBlock) {
  for (const uint64_t elements : {256ull, 300ull, 1000ull, 2560ull, 1048577ull}) {
    for (uint32_t count = 1; count <= std::min<uint64_t>(FragmentsMax(elements), 9); ++count) {
      uint64_t next = 0;
      for (uint32_t f = 0; f < count; ++f) {
        const FragmentRange range = RangeOfFragment(elements, count, f);
        EXPECT_EQ(range.begin, next);
        EXPECT_EQ(range.begin % kFragmentGrain, 0u);
        EXPECT_GT(range.size, 0u) << elements << " in " << count;
        EXPECT_LE(range.size, elements / count + 2 * kFragmentGrain);
        next = range.begin + range.size;
      }
      EXPECT_EQ(next, elements);
    }
  }
}

class FragmentsTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  BlobDirectory blobs_ = *BlobDirectory::Open(folder_ / "blobs");
  Digest layout_ = Sha256("layout");
  std::vector<float> vector_ = Counting(2000);
};

TEST_F(FragmentsTest, AssembledTheyAreTheWholeVectorsBytes) {
  const Digest whole =
      *WriteVector(blobs_, {.element_count = vector_.size(), .layout = layout_}, vector_, {});
  for (const uint32_t count : {1u, 3u, 8u}) {
    const std::vector<Digest> digests = *WriteFragments(blobs_, layout_, vector_, count);
    EXPECT_EQ(digests.size(), count);
    EXPECT_EQ(*AssembleFragments(blobs_, digests, blobs_), whole);
  }
}

TEST_F(FragmentsTest, WhatIsNotInItsPlaceIsRefused) {
  std::vector<Digest> digests = *WriteFragments(blobs_, layout_, vector_, 3);
  std::swap(digests[0], digests[2]);
  EXPECT_TRUE(absl::IsDataLoss(AssembleFragments(blobs_, digests, blobs_).status()));
  std::swap(digests[0], digests[2]);
  const std::vector<Digest> two(digests.begin(), digests.begin() + 2);
  EXPECT_TRUE(absl::IsDataLoss(AssembleFragments(blobs_, two, blobs_).status()));
  std::filesystem::remove(blobs_.PathOf(digests[1]));
  EXPECT_TRUE(absl::IsNotFound(AssembleFragments(blobs_, digests, blobs_).status()));
}

}  // namespace
}  // namespace weft
