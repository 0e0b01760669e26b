"""Prints the golden values of initialize_parameters_test.cc, from the definition in initialize_parameters.cc."""
import hashlib
import math
import struct

MASK = (1 << 64) - 1


def split_mix_64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def draw(seed, name, element):
    text = b"weft-init-1" + struct.pack("<Q", seed) + name.encode()
    key = struct.unpack("<Q", hashlib.sha256(text).digest()[:8])[0]
    attempt = 0
    while True:
        bits = split_mix_64((key + (attempt << 40) + element) & MASK)
        x = 2 * (2 * ((bits >> 32) / 2**32) - 1)
        if (bits & 0xFFFFFFFF) / 2**32 < math.exp(-x * x / 2):
            return struct.unpack("f", struct.pack("f", 0.02 * x))[0]
        attempt += 1


print(["%.9g" % draw(7, "model.embed_tokens.weight", i) for i in range(6)])
print(["%.9g" % draw(7, "lm_head.weight", i) for i in range(3)])
