#include "worker/training/compute_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include "tests/worker/training/tiny_site.h"

namespace weft {
namespace {

using Wait = std::function<absl::Status(const std::string&)>;

const Wait kGiveUp = [](const std::string& reason) { return absl::CancelledError(reason); };

TEST(ComputeSlotsTest, AsManyAsThereAreAndNoMore) {
  TestFolder folder("slots");
  const ComputeSlots slots(folder / "s", 2);
  absl::StatusOr<ComputeSlot> first = slots.Acquire(kGiveUp);
  std::optional<ComputeSlot> second = *slots.Acquire(kGiveUp);
  ASSERT_TRUE(first.ok());
  const absl::Status full = slots.Acquire(kGiveUp).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(std::string(full.message()), ::testing::HasSubstr("waiting for one of 2"));
  second.reset();
  EXPECT_TRUE(slots.Acquire(kGiveUp).ok());
}

TEST(ComputeSlotsTest, TakesASlotThatComesFreeWhileItWaits) {
  TestFolder folder("slots_free");
  const ComputeSlots slots(folder / "s", 1);
  std::optional<ComputeSlot> held = *slots.Acquire(kGiveUp);
  int waited = 0;
  EXPECT_TRUE(slots
                  .Acquire([&](const std::string&) {
                    if (++waited == 3) held.reset();
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(waited, 3);
}

TEST(ComputeSlotsTest, AKilledHolderFreesItsSlot) {
  TestFolder folder("slots_killed");
  const ComputeSlots slots(folder / "s", 1);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<ComputeSlot> slot = slots.Acquire(kGiveUp);
    if (write(ready[1], "x", 1) == 1) pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(slots.Acquire(kGiveUp).ok());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(slots.Acquire(kGiveUp).ok());
  close(ready[0]);
  close(ready[1]);
}

TEST(ComputeSlotsTest, WithoutAFolderEveryoneMayTrain) {
  EXPECT_TRUE(ComputeSlots("", 0).Acquire(kGiveUp).ok());
}

}  // namespace
}  // namespace weft
