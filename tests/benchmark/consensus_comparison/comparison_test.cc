// The comparison's own parts: its table, its records, its samples, its references and its report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/benchmark/consensus_comparison/cells.h"
#include "tests/benchmark/consensus_comparison/comparison_run.h"
#include "tests/benchmark/consensus_comparison/records.h"
#include "tests/benchmark/consensus_comparison/references.h"
#include "tests/benchmark/consensus_comparison/report.h"
#include "tests/benchmark/consensus_comparison/run_cell.h"
#include "tests/benchmark/consensus_comparison/site_data.h"
#include "tests/testing/temporary_folder.h"
#include "tests/worker/training/tiny_site.h"

namespace weft::comparison {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::string kTokenizer(64, '0');

TEST(ComparisonTest, EveryCellOfTheTableIsARunThatMayBe) {
  std::set<std::string> names;
  for (const Cell& cell : AllCells()) {
    EXPECT_TRUE(names.insert(cell.name).second) << cell.name << " is there twice";
    if (cell.kind != Kind::kFederation) continue;
    for (const uint32_t steps : {150u, 300u, 600u}) {
      const auto manifest = ManifestOf(cell, {.steps = steps}, 7, kTokenizer);
      ASSERT_TRUE(manifest.ok()) << cell.name << ": " << manifest.status();
      EXPECT_EQ(manifest->encodings().up(), "parameters_fp32");
    }
  }
}

TEST(ComparisonTest, ACellsRoundsMakeUpItsSteps) {
  const auto rounds = [](const std::string& name) {
    return ManifestOf(*FindCell(name), {.steps = 300}, 7, kTokenizer)->rounds();
  };
  EXPECT_EQ(rounds("fedavg-h10").round_count(), 30u);
  EXPECT_EQ(rounds("delayed-h10").round_count(), 210u) << "a round is of one contribution";
  const RoundRules schedule = rounds("proximal-h5-then-30");
  ASSERT_EQ(schedule.inner_steps_schedule_size(), 1);
  const InnerStepsPhase& early = schedule.inner_steps_schedule(0);
  EXPECT_EQ(early.rounds() * early.inner_steps() +
                (schedule.round_count() - early.rounds()) * schedule.inner_steps(),
            300u);
  const auto uneven = ManifestOf(*FindCell("proximal-h50"), {.steps = 320}, 7, kTokenizer);
  EXPECT_THAT(std::string(uneven.status().message()), HasSubstr("320 steps cannot be divided"));
}

TEST(ComparisonTest, ANameMayChooseAnEncoding) {
  const absl::StatusOr<Cell> cell = FindCell("fedavg-h10+delta_int4");
  ASSERT_TRUE(cell.ok()) << cell.status();
  const auto manifest = ManifestOf(*cell, {.steps = 300}, 7, kTokenizer);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->encodings().up(), "delta_int4");
  EXPECT_EQ(manifest->encodings().down(), "delta_int4");
  EXPECT_FALSE(ManifestOf(*FindCell("fedavg-h10+delta_int3"), {.steps = 300}, 7, kTokenizer).ok());
  EXPECT_THAT(std::string(FindCell("fedavg-h11").status().message()), HasSubstr("fedavg-h10"));
  EXPECT_FALSE(FindCell("pooled+delta_int4").ok());
}

Record ExampleRecord(const std::string& cell, double pooled) {
  Record record{.cell = cell,
                .group = "presets",
                .kind = "federation",
                .scheme = "consensus { preset: \"fedavg\" }",
                .seed = 1,
                .steps = 300,
                .inner_steps = 10,
                .rounds = 30,
                .tokens = 600'000,
                .parameters = 823'000,
                .pooled = pooled,
                .pooled_low = pooled - 0.05,
                .pooled_high = pooled + 0.05,
                .seconds_training = 40,
                .seconds_scoring = 10,
                .version = "v1",
                .command = "consensus_comparison run"};
  for (const char* name : {"en", "rw"}) {
    record.sites.push_back({.name = name,
                            .text_bytes = 3'000'000,
                            .text_tokens = 1'000'000,
                            .held_out_bytes = 40'000,
                            .tokens = 300'000,
                            .rounds = 30,
                            .bytes_up = 90'000'000,
                            .bytes_down = 90'000'000,
                            .consensus = pooled - 0.1,
                            .own = pooled - 0.3,
                            .own_on_pooled = pooled + 0.2});
  }
  return record;
}

TEST(ComparisonTest, ARecordComesBackFromItsLineAsItWas) {
  const Record record = ExampleRecord("fedavg-h10", 2.75);
  const absl::StatusOr<Record> again = ParseRecord(PrintRecord(record));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintRecord(*again), PrintRecord(record));
  EXPECT_EQ(again->sites[1].own, record.sites[1].own);
  EXPECT_FALSE(ParseRecord("{\"cell\": \"x\"}").ok());
  EXPECT_FALSE(ParseRecord("no JSON").ok());
}

TEST(ComparisonTest, ALineThatWasNotWrittenToItsEndIsLeftOut) {
  testing::TemporaryFolder folder;
  const std::string file = folder / "records.jsonl";
  EXPECT_THAT(*ReadRecords(file), SizeIs(0));
  ASSERT_TRUE(AppendRecord(file, ExampleRecord("a", 2)).ok());
  std::ofstream(file, std::ios::app) << "{\"cell\": \"torn";
  ASSERT_THAT(*ReadRecords(file), SizeIs(1));
  ASSERT_TRUE(AppendRecord(file, ExampleRecord("b", 3)).ok());
  const absl::StatusOr<std::vector<Record>> records = ReadRecords(file);
  ASSERT_THAT(*records, SizeIs(2));
  EXPECT_EQ((*records)[1].cell, "b");
  std::ofstream(file, std::ios::app) << "damaged\n";
  EXPECT_THAT(std::string(ReadRecords(file).status().message()), HasSubstr("records.jsonl:3: "));
}

TEST(ComparisonTest, TheSampleIsOfAllDocumentsAndOfWholeCharacters) {
  std::vector<std::string> documents;
  for (int i = 0; i < 20; ++i) {
    std::string document;
    for (int j = 0; j < 300; ++j) document += "日本語";
    documents.push_back(document);
  }
  const std::vector<std::string> sample = SampleOf(documents, 20'000);
  uint64_t bytes = 0;
  for (const std::string& piece : sample) {
    bytes += piece.size();
    EXPECT_EQ(piece.size() % 3, 0u);
    EXPECT_LE(piece.size(), 1000u);
  }
  EXPECT_LE(bytes, 20'000u);
  EXPECT_GT(bytes, 18'000u);
  EXPECT_THAT(SampleOf({"a line\n", "another"}, 1000), ElementsAre("a line\n", "another"));
}

TEST(ComparisonTest, ReferencesReadTheSamplesOfTheFederations) {
  constexpr size_t kSites = 7;
  constexpr uint32_t kBatch = 8, kSteps = 21;
  std::vector<std::set<uint64_t>> all_reduce(kSites), pooled(kSites);
  for (uint64_t step = 0; step < kSteps; ++step) {
    for (const Part& part : AllReduceStep(kSites, kBatch, step)) {
      for (const SampleAt& sample : part) all_reduce[sample.site].insert(sample.position);
    }
  }
  for (uint64_t step = 0; step < kSteps * kSites; ++step) {
    const std::vector<Part> parts = PooledStep(kSites, kBatch, step);
    EXPECT_EQ(parts[0].size(), parts[1].size());
    for (const Part& part : parts) {
      for (const SampleAt& sample : part) {
        EXPECT_TRUE(pooled[sample.site].insert(sample.position).second);
      }
    }
  }
  EXPECT_EQ(pooled, all_reduce);
  for (const std::set<uint64_t>& positions : pooled) {
    EXPECT_EQ(positions.size(), uint64_t{kSteps} * kBatch);
    EXPECT_EQ(*positions.rbegin(), uint64_t{kSteps} * kBatch - 1);
  }
}

// The references' loop is the trainer's.
TEST(ComparisonTest, AnAllReduceOfOneSiteIsItsTrainerBitForBit) {
  TestFolder folder("comparison");
  WriteTinyShards(folder / "shards");
  const RoundOrder order = TinyOrder(0, 12, 1);
  std::unique_ptr<Trainer> trainer = TinyTrainer(folder / "shards");
  ASSERT_TRUE(trainer->Round(order, {.base = TinyVector()}).ok());

  const int length = static_cast<int>(order.training().sequence_length());
  const auto data = TokenDataset::Open({folder / "shards"}, order.tokenizer_sha256(), length);
  ASSERT_TRUE(data.ok()) << data.status();
  TogetherOptions options{.model = order.model(),
                          .training = order.training(),
                          .seed = order.seed(),
                          .steps = 12,
                          .names = {order.site()},
                          .datasets = {&*data},
                          .threads = 2};
  options.parts = [&](uint64_t step) {
    return AllReduceStep(1, order.training().batch_size(), step);
  };
  const absl::StatusOr<ParameterVector> w = TrainTogether(options, TinyVector());
  ASSERT_TRUE(w.ok()) << w.status();
  EXPECT_EQ(Values(w->span()), Values(trainer->vector()));
}

TEST(ComparisonTest, TheBestAreTheLowestOfThePlainFederations) {
  std::vector<Record> records = {ExampleRecord("a", 3), ExampleRecord("b", 2),
                                 ExampleRecord("c+delta_int4", 1), ExampleRecord("d", 2.5),
                                 ExampleRecord("pooled", 0.5)};
  records.back().kind = "pooled";
  EXPECT_THAT(BestCells(records, 2), ElementsAre("b", "d"));
  EXPECT_THAT(BestCells(records, 9), SizeIs(3));
}

TEST(ComparisonTest, PairsAreOfOneSeedAndTheirIntervalIsStudents) {
  std::vector<Record> records;
  const double changes[] = {0.001, 0.003, 0.002};
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    records.push_back(ExampleRecord("x", 2));
    records.back().seed = seed;
    records.push_back(ExampleRecord("y", 2 * (1 + changes[seed - 1])));
    records.back().seed = seed;
  }
  const PairedDifference difference = ComparePairs(records, "x", "y");
  EXPECT_THAT(difference.seeds, ElementsAre(1, 2, 3));
  EXPECT_NEAR(difference.mean, 0.002, 1e-12);
  // t(0.975, 2) = 4.302653 (any table), times 0.001 / sqrt(3).
  EXPECT_NEAR(*difference.half_width, 4.302653 * 0.001 / std::sqrt(3.0), 1e-6);
  records.resize(2);
  EXPECT_FALSE(ComparePairs(records, "x", "y").half_width.has_value());
  EXPECT_THAT(ComparePairs(records, "x", "z").seeds, SizeIs(0));
}

TEST(ComparisonTest, TheReportHasEveryCellAndItsPlotsHaveTheirAxes) {
  std::vector<Record> records = {ExampleRecord("fedavg-h10", 2.8), ExampleRecord("pooled", 2.35),
                                 ExampleRecord("alone", 3.9), ExampleRecord("proximal-h50", 2.7)};
  records[1].kind = "pooled";
  for (SiteRecord& site : records[1].sites) site.bytes_up = site.bytes_down = 0;
  records[2].kind = "alone";
  records[2].has_consensus = false;
  const std::string report = PrintReport(records, {});
  for (const char* part : {"| fedavg-h10 | 10 | 30 | 90.00 | 90.00 | **2.8000** |", "+19.1 %",
                           "| alone | 10 |", "proximal-h50", "`consensus_comparison run`"}) {
    EXPECT_THAT(report, HasSubstr(part));
  }
  EXPECT_LT(report.find("| pooled |"), report.find("| proximal-h50 |"));
  const std::string ranking = PlotRows(RankingPlot(records));
  EXPECT_THAT(ranking, HasSubstr("bits per byte (lower is better)"));
  EXPECT_THAT(ranking, HasSubstr(">2.3500<"));
  const std::string bytes = PlotPoints(BytesPlot(records));
  EXPECT_THAT(bytes, HasSubstr("megabytes"));
  EXPECT_THAT(bytes, HasSubstr(">proximal-h50<"));
  const std::string sites = PlotRows(SitesPlot(records));
  EXPECT_THAT(sites, HasSubstr("proximal-h50 and the references"));
  for (const std::string& svg : {ranking, bytes, sites}) {
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

TEST(ComparisonTest, TicksAreRoundAndFew) {
  EXPECT_THAT(RoundTicks(2.31, 3.92), ElementsAre(2.5, 3.0, 3.5));
  for (const auto& [low, high] : {std::pair{0.0, 1.0}, {2.70, 2.83}, {-3.0, 400.0}}) {
    const std::vector<double> ticks = RoundTicks(low, high);
    EXPECT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 8u);
    EXPECT_GE(ticks.front(), low - 1e-9);
    EXPECT_LE(ticks.back(), high + 1e-9);
  }
}

TEST(ComparisonTest, SpeedsAreDrawnFromTheSeed) {
  const std::vector<double> seconds = SecondsPerStep(3, 7);
  EXPECT_EQ(seconds, SecondsPerStep(3, 7));
  EXPECT_NE(seconds, SecondsPerStep(4, 7));
  for (const double s : seconds) {
    EXPECT_GE(s, 1.0);
    EXPECT_LT(s, 2.0);
  }
}

}  // namespace
}  // namespace weft::comparison
