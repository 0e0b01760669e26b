"""A disk that fails under a running program: it ends and says so, and goes on to the same consensus once the disk is well.

The disk fails by tests/testing/failing_disk.cc, preloaded into the program.
"""

import os
import random
import shutil
import tempfile
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

from federation import MODEL, Federation, wait_until
from run_checks import Reference, check_run, ledger

SITES = ["alba", "brena"]
LIBRARY = Path(os.environ["WEFT_BIN"]).parent / "tests" / "libweft_failing_disk.so"
WORDS = {"EROFS": "Read-only file system", "ENOSPC": "No space left on device", "EIO": "Input/output error"}


class Disk:
    """Below `folder`; it fails for programs started in preloaded()."""

    def __init__(self, folder, flag):
        self.folder, self.flag = folder, flag

    @contextmanager
    def preloaded(self):
        names = {"LD_PRELOAD": LIBRARY, "WEFT_FAILING_DISK": self.folder, "WEFT_FAILING_DISK_FLAG": self.flag,
                 "ASAN_OPTIONS": "verify_asan_link_order=0"}
        os.environ.update({name: str(value) for name, value in names.items()})
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]

    def fail(self, error):
        ready = self.flag.with_suffix(".new")
        ready.write_text(error)
        ready.rename(self.flag)

    def mend(self):
        self.flag.unlink()


class FailingDiskTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="weft-failing-disk-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        # Half a second a round, so that there is a middle.
        bigger = MODEL[:1] + ["64", "--layers", "2"] + MODEL[4:]
        with Federation(cls.folder / "prepared", SITES) as run:
            run.set_up(["--rounds", "4", "--inner-steps", "60", "--quorum", "2"], model=bigger, batch=4)
        with cls.copy("calm") as run:
            run.start_coordinator("--keep-contributions")
            for site in SITES:
                run.start_gate(site)
            run.finish()
            cls.reference = Reference.of(run)

    @classmethod
    def copy(cls, name):
        shutil.copytree(cls.folder / "prepared", cls.folder / name, symlinks=True)
        return Federation(cls.folder / name, SITES)

    def expect_end(self, process, error):
        self.assertEqual(process.wait(30), 1)
        end = process.tail(3)
        self.assertIn(WORDS[error], end)
        self.assertIn("To do: ", end)
        return end

    def coordinator_with(self, error, when):
        with self.copy(f"coordinator-{error}") as run:
            disk = Disk(run.coordinator_folder(), run.work / "failing")
            with disk.preloaded():
                run.start_coordinator("--keep-contributions")
            for site in SITES:
                run.start_gate(site)
            wait_until("the middle of the run", lambda: when(run))
            disk.fail(error)
            self.assertIn(str(disk.folder), self.expect_end(run.coordinator, error))
            disk.mend()
            run.call("weft-coordinator", "check", "--directory", disk.folder)
            status = run.status()
            version = status["consensus_version"]
            self.assertLess(version, 4)
            self.assertEqual(status["consensus_digest"], self.reference.rounds[version]["base_digest"])
            run.start_coordinator("--keep-contributions", port=run.port)
            run.finish()
            self.assertEqual(check_run(run, self.reference, same=True), [])

    def test_a_coordinator_whose_disk_turns_read_only(self):
        self.coordinator_with("EROFS", lambda run: run.training("alba", 1))

    def test_a_coordinator_whose_disk_breaks(self):
        self.coordinator_with("EIO", lambda run: run.training("brena", 2))

    def test_at_any_instant(self):
        """A few times in one run, at instants that are drawn. WEFT_SEED=N draws those of a run that failed."""
        seed = int(os.environ.get("WEFT_SEED", random.SystemRandom().randint(1, 10**6)))
        print(f"seed {seed}", end=" ", flush=True)
        draw = random.Random(seed)
        with self.copy("any") as run:
            disk = Disk(run.coordinator_folder(), run.work / "failing")
            for life in range(5):
                with disk.preloaded():
                    run.start_coordinator("--keep-contributions", port=run.port if life else 0)
                for site in SITES if life == 0 else []:
                    run.start_gate(site)
                error = draw.choice(["EROFS", "EIO"])
                time.sleep(draw.uniform(0, 1.5))
                disk.fail(error)
                # In a run that is finished nothing is written any more.
                wait_until("the coordinator's end, or the run's",
                           lambda: not run.coordinator.running() or not any(g.running() for g in run.gates.values()))
                disk.mend()
                if run.coordinator.running():
                    break
                self.expect_end(run.coordinator, error)
            if not run.coordinator.running():
                run.start_coordinator("--keep-contributions", port=run.port)
            run.finish()
            self.assertEqual(check_run(run, self.reference, same=True), [], f"seed {seed}")

    def gate_with(self, error, below="gate"):
        with self.copy(f"gate-{error}-{below.replace('/', '-')}") as run:
            disk = Disk(run.site_folder("alba") / below, run.work / "failing")
            run.start_coordinator("--keep-contributions")
            with disk.preloaded():
                gate = run.start_gate("alba")
            run.start_gate("brena")
            wait_until("alba trains in round 1", lambda: run.training("alba", 1))
            disk.fail(error)
            self.assertIn(str(disk.folder), self.expect_end(gate, error))
            # What left is in the ledger: nothing of round 1.
            self.assertFalse([e for e in ledger(run, "alba") if e["type"] == "push-head" and e["round"] == 1])
            disk.mend()
            run.start_gate("alba")
            run.finish()
            self.assertEqual(check_run(run, self.reference, same=True), [])

    def test_a_gate_whose_disk_turns_read_only(self):
        self.gate_with("EROFS")

    def test_a_gate_whose_disk_is_full(self):
        self.gate_with("ENOSPC")

    def test_a_gate_whose_disk_is_full_for_vectors_only(self):
        """Its state is small and still fits; the worker's result must not be given up for that."""
        self.gate_with("ENOSPC", "gate/blobs")


if __name__ == "__main__":
    unittest.main(verbosity=2)
