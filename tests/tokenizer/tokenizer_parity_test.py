"""What `weft-tokenizer` says and what other people's readers of its files say: the same ids, and the text again.

The reference is SentencePiece on tokenizer.model; tokenizer.json is read by Hugging Face's tokenizers, and the folder by
AutoTokenizer. WEFT_SEED replays other strings than the usual ones.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import nasty_text

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402

PROGRAM = os.path.join(os.environ["WEFT_BIN"], "weft-tokenizer")
SEED = int(os.environ.get("WEFT_SEED", "1"))
SPECIAL = re.compile("<unk>|<s>|</s>")  # the packages parse these; to us they are text


def run(*arguments, stdin=b""):
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, stdout=subprocess.PIPE, check=True).stdout


def json_lines(key, values):
    return b"".join(json.dumps({key: value}, ensure_ascii=False).encode() + b"\n" for value in values)


class TrainedOn:
    """A tokenizer folder, and its four readers."""

    def __init__(self, folder, lines, vocabulary):
        text = folder / "text.txt"
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.folder = folder / "tokenizer"
        run("train", "--documents", "lines", "--vocabulary", vocabulary, "--out", self.folder, text)

    def ours(self, texts):
        out = run("encode", "--jsonl", "--tokenizer", self.folder, stdin=json_lines("text", texts))
        return [json.loads(line)["ids"] for line in out.splitlines()]

    def decode(self, ids):
        out = run("decode", "--jsonl", "--tokenizer", self.folder, stdin=json_lines("ids", ids))
        return [json.loads(line)["text"] for line in out.splitlines()]

    def others(self):
        """name -> (encode, decode), over lists."""
        piece = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "tokenizer.model"))
        fast = tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        auto = transformers.AutoTokenizer.from_pretrained(str(self.folder))
        return {
            "sentencepiece": (lambda texts: piece.encode(texts), lambda ids: piece.decode(ids)),
            "tokenizers": (lambda texts: [e.ids for e in fast.encode_batch(texts, add_special_tokens=False)],
                           lambda ids: [fast.decode(i, skip_special_tokens=False) for i in ids]),
            "AutoTokenizer": (lambda texts: auto(texts, add_special_tokens=False)["input_ids"],
                              lambda ids: [auto.decode(i) for i in ids]),
        }


class ParityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        folder = pathlib.Path(temporary.name)
        real = nasty_text.corpus_lines(60)
        lines = real or nasty_text.multi_script_lines(SEED + 1, 1500)
        cls.many_scripts = cls.train(folder / "many-scripts", lines, 4096)
        cls.few_letters = cls.train(folder / "few-letters", nasty_text.repetitive_lines(7, 800), 512)
        strings = nasty_text.nasty_strings(SEED, 5000) + nasty_text.multi_script_lines(SEED, 200)
        cls.texts = [text for text in strings + real if not SPECIAL.search(text)]

    @staticmethod
    def train(folder, lines, vocabulary):
        folder.mkdir()
        return TrainedOn(folder, lines, vocabulary)

    def check(self, trained):
        ours = trained.ours(self.texts)
        self.assertEqual(len(ours), len(self.texts))
        wanted = [text.replace("\u2581", " ") for text in self.texts]
        self.assert_equal_each("our decoding", trained.decode(ours), wanted)
        for name, (encode, decode) in trained.others().items():
            self.assert_equal_each(f"ids of {name}", encode(self.texts), ours)
            self.assert_equal_each(f"decoding by {name}", decode(ours), wanted)

    def assert_equal_each(self, what, got, wanted):
        self.assertEqual(len(got), len(wanted), what)
        wrong = [i for i in range(len(got)) if list(got[i]) != list(wanted[i])]
        if wrong:
            i = min(wrong, key=lambda i: len(self.texts[i]))
            self.fail(f"{what}: {len(wrong)} of {len(got)} differ (WEFT_SEED={SEED}); the shortest is "
                      f"{self.texts[i]!r}: {got[i]!r}, ours {wanted[i]!r}")

    def test_same_ids_and_lossless_in_many_scripts(self):
        self.check(self.many_scripts)

    def test_same_ids_where_every_piece_splits_in_many_ways(self):
        self.check(self.few_letters)

    def test_the_text_was_worth_testing(self):
        """Pieces of several characters, byte pieces and splits in more than one way all take part."""
        used = {id for ids in self.many_scripts.ours(self.texts) for id in ids}
        self.assertEqual(used & {0, 1, 2}, set())
        self.assertGreater(len(used & set(range(3, 259))), 100)
        self.assertGreater(len(used - set(range(259))), 700)
        model = json.loads((self.few_letters.folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        joined = ["".join(pair) for pair in model["merges"]]
        self.assertGreater(len(joined), 2 * len(set(joined)))

    def test_beginning_of_text_is_added_by_the_template_only(self):
        plain, = self.many_scripts.ours(["Guten Morgen"])
        auto = transformers.AutoTokenizer.from_pretrained(str(self.many_scripts.folder))
        self.assertEqual(auto("Guten Morgen")["input_ids"], [1] + plain)
        self.assertEqual((auto.bos_token_id, auto.eos_token_id, auto.unk_token_id), (1, 2, 0))
        self.assertEqual(len(auto), 4096)

    def test_text_that_spells_a_special_token_is_text(self):
        texts = ["<s>", "</s>", "<unk>", "a<s>b</s> <unk>\n<s>"]
        for ids, text in zip(self.many_scripts.ours(texts), texts):
            self.assertEqual([id for id in ids if id <= 2], [])
            self.assertEqual(self.many_scripts.decode([ids]), [text])

    def test_bytes_that_are_no_utf8_come_back_exactly(self):
        cases = [bytes(range(256)), b"\xff", b"a\xc3", b"\xc3\n\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf ok",
                 "é\n字".encode() + b"\xe5\xad", b"", b"\n", b" \x80 \xe2\x96 "]
        for case in cases:
            ids = run("encode", "--tokenizer", self.many_scripts.folder, stdin=case)
            self.assertEqual(run("decode", "--tokenizer", self.many_scripts.folder, stdin=ids), case, ids)


if __name__ == "__main__":
    unittest.main()
