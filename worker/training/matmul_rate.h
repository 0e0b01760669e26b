// What the machine's matrix products reach: the floor that a training step is held against.
#ifndef WEFT_WORKER_TRAINING_MATMUL_RATE_H_
#define WEFT_WORKER_TRAINING_MATMUL_RATE_H_

#include <cstdint>

namespace weft {

// Floating-point operations a second of the fp32 product [m, k] x [k, n] with the threads that are
// set: the best of a few tries of the model's product (model/matmul.h) and of LibTorch's own, so
// that the floor does not fall with a bad choice of ours.
double MatmulRate(int64_t m, int64_t k, int64_t n);

}  // namespace weft

#endif  // WEFT_WORKER_TRAINING_MATMUL_RATE_H_
