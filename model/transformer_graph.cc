#include "model/transformer_graph.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/fused.h"
#include "proto/check.h"

namespace weft {
namespace {

at::TensorOptions Floats(at::Device device) {
  return at::TensorOptions().dtype(at::kFloat).device(device);
}

// Angles as transformers computes them, in fp32: position * theta^(-2i / head_dim) (Su et al. 2021,
// section 3.4.2).
std::pair<at::Tensor, at::Tensor> RopeTables(double theta, int64_t length, int64_t head_dimension) {
  const int64_t half = head_dimension / 2;
  at::Tensor cosine = at::empty({length, half}, Floats(at::kCPU));
  at::Tensor sine = at::empty({length, half}, Floats(at::kCPU));
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dimension);
    const float frequency = 1.0f / std::pow(static_cast<float>(theta), exponent);
    for (int64_t position = 0; position < length; ++position) {
      const float angle = static_cast<float>(position) * frequency;
      cosine.mutable_data_ptr<float>()[position * half + i] = std::cos(angle);
      sine.mutable_data_ptr<float>()[position * half + i] = std::sin(angle);
    }
  }
  return {cosine, sine};
}

// Query t of this call may see the `past` keys and those of this call up to its own: [length, past
// + length].
at::Tensor CausalMask(int64_t length, int64_t past, at::Device device) {
  at::Tensor mask = at::zeros({length, past + length}, at::TensorOptions().dtype(at::kBool));
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t key = 0; key <= past + t; ++key) {
      mask.mutable_data_ptr<bool>()[t * (past + length) + key] = true;
    }
  }
  return mask.to(device);
}

}  // namespace

Graph::Graph(const ModelConfig& config, const ParameterLayout& layout, at::Device device)
    : heads_(config.attention_heads()),
      kv_heads_(config.key_value_heads()),
      head_dimension_(config.head_dimension()),
      hidden_(config.hidden_size()),
      context_length_(config.context_length()),
      epsilon_(config.norm_epsilon()) {
  const int64_t elements = static_cast<int64_t>(layout.element_count());
  parameters_ = at::zeros({elements}, Floats(device));
  gradients_ = at::zeros({elements}, Floats(device));
  const int64_t d = hidden_, f = config.intermediate_size();
  embedding_ = View(layout, "model.embed_tokens.weight", 1, {-1, d});
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    const std::string prefix = absl::StrCat("model.layers.", i, ".");
    const std::string attention = prefix + "self_attn.";
    LayerWeights layer;
    layer.input_norm = View(layout, prefix + "input_layernorm.weight", 1, {d});
    layer.qkv = View(layout, attention + "q_proj.weight", 3,
                     {(heads_ + 2 * kv_heads_) * head_dimension_, d});
    layer.output = View(layout, attention + "o_proj.weight", 1, {d, heads_ * head_dimension_});
    if (config.qk_norm()) {
      layer.q_norm = View(layout, attention + "q_norm.weight", 1, {head_dimension_});
      layer.k_norm = View(layout, attention + "k_norm.weight", 1, {head_dimension_});
    }
    layer.mlp_norm = View(layout, prefix + "post_attention_layernorm.weight", 1, {d});
    layer.gate_up = View(layout, prefix + "mlp.gate_proj.weight", 2, {2 * f, d});
    layer.down = View(layout, prefix + "mlp.down_proj.weight", 1, {d, f});
    layers_.push_back(std::move(layer));
  }
  final_norm_ = View(layout, "model.norm.weight", 1, {d});
  head_ = config.tied_embeddings() ? embedding_ : View(layout, "lm_head.weight", 1, {-1, d});
  std::tie(cosine_, sine_) = RopeTables(config.rope_theta(), context_length_, head_dimension_);
  cosine_ = cosine_.to(device);
  sine_ = sine_.to(device);
}

// A leaf over `tensor_count` tensors of the layout, from `first` on. Its gradient is set beforehand
// to the same range of the gradient vector, and LibTorch then adds in place.
at::Tensor Graph::View(const ParameterLayout& layout, const std::string& first, int tensor_count,
                       std::vector<int64_t> shape) {
  const TensorSpec* begin = layout.Find(first);
  WEFT_CHECK(begin != nullptr);
  int64_t size = 0;
  for (int i = 0; i < tensor_count; ++i) size += static_cast<int64_t>(begin[i].size);
  const int64_t offset = static_cast<int64_t>(begin->offset);
  at::Tensor leaf = parameters_.narrow(0, offset, size).view(shape).detach();
  leaf.set_requires_grad(true);
  leaf.mutable_grad() = gradients_.narrow(0, offset, size).view(shape).detach();
  return leaf;
}

at::Tensor Graph::Attention(const LayerWeights& layer, const at::Tensor& x, int64_t batch,
                            int64_t length, LayerCache* cache, int64_t past) const {
  const at::Tensor projected =
      Linear(x, layer.qkv).view({batch, length, heads_ + 2 * kv_heads_, head_dimension_});
  const HeadShape shape{heads_, kv_heads_, epsilon_};
  const at::Tensor turned =
      NormAndRotateHeads(projected, layer.q_norm, layer.k_norm, cosine_.narrow(0, past, length),
                         sine_.narrow(0, past, length), shape);
  // [B, L, heads, D] -> [B, heads, L, D], without a copy: the attention kernels take strides.
  const at::Tensor heads = turned.transpose(1, 2);
  const at::Tensor q = heads.narrow(1, 0, heads_);
  at::Tensor k = heads.narrow(1, heads_, kv_heads_);
  at::Tensor v = heads.narrow(1, heads_ + kv_heads_, kv_heads_);
  std::optional<at::Tensor> mask;
  if (cache != nullptr) {
    cache->keys.narrow(2, past, length).copy_(k);
    cache->values.narrow(2, past, length).copy_(v);
    k = cache->keys.narrow(2, 0, past + length);
    v = cache->values.narrow(2, 0, past + length);
    if (length > 1) mask = CausalMask(length, past, x.device());
  }
  const bool causal = cache == nullptr && length > 1;
  const at::Tensor mixed = at::scaled_dot_product_attention(
      q, k, v, mask, /*dropout_p=*/0.0, causal, std::nullopt, /*enable_gqa=*/heads_ != kv_heads_);
  return mixed.transpose(1, 2).reshape({batch * length, heads_ * head_dimension_});
}

at::Tensor Graph::Hidden(const at::Tensor& tokens, std::vector<LayerCache>* caches,
                         int64_t past) const {
  const int64_t batch = tokens.size(0), length = tokens.size(1);
  WEFT_CHECK(past + length <= context_length_);
  at::Tensor x = at::embedding(embedding_, tokens).view({batch * length, hidden_});
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerWeights& layer = layers_[i];
    LayerCache* cache = caches == nullptr ? nullptr : &(*caches)[i];
    const at::Tensor attended =
        Attention(layer, RmsNorm(x, layer.input_norm, epsilon_), batch, length, cache, past);
    x = Linear(attended, layer.output, x);
    const at::Tensor normed = RmsNorm(x, layer.mlp_norm, epsilon_);
    x = Linear(SwiGlu(Linear(normed, layer.gate_up)), layer.down, x);
  }
  return RmsNorm(x, final_norm_, epsilon_);
}

std::vector<LayerCache> Graph::NewCaches(int64_t batch) const {
  std::vector<LayerCache> caches(layers_.size());
  for (LayerCache& cache : caches) {
    cache.keys = at::zeros({batch, kv_heads_, context_length_, head_dimension_}, Floats(device()));
    cache.values = at::zeros_like(cache.keys);
  }
  return caches;
}

}  // namespace weft
