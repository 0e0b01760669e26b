#include "worker/training/matmul_rate.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>

#include "model/matmul.h"

namespace weft {

double MatmulRate(int64_t m, int64_t k, int64_t n) {
  const at::Tensor a = at::rand({m, k});
  const at::Tensor b = at::rand({k, n});
  at::Tensor c = at::mm(a, b);
  const auto best_of = [&](auto&& multiply) {
    multiply();  // warms up
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      multiply();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      best = std::max(best, 2.0 * m * k * n / seconds.count());
    }
    return best;
  };
  return std::max(best_of([&] { MatMul(a, b, /*beta=*/0, c); }),
                  best_of([&] { at::mm_out(c, a, b); }));
}

}  // namespace weft
