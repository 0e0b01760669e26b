// The CUDA back ends against the reference, bit for bit. Built with WEFT_CUDA; needs a device.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/optimizer_step_cuda.h"
#include "kernels/quantize.h"
#include "kernels/quantize_cuda.h"
#include "kernels/vector_ops.h"
#include "kernels/vector_ops_cuda.h"
#include "tests/kernels/back_ends.h"

namespace weft::kernels {
namespace {

using testing::AwkwardNumbers;
using testing::ExpectSameBits;
using testing::Lengths;

// A copy of an array on the device.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& host) : size_(host.size()) {
    EXPECT_EQ(cudaMalloc(&data_, (size_ + 1) * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, host.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  T* data() { return static_cast<T*>(data_); }
  std::vector<T> Back() const {
    std::vector<T> host(size_);
    EXPECT_EQ(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return host;
  }

 private:
  size_t size_;
  void* data_ = nullptr;
};

class CudaKernels : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
      GTEST_SKIP() << "no CUDA device on this machine";
    }
  }
};

TEST_F(CudaKernels, VectorOpsHaveTheBitsOfTheReference) {
  for (const size_t n : Lengths()) {
    const std::vector<float> x = AwkwardNumbers(n, 1), y = AwkwardNumbers(n, 2);
    OnDevice<float> dx(x), dy(y);
    const std::vector<float> start = AwkwardNumbers(n, 3);
    std::vector<double> sum(start.begin(), start.end());
    OnDevice<double> dsum(sum), distance({0.0, 0.0});
    ASSERT_EQ(cuda::AccumulateWeighted(1.0 / 3, dx.data(), n, dsum.data(), nullptr), cudaSuccess);
    reference::AccumulateWeighted(1.0 / 3, x.data(), n, sum.data());
    ExpectSameBits(dsum.Back(), sum);
    ASSERT_EQ(cuda::SquaredDistance(dx.data(), dy.data(), n, distance.data(), nullptr),
              cudaSuccess);
    ASSERT_EQ(cuda::SquaredDistance(dx.data(), nullptr, n, distance.data() + 1, nullptr),
              cudaSuccess);
    ExpectSameBits(distance.Back(), {reference::SquaredDistance(x.data(), y.data(), n),
                                     reference::SquaredDistance(x.data(), nullptr, n)});
    std::vector<float> scaled = x;
    ASSERT_EQ(cuda::Scale(0.3f, dx.data(), n, nullptr), cudaSuccess);
    reference::Scale(0.3f, scaled.data(), n);
    ExpectSameBits(dx.Back(), scaled);
  }
}

TEST_F(CudaKernels, FirstNotFiniteIsTheFirst) {
  for (const size_t n : {size_t{1}, size_t{33}, size_t{1000003}}) {
    std::vector<float> x = AwkwardNumbers(n, 4);
    OnDevice<uint64_t> result({uint64_t{0}});
    OnDevice<float> finite(x);
    ASSERT_EQ(cuda::FirstNotFinite(finite.data(), n, result.data(), nullptr), cudaSuccess);
    EXPECT_EQ(result.Back()[0], n);
    x[n - 1] = std::nanf("");
    x[n / 2] = -INFINITY;
    OnDevice<float> spoilt(x);
    ASSERT_EQ(cuda::FirstNotFinite(spoilt.data(), n, result.data(), nullptr), cudaSuccess);
    EXPECT_EQ(result.Back()[0], n / 2);
  }
}

TEST_F(CudaKernels, DeltaBf16HasTheBitsOfTheReference) {
  for (const size_t n : Lengths()) {
    const std::vector<float> x = AwkwardNumbers(n, 5), base = AwkwardNumbers(n, 6);
    std::vector<uint16_t> delta(n);
    std::vector<float> decoded(n);
    OnDevice<float> dx(x), dbase(base);
    OnDevice<uint16_t> ddelta(delta);
    ASSERT_EQ(cuda::EncodeDeltaBf16(dx.data(), dbase.data(), n, ddelta.data(), nullptr),
              cudaSuccess);
    reference::EncodeDeltaBf16(x.data(), base.data(), n, delta.data());
    ExpectSameBits(ddelta.Back(), delta);
    ASSERT_EQ(cuda::DecodeDeltaBf16(ddelta.data(), dbase.data(), n, dx.data(), nullptr),
              cudaSuccess);
    reference::DecodeDeltaBf16(delta.data(), base.data(), n, decoded.data());
    ExpectSameBits(dx.Back(), decoded);
  }
}

TEST_F(CudaKernels, AdamWHasTheBitsOfTheReference) {
  for (const float rho : {0.0f, 0.7f}) {
    for (const size_t n : Lengths()) {
      std::vector<float> w = AwkwardNumbers(n, 7), m = AwkwardNumbers(n, 8, 0.01f);
      std::vector<float> v = AwkwardNumbers(n, 9, 0.01f), base = AwkwardNumbers(n, 10);
      for (float& x : v) x = std::abs(x);
      OnDevice<float> dw(w), dm(m), dv(v), dbase(base);
      for (uint64_t step = 1; step <= 3; ++step) {
        const std::vector<float> gradient = AwkwardNumbers(n, 20 + step);
        OnDevice<float> dg(gradient);
        const AdamWStep options{.learning_rate = 3e-3f,
                                .weight_decay = 0.1f,
                                .rho = rho,
                                .gradient_scale = 0.37f,
                                .step = step};
        ASSERT_EQ(cuda::AdamW(options, dg.data(), rho == 0 ? nullptr : dbase.data(), n, dw.data(),
                              dm.data(), dv.data(), nullptr),
                  cudaSuccess);
        reference::AdamW(options, gradient.data(), rho == 0 ? nullptr : base.data(), n, w.data(),
                         m.data(), v.data());
      }
      ExpectSameBits(dw.Back(), w);
      ExpectSameBits(dm.Back(), m);
      ExpectSameBits(dv.Back(), v);
    }
  }
}

}  // namespace
}  // namespace weft::kernels
