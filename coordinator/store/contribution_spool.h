// Contributions on their way in: chunks arrive in any order, each checked against its digest, into
// a file of the whole length, beside a bitmap of what is there.
//
//   SPOOL/<site>/head     SpoolHead
//   SPOOL/<site>/data     preallocated; chunk i at i MiB
//   SPOOL/<site>/bitmap   bit i%8 of byte i/8: chunk i is durable
//
// The bitmap is written after the chunks that it names were synced, every few chunks and when a
// stream ends: after a crash some chunks may be sent again, and none is missing. A site has one
// contribution at a time, of a length that the layout fixes: that is its quota. Thread-safe.
#ifndef WEFT_COORDINATOR_STORE_CONTRIBUTION_SPOOL_H_
#define WEFT_COORDINATOR_STORE_CONTRIBUTION_SPOOL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/store/spool.pb.h"
#include "proto/blob_directory.h"
#include "proto/digest.h"

namespace weft {

class SpooledContribution {
 public:
  ~SpooledContribution();
  SpooledContribution(const SpooledContribution&) = delete;
  SpooledContribution& operator=(const SpooledContribution&) = delete;

  // OutOfRange: a number or length that the contribution does not have. DataLoss: not the chunk
  // that the head names. A chunk that is there already is taken again without a word.
  absl::Status Add(uint32_t number, absl::string_view data);
  // Makes durable what has arrived.
  absl::Status Flush();
  bool complete() const;
  std::string bitmap() const;

  const SpoolHead& head() const { return head_; }
  std::string data_path() const { return folder_ + "/data"; }

  // Reads the data again and compares every chunk: DataLoss if the disk gave other bytes.
  absl::Status VerifyWhole() const;
  // Gives the data its name in `blobs` (on the same file system). Requires complete(); nothing is
  // added after it.
  absl::Status MoveTo(const BlobDirectory& blobs);

 private:
  friend class ContributionSpool;
  SpooledContribution(std::string folder, SpoolHead head, int fd, std::string bitmap);
  static absl::StatusOr<std::shared_ptr<SpooledContribution>> Open(const std::string& folder,
                                                                   SpoolHead head,
                                                                   std::string bitmap);
  absl::Status FlushLocked();
  absl::string_view ChunkDigest(uint64_t number) const;

  const std::string folder_;
  const SpoolHead head_;
  const int fd_;
  mutable std::mutex mutex_;
  std::string bitmap_;
  uint64_t missing_ = 0;
  uint64_t not_flushed_ = 0;
};

class ContributionSpool {
 public:
  // Takes up what an earlier process left.
  static absl::StatusOr<std::unique_ptr<ContributionSpool>> Open(std::string folder);

  // The spool of this contribution of `site`: as far as it has come, or new. Another one of the
  // site, unfinished, gives way: it is the newest that the site wants. Requires 32 bytes of chunk
  // digests a chunk.
  absl::StatusOr<std::shared_ptr<SpooledContribution>> Begin(const std::string& site,
                                                             const SpoolHead& head);
  // nullptr: nothing of this contribution is here.
  std::shared_ptr<SpooledContribution> Find(const std::string& site, absl::string_view blob_digest,
                                            uint64_t round) const;
  // Forgets `spooled` and removes its files, if it is still the site's.
  absl::Status Remove(const std::string& site, const std::shared_ptr<SpooledContribution>& spooled);

 private:
  explicit ContributionSpool(std::string folder) : folder_(std::move(folder)) {}

  const std::string folder_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<SpooledContribution>> by_site_;
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_STORE_CONTRIBUTION_SPOOL_H_
