#include "tests/benchmark/consensus_comparison/report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "proto/durable_file.h"
#include "tests/benchmark/consensus_comparison/comparison_run.h"

namespace weft::comparison {
namespace {

const Record* Find(absl::Span<const Record> records, absl::string_view cell) {
  for (const Record& record : records) {
    if (record.cell == cell) return &record;
  }
  return nullptr;
}

const Record* Best(absl::Span<const Record> records) {
  const std::vector<std::string> best = BestCells(records, 1);
  return best.empty() ? nullptr : Find(records, best.front());
}

// Those with a consensus, best first.
std::vector<const Record*> Ranked(absl::Span<const Record> records) {
  std::vector<const Record*> ranked;
  for (const Record& record : records) {
    if (record.has_consensus) ranked.push_back(&record);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Record* a, const Record* b) { return a->pooled < b->pooled; });
  return ranked;
}

struct Means {
  double megabytes_up = 0;  // a site
  double megabytes_down = 0;
  double own = 0;  // own vectors, each on its own text
  double own_on_pooled = 0;
  bool has_own = false;
};
Means MeansOf(const Record& record) {
  Means means;
  const auto n = static_cast<double>(record.sites.size());
  for (const SiteRecord& site : record.sites) {
    means.megabytes_up += static_cast<double>(site.bytes_up) / 1e6 / n;
    means.megabytes_down += static_cast<double>(site.bytes_down) / 1e6 / n;
    means.own += site.own.value_or(0) / n;
    means.own_on_pooled += site.own_on_pooled.value_or(0) / n;
    means.has_own = site.own.has_value();
  }
  return means;
}

std::string OrDash(bool there, const std::string& text) { return there ? text : "-"; }

std::string MainTable(absl::Span<const Record> records) {
  const Record* pooled = Find(records, "pooled");
  std::string out =
      "| cell | H | rounds | up, MB a site | down, MB a site | consensus on all text | 95 % over "
      "the text | to pooled | own vectors on own text | own vectors on all text | tokens | s |\n"
      "|:---|---:|---:|---:|---:|---:|:---|---:|---:|---:|---:|---:|\n";
  std::vector<const Record*> rows = Ranked(records);
  for (const Record& record : records) {
    if (!record.has_consensus) rows.push_back(&record);
  }
  for (const Record* record : rows) {
    const Means means = MeansOf(*record);
    const bool consensus = record->has_consensus;
    absl::StrAppendFormat(
        &out, "| %s | %s | %s | %.2f | %.2f | %s | %s | %s | %s | %s | %d | %.0f |\n", record->cell,
        OrDash(record->inner_steps > 0, absl::StrCat(record->inner_steps)),
        OrDash(record->rounds > 0, absl::StrCat(record->rounds)), means.megabytes_up,
        means.megabytes_down, OrDash(consensus, absl::StrFormat("**%.4f**", record->pooled)),
        OrDash(consensus, absl::StrFormat("%.3f to %.3f", record->pooled_low, record->pooled_high)),
        OrDash(
            consensus && pooled != nullptr,
            absl::StrFormat("%+.1f %%",
                            pooled == nullptr ? 0 : 100 * (record->pooled / pooled->pooled - 1))),
        OrDash(means.has_own, absl::StrFormat("%.4f", means.own)),
        OrDash(means.has_own, absl::StrFormat("%.4f", means.own_on_pooled)), record->tokens,
        record->seconds_training + record->seconds_scoring);
  }
  return out;
}

// Bits per byte of every cell on every site's text.
std::string SiteTable(absl::Span<const Record> records, bool own) {
  std::string out = "| cell |", rule = "|:---|";
  for (const SiteRecord& site : records.front().sites) {
    absl::StrAppend(&out, " ", site.name, " |");
    rule += "---:|";
  }
  absl::StrAppend(&out, "\n", rule, "\n");
  for (const Record& record : records) {
    const bool there = own ? record.sites.front().own.has_value() : record.has_consensus;
    if (!there) continue;
    absl::StrAppend(&out, "| ", record.cell, " |");
    for (const SiteRecord& site : record.sites) {
      absl::StrAppendFormat(&out, " %.4f |", own ? *site.own : site.consensus);
    }
    out += "\n";
  }
  return out;
}

std::string SitesText(const Record& record) {
  std::string out =
      "| site (its languages) | text, MB | tokens of text | trained on | of its text | scored, kB "
      "|\n|:---|---:|---:|---:|---:|---:|\n";
  for (const SiteRecord& site : record.sites) {
    absl::StrAppendFormat(
        &out, "| %s | %.2f | %d | %d | %.0f %% | %.0f |\n", site.name,
        static_cast<double>(site.text_bytes) / 1e6, site.text_tokens, site.tokens,
        100 * static_cast<double>(site.tokens) / static_cast<double>(site.text_tokens),
        static_cast<double>(site.held_out_bytes) / 1e3);
  }
  return out;
}

std::string PairsText(absl::Span<const Record> pairs) {
  const std::string encoded = absl::StrCat(kPairedCell, "+", kPairedEncoding);
  const PairedDifference difference = ComparePairs(pairs, kPairedCell, encoded);
  if (difference.seeds.empty()) return "";
  std::string out = absl::StrFormat(
      "\n## What %s costs\n\n%s against %s, paired by seed and data order; relative difference of "
      "the consensus' bits per byte on all held-out text (positive: worse).\n\n| seed | difference "
      "|\n|---:|---:|\n",
      kPairedEncoding, encoded, kPairedCell);
  for (size_t i = 0; i < difference.seeds.size(); ++i) {
    absl::StrAppendFormat(&out, "| %d | %+.4f %% |\n", difference.seeds[i],
                          100 * difference.differences[i]);
  }
  absl::StrAppendFormat(&out, "| mean | %+.4f %%", 100 * difference.mean);
  if (difference.half_width.has_value()) {
    absl::StrAppendFormat(&out, ", 95 %% interval %+.4f %% to %+.4f %%",
                          100 * (difference.mean - *difference.half_width),
                          100 * (difference.mean + *difference.half_width));
  }
  return out + " |\n";
}

std::string Commands(absl::Span<const Record> records) {
  std::string out = "\n## Every cell again\n\n";
  for (const Record& record : records) {
    absl::StrAppend(&out, "- **", record.cell, "** (", record.version, "): `", record.command,
                    "`\n  ", record.scheme, "\n");
  }
  return out;
}

}  // namespace

std::string PrintReport(absl::Span<const Record> records, absl::Span<const Record> pairs) {
  const Record& first = records.front();
  std::string out = absl::StrFormat(
      "# Consensus schemes on uneven text\n\n%d cells, one seed (%d). Each trains the same model "
      "of %d parameters from the same initial vector, each site %d steps and the same tokens in "
      "the same order. What is compared is bits per byte of held-out text: lower is better.\n\n",
      records.size(), first.seed, first.parameters, first.steps);
  absl::StrAppend(
      &out,
      "The interval says how far a score would move on other text of the same kind, not with "
      "another seed: differences between cells that are smaller than some tenths of a percent "
      "are not to be read as an order. Sites of an asynchronous federation are of different "
      "speed, 1 to 2 seconds a step, and so trained on different numbers of tokens; those of a "
      "work under way when the run ended are not counted. For all-reduce the bytes are those of "
      "a gradient sent and a mean taken in every step, in fp32.\n\n",
      SitesText(first), "\n## Cells\n\n", MainTable(records),
      "\n![The cells by their consensus](ranking.svg)\n\n![Bits per byte over bytes](bytes.svg)\n");
  if (const Record* best = Best(records); best != nullptr) {
    absl::StrAppend(&out, "\n## What a site gets: ", best->cell,
                    "\n\n![The sites of the best federation](sites.svg)\n");
  }
  absl::StrAppend(&out, "\n## The consensus on each site's text\n\n", SiteTable(records, false),
                  "\n## Each site's own vector on its own text\n\n", SiteTable(records, true),
                  PairsText(pairs), Commands(records));
  return out;
}

RowPlot RankingPlot(absl::Span<const Record> records) {
  RowPlot plot{.title = "Bits per byte of the consensus on all held-out text, best first",
               .axis = "bits per byte (lower is better)",
               .legend = {{Mark::kDiamond, "reference"},
                          {Mark::kCircle, "H up to 15"},
                          {Mark::kSquare, "H above 15"}}};
  for (const Record* record : Ranked(records)) {
    const Mark mark = record->kind != "federation" ? Mark::kDiamond
                      : record->inner_steps > 15   ? Mark::kSquare
                                                   : Mark::kCircle;
    plot.rows.push_back(
        {record->cell, {{record->pooled, mark, absl::StrFormat("%.4f", record->pooled)}}});
  }
  return plot;
}

PointPlot BytesPlot(absl::Span<const Record> records) {
  PointPlot plot{
      .title = "What the bytes buy",
      .x_axis = "megabytes that a site sends and receives in the whole run (logarithmic)",
      .y_axis = "bits per byte of the consensus on all held-out text"};
  for (const Record* record : Ranked(records)) {
    const Means means = MeansOf(*record);
    const double megabytes = means.megabytes_up + means.megabytes_down;
    if (megabytes <= 0) {
      plot.lines.push_back({record->pooled, record->cell});
      continue;
    }
    const Mark mark = record->kind != "federation" ? Mark::kDiamond : Mark::kCircle;
    plot.points.push_back({megabytes, record->pooled, mark, record->cell});
  }
  return plot;
}

RowPlot SitesPlot(absl::Span<const Record> records) {
  const Record* best = Best(records);
  RowPlot plot{.axis = "bits per byte of the site's held-out text (lower is better)"};
  if (best == nullptr) return plot;
  plot.title = absl::StrCat("Each site's held-out text: ", best->cell, " and the references");
  const Record* alone = Find(records, "alone");
  const Record* pooled = Find(records, "pooled");
  plot.legend = {{Mark::kCircle, "consensus"}, {Mark::kSquare, "the site's own vector"}};
  if (alone != nullptr) plot.legend.emplace_back(Mark::kTriangle, "alone");
  if (pooled != nullptr) plot.legend.emplace_back(Mark::kDiamond, "pooled");
  for (size_t k = 0; k < best->sites.size(); ++k) {
    const SiteRecord& site = best->sites[k];
    Row row{.name = site.name, .dots = {{site.consensus, Mark::kCircle}}};
    if (site.own.has_value()) row.dots.push_back({*site.own, Mark::kSquare});
    if (alone != nullptr && alone->sites[k].own.has_value()) {
      row.dots.push_back({*alone->sites[k].own, Mark::kTriangle});
    }
    if (pooled != nullptr) row.dots.push_back({pooled->sites[k].consensus, Mark::kDiamond});
    plot.rows.push_back(std::move(row));
  }
  return plot;
}

absl::Status WriteReport(const std::string& out) {
  const absl::StatusOr<std::vector<Record>> records = ReadRecords(RecordsFile(out));
  if (!records.ok()) return records.status();
  const absl::StatusOr<std::vector<Record>> pairs = ReadRecords(PairsFile(out));
  if (!pairs.ok()) return pairs.status();
  if (records->empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(RecordsFile(out), ": no cell is done; consensus_comparison run does them"));
  }
  absl::Status status = WriteFileDurably(out + "/report.md", PrintReport(*records, *pairs));
  const auto write = [&](const char* name, const std::string& svg) {
    if (status.ok()) status = WriteFileDurably(absl::StrCat(out, "/", name), svg);
  };
  if (std::any_of(records->begin(), records->end(),
                  [](const Record& record) { return record.has_consensus; })) {
    write("ranking.svg", PlotRows(RankingPlot(*records)));
    write("bytes.svg", PlotPoints(BytesPlot(*records)));
  }
  if (Best(*records) != nullptr) write("sites.svg", PlotRows(SitesPlot(*records)));
  return status;
}

}  // namespace weft::comparison
