"""weft-model's commands, from outside: what they write, what they refuse, and their exit codes."""
import json
import os
import struct
import subprocess
import tempfile
import unittest

import sentencepiece

PROGRAM = os.path.join(os.environ["WEFT_BIN"], "weft-model")
SMALL = ["--hidden", "32", "--layers", "2", "--heads", "2", "--kv-heads", "1", "--head-dimension", "16",
         "--intermediate", "64", "--context", "64"]


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)


class WeftModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-model-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def done(self, *arguments):
        result = run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, *arguments, code=1, saying):
        result = run(*arguments)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertIn(saying, result.stdout + result.stderr)

    def init(self, name, *arguments):
        self.done("init", "--out", self.path(name), *SMALL, *arguments)
        return self.path(name)

    def tokenizer(self):
        """A folder with a small model as weft-tokenizer makes it; the JSON files are not read here."""
        folder = self.path("tokenizer")
        os.mkdir(folder)
        with open(self.path("text"), "w") as file:
            for i in range(400):
                file.write(f"Once upon a time the {i}th sheep wove {i * 7 % 13} threads of grey wool.\n")
        sentencepiece.SentencePieceTrainer.train(
            input=self.path("text"), model_prefix=os.path.join(folder, "tokenizer"), vocab_size=320,
            model_type="bpe", byte_fallback=True, split_digits=True, add_dummy_prefix=False,
            allow_whitespace_only_pieces=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, character_coverage=0.9995, minloglevel=2)
        os.remove(os.path.join(folder, "tokenizer.vocab"))
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            with open(os.path.join(folder, name), "w") as file:
                file.write("{}")
        return folder

    def test_init_gives_the_same_bytes_for_a_seed(self):
        files = []
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
            with open(os.path.join(self.init(name, "--seed", seed), "model.safetensors"), "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])
        self.assertNotEqual(files[0], files[2])

    def test_init_refuses(self):
        folder = self.init("a")
        self.refused("init", "--out", folder, saying="already")
        self.refused("init", "--out", self.path("b"), "--vocabulary-size", "100", saying="multiple of 128")
        self.refused("init", "--out", self.path("b"), "--kv-heads", "3", saying="key_value_heads")
        self.refused("init", "--out", self.path("b"), "--tokenizer", self.path("none"), saying="none")
        self.refused("init", code=2, saying="--out")
        self.refused("init", "--out", self.path("b"), "--layers", "many", code=2, saying="--layers")
        self.assertFalse(os.path.exists(self.path("b")))

    def test_layout_is_that_of_the_folder(self):
        folder = self.init("a")
        layout = json.loads(self.done("layout", "--config", folder, "--json"))
        self.assertEqual(layout, json.loads(self.done("layout", *SMALL, "--json")))
        inspected = json.loads(self.done("inspect", folder, "--json"))
        self.assertEqual(inspected["layout_digest"], layout["layout_digest"])
        self.assertEqual(sum(t["elements"] for t in layout["tensors"]), layout["elements"])
        self.assertEqual(layout["tensors"][0]["name"], "model.embed_tokens.weight")
        self.assertIn(layout["layout_digest"], self.done("layout", "--config", folder))
        self.refused("layout", "--config", self.path("none"), saying="config.json")

    def vector_of(self, folder, layout_digest):
        """The parameters_fp32 blob of a folder whose only file is in layout order."""
        with open(os.path.join(folder, "model.safetensors"), "rb") as file:
            content = file.read()
        data = content[8 + struct.unpack("<Q", content[:8])[0]:]
        header = b"weftvec1" + struct.pack("<IIQII", 1, 1, len(data) // 4, 0, 1)
        path = self.path("vector")
        with open(path, "wb") as file:
            file.write(header + bytes.fromhex(layout_digest) + bytes(64) + data)
        return path

    def test_export_brings_a_vector_back(self):
        folder = self.init("a", "--seed", "5")
        inspected = json.loads(self.done("inspect", folder, "--json"))
        vector = self.vector_of(folder, inspected["layout_digest"])
        of_vector = json.loads(self.done("inspect", vector, "--json"))
        self.assertEqual(of_vector["elements"], inspected["elements"])
        self.assertAlmostEqual(of_vector["norm"], inspected["norm"], places=9)
        self.done("export", "--vector", vector, "--config", folder, "--out", self.path("b"))
        again = json.loads(self.done("inspect", self.path("b"), "--json"))
        self.assertEqual(again, inspected)
        other = self.init("other", "--no-qk-norm")
        self.refused("export", "--vector", vector, "--config", other, "--out", self.path("c"),
                     saying=inspected["layout_digest"])
        with open(vector, "r+b") as file:
            file.truncate(os.path.getsize(vector) - 4)
        self.refused("export", "--vector", vector, "--config", folder, "--out", self.path("c"), saying=vector)
        self.assertFalse(os.path.exists(self.path("c")))

    def test_generate_and_logits(self):
        folder = self.init("a", "--tokenizer", self.tokenizer(), "--seed", "3")
        inspected = json.loads(self.done("inspect", folder, "--json"))
        self.assertEqual(inspected["tensors"][0]["shape"][0], 384)  # 320 pieces, padded to a multiple of 128
        with open(os.path.join(folder, "tokenizer.model"), "rb") as ours, open(
                os.path.join(self.path("tokenizer"), "tokenizer.model"), "rb") as given:
            self.assertEqual(ours.read(), given.read())
        generate = ["generate", "--model", folder, "--prompt", "Once upon", "--tokens", "20"]
        text = self.done(*generate, "--seed", "1")
        self.assertTrue(text.startswith("Once upon"))
        self.assertGreater(len(text), len("Once upon\n"))
        self.assertEqual(text, self.done(*generate, "--seed", "1"))
        self.assertNotEqual(text, self.done(*generate, "--seed", "2"))
        self.assertEqual(self.done(*generate, "--temperature", "0"), self.done(*generate, "--top-k", "1"))
        self.refused(*generate, "--top-p", "2", saying="top-p")
        if not os.path.exists("/dev/nvidiactl"):
            self.refused(*generate, "--device", "cuda", saying="no CUDA device")
        self.refused("generate", "--model", folder, "--prompt", "word " * 200, saying="context")
        bare = self.init("bare")
        self.refused("generate", "--model", bare, "--prompt", "a", saying="tokenizer.model")

        with open(self.path("ids"), "w") as file:
            file.write("1 2 3\n\n4 5\n")
        self.done("logits", "--model", folder, "--ids", self.path("ids"), "--out", self.path("logits"))
        self.assertEqual(os.path.getsize(self.path("logits")), 5 * 384 * 4)
        with open(self.path("ids"), "w") as file:
            file.write("1 2\n3 384\n")
        self.refused("logits", "--model", folder, "--ids", self.path("ids"), "--out", self.path("l2"), saying="ids:2")
        self.assertFalse(os.path.exists(self.path("l2")))

    def test_help_shows_examples(self):
        for command in ([], ["init"], ["import"], ["export"], ["inspect"], ["layout"], ["generate"], ["logits"]):
            self.assertIn("Example", self.done(*command, "--help"))
        self.refused(code=2, saying="subcommand")
        self.refused("paint", code=2, saying="subcommand")


if __name__ == "__main__":
    unittest.main()
