#include "worker/training/order_bases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "model/parameters/fragment_range.h"
#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

class OrderBasesTest : public ::testing::Test {
 protected:
  std::string Write(absl::Span<const float> vector) {
    return ToHex(*site_.WriteVector(layout_.digest(), vector));
  }

  TestFolder folder_{"order_bases"};
  const SiteDirectory site_ = *SiteDirectory::Open(folder_ / "site");
  const ParameterLayout layout_ = *TransformerLayout(TinyModel());
};

TEST_F(OrderBasesTest, ReadsBaseAndAnchor) {
  RoundOrder order = TinyOrder(0, 4);
  order.set_base_digest(Write(TinyVector(1).span()));
  order.set_anchor_digest(Write(TinyVector(2).span()));
  const absl::StatusOr<Bases> bases = ReadBases(site_, order, layout_, {0});
  ASSERT_TRUE(bases.ok()) << bases.status();
  EXPECT_EQ(Values(bases->base.span()), Values(TinyVector(1).span()));
  EXPECT_EQ(Values(bases->anchor.span()), Values(TinyVector(2).span()));
}

TEST_F(OrderBasesTest, ReadsTheFragmentsThatAreWantedAndNamesTheOneThatIsMissing) {
  const ParameterVector z = TinyVector(1);
  RoundOrder order = TinyOrder(0, 4);
  order.mutable_consensus()->set_fragments(3);
  for (uint32_t g = 0; g < 3; ++g) {
    const FragmentRange range = RangeOfFragment(z.size(), 3, g);
    order.add_fragment_digests(
        g == 2 ? ToHex(Sha256("not there"))
               : ToHex(*site_.WriteFragment(layout_.digest(), {z.size(), 3, g},
                                            z.span().subspan(range.begin, range.size))));
  }
  const absl::StatusOr<Bases> bases = ReadBases(site_, order, layout_, {1});
  ASSERT_TRUE(bases.ok()) << bases.status();
  ASSERT_EQ(bases->fragments.size(), 3);
  EXPECT_EQ(bases->fragments[0].size(), 0);
  const FragmentRange range = RangeOfFragment(z.size(), 3, 1);
  EXPECT_EQ(Values(bases->fragments[1].span()), Values(z.span().subspan(range.begin, range.size)));

  const absl::Status missing = ReadBases(site_, order, layout_, {0, 1, 2}).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr("fragment 2"));
  std::swap(*order.mutable_fragment_digests(0), *order.mutable_fragment_digests(1));
  EXPECT_EQ(ReadBases(site_, order, layout_, {0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(OrderBasesTest, RefusesAVectorOfAnotherLength) {
  RoundOrder order = TinyOrder(0, 4);
  order.set_base_digest(Write(std::vector<float>(10, 1.0f)));
  EXPECT_THAT(std::string(ReadBases(site_, order, layout_, {0}).status().message()),
              HasSubstr("has 10 elements"));
  order.set_base_digest("not a digest");
  EXPECT_FALSE(ReadBases(site_, order, layout_, {0}).ok());
}

TEST(SameWorkTest, IsWhatTheVectorsAndTheStepsAreNotHowLongTheyMayTake) {
  const RoundOrder order = TinyOrder(1, 4);
  RoundOrder other = order;
  other.set_steps_enough(3);
  other.set_coordinator_epoch(9);
  EXPECT_TRUE(SameWork(order, other));
  const std::function<void(RoundOrder*)> changes[] = {
      [](RoundOrder* o) { o->set_run_id("another"); },
      [](RoundOrder* o) { o->set_round(2); },
      [](RoundOrder* o) { o->set_base_digest("another"); },
      [](RoundOrder* o) { o->set_anchor_digest("another"); },
      [](RoundOrder* o) { o->add_fragment_digests("another"); },
      [](RoundOrder* o) { o->set_fragment(1); },
      [](RoundOrder* o) { o->set_rho(1); },
      [](RoundOrder* o) { o->set_first_step(9); },
      [](RoundOrder* o) { o->set_first_sample_step(9); },
      [](RoundOrder* o) { o->set_inner_steps(9); },
  };
  for (const auto& change : changes) {
    other = order;
    change(&other);
    EXPECT_FALSE(SameWork(order, other)) << other.DebugString();
  }
}

}  // namespace
}  // namespace weft
