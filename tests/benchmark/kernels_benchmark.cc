// Bytes a second of the kernels over arrays in memory and in the cache, each back end's best
// instruction set beside the reference; a copy of the same bytes is the floor.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/optimizer_step.h"
#include "kernels/quantize.h"
#include "kernels/quantize_blocks.h"
#include "kernels/vector_ops.h"

namespace weft::kernels {
namespace {

void SetBytes(benchmark::State& state, size_t bytes_per_element) {
  state.SetBytesProcessed(state.iterations() * state.range(0) *
                          static_cast<int64_t>(bytes_per_element));
}

void Copy(benchmark::State& state) {
  const size_t n = state.range(0);
  std::vector<float> x(n, 1), y(n);
  for (auto _ : state) {
    std::memcpy(y.data(), x.data(), n * sizeof(float));
    benchmark::ClobberMemory();
  }
  SetBytes(state, 8);
}

template <auto kFunction>
void Accumulate(benchmark::State& state) {
  const size_t n = state.range(0);
  const std::vector<float> x(n, 1);
  std::vector<double> sum(n);
  for (auto _ : state) {
    kFunction(0.5, x.data(), n, sum.data());
    benchmark::ClobberMemory();
  }
  SetBytes(state, 20);
}

template <auto kFunction>
void Distance(benchmark::State& state) {
  const size_t n = state.range(0);
  const std::vector<float> x(n, 1), y(n, 2);
  for (auto _ : state) benchmark::DoNotOptimize(kFunction(x.data(), y.data(), n));
  SetBytes(state, 8);
}

template <auto kFunction>
void Dot(benchmark::State& state) {
  const size_t n = state.range(0);
  const std::vector<double> x(n, 1), y(n, 2);
  double lane[8] = {};
  for (auto _ : state) {
    kFunction(x.data(), y.data(), n, lane);
    benchmark::ClobberMemory();
  }
  SetBytes(state, 16);
}

template <auto kFunction>
void Exchange(benchmark::State& state) {
  const size_t n = state.range(0);
  std::vector<double> low(n, 1), high(n, 2);
  for (auto _ : state) {
    kFunction(low.data(), high.data(), n);
    benchmark::ClobberMemory();
  }
  SetBytes(state, 32);
}

template <auto kFunction>
void Encode(benchmark::State& state) {
  const size_t n = state.range(0);
  const std::vector<float> x(n, 1), y(n, 2);
  std::vector<uint16_t> delta(n);
  for (auto _ : state) {
    kFunction(x.data(), y.data(), n, delta.data());
    benchmark::ClobberMemory();
  }
  SetBytes(state, 10);
}

// A small change of a vector, bell-shaped as training makes it: how long topk looks for its
// threshold depends on it.
struct Change {
  std::vector<float> base, x;
  explicit Change(size_t n) : base(n), x(n) {
    std::mt19937 random(1);
    for (size_t i = 0; i < n; ++i) {
      float sum = -4;
      for (int k = 0; k < 8; ++k) sum += static_cast<float>(random() & 0xffff) / 65536;
      base[i] = std::sin(static_cast<float>(i));
      x[i] = base[i] + 0.001f * sum;
    }
  }
};

template <auto kFunction, auto kBytes>
void EncodeBlocks(benchmark::State& state) {
  const size_t n = state.range(0);
  const Change change(n);
  std::vector<uint8_t> bytes(kBytes(n));
  for (auto _ : state) {
    kFunction(change.x.data(), change.base.data(), n, bytes.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(8 * n + bytes.size()));
}

template <auto kFunction, auto kEncode, auto kBytes>
void DecodeBlocks(benchmark::State& state) {
  const size_t n = state.range(0);
  Change change(n);
  std::vector<uint8_t> bytes(kBytes(n));
  kEncode(change.x.data(), change.base.data(), n, bytes.data());
  for (auto _ : state) {
    kFunction(bytes.data(), change.base.data(), n, change.x.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(8 * n + bytes.size()));
}

// topk_int4 at 3 %.
constexpr size_t kKept = 8;
size_t Topk8Bytes(size_t n) { return TopkBytes(n, kKept); }
template <auto kFunction>
size_t EncodeTopk8(const float* x, const float* base, size_t n, uint8_t* bytes) {
  return kFunction(x, base, n, kKept, bytes);
}
size_t DecodeTopk8(const uint8_t* bytes, const float* base, size_t n, float* x) {
  return DecodeTopkInt4(bytes, base, n, kKept, x);
}

template <auto kFunction>
void Step(benchmark::State& state) {
  const size_t n = state.range(0);
  const std::vector<float> gradient(n, 0.1f), base(n, 1);
  std::vector<float> w(n, 1), m(n), v(n);
  AdamWStep options{.learning_rate = 1e-3f, .weight_decay = 0.1f, .rho = 0.1f};
  for (auto _ : state) {
    kFunction(options, gradient.data(), base.data(), n, w.data(), m.data(), v.data());
    ++options.step;
  }
  SetBytes(state, 32);
}

#define SIZES Arg(1 << 14)->Arg(1 << 24)
BENCHMARK(Copy)->SIZES;
BENCHMARK(Accumulate<&AccumulateWeighted>)->SIZES;
BENCHMARK(Accumulate<&reference::AccumulateWeighted>)->SIZES;
BENCHMARK(Distance<&SquaredDistance>)->SIZES;
BENCHMARK(Distance<&reference::SquaredDistance>)->SIZES;
BENCHMARK(Dot<&AccumulateDot>)->SIZES;
BENCHMARK(Dot<&reference::AccumulateDot>)->SIZES;
BENCHMARK(Exchange<&CompareExchange>)->SIZES;
BENCHMARK(Exchange<&reference::CompareExchange>)->SIZES;
BENCHMARK(Encode<&EncodeDeltaBf16>)->SIZES;
BENCHMARK(Encode<&reference::EncodeDeltaBf16>)->SIZES;
BENCHMARK(EncodeBlocks<&EncodeDeltaInt8, &Int8Bytes>)->SIZES;
BENCHMARK(EncodeBlocks<&reference::EncodeDeltaInt8, &Int8Bytes>)->SIZES;
BENCHMARK(DecodeBlocks<&DecodeDeltaInt8, &EncodeDeltaInt8, &Int8Bytes>)->SIZES;
BENCHMARK(DecodeBlocks<&reference::DecodeDeltaInt8, &EncodeDeltaInt8, &Int8Bytes>)->SIZES;
BENCHMARK(EncodeBlocks<&EncodeDeltaInt4, &Int4Bytes>)->SIZES;
BENCHMARK(EncodeBlocks<&reference::EncodeDeltaInt4, &Int4Bytes>)->SIZES;
BENCHMARK(DecodeBlocks<&DecodeDeltaInt4, &EncodeDeltaInt4, &Int4Bytes>)->SIZES;
BENCHMARK(DecodeBlocks<&reference::DecodeDeltaInt4, &EncodeDeltaInt4, &Int4Bytes>)->SIZES;
BENCHMARK(EncodeBlocks<&EncodeTopk8<&EncodeTopkInt4>, &Topk8Bytes>)->SIZES;
BENCHMARK(EncodeBlocks<&EncodeTopk8<&reference::EncodeTopkInt4>, &Topk8Bytes>)->SIZES;
BENCHMARK(DecodeBlocks<&DecodeTopk8, &EncodeTopk8<&EncodeTopkInt4>, &Topk8Bytes>)->SIZES;
BENCHMARK(Step<&AdamW>)->SIZES;
BENCHMARK(Step<&reference::AdamW>)->SIZES;

}  // namespace
}  // namespace weft::kernels

BENCHMARK_MAIN();
