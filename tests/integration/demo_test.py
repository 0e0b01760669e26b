"""The demo, smaller: the consensus knows what no single site does; and Ctrl-C leaves nothing behind."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DEMO = pathlib.Path(os.environ["WEFT_SOURCE"]) / "ops" / "demo_main.py"
SITES = ("alba", "brena", "corva")


def processes_of(folder):
    """Processes whose command line names the folder."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


class DemoTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name) / "demo"

    def start(self, *arguments):
        return subprocess.Popen([sys.executable, DEMO, "--programs", os.environ["WEFT_BIN"], "--work", self.work,
                                 *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_the_consensus_knows_what_no_single_site_does(self):
        demo = self.start("--rounds", "28", "--seed", "3")
        output, _ = demo.communicate(timeout=540)
        self.assertEqual(demo.returncode, 0, output)
        summary = json.loads((self.work / "summary.json").read_text())
        bits, facts = summary["held_out_bits_per_byte"], summary["facts"]
        # Margins are several times what another seed changes.
        for site in SITES:
            alone = bits[f"alone:{site}"]
            self.assertLess(bits["consensus"]["pooled"] + 0.5, alone["pooled"])
            for other in set(SITES) - {site}:
                self.assertLess(bits["consensus"][other] + 1.0, alone[other])
                self.assertLess(facts[f"alone:{site}"][other], 0.3)
            self.assertGreater(facts["consensus"][site], 0.5)
        self.assertEqual(summary["rounds"], 28)
        release = self.work / summary["release"]
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            self.assertTrue((release / name).is_file(), name)
        # A vector in delta_bf16 is two bytes a parameter; nothing near the size of a text twice over leaves beside it.
        vector = (release / "model.safetensors").stat().st_size / 2
        for site in SITES:
            self.assertGreater(summary["bytes_left"][site], 28 * 0.95 * vector)
            self.assertLess(summary["bytes_left"][site], 28 * 1.05 * vector + 200_000)
            self.assertGreater(summary["not_computing"][site], 0)
            self.assertLess(summary["not_computing"][site], 1)
        for words in ("lower is better", "generate --model", "AutoModelForCausalLM", "brena        round 28/28"):
            self.assertIn(words, output)
        self.assertEqual(processes_of(self.work), [])

    def test_an_interrupt_ends_everything(self):
        demo = self.start("--rounds", "1000")
        slots = self.work / "sites" / "corva" / "exchange" / "progress.textproto"
        give_up = time.monotonic() + 60
        while not slots.exists() and time.monotonic() < give_up and demo.poll() is None:
            time.sleep(0.1)
        self.assertIsNone(demo.poll(), "the demo ended by itself")
        self.assertGreater(len(processes_of(self.work)), 6)
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=60)
        self.assertEqual(demo.returncode, 130, output)
        self.assertEqual(processes_of(self.work), [])

    def test_a_folder_of_something_else_is_left_alone(self):
        self.work.mkdir()
        (self.work / "thesis.txt").write_text("years of work")
        demo = self.start()
        output, _ = demo.communicate(timeout=30)
        self.assertEqual(demo.returncode, 1)
        self.assertIn("not from an earlier demo", output)
        self.assertTrue((self.work / "thesis.txt").exists())


if __name__ == "__main__":
    unittest.main()
