"""delta_int8, delta_int4 and topk_int4, written anew with numpy from the text in kernels/quantize_blocks.h.

Prints the golden values of tests/kernels/quantize_blocks_test.cc:  python3 tests/golden/block_encodings.py
With a folder it writes the seeds of the fuzz target there:  python3 tests/golden/block_encodings.py tests/fuzz/corpus/encoded_elements
"""
import pathlib
import sys

import numpy as np

F = np.float32


def scale_of(largest, level, kept_bits):
    """largest / level, up to the next fp32 with so many high bits; 0 below the smallest normal number."""
    exact = F(largest) / F(level)
    if exact < np.finfo(F).tiny:
        return F(0)
    unit = 1 << (32 - kept_bits)
    return np.uint32(-(-int(exact.view(np.uint32)) // unit * unit)).view(F)


def levels_of(delta, scale):
    if scale == 0:
        return np.zeros(len(delta), np.int8)
    return np.rint(delta * (F(1) / scale)).astype(np.int8)


def nibbles(levels):
    padded = [int(v) % 16 for v in levels] + [0] * (len(levels) % 2)
    return bytes(low + 16 * high for low, high in zip(padded[::2], padded[1::2]))


def bf16(scale):
    return int(scale.view(np.uint32) >> 16).to_bytes(2, "little")


def int8(delta):
    scale = scale_of(abs(delta).max(), 127, 25)
    return scale.tobytes() + levels_of(delta, scale).tobytes()


def int4(delta):
    scale = scale_of(abs(delta).max(), 7, 16)
    return bf16(scale) + nibbles(levels_of(delta, scale))


def topk(kept):
    def encode(delta):
        scale = scale_of(abs(delta).max(), 7, 16)
        levels = levels_of(delta, scale)
        k = min(kept, len(delta))
        best = sorted(range(len(delta)), key=lambda i: (-abs(delta[i]), i))[:k]
        chosen = [i for i in best if levels[i] != 0]
        free = [i for i in range(len(delta)) if i not in chosen]
        chosen = sorted(chosen + free[:k - len(chosen)])
        return bf16(scale) + bytes(chosen) + nibbles([levels[i] if i in best else 0 for i in chosen])
    return encode


def encode(block, size, x, base):
    delta = x - base
    return b"".join(block(delta[i:i + size]) for i in range(0, len(delta), size))


def fnv1a(content):
    """FNV-1a of 64 bits, which the C++ test has in a line."""
    value = 0xCBF29CE484222325
    for byte in content:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def numbers(n, seed):
    """Exact in fp32, and the same in the C++ test: 24 bits of a generator, halved once more every 300 elements."""
    out, state = [], seed
    for i in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(((state >> 8) - 2**23) / 2**23 / 2 ** (i // 300))
    return np.array(out, F)


ENCODINGS = [("int8", int8, 256), ("int4", int4, 64), ("topk, 3 kept", topk(3), 256), ("topk, 64 kept", topk(64), 256)]


def seeds():
    """First byte: the encoding's number; second: kept - 1."""
    for name, block, size in ENCODINGS:
        number, kept = {"int8": (3, 0), "int4": (4, 0), "topk, 3 kept": (5, 3), "topk, 64 kept": (5, 64)}[name]
        for n in 5, 300:
            bytes_ = encode(block, size, numbers(n, 1), numbers(n, 2))
            yield f"{name.split(',')[0]}_{kept}_{n}", bytes([number, max(kept, 1) - 1]) + bytes_
    yield "fp32", bytes([1, 0]) + numbers(9, 1).tobytes()
    yield "bf16", bytes([2, 0]) + numbers(9, 1).view(np.uint16)[1::2].tobytes()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        folder = pathlib.Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            (folder / name).write_bytes(content)
        sys.exit()
    x, base = numbers(3000, 1), numbers(3000, 2)
    for name, block, size in ENCODINGS:
        whole = encode(block, size, x, base)
        print(f'{{"{encode(block, size, x[:5], base[:5]).hex()}", {len(whole)}, 0x{fnv1a(whole):016x}}},  // {name}')
