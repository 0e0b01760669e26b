"""weft-tokenizer as a user meets it: exit codes, one clear line on errors, nothing left behind, and the whole way."""

import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import nasty_text

PROGRAM = os.path.join(os.environ["WEFT_BIN"], "weft-tokenizer")


def run(*arguments, stdin=b"", stdout=subprocess.PIPE):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, stdout=stdout, stderr=subprocess.PIPE)
    return done.returncode, (done.stdout or b"").decode("utf-8", "replace"), done.stderr.decode("utf-8")


class ProgramTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.shared = pathlib.Path(temporary.name)
        cls.lines = nasty_text.multi_script_lines(11, 800)
        (cls.shared / "text.txt").write_text("\n".join(cls.lines) + "\n", encoding="utf-8")
        cls.tokenizer = cls.shared / "tokenizer"
        code, _, error = run("train", "--vocabulary", 1024, "--out", cls.tokenizer, cls.shared / "text.txt")
        assert code == 0, error

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = pathlib.Path(temporary.name)
        self.corpus = self.path / "corpus"
        self.corpus.mkdir()
        self.results = self.path / "results"
        self.results.mkdir()
        self.out = self.results / "shards"

    def add(self, name, content):
        file = self.corpus / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return file

    def prepare(self, *more):
        return run("prepare", "--tokenizer", self.tokenizer, "--out", self.out, *more, self.corpus)

    def refused(self, done, *words):
        code, out, error = done
        self.assertEqual((code, out), (1, ""), error)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertTrue(error.startswith("weft-tokenizer: ") and error.endswith("\n"), error)
        for word in words:
            self.assertIn(word, error)
        self.assertEqual(list(self.results.iterdir()), [])

    def test_from_text_to_verified_shards(self):
        self.add("sentences.txt", "\n".join(self.lines))
        self.add("documents.jsonl", "".join(json.dumps({"text": "\n".join(self.lines[i:i + 9])}) + "\n" for i in range(200)))
        code, out, error = self.prepare("--held-out", 0.1)
        self.assertEqual((code, error), (0, ""))
        self.assertNotIn("note:", out)
        manifest = json.loads((self.out / "manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(manifest["train"]["documents"] + manifest["held_out"]["documents"], 1000)
        code, out, error = run("inspect", self.out)
        self.assertEqual((code, error), (0, ""))
        self.assertIn("sound, 2 shards", out)
        self.assertEqual(json.loads(run("inspect", "--json", self.out)[1]), manifest)
        shown = [run("inspect", "--tokenizer", self.tokenizer, "--document", i, self.out)[1] for i in (0, 999)]
        for text in shown:
            self.assertIn(text.rstrip("\n").split("\n")[0], self.lines)
        self.assertIn(shown[1], (self.out / "held_out.txt").read_text(encoding="utf-8") + "\n")

    def test_inspect_finds_every_damaged_file(self):
        self.add("a.txt", "\n".join(self.lines))
        self.assertEqual(self.prepare()[0], 0)
        for file in sorted(self.out.iterdir()):
            sound = file.read_bytes()
            damaged = bytearray(sound)
            damaged[random.Random(1).randrange(len(sound) // 2, len(sound) - 20)] ^= 1
            file.write_bytes(damaged)
            code, out, error = run("inspect", self.out)
            self.assertEqual((code, out, error.count("\n")), (1, "", 1), file)
            file.write_bytes(sound)
        self.assertEqual(run("inspect", self.out)[0], 0)

    def test_bad_text_is_refused_by_file_and_line(self):
        good = json.dumps({"text": "good"}) + "\n"
        for bad, words in ((b"\xff\n", "not UTF-8"), (b"{\n", "not JSON"), (b"{}\n", "--field"), (b'{"text": 1}\n', "--field")):
            self.add("a.jsonl", good.encode() * 2 + bad)
            self.refused(self.prepare(), "a.jsonl:3: ", words, "--skip-bad")
        self.add("a.jsonl", good * 2 + json.dumps({"text": "x" * 5000}))
        self.refused(self.prepare("--line-bytes-max", 4096), "a.jsonl:3: ", "--line-bytes-max")
        self.add("a.jsonl", good.encode() + b"\xff\n")
        code, out, _ = self.prepare("--skip-bad", "--held-out", 0)
        self.assertEqual(code, 0)
        self.assertIn("1 bad documents, first", out)

    def test_missing_and_wrong_inputs_are_refused(self):
        self.refused(self.prepare(), "no .txt or .jsonl file")
        self.add("a.txt", "")
        self.refused(self.prepare(), "no document to train on")
        self.refused(self.prepare(self.path / "none"), "none: there is no such file or folder")
        self.refused(self.prepare(self.add("a.pdf", "x")), "a.pdf: a .txt or .jsonl file is expected")
        self.add("a.txt", "\n".join(self.lines))
        self.refused(self.prepare("--held-out", 1), "below 1")
        self.refused(run("prepare", "--tokenizer", self.path, "--out", self.out, self.corpus), "tokenizer.model")
        self.refused(run("prepare", "--tokenizer", self.corpus / "a.txt", "--out", self.out, self.corpus), "not a SentencePiece model")
        self.refused(run("train", "--vocabulary", 1000, "--out", self.out, self.corpus), "multiple of 128")
        self.refused(run("train", "--vocabulary", 65536, "--out", self.out, self.corpus), "give more text")
        self.refused(run("inspect", self.corpus), "make one with weft-tokenizer prepare")
        self.refused(run("encode", "--tokenizer", self.tokenizer, "--jsonl", stdin=b"{}"), "standard input:1: ")
        self.refused(run("decode", "--tokenizer", self.tokenizer, "--jsonl", stdin=b'{"ids": [4294967300]}'), "standard input:1: ")
        self.refused(run("decode", "--tokenizer", self.tokenizer, stdin=b"1 two"), "token ids")

    def test_text_on_one_side_only_brings_a_hint(self):
        poem = "\n".join(self.lines)
        self.add("a.txt", poem)
        self.refused(self.prepare("--documents", "blank-lines"), "--documents lines")
        self.add("a.txt", "".join(f"Title {i}\n\n" for i in range(40)) + poem)
        code, out, _ = self.prepare("--held-out", 0.3)
        self.assertEqual(code, 0)
        self.assertIn("note:     one document of", out)
        self.assertIn("--documents lines", out)

    def test_nothing_is_overwritten(self):
        self.add("a.txt", "\n".join(self.lines))
        self.assertEqual(self.prepare()[0], 0)
        before = {file.name: file.read_bytes() for file in self.out.iterdir()}
        for done in (self.prepare(), run("train", "--vocabulary", 1024, "--out", self.out, self.corpus)):
            self.assertEqual(done[0], 1)
            self.assertIn("is there already", done[2])
        self.assertEqual(before, {file.name: file.read_bytes() for file in self.out.iterdir()})

    def test_bad_usage_exits_2_and_help_0(self):
        for arguments in ([], ["nothing"], ["prepare"], ["prepare", "--tokenizer", self.tokenizer, self.corpus],
                          ["prepare", "--tokenizer", "t", "--out", "o", "--documents", "words", self.corpus],
                          ["prepare", "--tokenizer", "t", "--out", "o", "--shard-tokens-max", "0", self.corpus],
                          ["inspect", self.out, "--document", "1"], ["inspect", self.out, "--document", "-1"],
                          ["encode"], ["train", "--vocabulary", "many", "--out", "o", self.corpus]):
            code, out, error = run(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertNotEqual(error, "")
        code, out, error = run("--help")
        self.assertEqual((code, error), (0, ""))
        self.assertIn("weft-tokenizer prepare --tokenizer", out)
        for command in ("train", "prepare", "inspect", "encode", "decode"):
            self.assertEqual(run(command, "--help")[0], 0)

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            code, _, error = run("encode", "--tokenizer", self.tokenizer, stdin=b"text", stdout=full)
        self.assertEqual((code, error), (1, "weft-tokenizer: cannot write the output\n"))


if __name__ == "__main__":
    unittest.main()
