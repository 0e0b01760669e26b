#include "tests/benchmark/consensus_comparison/run_cell.h"

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/formats/huggingface.h"
#include "model/random.h"
#include "tests/benchmark/consensus_comparison/references.h"
#include "tests/benchmark/consensus_comparison/scoring.h"
#include "tests/testing/in_process_federation.h"
#include "tests/testing/trainer_solver.h"

namespace weft::comparison {
namespace {

constexpr uint64_t kSpeedKey = 0x5eed;

// What training leaves: a consensus, or the sites' own vectors, or both.
struct Trained {
  ParameterVector consensus;         // empty: none
  std::vector<ParameterVector> own;  // empty: none
  std::vector<SiteRecord> sites;
  uint64_t rounds = 0;
  std::string scheme;
};

struct CellRun {
  const Cell& cell;
  const Setting& setting;
  const SiteData& data;
  const Progress& progress;
  ParameterLayout layout;
  ParameterVector initial;
  std::vector<std::unique_ptr<TokenDataset>> datasets;  // one a site

  uint64_t site_tokens() const { return uint64_t{setting.steps} * setting.batch * kSequenceLength; }
};

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const CellRun& run, size_t site) {
  absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(ComparisonModel());
  if (!model.ok()) return model.status();
  return Trainer::Create(*std::move(model), *run.datasets[site]);
}

absl::StatusOr<Trained> Federate(const CellRun& run) {
  const auto count = static_cast<uint32_t>(run.data.sites.size());
  absl::StatusOr<RunManifest> manifest =
      ManifestOf(run.cell, run.setting, count, run.data.tokenizer->model_sha256());
  if (!manifest.ok()) return manifest.status();
  testing::FederationOptions options;
  options.manifest = *manifest;
  options.layout = run.layout;
  options.initial = run.initial.Clone();
  options.threads = run.setting.threads;
  for (size_t k = 0; k < count; ++k) {
    absl::StatusOr<std::unique_ptr<Trainer>> trainer = MakeTrainer(run, k);
    if (!trainer.ok()) return trainer.status();
    options.sites.push_back(
        {.name = run.data.sites[k].name,
         .solver = std::make_unique<testing::TrainerSolver>(*std::move(trainer))});
  }
  options.seconds = [slowness = SecondsPerStep(run.setting.seed, count)](size_t site,
                                                                         const RoundOrder& order) {
    return slowness[site] * order.inner_steps();
  };
  uint64_t done = 0;
  options.on_round = [&](const RoundRecord&, absl::Span<const float>) {
    run.progress(static_cast<double>(++done) / manifest->rounds().round_count());
  };
  absl::StatusOr<testing::FederationResult> result = testing::RunFederation(std::move(options));
  if (!result.ok()) return result.status();
  Trained trained;
  trained.consensus = std::move(result->consensus);
  trained.rounds = result->rounds.size();
  trained.scheme = Describe(run.cell, *manifest);
  for (testing::SiteTotals& site : result->sites) {
    trained.own.push_back(std::move(site.vector));
    trained.sites.push_back({.name = site.name,
                             .tokens = site.token_count,
                             .rounds = site.rounds,
                             .bytes_up = site.bytes_up,
                             .bytes_down = site.bytes_down});
  }
  return trained;
}

// pooled and all-reduce.
absl::StatusOr<Trained> TrainOne(const CellRun& run) {
  const size_t count = run.data.sites.size();
  const bool pooled = run.cell.kind == Kind::kPooled;
  TogetherOptions options;
  options.model = ComparisonModel();
  options.steps = run.setting.steps * (pooled ? count : 1);
  options.training = ComparisonTraining(run.setting, options.steps);
  options.seed = run.setting.seed;
  options.threads = run.setting.threads;
  for (size_t k = 0; k < count; ++k) {
    options.names.push_back(run.data.sites[k].name);
    options.datasets.push_back(run.datasets[k].get());
  }
  options.parts = [pooled, count, batch = run.setting.batch](uint64_t step) {
    return pooled ? PooledStep(count, batch, step) : AllReduceStep(count, batch, step);
  };
  options.progress = [&](uint64_t steps_done, double) {
    run.progress(static_cast<double>(steps_done) / static_cast<double>(options.steps));
  };
  absl::StatusOr<ParameterVector> w = TrainTogether(options, run.initial);
  if (!w.ok()) return w.status();
  Trained trained;
  trained.consensus = *std::move(w);
  trained.rounds = pooled ? 0 : run.setting.steps;
  trained.scheme = Describe(run.cell, {});
  for (const SiteText& site : run.data.sites) {
    // Of an all-reduce in which every site sends its gradient, and takes the mean.
    const uint64_t bytes = pooled ? 0 : trained.rounds * 4 * run.layout.element_count();
    trained.sites.push_back(
        {.name = site.name, .tokens = run.site_tokens(), .bytes_up = bytes, .bytes_down = bytes});
  }
  return trained;
}

absl::StatusOr<Trained> TrainAlone(const CellRun& run) {
  testing::WorkerThreads threads(run.setting.threads);
  std::atomic<size_t> done = 0;
  std::vector<std::future<absl::StatusOr<ParameterVector>>> work;
  for (size_t k = 0; k < run.data.sites.size(); ++k) {
    work.push_back(threads.Do([&run, k]() -> absl::StatusOr<ParameterVector> {
      absl::StatusOr<std::unique_ptr<Trainer>> trainer = MakeTrainer(run, k);
      if (!trainer.ok()) return trainer.status();
      RoundOrder order;
      order.set_protocol_version(1);
      order.set_inner_steps(run.setting.steps);
      order.set_total_steps(run.setting.steps);
      order.set_seed(run.setting.seed);
      order.set_site(run.data.sites[k].name);
      *order.mutable_model() = ComparisonModel();
      *order.mutable_training() = ComparisonTraining(run.setting, run.setting.steps);
      order.mutable_consensus()->set_alpha(1);
      testing::TrainerSolver solver(*std::move(trainer));
      const auto solution = solver.Solve(order, {.base = run.initial.Clone()});
      if (!solution.ok()) return solution.status();
      ParameterVector w(solver.vector().size());
      std::copy(solver.vector().begin(), solver.vector().end(), w.data());
      return w;
    }));
  }
  Trained trained;
  trained.scheme = Describe(run.cell, {});
  absl::Status status;
  for (size_t k = 0; k < work.size(); ++k) {
    absl::StatusOr<ParameterVector> vector = work[k].get();
    status.Update(vector.status());
    if (!status.ok()) continue;  // the others still use what is here
    run.progress(static_cast<double>(++done) / static_cast<double>(work.size()));
    trained.own.push_back(*std::move(vector));
    trained.sites.push_back({.name = run.data.sites[k].name, .tokens = run.site_tokens()});
  }
  if (!status.ok()) return status;
  return trained;
}

absl::StatusOr<CellRun> Prepare(const Cell& cell, const Setting& setting, const SiteData& data,
                                const Progress& progress) {
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(ComparisonModel());
  if (!layout.ok()) return layout.status();
  CellRun run{cell, setting, data, progress, *std::move(layout)};
  run.initial = ParameterVector(run.layout.element_count());
  InitializeParameters(run.layout, setting.seed, run.initial.span());
  for (const SiteText& site : data.sites) {
    absl::StatusOr<TokenDataset> dataset =
        TokenDataset::Open(site.shards, data.tokenizer->model_sha256(), kSequenceLength);
    if (!dataset.ok()) return dataset.status();
    run.datasets.push_back(std::make_unique<TokenDataset>(*std::move(dataset)));
  }
  return run;
}

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kFederation:
      return "federation";
    case Kind::kPooled:
      return "pooled";
    case Kind::kAllReduce:
      return "all-reduce";
    case Kind::kAlone:
      return "alone";
  }
  return "";
}

absl::Status Score(const CellRun& run, const Trained& trained, Record* record) {
  testing::WorkerThreads threads(run.setting.threads);
  std::vector<absl::Span<const float>> vectors;
  record->has_consensus = trained.consensus.size() > 0;
  if (record->has_consensus) vectors.push_back(trained.consensus.span());
  for (const ParameterVector& own : trained.own) vectors.push_back(own.span());
  const absl::StatusOr<std::vector<VectorScore>> scores = ScoreVectors(vectors, run.data, &threads);
  if (!scores.ok()) return scores.status();
  record->sites = trained.sites;
  if (record->has_consensus) {
    const RatioEstimate& pooled = scores->front().pooled.bits_per_byte;
    record->pooled = pooled.ratio;
    record->pooled_low = pooled.interval.value_or(Interval{pooled.ratio, pooled.ratio}).low;
    record->pooled_high = pooled.interval.value_or(Interval{pooled.ratio, pooled.ratio}).high;
  }
  const size_t first_own = record->has_consensus ? 1 : 0;
  for (size_t k = 0; k < record->sites.size(); ++k) {
    SiteRecord& site = record->sites[k];
    site.text_bytes = run.data.sites[k].training_bytes;
    site.text_tokens = run.data.sites[k].training_tokens;
    site.held_out_bytes = scores->front().sites[k].bytes;
    if (record->has_consensus) site.consensus = scores->front().sites[k].bits_per_byte.ratio;
    if (trained.own.empty()) continue;
    const VectorScore& own = (*scores)[first_own + k];
    site.own = own.sites[k].bits_per_byte.ratio;
    site.own_on_pooled = own.pooled.bits_per_byte.ratio;
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<double> SecondsPerStep(uint64_t seed, size_t sites) {
  std::vector<double> seconds;
  for (size_t k = 0; k < sites; ++k) {
    seconds.push_back(1 + UnitAt(SplitMix64(seed ^ kSpeedKey), k));
  }
  return seconds;
}

absl::StatusOr<Record> RunCell(const Cell& cell, const Setting& setting, const SiteData& data,
                               const Progress& progress) {
  const absl::Time start = absl::Now();
  absl::StatusOr<CellRun> run = Prepare(cell, setting, data, progress);
  if (!run.ok()) return run.status();
  absl::StatusOr<Trained> trained = cell.kind == Kind::kFederation ? Federate(*run)
                                    : cell.kind == Kind::kAlone    ? TrainAlone(*run)
                                                                   : TrainOne(*run);
  if (!trained.ok()) return trained.status();
  const absl::Time scoring = absl::Now();
  Record record{.cell = cell.name,
                .group = cell.group,
                .kind = KindName(cell.kind),
                .scheme = trained->scheme,
                .seed = setting.seed,
                .steps = setting.steps,
                .inner_steps = cell.inner_steps,
                .rounds = trained->rounds,
                .parameters = run->layout.element_count()};
  absl::Status scored = Score(*run, *trained, &record);
  if (!scored.ok()) return scored;
  for (const SiteRecord& site : record.sites) record.tokens += site.tokens;
  record.seconds_training = absl::ToDoubleSeconds(scoring - start);
  record.seconds_scoring = absl::ToDoubleSeconds(absl::Now() - scoring);
  record.version = setting.version;
  record.command =
      absl::StrCat("consensus_comparison run --out ", setting.out, " --data ", setting.data,
                   " --cells ", cell.name, " --steps ", setting.steps, " --batch ", setting.batch,
                   " --held-out-bytes ", setting.held_out_bytes, " --seed ", setting.seed);
  return record;
}

}  // namespace weft::comparison
