#!/usr/bin/env python3
"""Every way of making a consensus, as real processes over TLS: each small federation runs to its end from the manifest
alone, its records say what the scheme promises, and every round is computed again from what was kept, with the same digest.
"""

import json
import math
import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["WEFT_SOURCE"]) / "tests/testing"))
from federation import Federation  # noqa: E402
from run_checks import blob_digest, rounds_of, training_log  # noqa: E402

SITES = ["alba", "brena", "corvo"]


def set_fields(*fields):
    return [part for field in fields for part in ("--set", field)]


class Schemes(unittest.TestCase):
    def federate(self, manifest, rounds, sites=SITES):
        """The run's folder and its records, after all that holds for every scheme was checked."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        run = self.enterContext(Federation(folder, sites))
        run.set_up(["--rounds", rounds, "--inner-steps", "6", "--publish-every", rounds, *map(str, manifest)])
        run.start_coordinator("--keep-contributions")
        for site in sites:
            run.start_gate(site)
        run.finish(timeout=120)
        records = rounds_of(run)
        self.assertEqual([r["round"] for r in records], list(range(rounds)))
        checked = json.loads(run.call("weft-coordinator", "check", "--directory", run.coordinator_folder(), "--json"))
        self.assertEqual(checked["problems"], [])
        for record in (records[0], records[-1]):
            again = json.loads(run.call("weft-coordinator", "recompute", record["round"], "--directory",
                                        run.coordinator_folder(), "--json"))
            self.assertTrue(again["same"], again)
        for site in sites:
            self.assertTrue(all(math.isfinite(line["loss"]) for line in training_log(run, site)))
            self.assertTrue((run.exchange(site) / "blobs" / run.final_digest(site)).exists())
        return run, records

    def test_delayed(self):
        run, records = self.federate(["--preset", "delayed", "--quorum", "1"], 9)
        for record in records:
            (c,) = record["contributions"]
            self.assertAlmostEqual(c["weight"], (1 + c["staleness"]) ** -0.5)
            self.assertAlmostEqual(record["base_weight"], 1 - c["weight"])
        self.assertGreater(max(r["contributions"][0]["staleness"] for r in records), 0)
        self.assertEqual({r["contributions"][0]["site"] for r in records}, set(SITES))

    def test_elastic_async(self):
        run, records = self.federate(["--preset", "elastic_async", "--quorum", "1"], 9)
        for record in records:
            (c,) = record["contributions"]
            self.assertEqual(c["weight"], 1)

    def test_admm(self):
        run, records = self.federate(["--preset", "admm", "--quorum", "3"], 4)
        for record in records:
            self.assertAlmostEqual(sum(c["weight"] for c in record["contributions"]), 1)
            self.assertGreater(record["primal_residual"], 0)
            self.assertGreater(record["dual_residual"], 0)

    def test_fragments_with_overlap(self):
        run, records = self.federate(
            ["--preset", "fedavg", "--quorum", "3",
             *set_fields("consensus.fragments=3", "consensus.fragment_delay_steps=2", "consensus.alpha=0.5",
                         "consensus.preset=proximal", "consensus.pull=0.2")], 7)
        self.assertEqual([r["fragment"] for r in records], [0, 1, 2, 0, 1, 2, 0])
        sizes = {r["fragment"]: r["result_bytes"] for r in records}
        release = run.release(7)
        whole = (run.exchange("alba") / "blobs" / run.final_digest("alba")).read_bytes()
        self.assertEqual(blob_digest(whole), run.final_digest("alba"))
        self.assertEqual(len({run.final_digest(site) for site in SITES}), 1)
        self.assertEqual(sum(sizes.values()) - 3 * 128, len(whole) - 128)
        self.assertTrue((release / "model.safetensors").exists())

    def test_small_encodings(self):
        for up, down, extra in (("delta_int4", "delta_int8", []),
                                ("topk_int4", "delta_int4", set_fields("encodings.topk_density=0.0625"))):
            run, records = self.federate(["--preset", "proximal", "--quorum", "3", "--up", up, "--down", down, *extra], 4)
            for record in records:
                self.assertEqual({c["encoding"] for c in record["contributions"]}, {up})
            whole = (run.exchange("alba") / "blobs" / run.final_digest("alba")).read_bytes()
            self.assertLess(records[0]["contributions"][0]["bytes"], len(whole) / (6 if up == "delta_int4" else 20))
            self.assertLess(records[0]["down_bytes"], len(whole) / 3)

    def test_robust_and_adam(self):
        run, records = self.federate(
            ["--preset", "fedadam", "--quorum", "3", *set_fields(
                "consensus.combine=median", "consensus.influence.validation_samples=4",
                "consensus.influence.validation_rise_max=50", "rounds.inner_steps_schedule={rounds: 2 inner_steps: 3}")], 4)
        self.assertEqual([r["inner_steps"] for r in records], [3, 3, 6, 6])
        for record in records:
            for c in record["contributions"]:
                self.assertGreater(c["validation_before"], 0)
                self.assertTrue(-1 <= c["cosine"] <= 1)

    def test_elastic_and_tokens(self):
        run, records = self.federate(["--preset", "elastic", "--quorum", "3", *set_fields(
            "consensus.influence.weights=tokens", "consensus.influence.influence_max=0.4")], 4)
        for record in records:
            self.assertAlmostEqual(sum(c["weight"] for c in record["contributions"]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
