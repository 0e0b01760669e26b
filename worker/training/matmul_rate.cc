#include "worker/training/matmul_rate.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <chrono>

namespace weft {

double MatmulRate(int64_t m, int64_t k, int64_t n) {
  const at::Tensor a = at::rand({m, k});
  const at::Tensor b = at::rand({k, n});
  at::Tensor c = at::mm(a, b);  // the first one also warms up
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    at::mm_out(c, a, b);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2.0 * m * k * n / seconds.count());
  }
  return best;
}

}  // namespace weft
