#include "tokenizer/sample_order.h"

#include <array>
#include <bit>
#include <cstring>

#include "proto/check.h"
#include "proto/digest.h"

namespace weft {
namespace {

constexpr int kRounds = 6;

struct SipKey {
  uint64_t low;
  uint64_t high;
};

void AppendLittleEndian(uint64_t value, std::string* bytes) {
  for (int i = 0; i < 8; ++i) bytes->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t LoadLittleEndian(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void Compress(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

// SipHash-2-4 of the sixteen bytes u64 a | u64 b (section 2 of the paper: the last word holds the
// length, 16).
uint64_t SipHash(const SipKey& key, uint64_t a, uint64_t b) {
  SipState state{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d,
                 key.low ^ 0x6c7967656e657261, key.high ^ 0x7465646279746573};
  state.Compress(a);
  state.Compress(b);
  state.Compress(uint64_t{16} << 56);
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

SipKey EpochKey(uint64_t seed, uint64_t epoch, absl::string_view key) {
  std::string bytes = "weft-sample-order-1";
  AppendLittleEndian(seed, &bytes);
  AppendLittleEndian(epoch, &bytes);
  bytes.append(key.data(), key.size());
  const Digest digest = Sha256(bytes);
  return {LoadLittleEndian(digest.data()), LoadLittleEndian(digest.data() + 8)};
}

uint64_t Feistel(const SipKey& key, int half_bits, uint64_t value) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = value >> half_bits;
  uint64_t right = value & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ (SipHash(key, round, right) & mask);
    left = right;
    right = next;
  }
  return left << half_bits | right;
}

}  // namespace

SampleOrder::SampleOrder(uint64_t seed, absl::string_view key, uint64_t sample_count)
    : seed_(seed), key_(key), sample_count_(sample_count), half_bits_(1) {
  WEFT_CHECK(sample_count >= 1);
  while (half_bits_ < 32 && (sample_count - 1) >> (2 * half_bits_) != 0) ++half_bits_;
}

uint64_t SampleOrder::At(uint64_t position) const {
  const SipKey key = EpochKey(seed_, position / sample_count_, key_);
  uint64_t value = position % sample_count_;
  // The network's domain is at most four times [0, n), so the walk is short; it ends because it
  // follows a cycle of a permutation that began inside.
  do {
    value = Feistel(key, half_bits_, value);
  } while (value >= sample_count_);
  return value;
}

}  // namespace weft
