// Tokens a second of one training step (loss, gradients, AdamW) of a model of about a million
// parameters on one thread: the inner loop of a run on CPUs.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/optimizer_step.h"
#include "model/transformer.h"

namespace weft {
namespace {

ModelConfig Million() {
  ModelConfig config;
  config.set_vocabulary_size(2048);
  config.set_hidden_size(128);
  config.set_layer_count(4);
  config.set_attention_heads(4);
  config.set_key_value_heads(2);
  config.set_head_dimension(32);
  config.set_intermediate_size(384);
  config.set_context_length(256);
  config.set_qk_norm(true);
  config.set_tied_embeddings(true);
  config.set_rope_theta(500000);
  config.set_norm_epsilon(1e-6);
  return config;
}

void TrainingStep(benchmark::State& state) {
  SetComputeThreads(1);
  const int batch = static_cast<int>(state.range(0)), length = static_cast<int>(state.range(1));
  auto model = *Transformer::Create(Million());
  const size_t n = model->layout().element_count();
  std::vector<float> vector(n), m(n), v(n);
  InitializeParameters(model->layout(), 1, absl::MakeSpan(vector));
  model->LoadParameters(vector);
  std::mt19937 random(1);
  std::vector<int32_t> tokens(batch * length), targets(batch * length);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 2048);
  for (int32_t& token : targets) token = static_cast<int32_t>(random() % 2048);
  kernels::AdamWStep step{.learning_rate = 1e-3f};
  for (auto _ : state) {
    benchmark::DoNotOptimize(model->LossAndGradients(tokens, targets, batch, length));
    kernels::AdamW(step, model->gradients(), nullptr, n, model->parameters(), m.data(), v.data());
    ++step.step;
  }
  state.SetLabel(std::string("matrix products by ") + ComputeLibrary());
  state.counters["parameters"] = static_cast<double>(n);
  state.counters["tokens"] = benchmark::Counter(static_cast<double>(batch * length),
                                                benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(TrainingStep)->Args({16, 128})->Args({8, 64})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weft

BENCHMARK_MAIN();
