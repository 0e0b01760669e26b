#include "tests/benchmark/consensus_comparison/comparison_run.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "eval/interval.h"
#include "proto/durable_file.h"
#include "tests/benchmark/consensus_comparison/cells.h"
#include "tests/benchmark/consensus_comparison/run_cell.h"

namespace weft::comparison {
namespace {

struct Work {
  Cell cell;
  uint64_t seed = 1;
};

// One line that is rewritten on a terminal; elsewhere a line now and then.
class ProgressLine {
 public:
  explicit ProgressLine(std::string what) : what_(std::move(what)), start_(absl::Now()) {}
  void Show(double done) {
    const absl::Time now = absl::Now();
    if (now - shown_ < (terminal_ ? absl::Milliseconds(500) : absl::Seconds(30))) return;
    shown_ = now;
    const double seconds = absl::ToDoubleSeconds(now - start_);
    std::fprintf(stderr, "%s%s: %.0f %% trained, %.0f s%s", terminal_ ? "\r" : "", what_.c_str(),
                 100 * done, seconds, terminal_ ? "\x1b[K" : "\n");
  }
  void End() const {
    if (terminal_) std::fputs("\r\x1b[K", stderr);
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const std::string what_;
  const absl::Time start_;
  absl::Time shown_ = absl::Now();
};

// Does cells until none is left or the budget is used.
class Runner {
 public:
  Runner(Setting setting, std::string file, double budget_minutes)
      : setting_(std::move(setting)), file_(std::move(file)), budget_minutes_(budget_minutes) {}

  absl::Status Prepare() {
    if (absl::Status status = MakeDirectories(setting_.out); !status.ok()) return status;
    absl::StatusOr<std::vector<Record>> records = ReadRecords(file_);
    if (!records.ok()) return records.status();
    records_ = *std::move(records);
    for (const Record& record : records_) {
      if (absl::StrContains(record.command, SettingWords(setting_) + " --seed")) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          file_, ": ", record.cell, " was made by '", record.command, "', asked for is ",
          SettingWords(setting_), ": give the same, or another --out"));
    }
    absl::StatusOr<SiteData> data =
        PrepareSiteData(setting_.data, setting_.out + "/data", setting_.held_out_bytes);
    if (!data.ok()) return data.status();
    data_ = *std::move(data);
    return absl::OkStatus();
  }

  bool Done(const Work& work) const {
    return std::any_of(records_.begin(), records_.end(), [&](const Record& record) {
      return record.cell == work.cell.name && record.seed == work.seed;
    });
  }

  absl::Status Run(const std::vector<Work>& all) {
    std::vector<Work> left;
    for (const Work& work : all) {
      if (!Done(work)) left.push_back(work);
    }
    std::printf("%zu of %zu cells are done already\n", all.size() - left.size(), all.size());
    for (size_t i = 0; i < left.size(); ++i) {
      const double each = SecondsOfACell();
      if (budget_minutes_ > 0 && Minutes() + each / 60 > budget_minutes_) {
        std::printf(
            "%.1f of %.1f minutes are used, a cell takes about %.0f s: %zu cells are left;"
            " the same command goes on\n",
            Minutes(), budget_minutes_, each, left.size() - i);
        return absl::OkStatus();
      }
      if (absl::Status status = RunOne(left[i], left.size() - i - 1); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  const std::vector<Record>& records() const { return records_; }

 private:
  double Minutes() const { return absl::ToDoubleMinutes(absl::Now() - start_); }
  double SecondsOfACell() const { return cells_ == 0 ? 0 : cell_seconds_ / cells_; }

  absl::Status RunOne(const Work& work, size_t left) {
    Setting setting = setting_;
    setting.seed = work.seed;
    ProgressLine line(work.cell.name);
    const absl::Time begin = absl::Now();
    absl::StatusOr<Record> record =
        RunCell(work.cell, setting, data_, [&](double done) { line.Show(done); });
    line.End();
    if (!record.ok()) {
      return absl::Status(record.status().code(),
                          absl::StrCat(work.cell.name, ": ", record.status().message()));
    }
    if (absl::Status status = AppendRecord(file_, *record); !status.ok()) return status;
    cell_seconds_ += absl::ToDoubleSeconds(absl::Now() - begin);
    ++cells_;
    const std::string score = record->has_consensus
                                  ? absl::StrFormat("%.4f bits per byte", record->pooled)
                                  : std::string("no consensus");
    const std::string budget =
        budget_minutes_ > 0 ? absl::StrFormat(" of %.0f", budget_minutes_) : std::string();
    std::printf(
        "%-24s seed %llu  %s  %.0f s + %.0f s   (%zu left, about %.0f minutes; %.1f%s "
        "minutes used)\n",
        work.cell.name.c_str(), static_cast<unsigned long long>(work.seed), score.c_str(),
        record->seconds_training, record->seconds_scoring, left,
        static_cast<double>(left) * SecondsOfACell() / 60, Minutes(), budget.c_str());
    std::fflush(stdout);
    records_.push_back(*std::move(record));
    return absl::OkStatus();
  }

  const Setting setting_;
  const std::string file_;
  const double budget_minutes_;
  const absl::Time start_ = absl::Now();
  SiteData data_;
  std::vector<Record> records_;
  double cell_seconds_ = 0;
  int cells_ = 0;
};

absl::StatusOr<std::vector<Work>> WorkOn(const std::vector<std::string>& names, uint64_t seed) {
  std::vector<Work> work;
  for (const std::string& name : names) {
    absl::StatusOr<Cell> cell = FindCell(name);
    if (!cell.ok()) return cell.status();
    work.push_back({*std::move(cell), seed});
  }
  return work;
}

}  // namespace

std::string RecordsFile(const std::string& out) { return out + "/records.jsonl"; }
std::string PairsFile(const std::string& out) { return out + "/pairs.jsonl"; }

std::vector<std::string> BestCells(absl::Span<const Record> records, size_t count) {
  std::vector<std::pair<double, std::string>> scores;
  for (const Record& record : records) {
    const bool plain = record.cell.find('+') == std::string::npos && record.group != "exchanges";
    if (record.kind == "federation" && plain) scores.emplace_back(record.pooled, record.cell);
  }
  std::sort(scores.begin(), scores.end());
  if (scores.size() > count) scores.resize(count);
  std::vector<std::string> names;
  for (auto& [score, name] : scores) names.push_back(std::move(name));
  return names;
}

absl::Status RunCells(const RunRequest& request) {
  std::vector<std::string> names = request.cells;
  if (names.empty()) {
    for (const Cell& cell : AllCells()) names.push_back(cell.name);
  }
  absl::StatusOr<std::vector<Work>> work = WorkOn(names, request.setting.seed);
  if (!work.ok()) return work.status();
  Runner runner(request.setting, RecordsFile(request.setting.out), request.budget_minutes);
  if (absl::Status status = runner.Prepare(); !status.ok()) return status;
  if (absl::Status status = runner.Run(*work); !status.ok()) return status;
  if (!request.cells.empty()) return absl::OkStatus();
  // Only when all are done is it known which are best.
  for (const Work& one : *work) {
    if (!runner.Done(one)) return absl::OkStatus();
  }
  std::vector<std::string> encoded = BestCells(runner.records(), 2);
  for (std::string& name : encoded) absl::StrAppend(&name, "+", kPairedEncoding);
  work = WorkOn(encoded, request.setting.seed);
  if (!work.ok()) return work.status();
  return runner.Run(*work);
}

absl::Status RunPairs(const Setting& setting, absl::Span<const uint64_t> seeds,
                      double budget_minutes) {
  std::vector<Work> work;
  for (const uint64_t seed : seeds) {
    const absl::StatusOr<std::vector<Work>> pair =
        WorkOn({kPairedCell, absl::StrCat(kPairedCell, "+", kPairedEncoding)}, seed);
    if (!pair.ok()) return pair.status();
    work.insert(work.end(), pair->begin(), pair->end());
  }
  Runner runner(setting, PairsFile(setting.out), budget_minutes);
  if (absl::Status status = runner.Prepare(); !status.ok()) return status;
  if (absl::Status status = runner.Run(work); !status.ok()) return status;
  const PairedDifference difference =
      ComparePairs(runner.records(), work[0].cell.name, work[1].cell.name);
  for (size_t i = 0; i < difference.seeds.size(); ++i) {
    std::printf("seed %llu: %+.4f %%\n", static_cast<unsigned long long>(difference.seeds[i]),
                100 * difference.differences[i]);
  }
  std::printf("%s against %s, pooled bits per byte: %+.4f %%", work[1].cell.name.c_str(),
              work[0].cell.name.c_str(), 100 * difference.mean);
  if (difference.half_width.has_value()) {
    std::printf(" (95 %% interval +- %.4f %%)", 100 * *difference.half_width);
  }
  std::printf("\n");
  return absl::OkStatus();
}

PairedDifference ComparePairs(absl::Span<const Record> records, const std::string& first,
                              const std::string& second) {
  PairedDifference result;
  for (const Record& a : records) {
    for (const Record& b : records) {
      if (a.cell != first || b.cell != second || a.seed != b.seed) continue;
      result.seeds.push_back(a.seed);
      result.differences.push_back(b.pooled / a.pooled - 1);
    }
  }
  const auto n = static_cast<double>(result.differences.size());
  if (result.differences.empty()) return result;
  for (const double d : result.differences) result.mean += d / n;
  if (result.differences.size() < 2) return result;
  double squares = 0;
  for (const double d : result.differences) squares += (d - result.mean) * (d - result.mean);
  result.half_width = StudentQuantile(n - 1) * std::sqrt(squares / (n - 1) / n);
  return result;
}

}  // namespace weft::comparison
