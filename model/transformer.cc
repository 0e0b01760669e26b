#include "model/transformer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/formats/huggingface.h"
#include "model/linear_cross_entropy.h"
#include "model/matmul.h"
#include "model/transformer_graph.h"
#include "proto/check.h"

namespace weft {

struct Transformer::Parts {
  Parts(const ModelConfig& c, ParameterLayout l, at::Device device)
      : config(c), layout(std::move(l)), graph(config, layout, device) {}
  ModelConfig config;
  ParameterLayout layout;
  Graph graph;
};

struct KeyValueCache::Parts {
  std::vector<LayerCache> layers;
  int64_t batch;
  int64_t length;
};

KeyValueCache::KeyValueCache(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
KeyValueCache::~KeyValueCache() = default;
int KeyValueCache::length() const { return static_cast<int>(parts_->length); }

namespace {

// int64 [batch, length] on the device. An id outside the vocabulary would read another tensor's
// memory.
at::Tensor IdTensor(absl::Span<const int32_t> ids, int64_t batch, int64_t length,
                    const ModelConfig& config, at::Device device) {
  WEFT_CHECK(batch >= 1 && length >= 1 && static_cast<int64_t>(ids.size()) == batch * length);
  at::Tensor tensor = at::empty({batch, length}, at::TensorOptions().dtype(at::kLong));
  int64_t* out = tensor.mutable_data_ptr<int64_t>();
  for (size_t i = 0; i < ids.size(); ++i) {
    WEFT_CHECK(ids[i] >= 0 && static_cast<uint32_t>(ids[i]) < config.vocabulary_size());
    out[i] = ids[i];
  }
  return tensor.to(device);
}

std::vector<float> ToHost(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const float* begin = host.const_data_ptr<float>();
  return std::vector<float>(begin, begin + host.numel());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Create(const ModelConfig& config,
                                                                 Device device) {
  if (absl::Status status = CheckModelConfig(config); !status.ok()) return status;
  absl::StatusOr<ParameterLayout> layout = TransformerLayout(config);
  if (!layout.ok()) return layout.status();
  const uint64_t elements = layout->element_count();
  if (device == Device::kCuda && !at::hasCUDA()) {
    return absl::UnavailableError(
        "no CUDA device: this program was built without CUDA (preset cuda), or the machine has no "
        "GPU or driver; choose the CPU");
  }
  try {
    auto parts = std::make_unique<Parts>(
        config, *std::move(layout), at::Device(device == Device::kCuda ? at::kCUDA : at::kCPU));
    return std::unique_ptr<Transformer>(new Transformer(std::move(parts)));
  } catch (const c10::Error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot make a transformer of ", elements, " parameters (", 8 * elements,
        " bytes with gradients) on the ", device == Device::kCuda ? "CUDA device" : "CPU", ": ",
        error.what_without_backtrace()));
  }
}

Transformer::Transformer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Transformer::~Transformer() = default;

const ModelConfig& Transformer::config() const { return parts_->config; }
const ParameterLayout& Transformer::layout() const { return parts_->layout; }
float* Transformer::parameters() { return parts_->graph.parameters().mutable_data_ptr<float>(); }
float* Transformer::gradients() { return parts_->graph.gradients().mutable_data_ptr<float>(); }

void Transformer::LoadParameters(absl::Span<const float> vector) {
  WEFT_CHECK(vector.size() == layout().element_count());
  at::NoGradGuard no_gradients;
  at::Tensor host = at::empty({static_cast<int64_t>(vector.size())}, at::kFloat);
  std::memcpy(host.mutable_data_ptr<float>(), vector.data(), vector.size() * sizeof(float));
  parts_->graph.parameters().copy_(host);
}

void Transformer::StoreParameters(absl::Span<float> vector) const {
  WEFT_CHECK(vector.size() == layout().element_count());
  const at::Tensor host = parts_->graph.parameters().to(at::kCPU);
  std::memcpy(vector.data(), host.const_data_ptr<float>(), vector.size() * sizeof(float));
}

float Transformer::LossAndGradients(absl::Span<const int32_t> tokens,
                                    absl::Span<const int32_t> targets, int batch, int length) {
  Graph& graph = parts_->graph;
  const at::Tensor input = IdTensor(tokens, batch, length, config(), graph.device());
  const at::Tensor wanted = IdTensor(targets, batch, length, config(), graph.device()).view({-1});
  graph.gradients().zero_();
  const at::Tensor hidden = graph.Hidden(input);
  at::Tensor hidden_gradient;
  const float loss = LinearCrossEntropy(hidden.detach(), graph.head().detach(), wanted,
                                        &hidden_gradient, &graph.head_gradient());
  hidden.backward(hidden_gradient);
  return loss;
}

std::vector<float> Transformer::TargetLogProbabilities(absl::Span<const int32_t> tokens,
                                                       absl::Span<const int32_t> targets, int batch,
                                                       int length) {
  at::NoGradGuard no_gradients;
  Graph& graph = parts_->graph;
  const at::Tensor input = IdTensor(tokens, batch, length, config(), graph.device());
  const at::Tensor wanted = IdTensor(targets, batch, length, config(), graph.device()).view({-1});
  return ToHost(LinearLogProbabilities(graph.Hidden(input), graph.head(), wanted));
}

std::vector<float> Transformer::Logits(absl::Span<const int32_t> tokens) {
  at::NoGradGuard no_gradients;
  Graph& graph = parts_->graph;
  const int64_t length = static_cast<int64_t>(tokens.size());
  const at::Tensor input = IdTensor(tokens, 1, length, config(), graph.device());
  return ToHost(at::linear(graph.Hidden(input), graph.head()));
}

std::unique_ptr<KeyValueCache> Transformer::NewCache(int batch) const {
  at::NoGradGuard no_gradients;
  auto parts = std::make_unique<KeyValueCache::Parts>(
      KeyValueCache::Parts{parts_->graph.NewCaches(batch), batch, 0});
  return std::unique_ptr<KeyValueCache>(new KeyValueCache(std::move(parts)));
}

std::vector<float> Transformer::NextLogits(absl::Span<const int32_t> tokens, KeyValueCache* cache) {
  at::NoGradGuard no_gradients;
  Graph& graph = parts_->graph;
  KeyValueCache::Parts& seen = *cache->parts_;
  const int64_t length = static_cast<int64_t>(tokens.size()) / seen.batch;
  const at::Tensor input = IdTensor(tokens, seen.batch, length, config(), graph.device());
  const at::Tensor hidden = graph.Hidden(input, &seen.layers, seen.length);
  seen.length += length;
  const at::Tensor last = hidden.view({seen.batch, length, -1}).select(1, length - 1);
  return ToHost(at::linear(last, graph.head()));
}

void SetComputeThreads(int threads) {
  WEFT_CHECK(threads >= 1);
  at::set_num_threads(threads);
  if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);  // may be set only once
}

const char* ComputeLibrary() { return MatMulLibrary(); }

}  // namespace weft
