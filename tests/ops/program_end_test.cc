#include "ops/program_end.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/durable_file.h"

namespace weft {
namespace {

using ::testing::HasSubstr;

std::string AdviceOn(int error) {
  errno = error;
  return DiskAdvice(ErrnoStatus("cannot write", "/run/state").message(),
                    {.room = " (somewhere)", .check = "look at it, "});
}

TEST(ProgramEndTest, SaysWhatToDoAboutADisk) {
  EXPECT_THAT(AdviceOn(ENOSPC), HasSubstr("To do: make room (somewhere), then give the same"));
  EXPECT_THAT(AdviceOn(EDQUOT), HasSubstr("make room"));
  EXPECT_THAT(AdviceOn(EROFS), HasSubstr("mount it writable, look at it, then give the same"));
  EXPECT_THAT(AdviceOn(EIO), HasSubstr("look at it, then give the same command again."));
  EXPECT_EQ(AdviceOn(ENOENT), "");
}

TEST(ProgramEndTest, EndsWithWhatWentWrong) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(EndProgram("weft-test", absl::OkStatus()), 0);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(EndProgram("weft-test", absl::NotFoundError("/run: is not there")), 1);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "weft-test: /run: is not there\n");
}

}  // namespace
}  // namespace weft
