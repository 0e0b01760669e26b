#include "tests/benchmark/consensus_comparison/references.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <memory>

#include "absl/strings/str_cat.h"
#include "kernels/vector_ops.h"
#include "model/transformer.h"
#include "proto/check.h"
#include "tokenizer/sample_order.h"
#include "worker/training/adamw.h"
#include "worker/training/schedule.h"

namespace weft::comparison {
namespace {

struct Gradient {
  ParameterVector vector;
  double loss = 0;
};

// A model of its own for each thread's share of a step's parts.
class Replica {
 public:
  Replica(const TogetherOptions& options, std::unique_ptr<Transformer> model)
      : options_(options), model_(std::move(model)) {
    for (size_t k = 0; k < options.datasets.size(); ++k) {
      orders_.emplace_back(options.seed, options.names[k], options.datasets[k]->sample_count());
    }
  }

  const ParameterLayout& layout() const { return model_->layout(); }
  void Load(absl::Span<const float> w) { model_->LoadParameters(w); }

  void Compute(const Part& part, Gradient* gradient) {
    const size_t length = options_.training.sequence_length();
    sample_.resize(length + 1);
    tokens_.resize(part.size() * length);
    targets_.resize(tokens_.size());
    for (size_t j = 0; j < part.size(); ++j) {
      const uint64_t sample = orders_[part[j].site].At(part[j].position);
      options_.datasets[part[j].site]->ReadSample(sample, absl::MakeSpan(sample_));
      std::copy_n(sample_.begin(), length, tokens_.begin() + j * length);
      std::copy_n(sample_.begin() + 1, length, targets_.begin() + j * length);
    }
    gradient->loss = model_->LossAndGradients(tokens_, targets_, static_cast<int>(part.size()),
                                              static_cast<int>(length));
    gradient->vector = ParameterVector(layout().element_count());
    std::copy_n(model_->gradients(), layout().element_count(), gradient->vector.data());
  }

 private:
  const TogetherOptions& options_;
  std::unique_ptr<Transformer> model_;
  std::vector<SampleOrder> orders_;
  std::vector<int32_t> sample_, tokens_, targets_;
};

// Sums in double in the order of the parts; returns the mean loss.
double MeanOf(const std::vector<Gradient>& gradients, absl::Span<float> mean) {
  std::vector<double> sum(mean.size());
  double loss = 0;
  const double share = 1.0 / static_cast<double>(gradients.size());
  for (const Gradient& gradient : gradients) {
    kernels::AccumulateWeighted(share, gradient.vector.data(), sum.size(), sum.data());
    loss += share * gradient.loss;
  }
  for (size_t i = 0; i < mean.size(); ++i) mean[i] = static_cast<float>(sum[i]);
  return loss;
}

}  // namespace

std::vector<Part> AllReduceStep(size_t sites, uint32_t batch, uint64_t step) {
  std::vector<Part> parts(sites);
  for (size_t k = 0; k < sites; ++k) {
    for (uint32_t j = 0; j < batch; ++j) parts[k].push_back({k, step * batch + j});
  }
  return parts;
}

std::vector<Part> PooledStep(size_t sites, uint32_t batch, uint64_t step) {
  WEFT_CHECK(batch % 2 == 0);
  std::vector<Part> parts(2);
  for (uint32_t j = 0; j < batch; ++j) {
    const uint64_t sample = step * batch + j;
    parts[j % 2].push_back({sample % sites, sample / sites});
  }
  return parts;
}

absl::StatusOr<ParameterVector> TrainTogether(const TogetherOptions& options,
                                              const ParameterVector& initial) {
  std::vector<std::unique_ptr<Replica>> replicas;
  for (int i = 0; i < options.threads; ++i) {
    absl::StatusOr<std::unique_ptr<Transformer>> model = Transformer::Create(options.model);
    if (!model.ok()) return model.status();
    replicas.push_back(std::make_unique<Replica>(options, *std::move(model)));
  }
  ParameterVector w = initial.Clone(), gradient(initial.size());
  AdamW optimizer(replicas.front()->layout());
  testing::WorkerThreads threads(options.threads);
  for (uint64_t step = 0; step < options.steps; ++step) {
    const std::vector<Part> parts = options.parts(step);
    std::vector<Gradient> gradients(parts.size());
    std::vector<std::future<void>> work;
    for (size_t i = 0; i < replicas.size(); ++i) {
      work.push_back(threads.Do([&, i] {
        SetComputeThreads(1);
        replicas[i]->Load(w.span());
        for (size_t p = i; p < parts.size(); p += replicas.size()) {
          replicas[i]->Compute(parts[p], &gradients[p]);
        }
      }));
    }
    for (std::future<void>& one : work) one.get();
    const double loss = MeanOf(gradients, gradient.span());
    const double norm = std::sqrt(kernels::SquaredDistance(gradient.data(), nullptr, w.size()));
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      return absl::OutOfRangeError(
          absl::StrCat("training diverged at step ", step, ": loss ", loss, ", gradient ", norm));
    }
    const double clip = options.training.gradient_clip();
    InnerStep inner;
    inner.learning_rate = LearningRate(options.training, step, options.steps);
    inner.gradient_scale = clip > 0 && norm > clip ? clip / norm : 1;
    inner.gradient = gradient.data();
    inner.w = w.data();
    optimizer.Step(options.training, inner);
    if (options.progress) options.progress(step + 1, loss);
  }
  return w;
}

}  // namespace weft::comparison
