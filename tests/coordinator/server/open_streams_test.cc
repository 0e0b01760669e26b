#include "coordinator/server/open_streams.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weft {
namespace {

class Stream : public OpenStream {
 public:
  void OnTick(absl::Time now) override {}
};

class OpenStreamsTest : public ::testing::Test {
 protected:
  bool Open(Stream* stream, const std::string& session) {
    return streams_.AddWatch(stream, "alba", session, [&] { told_.push_back("open " + session); });
  }
  void Close(Stream* stream, const std::string& session) {
    streams_.RemoveWatch(stream, [&] { told_.push_back("lost " + session); });
  }

  OpenStreams streams_;
  Stream first_, second_, third_;
  std::vector<std::string> told_;
};

TEST_F(OpenStreamsTest, AnOldWatchThatEndsAfterANewOneOpenedIsNotALoss) {
  ASSERT_TRUE(Open(&first_, "s"));
  ASSERT_TRUE(Open(&second_, "s"));
  Close(&first_, "s");
  EXPECT_EQ(told_, (std::vector<std::string>{"open s", "open s"}));
  Close(&second_, "s");
  EXPECT_EQ(told_.back(), "lost s");
}

TEST_F(OpenStreamsTest, AWatchOfAnotherSessionAndOtherStreamsDoNotHoldOne) {
  ASSERT_TRUE(Open(&first_, "old"));
  ASSERT_TRUE(Open(&second_, "new"));
  ASSERT_TRUE(streams_.Add(&third_, "alba"));
  Close(&first_, "old");
  EXPECT_EQ(told_.back(), "lost old");
}

TEST_F(OpenStreamsTest, ASiteHasABoundedNumberAndARefusedOneTellsNothing) {
  std::vector<Stream> many(kStreamsPerSiteMax);
  for (Stream& stream : many) ASSERT_TRUE(streams_.Add(&stream, "alba"));
  EXPECT_FALSE(Open(&first_, "s"));
  EXPECT_TRUE(streams_.Add(&second_, "brena"));
  Close(&first_, "s");
  EXPECT_TRUE(told_.empty());
  streams_.Remove(&many[0]);
  EXPECT_TRUE(Open(&first_, "s"));
}

}  // namespace
}  // namespace weft
