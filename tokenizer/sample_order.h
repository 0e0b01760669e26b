// The order in which a site reads its samples: a keyed permutation of [0, n) for each epoch,
// computed, not stored. It is stateless, resumable, and independent of the number of ranks.
//
// Version 1: a Feistel network of 6 rounds over the smallest even number of bits that holds n,
// cycle-walked into [0, n) (Black and Rogaway 2002, section 4); round function: the first
// half-width bits of SipHash-2-4 of (round, half), keyed by the first 16 bytes of
// SHA-256("weft-sample-order-1" | u64 seed | u64 epoch | key). Thread-safe: immutable.
//
//   SampleOrder order(seed, "site-a", sample_count);
//   uint64_t sample = order.At(position);   // position counts samples since the run began; epoch =
//   position / n
#ifndef WEFT_TOKENIZER_SAMPLE_ORDER_H_
#define WEFT_TOKENIZER_SAMPLE_ORDER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace weft {

inline constexpr int kSampleOrderVersion = 1;

class SampleOrder {
 public:
  // Requires sample_count >= 1.
  SampleOrder(uint64_t seed, absl::string_view key, uint64_t sample_count);
  uint64_t At(uint64_t position) const;

 private:
  uint64_t seed_;
  std::string key_;
  uint64_t sample_count_;
  int half_bits_;
};

}  // namespace weft

#endif  // WEFT_TOKENIZER_SAMPLE_ORDER_H_
