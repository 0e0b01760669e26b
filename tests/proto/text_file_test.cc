#include "proto/text_file.h"

#include "gtest/gtest.h"
#include "proto/run_manifest.pb.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

TEST(TextFile, SaysWhereAnUnknownFieldStands) {
  RunManifest manifest;
  const absl::Status status = ParseTextProto("run_id: \"demo\"\nrounds {\n  round_cuont: 3\n}\n",
                                             "run.textproto", &manifest);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("run.textproto:3:"), 0u) << status;
  EXPECT_NE(status.message().find("round_cuont"), absl::string_view::npos) << status;
}

TEST(TextFile, RoundTrips) {
  testing::TemporaryFolder folder;
  RunManifest manifest;
  manifest.set_run_id("demo");
  manifest.set_description("Drei Städte \"im Norden\"");
  manifest.mutable_consensus()->set_pull(0.1);
  ASSERT_TRUE(WriteTextProto(folder / "run.textproto", manifest).ok());
  RunManifest read;
  ASSERT_TRUE(ReadTextProto(folder / "run.textproto", &read).ok());
  EXPECT_EQ(read.SerializeAsString(), manifest.SerializeAsString());
  EXPECT_FALSE(ReadTextProto(folder / "none", &read).ok());
}

TEST(TextFile, RefusesDeepNesting) {
  Membership membership;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "sites {";
  EXPECT_FALSE(ParseTextProto(text, "deep", &membership).ok());
}

}  // namespace
}  // namespace weft
