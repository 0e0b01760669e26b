// The order in which a site reads its samples: a keyed permutation of [0, n) for each epoch,
// computed, not stored. It is stateless, resumable, and independent of the number of ranks.
//
// Version 1: a balanced Feistel network of 6 rounds over 2b bits, b >= 1 the least for which n <=
// 2^(2b), cycle-walked into [0, n) (Black and Rogaway 2002, section 4). In round r = 0..5 the value
// (left << b | right) becomes (right << b | (left ^ F)), F = the low b bits of SipHash-2-4
// (Aumasson and Bernstein 2012) of u64 r | u64 right. The key of an epoch is the first 16 bytes of
// SHA-256("weft-sample-order-1" | u64 seed | u64 epoch | key). All integers little-endian.
// Thread-safe: immutable.
//
//   SampleOrder order(seed, "site-a", sample_count);
//   // Position counts samples since the run began; the epoch is position / sample_count.
//   uint64_t sample = order.At(position);
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
  // The sample, in [0, sample_count), that is read at this position.
  uint64_t At(uint64_t position) const;

 private:
  uint64_t seed_;
  std::string key_;
  uint64_t sample_count_;
  int half_bits_;
};

}  // namespace weft

#endif  // WEFT_TOKENIZER_SAMPLE_ORDER_H_
