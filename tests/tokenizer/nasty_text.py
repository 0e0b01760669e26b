"""Strings that tokenizers get wrong, and text in many scripts to train on. All of it follows from a seed."""

import json
import os
import pathlib
import random

SCRIPTS = {
    "Latin": "abcdefghijklmnopqrstuvwxyzäöüßéèłżçñ",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщьюяії",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي" + "\u064e\u064f\u0650\u0651",
    "Devanagari": "अआइईकखगघचजटडतदनपबमयरलवशसह" + "\u093e\u093f\u0940\u0947\u094b\u094d\u0902",
    "Han": "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可",
    "Hangul": "가나다라마바사아자차카타파하고노도로모보소오조초코토포호기니디리미비시이지",
    "Kana": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
}

HAND_MADE = [
    "", " ", "  ", "a", " a", "a ", "  a  b   ", "\t", "\t\t a\t", "\n", "\n\n\n", "a\nb", " \n ", "\r\n", "a\r\n\r\nb", "\n a",
    "Guten Morgen, Welt!", "3.14159 and 1234567890", "x" * 20000, "ab" * 5000, "é" * 3000, "字" * 3000, " " * 5000, "\n" * 3000,
    "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣", "e\u0301", "é", "a" + "\u0300\u0301\u0302\u0303" * 40, "Z̸͖͆a̷̓l̴͈̆g̶̔o̵͝",
    "\u200b", "\u200d", "\ufeff", "\u00a0", "\u3000", "\u2028\u2029", "\x00", "a\x00b", "\x01\x02\x1f\x7f", "\x85",
    "\u2581", "a\u2581b", "\u2581 \u2581", "ﬁ ﬂ Å Ω ½", "İıſẞ", "שלום", "\u202eabc\u202c", "नमस्ते दुनिया", "क्षत्रिय", "السَّلامُ عليكم", "你好，世界。", "こんにちは世界", "안녕하세요",
    "ᄒ" + "ᅡ" + "ᆫ", "\U0010ffff", "\uffff\ufffe", "\U000e0001", "\ue000", "\ufffd", "𝕳𝖊𝖑𝖑𝖔", "𐍈",
    "<0x41>", "<0x0A>", "<0xE2><0x96><0x81>", "[INST] <|im_start|>", "< s>", "<s", "/s>", "<unk", "__label__", "▁▁a", "http://a.example/?q=%20&x=1#y",
]


def _word(rng, letters, longest):
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, longest)))


def multi_script_lines(seed, count):
    """Lines of words in one script each, the words drawn from a list, so that there are pieces to learn."""
    rng = random.Random(seed)
    words = {name: [_word(rng, letters, 9) for _ in range(150)] for name, letters in SCRIPTS.items()}
    lines = []
    for _ in range(count):
        chosen = words[rng.choice(sorted(words))]
        lines.append(" ".join(rng.choice(chosen) for _ in range(rng.randint(3, 25))) + rng.choice([".", "!", " 12.", "…"]))
    return lines


def repetitive_lines(seed, count):
    """Lines of very few letters: many pieces that can be split in several ways."""
    rng = random.Random(seed)
    return ["".join(rng.choice("aaab ") * rng.randint(1, 6) for _ in range(rng.randint(5, 40))).strip() or "a"
            for _ in range(count)]


def corpus_lines(each):
    """Lines of real text in twelve languages, `each` of each; none where the machine has no such text."""
    lines = []
    for folder in sorted(pathlib.Path(os.environ.get("WEFT_DATA", "."), "fedcorpus").glob("*/")):
        found = []
        for file in sorted(folder.iterdir()):
            with open(file, encoding="utf-8") as handle:
                for line, _ in zip(handle, range(each)):
                    found.append(json.loads(line)["text"][:800] if file.suffix == ".jsonl" else line.rstrip("\n"))
        lines += found[:: max(1, len(found) // each)][:each]
    return lines


def _random_string(rng):
    kind = rng.randrange(7)
    length = rng.randint(1, 60)
    if kind == 0:  # any code points
        return "".join(chr(rng.choice([rng.randrange(0x80), rng.randrange(0xd800), rng.randrange(0xe000, 0x110000)]))
                       for _ in range(length))
    if kind == 1:  # runs
        return "".join(rng.choice("aab \n\t。字é") * rng.randint(1, 30) for _ in range(rng.randint(1, 12)))
    if kind == 2:  # few letters: every way of splitting a piece meets every other
        return "".join(rng.choice("aab ") for _ in range(length * 3))
    if kind == 3:  # white space and controls between letters
        return "".join(rng.choice(" \t\n\r\x00\x0b\x0c\x1b\u00a0\u200d\u2003abc") for _ in range(length))
    if kind == 4:  # emoji, joiners, selectors, combining marks
        return "".join(rng.choice("👨👩👧🏽👍🇩🇪\u200d\ufe0f\u20e3\u0301\u0323e1") for _ in range(length))
    if kind == 5:  # scripts mixed
        return "".join(rng.choice(rng.choice(sorted(SCRIPTS.values()))) + rng.choice(["", "", " "]) for _ in range(length))
    return "".join(rng.choice("0123456789.,-+eE ") for _ in range(length))


def nasty_strings(seed, count):
    rng = random.Random(seed)
    runs = [letter * length + tail for letter in "ab \t0é字👍" for length in list(range(1, 40)) + [63, 64, 65, 127, 128, 129, 1000]
            for tail in ("", "b")]
    return HAND_MADE + runs + [_random_string(rng) for _ in range(count)]
