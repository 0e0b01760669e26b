// The site's append-only record of everything that left it, and of what happened beside it: one
// JSON object a line, each chained to the one before by a hash, each on disk before the bytes it
// speaks of leave.
//
//   {"version":1,"sequence":7,"time":"2026-03-01T09:15:00.123Z","kind":"sent",
//    "type":"push-chunk","run":"demo","round":3,"bytes":1048702,"sha256":"<hex>",
//    "note":"chunk 4 of 9","previous":"<hex>","entry":"<hex>"}
//
//   kind      "sent": these bytes left, or were about to when a crash came between
//             "recorded": something happened here
//   bytes     of the serialized message; sha256 is over the same bytes
//   previous  "entry" of the line before; zeros in the first
//   entry     SHA-256 of the line without its last field: {..., "previous": "..."}
//
// An edit breaks a hash; a removed line breaks the chain. Lines cut off the end leave a shorter,
// intact chain: who notes down the last "entry" now and then (`weft-gate ledger show`) finds that
// too (`ledger verify --head`). A last line without its newline was torn by a crash: its bytes
// never left. It is removed and its removal recorded.
//
//   auto ledger = Ledger::Open(path);
//   absl::Status status = (*ledger)->AppendSent("join", "demo", 0, bytes, "");
//
// Several programs of a site may append (a gate that runs, and the doctor beside it): a lock of the
// file is held for each entry, and what the others have written meanwhile is read and checked
// first. One thread each.
#ifndef WEFT_WORKER_GATE_LEDGER_H_
#define WEFT_WORKER_GATE_LEDGER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/digest.h"

namespace weft {

struct LedgerEntry {
  uint64_t sequence = 0;
  std::string time;
  bool sent = false;
  std::string type;
  std::string run;
  uint64_t round = 0;
  uint64_t bytes = 0;
  std::string sha256;
  std::string note;
  std::string previous;
  std::string entry;
};

// What a ledger says in sum.
struct LedgerTotals {
  struct OfType {
    uint64_t entries = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, OfType> sent;  // by type
  uint64_t sent_bytes = 0;
  uint64_t entries = 0;
  std::string head;  // "entry" of the last line; zeros: the ledger is empty
  bool torn =
      false;  // the last line is not complete: a gate is writing, or was killed while it did
};

// Reads a ledger from its beginning, checking every hash. DataLoss names the first line that does
// not hold. `each` may be empty. NotFound where there is none.
absl::StatusOr<LedgerTotals> ReadLedger(const std::string& path,
                                        const std::function<void(const LedgerEntry&)>& each = {});

class Ledger {
 public:
  // Makes the file if it is not there; refuses one that does not verify.
  static absl::StatusOr<std::unique_ptr<Ledger>> Open(const std::string& path);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Durable when it returns. The caller sends nothing if this fails.
  absl::Status AppendSent(absl::string_view type, absl::string_view run, uint64_t round,
                          absl::string_view bytes, absl::string_view note);
  absl::Status AppendRecord(absl::string_view type, absl::string_view run, uint64_t round,
                            absl::string_view note);

 private:
  Ledger(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status Append(LedgerEntry entry);
  // With the lock held.
  absl::Status CatchUp();
  absl::Status WriteEntry(LedgerEntry entry);

  std::string path_;
  int fd_;
  uint64_t end_ = 0;     // of the last line that was read or written
  LedgerTotals so_far_;  // of all lines up to there
  bool broken_ = false;  // a write failed half way: nothing more is appended
};

}  // namespace weft

#endif  // WEFT_WORKER_GATE_LEDGER_H_
