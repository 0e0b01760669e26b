#include "worker/training/bench.h"

#include <chrono>
#include <memory>
#include <vector>

#include "model/formats/huggingface.h"
#include "model/transformer.h"
#include "worker/training/adamw.h"
#include "worker/training/matmul_rate.h"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

InnerTraining BenchTraining() {
  InnerTraining training;
  training.set_beta1(0.9);
  training.set_beta2(0.95);
  training.set_epsilon(1e-8);
  training.set_weight_decay(0.1);
  return training;
}

// Token ids that repeat with no short period: what a step costs does not depend on them.
void FillTokens(uint64_t seed, uint32_t vocabulary, std::vector<int32_t>* tokens) {
  uint64_t state = seed;
  for (int32_t& token : *tokens) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<int32_t>((state >> 33) % vocabulary);
  }
}

}  // namespace

double FlopsPerToken(const ModelConfig& model, int sequence_length) {
  const double hidden = model.hidden_size();
  const double query = static_cast<double>(model.attention_heads()) * model.head_dimension();
  const double key_value = static_cast<double>(model.key_value_heads()) * model.head_dimension();
  const double layer =
      hidden * (2 * query + 2 * key_value) + 3 * hidden * model.intermediate_size();
  const double used = model.layer_count() * layer + hidden * model.vocabulary_size();
  return 6 * used + 6.0 * sequence_length * query * model.layer_count();
}

absl::StatusOr<BenchReport> Bench(const BenchOptions& options) {
  absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(options.model);
  if (!model.ok()) return model.status();
  const ParameterLayout& layout = (*model)->layout();
  ParameterVector initial(layout.element_count());
  InitializeParameters(layout, 1, initial.span());
  (*model)->LoadParameters(initial.span());
  AdamW optimizer(layout);
  const InnerTraining training = BenchTraining();
  const size_t step_tokens = static_cast<size_t>(options.batch_size) * options.sequence_length;
  std::vector<int32_t> tokens(step_tokens), targets(step_tokens);

  constexpr int kUncounted = 2;
  double gradients = 0, optimizing = 0;
  for (int i = 0; i < kUncounted + options.steps; ++i) {
    FillTokens(2 * i, options.model.vocabulary_size(), &tokens);
    FillTokens(2 * i + 1, options.model.vocabulary_size(), &targets);
    const Clock::time_point begin = Clock::now();
    (*model)->LossAndGradients(tokens, targets, options.batch_size, options.sequence_length);
    const Clock::time_point middle = Clock::now();
    InnerStep step;
    step.learning_rate = 1e-4;
    step.rho = 0.1;
    step.gradient = (*model)->gradients();
    step.base = initial.data();
    step.w = (*model)->parameters();
    optimizer.Step(training, step);
    const Clock::time_point end = Clock::now();
    if (i < kUncounted) continue;
    gradients += Seconds(begin, middle);
    optimizing += Seconds(middle, end);
  }

  BenchReport report;
  report.parameters = layout.element_count();
  report.tokens_per_second =
      options.steps * static_cast<double>(step_tokens) / (gradients + optimizing);
  report.gradients_share = gradients / (gradients + optimizing);
  report.flops_per_token = FlopsPerToken(options.model, options.sequence_length);
  report.matmul_flops = MatmulRate(1024, 1024, 1024);
  report.floor_tokens_per_second = report.matmul_flops / report.flops_per_token;
  return report;
}

}  // namespace weft
