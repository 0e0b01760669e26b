"""The same logits from weft-model and from transformers, which loads the folders with no code of ours.

Ways tried, for Qwen3 and Llama form, tied and untied, grouped-query attention, heads together wider than the model:
a folder as `weft-model init` writes it; a folder as transformers saves it (fp32 and bf16, in shards) read by ours; and
the same after `weft-model import` has rewritten it. Weights are far larger than at the start of a training, so that a
mistake in any part shows; the last check of each case makes sure of that.
"""
import itertools
import json
import os
import random
import subprocess
import tempfile
import unittest

import numpy
import torch
import transformers

PROGRAM = os.path.join(os.environ["WEFT_BIN"], "weft-model")
VOCABULARY, LENGTH, SEQUENCES = 512, 250, 4  # 1,000 positions
BAR = 1e-4

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def weft_model(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"weft-model {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def their_model(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()


def run(model, sequences):
    with torch.no_grad():
        return model(torch.tensor(sequences)).logits.reshape(-1, VOCABULARY).numpy()


class Parity(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weft-parity-")
        self.addCleanup(self.folder.cleanup)
        generator = random.Random(1)
        self.sequences = [
            [generator.randrange(VOCABULARY) for _ in range(LENGTH)] for _ in range(SEQUENCES)
        ]
        with open(self.path("ids.txt"), "w") as file:
            for sequence in self.sequences:
                file.write(" ".join(map(str, sequence)) + "\n")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def ours(self, folder):
        weft_model("logits", "--model", folder, "--ids", self.path("ids.txt"), "--out", self.path("logits"))
        return numpy.fromfile(self.path("logits"), dtype="<f4").reshape(-1, VOCABULARY)

    def check(self, folder):
        """Returns transformers' logits, having compared ours with them."""
        theirs = run(their_model(folder), self.sequences)
        ours = self.ours(folder)
        self.assertEqual(ours.shape, (LENGTH * SEQUENCES, VOCABULARY))
        difference = float(numpy.abs(ours - theirs).max())
        self.assertLessEqual(difference, BAR, folder)
        # The likeliest token is the same, where two are not as near as the numbers of the two may differ.
        first, second = numpy.partition(theirs, -2, axis=1)[:, [-1, -2]].T
        clear = first - second > 2 * BAR
        self.assertGreater(clear.mean(), 0.9, folder)
        self.assertTrue((ours.argmax(1) == theirs.argmax(1))[clear].all(), folder)
        print(f"{os.path.basename(folder)}: largest difference {difference:.2e} "
              f"of logits up to {numpy.abs(theirs).max():.1f}")
        return theirs

    def grown(self, folder):
        """transformers' model of the folder with weights as large as after a training."""
        model = their_model(folder)
        torch.manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.copy_(1 + 0.5 * torch.randn_like(parameter))
                else:
                    parameter.mul_(5)
        return model

    def check_form(self, qk_norm, tied):
        form = f"{'qwen3' if qk_norm else 'llama'}-{'tied' if tied else 'untied'}"
        initial = self.path(f"initial-{form}")
        weft_model(
            "init", "--out", initial, "--seed", "3", "--vocabulary-size", str(VOCABULARY),
            "--hidden", "96", "--layers", "3", "--heads", "6", "--kv-heads", "2",
            "--head-dimension", "24", "--intermediate", "200", "--context", "256",
            *([] if qk_norm else ["--no-qk-norm"]), *([] if tied else ["--untied"]))
        self.check(initial)

        model = self.grown(initial)
        single, shards, rewritten = (self.path(f"{n}-{form}") for n in ("single", "shards", "rewritten"))
        model.save_pretrained(single)
        theirs = self.check(single)
        self.assertGreater(numpy.abs(theirs).max(), 1, "the logits are too small to tell")

        model.to(torch.bfloat16).save_pretrained(shards, max_shard_size="200KB")
        self.assertTrue(os.path.exists(os.path.join(shards, "model.safetensors.index.json")))
        in_shards = self.check(shards)
        weft_model("import", "--from", shards, "--out", rewritten)
        numpy.testing.assert_array_equal(self.check(rewritten), in_shards)

        # The bar tells right from nearly right: the same weights with another RoPE base miss it.
        config_path = os.path.join(rewritten, "config.json")
        with open(config_path) as file:
            config = json.load(file)
        config["rope_theta"] = config["rope_parameters"]["rope_theta"] = 10000.0
        with open(config_path, "w") as file:
            json.dump(config, file)
        other = run(their_model(rewritten), self.sequences)
        self.assertGreater(numpy.abs(other - in_shards).max(), 100 * BAR)

    def test_forms(self):
        for qk_norm, tied in itertools.product((True, False), (True, False)):
            with self.subTest(qk_norm=qk_norm, tied=tied):
                self.check_form(qk_norm, tied)


if __name__ == "__main__":
    unittest.main()
