"""The checks of the crash tests find what they are there to find: a finished run is damaged in one way at a time."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

from federation import Federation, ProgramFailed
from run_checks import Reference, check_run


class RunChecksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="weft-checks-")
        cls.folder = Path(cls.temporary.name)
        whole = ["--up", "parameters_fp32", "--down", "parameters_fp32"]
        with Federation(cls.folder / "run", ["alba", "brena"]) as run:
            run.set_up(["--rounds", "2", "--inner-steps", "3", *whole])
            run.start_coordinator("--keep-contributions")
            for site in run.sites:
                run.start_gate(site)
            run.finish()
            cls.reference = Reference.of(run)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def damaged(self):
        """A copy of the run, to be damaged."""
        copy = self.folder / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "run", copy, symlinks=True)
        return Federation(copy, ["alba", "brena"])

    def assert_found(self, run, words, same=True):
        self.assertTrue(any(words in problem for problem in check_run(run, self.reference, same)), words)

    def edit(self, path, change):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(change(lines)) + "\n")

    def test_a_whole_run_has_no_problem(self):
        for same in (True, False):
            self.assertEqual(check_run(self.damaged(), self.reference, same), [])

    def test_a_contribution_that_is_not_what_was_combined(self):
        run = self.damaged()
        path = next((run.coordinator_folder() / "contributions/round-000001").iterdir())
        data = bytearray(path.read_bytes())
        data[202] ^= 64
        path.write_bytes(data)
        self.assert_found(run, "has the digest")
        self.assert_found(run, "recomputed", same=False)

    def test_other_weights_another_site_or_another_round(self):
        rounds = "coordinator/releases/round-000002/rounds.jsonl"

        def with_change(change):
            run = self.damaged()
            self.edit(run.work / rounds, lambda lines: [json.dumps(r) for r in change([json.loads(line) for line in lines])])
            return run

        def heavier(records):
            records[0]["contributions"][0]["weight"] = 0.6
            return records

        def twice(records):
            records[1]["contributions"][1]["site"] = "alba"
            return records

        self.assert_found(with_change(heavier), "the weights sum to")
        self.assert_found(with_change(heavier), "weights of contributions differ")
        self.assert_found(with_change(heavier), "recomputed", same=False)
        self.assert_found(with_change(twice), "contributions of ['alba', 'alba']")
        self.assert_found(with_change(lambda records: records[:1]), "has 1 rounds of 2")
        self.assert_found(with_change(twice), "is not what SHA256SUMS says")

    def test_a_log_that_goes_back_or_stores_twice(self):
        run = self.damaged()
        self.edit(run.work / "logs/coordinator.log", lambda lines: lines + [line for line in lines if "ROUND_OPENED" in line][:1])
        self.assert_found(run, "goes back from round")
        run = self.damaged()
        stored = 'info weft-coordinator: again code=CONTRIBUTION_STORED site=alba round=1'
        self.edit(run.work / "logs/coordinator.log",
                  lambda lines: [text for line in lines for text in ([line, stored] if "STORED site=alba round=1" in line else [line])])
        self.assert_found(run, "alba stored two contributions in round 1")

    def test_another_loss_a_missing_step_and_a_step_twice(self):
        log = "sites/brena/exchange/training_log.jsonl"
        for change, words in ((lambda lines: [lines[0].replace('"loss":', '"loss":1')] + lines[1:], "undisturbed"),
                              (lambda lines: lines[:-1], "steps in the training log"),
                              (lambda lines: lines + lines[-1:], "a step twice")):
            run = self.damaged()
            self.edit(run.work / log, change)
            self.assert_found(run, words)

    def test_a_site_with_another_consensus_and_an_edited_ledger(self):
        run = self.damaged()
        blob = run.exchange("alba") / "blobs" / self.reference.digest
        blob.write_bytes(blob.read_bytes()[:-1] + b"\1")
        self.assert_found(run, "not there, or not what its name says")
        run = self.damaged()
        self.edit(run.site_folder("alba") / "gate/ledger.jsonl", lambda lines: lines[:3] + lines[4:])
        with self.assertRaisesRegex(ProgramFailed, "does not follow|sequence"):
            check_run(run, self.reference, same=True)

    def test_files_that_pile_up(self):
        run = self.damaged()
        for number in range(3):
            (run.exchange("brena") / "blobs" / f"blob.17.{number}.tmp").touch()
        self.assert_found(run, "temporary files are left")


if __name__ == "__main__":
    unittest.main(verbosity=2)
