// The round store on RocksDB, on a local disk.
//
//   state                                  RoundState
//   audit/<sequence>                       AuditRecord; each names the SHA-256 of the stored bytes
//   of the one before receipt/<site>/<base version>/<fragment>, round/<round>,
//   report/<round>/<site>
//
// Numbers in keys have 20 digits, so that keys sort as numbers do.
#ifndef WEFT_COORDINATOR_STORE_ROCKSDB_ROUND_STORE_H_
#define WEFT_COORDINATOR_STORE_ROCKSDB_ROUND_STORE_H_

#include <memory>
#include <string>

#include "coordinator/store/round_store.h"
#include "proto/digest.h"

namespace rocksdb {
class DB;
class WriteBatch;
}  // namespace rocksdb

namespace weft {

class RocksDbRoundStore : public RoundStore {
 public:
  enum class Mode {
    kCreate,    // makes the database; AlreadyExists if it holds a state
    kServe,     // the one writer: FailedPrecondition while another process holds it
    kReadOnly,  // beside a writer; sees what was committed before it was opened
  };
  // DataLoss on a damaged database, with RocksDB's words and what to do.
  static absl::StatusOr<std::unique_ptr<RocksDbRoundStore>> Open(const std::string& folder,
                                                                 Mode mode);
  ~RocksDbRoundStore() override;

  absl::Status Commit(const RoundState& state, absl::Span<const Effect> effects) override;
  absl::StatusOr<RoundState> LoadState() const override;
  absl::StatusOr<std::optional<Receipt>> FindReceipt(absl::string_view site, uint64_t base_version,
                                                     uint32_t fragment) const override;
  absl::StatusOr<std::vector<RoundRecord>> Rounds() const override;
  absl::StatusOr<std::vector<SiteReport>> Reports() const override;
  absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t count_max) const override;
  // Reads all of the database against its checksums. DataLoss names the file.
  absl::Status VerifyFiles() const;

 private:
  RocksDbRoundStore(std::string folder, std::unique_ptr<rocksdb::DB> db);
  absl::Status FindAuditHead();

  std::string folder_;
  std::unique_ptr<rocksdb::DB> db_;
  uint64_t next_sequence_ = 0;
  Digest head_{};  // SHA-256 of the newest audit record's bytes; zeros before the first
};

}  // namespace weft

#endif  // WEFT_COORDINATOR_STORE_ROCKSDB_ROUND_STORE_H_
