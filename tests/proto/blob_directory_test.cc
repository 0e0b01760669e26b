#include "proto/blob_directory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/testing/temporary_folder.h"

namespace weft {
namespace {

TEST(BlobDirectory, NamesABlobByItsDigestAndFindsDamage) {
  testing::TemporaryFolder folder;
  const BlobDirectory blobs = *BlobDirectory::Open(folder / "blobs");
  const Digest digest = *blobs.Put("the vector");
  EXPECT_EQ(digest, BlobDigest("the vector"));
  EXPECT_TRUE(blobs.Has(digest));
  EXPECT_TRUE(blobs.Verify(digest).ok());
  EXPECT_EQ(blobs.List(), std::vector<Digest>{digest});

  std::ofstream(blobs.PathOf(digest), std::ios::binary) << "the Vector";
  const absl::Status damaged = blobs.Verify(digest);
  EXPECT_EQ(damaged.code(), absl::StatusCode::kDataLoss) << damaged;

  EXPECT_TRUE(blobs.Remove(digest).ok());
  EXPECT_FALSE(blobs.Has(digest));
  EXPECT_TRUE(blobs.Remove(digest).ok()) << "removing twice is no error";
  EXPECT_TRUE(absl::IsNotFound(blobs.Verify(digest)));
}

TEST(BlobDirectory, LeavesNothingBehindWithoutCommit) {
  testing::TemporaryFolder folder;
  const BlobDirectory blobs = *BlobDirectory::Open(folder / "blobs");
  { ASSERT_TRUE((*blobs.NewBlob())->Append("half a vec").ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(blobs.folder()));
}

TEST(BlobDirectory, RemovesWhatAWriterThatDiedHasLeftAndNothingElse) {
  testing::TemporaryFolder folder;
  const BlobDirectory blobs = *BlobDirectory::Open(folder / "blobs");
  auto writer = *blobs.NewBlob();
  ASSERT_TRUE(writer->Append("half of it is").ok());
  if (const pid_t child = fork(); child == 0) {
    auto dies = blobs.NewBlob();
    _exit((*dies)->Append("never finished").ok() ? 0 : 1);
  } else {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(blobs.folder()), {});
  };
  EXPECT_EQ(count(), 2);
  ASSERT_TRUE(BlobDirectory::Open(blobs.folder()).ok());
  EXPECT_EQ(count(), 1);
  ASSERT_TRUE(writer->Append(" there").ok());
  EXPECT_EQ(*writer->Commit(), BlobDigest("half of it is there"));
}

TEST(DurableFile, IsThereWholeOrNotAtAll) {
  testing::TemporaryFolder folder;
  const std::string path = folder / "file";
  ASSERT_TRUE(WriteFileDurably(path, "first").ok());
  {
    auto file = DurableFile::Create(path);
    ASSERT_TRUE((*file)->Append("sec").ok());
  }
  EXPECT_EQ(*ReadWholeFile(path), "first");
  ASSERT_TRUE(WriteFileDurably(path, "second").ok());
  EXPECT_EQ(*ReadWholeFile(path), "second");
  EXPECT_TRUE(absl::IsResourceExhausted(ReadWholeFile(path, 3).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadWholeFile(folder / "none").status()));
  EXPECT_FALSE(ReadWholeFile(folder.path()).ok());
  const absl::Status nowhere = WriteFileDurably(folder / "no/such/folder", "x");
  EXPECT_NE(nowhere.message().find("no/such/folder"), absl::string_view::npos) << nowhere;
}

}  // namespace
}  // namespace weft
