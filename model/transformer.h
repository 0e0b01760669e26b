// The transformer of the releases (Qwen3 form with QK-norm, Llama form without) over flat buffers:
// every weight is a view into one parameter vector, every gradient a view into one gradient vector,
// in layout order.
//
// Pre-RMSNorm in fp32, per-head QK-norm before RoPE, half-split RoPE, grouped-query causal
// attention, SwiGLU, no biases.
//
//   auto model = Transformer::Create(config);
//   (*model)->LoadParameters(vector);
//   float loss = (*model)->LossAndGradients(tokens, targets, batch, length);   // gradients() then
//   holds them, flat
//
// One thread at a time. Equal calls give equal bits for a fixed number of threads and one machine.
// LibTorch's exceptions become Status in Create; within a step they are our own mistakes and stop
// the program with LibTorch's message. So do token ids outside the vocabulary and lengths above the
// context: callers check what the world gave them.
#ifndef WEFT_MODEL_TRANSFORMER_H_
#define WEFT_MODEL_TRANSFORMER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/parameters/parameter_layout.h"
#include "proto/run_manifest.pb.h"

namespace weft {

enum class Device { kCpu, kCuda };

// Keys and values of the tokens seen so far, for generation and scoring in pieces.
class KeyValueCache {
 public:
  ~KeyValueCache();
  KeyValueCache(const KeyValueCache&) = delete;
  KeyValueCache& operator=(const KeyValueCache&) = delete;
  int length() const;  // tokens seen, of each row of the batch

 private:
  friend class Transformer;
  struct Parts;
  explicit KeyValueCache(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

class Transformer {
 public:
  // InvalidArgument when the config is out of range; ResourceExhausted or Unavailable with
  // LibTorch's words when the device is not there or has no room.
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const ModelConfig& config,
                                                             Device device = Device::kCpu);
  ~Transformer();

  const ModelConfig& config() const;
  const ParameterLayout& layout() const;

  // The flat fp32 buffers, layout().element_count() elements, on the device.
  float* parameters();
  float* gradients();
  // Copies from or to host memory of element_count() floats.
  void LoadParameters(absl::Span<const float> vector);
  void StoreParameters(absl::Span<float> vector) const;

  // tokens and targets: batch x length, row-major. Sets the gradients to those of the mean
  // cross-entropy and returns it, in nats per token.
  float LossAndGradients(absl::Span<const int32_t> tokens, absl::Span<const int32_t> targets,
                         int batch, int length);

  // log-probabilities (natural) of targets[i] given tokens[..i], without gradients: batch x length
  // values.
  std::vector<float> TargetLogProbabilities(absl::Span<const int32_t> tokens,
                                            absl::Span<const int32_t> targets, int batch,
                                            int length);

  // Logits of every position: length x vocabulary values, fp32. For parity checks and generation.
  std::vector<float> Logits(absl::Span<const int32_t> tokens);

  // Feeds tokens (batch x as many as there are, row-major) after those in the cache, and returns
  // the logits of the last one of each row: batch x vocabulary values.
  std::unique_ptr<KeyValueCache> NewCache(int batch = 1) const;
  std::vector<float> NextLogits(absl::Span<const int32_t> tokens, KeyValueCache* cache);

 private:
  struct Parts;
  explicit Transformer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Truncated normal, standard deviation 0.02 before it is cut at two deviations, for matrices; ones
// for norms. Drawn by a generator of our own keyed by (seed, tensor name, element), so the same
// vector comes out everywhere.
void InitializeParameters(const ParameterLayout& layout, uint64_t seed, absl::Span<float> vector);

// Threads that LibTorch may use for one operation. Once, at the start of a program.
void SetComputeThreads(int threads);

// What matrix products on this machine's CPU are computed by, for a program to say: "oneDNN" or
// "LibTorch's default".
const char* ComputeLibrary();

}  // namespace weft

#endif  // WEFT_MODEL_TRANSFORMER_H_
