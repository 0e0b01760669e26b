// The transformer's forward pass in LibTorch operations, and the views of the flat buffers that it
// reads. Only transformer.cc includes this: LibTorch stops here.
//
//   Graph graph(config, layout, device);
//   at::Tensor hidden = graph.Hidden(tokens);                      // [B, L] -> [B * L, d], after
//   the last norm at::Tensor logits = at::linear(hidden, graph.head());
//
// With gradients on, backward() from `hidden` adds to the gradient views. One thread at a time.
#ifndef WEFT_MODEL_TRANSFORMER_GRAPH_H_
#define WEFT_MODEL_TRANSFORMER_GRAPH_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/parameters/parameter_layout.h"
#include "proto/run_manifest.pb.h"

namespace weft {

// Weights that follow each other in the layout and read the same input are one matrix here: one
// product instead of three (q, k, v) and two (gate, up).
struct LayerWeights {
  at::Tensor input_norm;
  at::Tensor qkv;     // [(heads + 2 kv heads) * head_dim, d]
  at::Tensor output;  // [d, heads * head_dim]
  at::Tensor q_norm;  // [head_dim], undefined without QK-norm
  at::Tensor k_norm;
  at::Tensor mlp_norm;
  at::Tensor gate_up;  // [2 f, d]
  at::Tensor down;     // [d, f]
};

// Keys and values of one layer, [B, kv heads, tokens, head_dim], room for the whole context.
struct LayerCache {
  at::Tensor keys;
  at::Tensor values;
};

class Graph {
 public:
  Graph(const ModelConfig& config, const ParameterLayout& layout, at::Device device);

  at::Tensor& parameters() { return parameters_; }  // flat
  at::Tensor& gradients() { return gradients_; }
  at::Device device() const { return parameters_.device(); }
  const at::Tensor& head() const { return head_; }  // [V, d]
  at::Tensor& head_gradient() { return head_.mutable_grad(); }

  // tokens: int64 [B, L] on the device. `caches`: null, or one of each layer holding `past` tokens;
  // those of this call are written after them.
  at::Tensor Hidden(const at::Tensor& tokens, std::vector<LayerCache>* caches = nullptr,
                    int64_t past = 0) const;
  std::vector<LayerCache> NewCaches(int64_t batch) const;

 private:
  at::Tensor View(const ParameterLayout& layout, const std::string& first, int tensor_count,
                  std::vector<int64_t> shape);
  at::Tensor Attention(const LayerWeights& layer, const at::Tensor& x, int64_t batch,
                       int64_t length, LayerCache* cache, int64_t past) const;

  int64_t heads_, kv_heads_, head_dimension_, hidden_, context_length_;
  double epsilon_;
  at::Tensor parameters_, gradients_;
  at::Tensor embedding_, final_norm_, head_;
  std::vector<LayerWeights> layers_;
  at::Tensor cosine_, sine_;  // [context, head_dim / 2]
};

}  // namespace weft

#endif  // WEFT_MODEL_TRANSFORMER_GRAPH_H_
