#include "worker/gate/ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "proto/crash_point.h"
#include "proto/durable_file.h"

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLineBytesMax = 1 << 16;

std::string Zeros() { return std::string(64, '0'); }

// The line without its last field: what `entry` is the hash of.
Json WithoutHash(const LedgerEntry& e) {
  return Json{{"version", 1},          {"sequence", e.sequence},
              {"time", e.time},        {"kind", e.sent ? "sent" : "recorded"},
              {"type", e.type},        {"run", e.run},
              {"round", e.round},      {"bytes", e.bytes},
              {"sha256", e.sha256},    {"note", e.note},
              {"previous", e.previous}};
}

// Anything that is not valid UTF-8 becomes a replacement character: a note is for people.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string HashOf(const LedgerEntry& e) { return ToHex(Sha256(Dump(WithoutHash(e)))); }

std::string PrintLine(const LedgerEntry& e) {
  Json json = WithoutHash(e);
  json["entry"] = e.entry;
  return Dump(json) + "\n";
}

bool ParseLine(const std::string& line, LedgerEntry* e) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto text = [&](const char* key, std::string* out) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) return false;
    *out = found->get<std::string>();
    return true;
  };
  const auto number = [&](const char* key, uint64_t* out) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_number_unsigned()) return false;
    *out = found->get<uint64_t>();
    return true;
  };
  std::string kind;
  const bool read = number("sequence", &e->sequence) && text("time", &e->time) &&
                    text("kind", &kind) && text("type", &e->type) && text("run", &e->run) &&
                    number("round", &e->round) && number("bytes", &e->bytes) &&
                    text("sha256", &e->sha256) && text("note", &e->note) &&
                    text("previous", &e->previous) && text("entry", &e->entry);
  e->sent = kind == "sent";
  return read;
}

absl::Status Broken(const std::string& path, uint64_t line, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(path, ":", line, ": ", what, ": this ledger was edited or damaged"));
}

absl::Status CheckLine(const std::string& path, const std::string& line, const LedgerTotals& so_far,
                       LedgerEntry* entry) {
  const uint64_t number = so_far.entries + 1;
  if (!ParseLine(line, entry)) return Broken(path, number, "not a ledger entry");
  if (entry->sequence != so_far.entries) {
    return Broken(path, number,
                  absl::StrCat("sequence ", entry->sequence, ", expected ", so_far.entries));
  }
  if (entry->previous != so_far.head)
    return Broken(path, number, "does not follow the line before");
  // The whole line, byte for byte: nothing may hide in a field that nobody reads.
  if (HashOf(*entry) != entry->entry || PrintLine(*entry) != line + "\n") {
    return Broken(path, number, "its hash does not match its content");
  }
  return absl::OkStatus();
}

void Count(const LedgerEntry& entry, LedgerTotals* totals) {
  ++totals->entries;
  totals->head = entry.entry;
  if (!entry.sent) return;
  LedgerTotals::OfType& of_type = totals->sent[entry.type];
  ++of_type.entries;
  of_type.bytes += entry.bytes;
  totals->sent_bytes += entry.bytes;
}

// Reads the lines after the first `*end` bytes, whose totals are given, and brings both forward.
absl::Status ReadOn(const std::string& path, const std::function<void(const LedgerEntry&)>& each,
                    uint64_t* end, LedgerTotals* totals) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": there is no ledger here"));
  file.seekg(static_cast<std::streamoff>(*end));
  std::string line;
  while (std::getline(file, line)) {
    if (file.eof()) {  // No newline: torn.
      totals->torn = true;
      break;
    }
    if (line.size() > kLineBytesMax) return Broken(path, totals->entries + 1, "line too long");
    LedgerEntry entry;
    if (absl::Status status = CheckLine(path, line, *totals, &entry); !status.ok()) return status;
    *end += line.size() + 1;
    Count(entry, totals);
    if (each) each(entry);
  }
  if (file.bad()) return absl::DataLossError(absl::StrCat(path, ": cannot be read to its end"));
  return absl::OkStatus();
}

// Of the whole file, among all programs that open it.
class FileLock {
 public:
  explicit FileLock(int fd) : fd_(fd) {
    while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FileLock() { flock(fd_, LOCK_UN); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

}  // namespace

absl::StatusOr<LedgerTotals> ReadLedger(const std::string& path,
                                        const std::function<void(const LedgerEntry&)>& each) {
  LedgerTotals totals;
  totals.head = Zeros();
  uint64_t end = 0;
  if (absl::Status status = ReadOn(path, each, &end, &totals); !status.ok()) return status;
  return totals;
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("cannot open the ledger", path);
  std::unique_ptr<Ledger> ledger(new Ledger(path, fd));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (absl::Status status = SyncDirectory(folder.empty() ? "." : folder); !status.ok())
    return status;
  ledger->so_far_.head = Zeros();
  const FileLock lock(fd);
  if (absl::Status status = ledger->CatchUp(); !status.ok()) return status;
  return ledger;
}

Ledger::~Ledger() { close(fd_); }

absl::Status Ledger::AppendSent(absl::string_view type, absl::string_view run, uint64_t round,
                                absl::string_view bytes, absl::string_view note) {
  LedgerEntry entry;
  entry.sent = true;
  entry.type = std::string(type);
  entry.run = std::string(run);
  entry.round = round;
  entry.bytes = bytes.size();
  entry.sha256 = ToHex(Sha256(bytes));
  entry.note = std::string(note);
  return Append(std::move(entry));
}

absl::Status Ledger::AppendRecord(absl::string_view type, absl::string_view run, uint64_t round,
                                  absl::string_view note) {
  LedgerEntry entry;
  entry.type = std::string(type);
  entry.run = std::string(run);
  entry.round = round;
  entry.note = std::string(note);
  return Append(std::move(entry));
}

absl::Status Ledger::Append(LedgerEntry entry) {
  if (broken_)
    return absl::DataLossError(
        absl::StrCat(path_, ": an earlier write failed: nothing more leaves this site"));
  const FileLock lock(fd_);
  if (absl::Status status = CatchUp(); !status.ok()) return status;
  return WriteEntry(std::move(entry));
}

absl::Status Ledger::CatchUp() {
  struct stat file;
  if (fstat(fd_, &file) != 0) return ErrnoStatus("cannot look at the ledger", path_);
  const uint64_t size = static_cast<uint64_t>(file.st_size);
  if (size == end_) return absl::OkStatus();
  if (size < end_) {
    return absl::DataLossError(
        absl::StrCat(path_, ": was cut from ", end_, " bytes to ", size,
                     " while it was written: nothing more leaves this site"));
  }
  if (absl::Status status = ReadOn(path_, {}, &end_, &so_far_); !status.ok()) return status;
  if (!so_far_.torn) return absl::OkStatus();
  // Whoever wrote it held the lock, and is dead: its bytes never left.
  if (ftruncate(fd_, static_cast<off_t>(end_)) != 0 || fsync(fd_) != 0)
    return ErrnoStatus("cannot cut the torn line", path_);
  so_far_.torn = false;
  LedgerEntry removal;
  removal.type = "torn-line-removed";
  removal.note = absl::StrCat(
      size - end_, " bytes of a line that a crash cut off; what it announced did not leave");
  return WriteEntry(std::move(removal));
}

absl::Status Ledger::WriteEntry(LedgerEntry entry) {
  entry.sequence = so_far_.entries;
  entry.time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  entry.previous = so_far_.head;
  // What is hashed must be what a reader gets back: make the texts valid UTF-8 first.
  LedgerEntry clean;
  if (!ParseLine(PrintLine(entry), &clean))
    return absl::InternalError("a ledger entry cannot be read back");
  clean.entry = HashOf(clean);
  const std::string line = PrintLine(clean);
  if (line.size() > kLineBytesMax)
    return absl::InvalidArgumentError("a ledger entry would be too long");
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t n = write(fd_, line.data() + written, line.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      broken_ = true;
      return ErrnoStatus("cannot write the ledger; nothing leaves without it", path_);
    }
    written += static_cast<size_t>(n);
  }
  if (fdatasync(fd_) != 0) {
    broken_ = true;
    return ErrnoStatus("cannot sync the ledger; nothing leaves without it", path_);
  }
  CrashPoint("after a line of the ledger");
  end_ += line.size();
  Count(clean, &so_far_);
  return absl::OkStatus();
}

}  // namespace weft
