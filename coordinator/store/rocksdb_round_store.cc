#include "coordinator/store/rocksdb_round_store.h"

#include <algorithm>
#include <cstdarg>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/check.h"
#include "proto/durable_file.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/write_batch.h"

namespace weft {
namespace {

constexpr char kStateKey[] = "state";
constexpr char kAuditPrefix[] = "audit/";
constexpr char kRoundPrefix[] = "round/";
constexpr char kReportPrefix[] = "report/";

std::string Number(uint64_t number) { return absl::StrFormat("%020d", number); }
std::string AuditKey(uint64_t sequence) { return kAuditPrefix + Number(sequence); }
std::string ReceiptKey(absl::string_view site, uint64_t base_version, uint32_t fragment) {
  return absl::StrCat("receipt/", site, "/", Number(base_version), "/", fragment);
}

rocksdb::Slice Prefix(const char* prefix) { return rocksdb::Slice(prefix); }

absl::Status FromRocksDb(const rocksdb::Status& status, const std::string& folder) {
  if (status.ok()) return absl::OkStatus();
  const std::string words = status.ToString();
  if (status.IsNotFound()) return absl::NotFoundError(absl::StrCat(folder, ": ", words));
  if (absl::StrContains(words, "Read-only file system")) {
    return absl::UnavailableError(absl::StrCat(folder, ": ", words));
  }
  if (status.IsIOError() && absl::StrContains(words, "lock")) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder, ": another process holds this database; is a coordinator running on it? (", words,
        ")"));
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(
        absl::StrCat(folder, ": the database is damaged: ", words,
                     "; nothing was changed: put back a backup of the coordinator's directory"));
  }
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(absl::StrCat(folder, ": ", words));
  return absl::UnavailableError(absl::StrCat(folder, ": ", words));
}

// No log file of RocksDB's own. A reader's would take the place of the writer's; and Debian's
// build, whose assertions are on, aborts where a disk refuses the second line of it. What there is
// to say comes back as a status.
class NoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Options DatabaseOptions() {
  rocksdb::Options options;
  options.paranoid_checks = true;
  options.info_log = std::make_shared<NoLog>();
  options.max_background_jobs = 2;
  // A torn tail is the crash that we expect; anything else in the log is damage, and is said.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  return options;
}

// Parses every value below a prefix.
template <typename Message>
absl::StatusOr<std::vector<Message>> ReadAll(rocksdb::DB* db, const char* prefix,
                                             const std::string& folder) {
  std::vector<Message> messages;
  const std::unique_ptr<rocksdb::Iterator> at(db->NewIterator(rocksdb::ReadOptions()));
  for (at->Seek(prefix); at->Valid() && at->key().starts_with(Prefix(prefix)); at->Next()) {
    Message message;
    if (!message.ParseFromArray(at->value().data(), static_cast<int>(at->value().size()))) {
      return absl::DataLossError(
          absl::StrCat(folder, ": the value of ", at->key().ToString(), " cannot be read"));
    }
    messages.push_back(std::move(message));
  }
  if (absl::Status status = FromRocksDb(at->status(), folder); !status.ok()) return status;
  return messages;
}

}  // namespace

RocksDbRoundStore::RocksDbRoundStore(std::string folder, std::unique_ptr<rocksdb::DB> db)
    : folder_(std::move(folder)), db_(std::move(db)) {}

RocksDbRoundStore::~RocksDbRoundStore() = default;

absl::StatusOr<std::unique_ptr<RocksDbRoundStore>> RocksDbRoundStore::Open(
    const std::string& folder, Mode mode) {
  rocksdb::Options options = DatabaseOptions();
  options.create_if_missing = mode == Mode::kCreate;
  if (mode == Mode::kCreate) {
    if (absl::Status status = MakeDirectories(folder); !status.ok()) return status;
  } else if (!std::filesystem::exists(folder + "/CURRENT")) {
    return absl::NotFoundError(absl::StrCat(
        folder, ": no coordinator's state is here; make it with weft-coordinator init"));
  }
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened;
  // Beside a running writer a file may be replaced between two looks; the next look finds the new
  // one.
  for (int attempt = 0; attempt < (mode == Mode::kReadOnly ? 5 : 1); ++attempt) {
    opened = mode == Mode::kReadOnly ? rocksdb::DB::OpenForReadOnly(options, folder, &raw)
                                     : rocksdb::DB::Open(options, folder, &raw);
    if (opened.ok()) break;
  }
  if (!opened.ok()) return FromRocksDb(opened, folder);
  std::unique_ptr<RocksDbRoundStore> store(
      new RocksDbRoundStore(folder, std::unique_ptr<rocksdb::DB>(raw)));
  if (mode == Mode::kCreate && store->LoadState().ok()) {
    return absl::AlreadyExistsError(absl::StrCat(folder, ": holds the state of a run already"));
  }
  if (absl::Status status = store->FindAuditHead(); !status.ok()) return status;
  return store;
}

absl::Status RocksDbRoundStore::FindAuditHead() {
  absl::StatusOr<std::vector<AuditRecord>> newest = Audit(1);
  if (!newest.ok()) return newest.status();
  if (newest->empty()) return absl::OkStatus();
  std::string bytes;
  next_sequence_ = newest->front().sequence() + 1;
  const rocksdb::Status status =
      db_->Get(rocksdb::ReadOptions(), AuditKey(next_sequence_ - 1), &bytes);
  head_ = Sha256(bytes);
  return FromRocksDb(status, folder_);
}

absl::Status RocksDbRoundStore::Commit(const RoundState& state, absl::Span<const Effect> effects) {
  rocksdb::WriteBatch batch;
  batch.Put(kStateKey, state.SerializeAsString());
  uint64_t sequence = next_sequence_;
  Digest head = head_;
  for (const Effect& effect : effects) {
    if (const auto* record = std::get_if<Record>(&effect)) {
      AuditRecord entry;
      entry.set_sequence(sequence);
      entry.set_previous_sha256(ToBytes(head));
      entry.set_unix_ms(state.now_unix_ms());
      *entry.mutable_decision() = record->decision;
      const std::string bytes = entry.SerializeAsString();
      batch.Put(AuditKey(sequence++), bytes);
      head = Sha256(bytes);
    } else if (const auto* receipt = std::get_if<KeepReceipt>(&effect)) {
      const Receipt& r = receipt->receipt;
      batch.Put(ReceiptKey(r.site(), r.base_version(), r.fragment()), r.SerializeAsString());
    } else if (const auto* report = std::get_if<KeepReport>(&effect)) {
      batch.Put(absl::StrCat(kReportPrefix, Number(report->report.report().round()), "/",
                             report->report.site()),
                report->report.SerializeAsString());
    } else if (const auto* round = std::get_if<KeepRound>(&effect)) {
      batch.Put(kRoundPrefix + Number(round->record.round()), round->record.SerializeAsString());
    }
  }
  rocksdb::WriteOptions synced;
  synced.sync = true;
  if (rocksdb::Status status = db_->Write(synced, &batch); !status.ok()) {
    return FromRocksDb(status, folder_);
  }
  next_sequence_ = sequence;
  head_ = head;
  return absl::OkStatus();
}

absl::Status RocksDbRoundStore::VerifyFiles() const {
  return FromRocksDb(db_->VerifyChecksum(), folder_);
}

absl::StatusOr<RoundState> RocksDbRoundStore::LoadState() const {
  std::string bytes;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), kStateKey, &bytes);
  if (!status.ok()) return FromRocksDb(status, folder_);
  RoundState state;
  if (!state.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat(folder_, ": the state cannot be read"));
  }
  return state;
}

absl::StatusOr<std::optional<Receipt>> RocksDbRoundStore::FindReceipt(absl::string_view site,
                                                                      uint64_t base_version,
                                                                      uint32_t fragment) const {
  std::string bytes;
  const std::string key = ReceiptKey(site, base_version, fragment);
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), key, &bytes);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FromRocksDb(status, folder_);
  Receipt receipt;
  if (!receipt.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat(folder_, ": the value of ", key, " cannot be read"));
  }
  return receipt;
}

absl::StatusOr<std::vector<RoundRecord>> RocksDbRoundStore::Rounds() const {
  return ReadAll<RoundRecord>(db_.get(), kRoundPrefix, folder_);
}

absl::StatusOr<std::vector<SiteReport>> RocksDbRoundStore::Reports() const {
  return ReadAll<SiteReport>(db_.get(), kReportPrefix, folder_);
}

absl::StatusOr<std::vector<AuditRecord>> RocksDbRoundStore::Audit(uint64_t count_max) const {
  std::vector<AuditRecord> records;
  std::string newer_names;  // what the record after this one says of it
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(rocksdb::ReadOptions()));
  for (at->SeekForPrev("audit/~"); at->Valid() && at->key().starts_with(Prefix(kAuditPrefix));
       at->Prev()) {
    if (records.size() == count_max) break;
    const std::string bytes = at->value().ToString();
    AuditRecord record;
    if (!record.ParseFromString(bytes) ||
        (!records.empty() && newer_names != ToBytes(Sha256(bytes)))) {
      return absl::DataLossError(absl::StrCat(folder_, ": ", at->key().ToString(),
                                              " is not what the record after it names"));
    }
    newer_names = record.previous_sha256();
    records.push_back(std::move(record));
  }
  if (absl::Status status = FromRocksDb(at->status(), folder_); !status.ok()) return status;
  std::reverse(records.begin(), records.end());
  return records;
}

}  // namespace weft
