// A disk that is full, and one that is not to be written: the coordinator stops with what to do,
// and with room it goes on to the right consensus. The disk is a small tmpfs in a mount namespace
// of this test's own, which needs root or user namespaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "proto/blob_directory.h"
#include "proto/durable_file.h"
#include "tests/testing/test_site.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::weft::testing::RunFixture;
using ::weft::testing::TestSite;
using ::weft::testing::Values;

// Before there is any thread: a user namespace is for a process with one.
bool EnterMountNamespace() {
  const uid_t user = getuid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  }
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}
const bool own_mounts = EnterMountNamespace();

class DiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!own_mounts) GTEST_SKIP() << "no mount namespace here: " << std::strerror(errno);
    fs::create_directories(run_.directory());
    ASSERT_EQ(mount("none", run_.directory().c_str(), "tmpfs", 0, "size=64m"), 0)
        << std::strerror(errno);
  }
  ~DiskTest() override {
    if (own_mounts) umount2(run_.directory().c_str(), MNT_DETACH);
  }
  // Fills the disk up to so many bytes.
  void LeaveFree(uint64_t bytes) {
    const std::string path = run_.directory() + "/filler";
    fs::remove(path);
    const uint64_t free = fs::space(run_.directory()).available;
    ASSERT_GT(free, bytes);
    std::ofstream filler(path, std::ios::binary);
    const std::string block(4096, 'f');
    for (uint64_t written = 0; written + bytes < free; written += block.size()) filler << block;
  }
  void MakeRoom() { fs::remove(run_.directory() + "/filler"); }
  std::vector<float> Result(uint64_t version) {
    TestSite alba(run_, "alba");
    alba.Join();
    const RoundEvent event =
        alba.WaitFor([&](const RoundEvent& e) { return e.context().base_version() == version; });
    return Values(alba.Pull(event.base_digest(), event.base_bytes()));
  }

  RunFixture run_{{"alba"}, [](RunManifest* m) {
                    m->mutable_model()->set_vocabulary_size(12800);  // 1.6 MiB of parameters
                  }};
  std::string output_;
};

TEST_F(DiskTest, FullInTheOuterStepItStopsAndGoesOnToTheSameConsensus) {
  run_.Init();
  run_.Serve();
  TestSite alba(run_, "alba");
  const RoundEvent open = alba.Join().now();
  std::vector<float> x = run_.initial();
  for (float& value : x) value += 0.001f;
  const auto prepared = alba.Prepare(open, x);
  LeaveFree(prepared.blob.size() + prepared.blob.size() / 2);  // it fits, the next consensus not
  ASSERT_TRUE(alba.Push(prepared).stored()) << run_.Log();
  EXPECT_EQ(run_.End(0), 1);  // by itself
  EXPECT_THAT(run_.Log(), HasSubstr("No space left on device"));
  EXPECT_THAT(run_.Log(), HasSubstr("To do: make room"));
  EXPECT_EQ(run_.RunProgram({"check", "--directory", run_.directory()}, &output_), 0) << output_;
  MakeRoom();
  run_.Serve();
  EXPECT_EQ(Result(1), x);
  EXPECT_EQ(run_.End(SIGTERM), 0);
  EXPECT_EQ(run_.RunProgram({"check", "--directory", run_.directory()}, &output_), 0) << output_;
}

TEST_F(DiskTest, FullBeforeAPushTheSiteIsToldToTryAgain) {
  run_.Init();
  run_.Serve();
  TestSite alba(run_, "alba");
  const RoundEvent open = alba.Join().now();
  const auto prepared = alba.Prepare(open, run_.initial());
  LeaveFree(prepared.blob.size() / 2);
  grpc::ClientContext context;
  PushReply reply;
  const auto stream = alba.stub().Push(&context, &reply);
  PushMessage message;
  *message.mutable_head() = prepared.head;
  *message.mutable_head()->mutable_context() = alba.context();
  stream->Write(message);
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  EXPECT_FALSE(status.ok()) << reply.ShortDebugString();
  EXPECT_FALSE(reply.has_refusal());  // which would be final
  MakeRoom();
  EXPECT_TRUE(alba.Push(prepared).stored()) << run_.Log();
  EXPECT_EQ(Result(1), run_.initial());
}

TEST_F(DiskTest, AReadOnlyDiskIsSaidAndCanBeChecked) {
  run_.Init();
  run_.Serve();
  EXPECT_EQ(run_.End(SIGTERM), 0);
  const auto remount = [&](unsigned long flags) {
    return mount("none", run_.directory().c_str(), nullptr, MS_REMOUNT | flags, nullptr);
  };
  ASSERT_EQ(remount(MS_RDONLY), 0) << std::strerror(errno);
  const std::vector<std::string> serve = {"serve", "--directory", run_.directory(), "--listen",
                                          "127.0.0.1:0"};
  EXPECT_EQ(run_.RunProgram(serve, &output_), 1);
  EXPECT_THAT(output_, HasSubstr("Read-only file system"));
  EXPECT_THAT(output_, HasSubstr("mount it writable"));
  EXPECT_EQ(run_.RunProgram({"repair", "--directory", run_.directory()}, &output_), 1);
  EXPECT_THAT(output_, HasSubstr("Read-only file system"));
  EXPECT_EQ(run_.RunProgram({"check", "--directory", run_.directory()}, &output_), 0) << output_;
  EXPECT_EQ(run_.RunProgram({"status", "--directory", run_.directory()}, &output_), 0) << output_;
  ASSERT_EQ(remount(0), 0);
  run_.Serve();
  EXPECT_EQ(run_.End(SIGTERM), 0);
}

}  // namespace
}  // namespace weft
