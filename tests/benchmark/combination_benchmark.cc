// Parameters a second of the combination rules, in memory: what an outer step computes beside
// reading and writing.
//
//   build/dev/bin/combination_benchmark
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/aggregator.h"
#include "proto/check.h"

namespace weft {
namespace {

constexpr size_t kBlock = size_t{1} << 16;  // as the outer step has it

struct Inputs {
  explicit Inputs(size_t sites) : z(kBlock, 0.5f), x(sites, z), combined(kBlock) {
    uint32_t state = 1;
    for (std::vector<float>& vector : x) {
      for (float& value : vector) {
        state = state * 1664525u + 1013904223u;
        value += static_cast<float>(state >> 8) * 1e-10f;
      }
      blocks.push_back(vector);
    }
    cohort.weights.assign(sites, 1.0 / static_cast<double>(sites));
    cohort.scales.assign(sites, 1.0);
  }
  std::vector<float> z;
  std::vector<std::vector<float>> x;
  std::vector<absl::Span<const float>> blocks;
  std::vector<double> combined;
  Cohort cohort;
};

void Rule(benchmark::State& state, const std::string& combine) {
  Inputs in(state.range(0));
  ConsensusScheme scheme;
  scheme.set_combine(combine);
  if ((*FindRule(combine))->bounds_faulty) scheme.set_faulty_max(1);
  scheme.set_clip_factor(2);
  for (auto _ : state) {
    ChangeProducts products(in.cohort.scales);
    if ((*FindRule(combine))->needs_products) products.Add(in.z, in.blocks);
    const auto aggregator = MakeAggregator(scheme, in.cohort, &products);
    WEFT_CHECK(aggregator.ok());
    (*aggregator)->Combine(in.z, in.blocks, absl::MakeSpan(in.combined));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kBlock);
}

void Cosines(benchmark::State& state) {
  Inputs in(state.range(0));
  MeanCosines cosines(in.cohort.weights, in.cohort.scales);
  for (auto _ : state) cosines.Add(in.z, in.blocks);
  state.SetItemsProcessed(state.iterations() * kBlock);
}

BENCHMARK_CAPTURE(Rule, mean, "mean")->Arg(5)->Arg(20);
BENCHMARK_CAPTURE(Rule, trimmed_mean, "trimmed_mean")->Arg(5)->Arg(20);
BENCHMARK_CAPTURE(Rule, median, "median")->Arg(5)->Arg(20);
BENCHMARK_CAPTURE(Rule, krum, "krum")->Arg(5)->Arg(20);
BENCHMARK_CAPTURE(Rule, norm_clipped_mean, "norm_clipped_mean")->Arg(5)->Arg(20);
BENCHMARK(Cosines)->Arg(5)->Arg(20);

}  // namespace
}  // namespace weft

BENCHMARK_MAIN();
