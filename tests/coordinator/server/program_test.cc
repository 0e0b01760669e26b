// weft-coordinator as an operator types it: what init refuses, and how the program ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <future>

#include "coordinator/server/work_thread.h"
#include "model/formats/huggingface.h"
#include "tests/testing/run_fixture.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::weft::testing::RunFixture;

class ProgramTest : public ::testing::Test {
 protected:
  // Init with one input replaced; what it printed.
  std::string Init(const std::string& flag = "", const std::string& value = "") {
    std::vector<std::string> arguments = {"init",
                                          "--directory",
                                          run_.directory(),
                                          "--kit",
                                          run_.kit("coordinator"),
                                          "--manifest",
                                          run_.path("run.signed.json"),
                                          "--membership",
                                          run_.path("membership.signed.json"),
                                          "--initial",
                                          run_.path("initial")};
    for (size_t i = 0; i + 1 < arguments.size(); ++i) {
      if (arguments[i] == flag) arguments[i + 1] = value;
    }
    code_ = run_.RunProgram(arguments, &output_);
    return output_;
  }
  int Run(const std::vector<std::string>& arguments) {
    return run_.RunProgram(arguments, &output_);
  }

  RunFixture run_{{"alba"}, [](RunManifest*) {}};
  int code_ = 0;
  std::string output_;
};

TEST_F(ProgramTest, InitRefusesWhatDoesNotBelongTogetherAndLeavesNothingToServe) {
  EXPECT_THAT(Init("--kit", run_.kit("alba")), HasSubstr("the identity of \"alba\""));
  EXPECT_EQ(code_, 1);
  EXPECT_THAT(Init("--manifest", run_.path("membership.signed.json")), HasSubstr("run-manifest"));
  EXPECT_EQ(code_, 1);

  std::vector<float> other = run_.initial();
  other[7] += 1;
  ASSERT_TRUE(WriteHuggingFaceFolder(run_.path("other"), run_.manifest().model(), other,
                                     run_.path("tokenizer"))
                  .ok());
  EXPECT_THAT(Init("--initial", run_.path("other")), HasSubstr("the manifest says"));
  EXPECT_EQ(code_, 1);
  EXPECT_EQ(Run({"serve", "--directory", run_.directory(), "--listen", "127.0.0.1:0"}), 1)
      << output_;

  std::ofstream(run_.path("initial") + "/tokenizer.model") << "another tokenizer";
  EXPECT_THAT(Init(), HasSubstr("tokenizer.model: SHA-256 is"));
  EXPECT_EQ(code_, 1);
}

TEST_F(ProgramTest, ARunIsMadeOnceAndServedByOneProcess) {
  Init();
  EXPECT_EQ(code_, 0) << output_;
  EXPECT_THAT(Init(), HasSubstr("holds the state of a run already"));
  EXPECT_EQ(code_, 1);
  run_.Serve();
  EXPECT_EQ(Run({"serve", "--directory", run_.directory(), "--listen", "127.0.0.1:0"}), 1);
  EXPECT_THAT(output_, HasSubstr("another process holds this database"));
  EXPECT_EQ(Run({"status", "--directory", run_.directory()}), 0);
  EXPECT_THAT(output_, HasSubstr("run test-run: FORMING, round 0 of 3"));
  EXPECT_THAT(output_, HasSubstr("round 0 waits for 1 sites"));
  EXPECT_EQ(run_.End(SIGTERM), 0);
}

TEST_F(ProgramTest, SaysWhatIsWrongWithItsUse) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"serve"}), 2);
  EXPECT_EQ(
      Run({"serve", "--directory", "x", "--listen", "127.0.0.1:0", "--heartbeat-seconds", "0"}), 2);
  EXPECT_EQ(Run({"status", "--directory", run_.path("nothing")}), 1);
  EXPECT_THAT(output_, HasSubstr("no run is here"));
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(output_, HasSubstr("weft-coordinator serve --directory run"));
}

TEST(WorkThreadTest, RunsWhatWasPostedInOrderAndTicksFirst) {
  std::vector<std::string> seen;
  {
    WorkThread thread(absl::Seconds(60), [&] { seen.push_back("tick"); });
    std::promise<void> two_is_posted;
    thread.Post([&] {
      seen.push_back("one");
      two_is_posted.get_future().wait();
      thread.Post([&] { seen.push_back("three"); });
    });
    thread.Post([&] { seen.push_back("two"); });
    two_is_posted.set_value();
    thread.Stop();
    thread.Post([&] { seen.push_back("never"); });
  }
  EXPECT_THAT(seen, ::testing::AnyOf(ElementsAre("tick", "one", "two", "three"),
                                     ElementsAre("one", "two", "three")));
}

}  // namespace
}  // namespace weft
