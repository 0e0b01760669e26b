"""Sample order, version 1, written anew from the text in tokenizer/sample_order.h.

Prints the golden values of tests/tokenizer/sample_order_test.cc:  python3 tests/golden/sample_order.py
"""
import hashlib
import struct

MASK = 2**64 - 1


def siphash24(key, message):
    """Section 2 of Aumasson and Bernstein 2012, for messages of any length."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    padded = message + b"\0" * (7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def at(seed, key, n, position):
    epoch, value = divmod(position, n)
    digest = hashlib.sha256(b"weft-sample-order-1" + struct.pack("<QQ", seed, epoch) + key).digest()
    b = 1
    while n > 4**b:
        b += 1
    while True:
        left, right = value >> b, value % 2**b
        for r in range(6):
            left, right = right, left ^ siphash24(digest[:16], struct.pack("<QQ", r, right)) % 2**b
        value = left << b | right
        if value < n:
            return value


if __name__ == "__main__":
    # The paper's own vector (appendix A): key 00..0f, message 00..0e.
    assert siphash24(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5
    for seed, key, n, begin in [(1, "site-a", 10, 0), (1, "site-a", 10, 10), (7, "", 1, 5), (2**64 - 1, "b", 1000003, 999999),
                                (3, "s", 2**40 + 1, 0), (3, "s", 2**63 + 1, 0)]:
        values = [at(seed, key.encode(), n, begin + i) for i in range(10)]
        print(f'    {{{seed}u, "{key}", {n}u, {begin}u, {{{", ".join(f"{v}u" for v in values)}}}}},')
