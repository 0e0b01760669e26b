"""Whole runs with real processes in which one site is slow: its worker is stopped (SIGSTOP) for a while.

The run's rules say what becomes of it: with inner_steps_min it is cut and sends what it has, with late: carry its work counts
in the round that closes next.
"""

import os
import signal
import tempfile
import unittest
from pathlib import Path

from federation import Federation, wait_until
from run_checks import rounds_of, training_log

STEPS = 300  # of a round: about a second


class SlowSiteTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-slow-site-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, run, rules):
        run.set_up(["--rounds", "3", "--inner-steps", STEPS, "--quorum", "1", *rules])
        run.start_coordinator("--keep-contributions")
        for site in run.sites:
            run.start_gate(site)

    def stop_worker(self, run, site, round_number):
        """In the middle of the round. Returns what lets it go on."""
        wait_until(f"{site} trains in round {round_number}", lambda: run.training(site, round_number))
        worker = run.worker_of(site)
        os.kill(worker, signal.SIGSTOP)
        self.assertTrue(run.training(site, round_number), "it was too fast to be stopped in its work")
        return lambda: os.kill(worker, signal.SIGCONT)

    def check(self, run):
        """Everybody ends with the coordinator's consensus, and every round can be computed again."""
        digest = run.finish()
        for site in run.sites:
            self.assertEqual(run.final_digest(site), digest)
            run.call("weft-gate", "ledger", "verify", "--state", run.site_folder(site) / "gate")
        for number in range(3):
            run.call("weft-coordinator", "recompute", number, "--directory", run.coordinator_folder())
        run.call("weft-coordinator", "check", "--directory", run.coordinator_folder())
        return rounds_of(run)

    def test_a_slow_site_is_cut_and_sends_what_it_has(self):
        with Federation(self.folder, ["alba", "brena"]) as run:
            self.start(run, ["--inner-steps-min", "2", "--round-seconds", "16", "--upload-seconds", "8"])
            go_on = self.stop_worker(run, "brena", 1)
            order = run.exchange("brena") / "orders" / "round-000001.textproto"
            wait_until("the gate cuts the order", lambda: "steps_enough: 2" in order.read_text())
            go_on()
            rounds = self.check(run)
        # Nobody else was cut, and nobody was waited for beyond the deadline.
        done = [{c["site"]: c["inner_steps"] for c in record["contributions"]} for record in rounds]
        cut = done[1].pop("brena")
        self.assertEqual(done, [{"alba": STEPS, "brena": STEPS}, {"alba": STEPS}, {"alba": STEPS, "brena": STEPS}])
        self.assertGreaterEqual(cut, 2)
        self.assertLess(cut, STEPS)
        for record in rounds:
            self.assertIn("contributed", record["closed_reason"])
            self.assertEqual(record["extensions"], 0)
            for contribution in record["contributions"]:
                self.assertEqual(contribution["token_count"] * STEPS,
                                 contribution["inner_steps"] * rounds[0]["contributions"][0]["token_count"])
        # What it says is what it has done.
        self.assertEqual(sum(line["round"] == 1 for line in training_log(run, "brena")), cut)

    def test_late_work_counts_in_the_next_round(self):
        with Federation(self.folder, ["alba", "brena"]) as run:
            self.start(run, ["--late", "carry", "--late-discount", "1", "--round-seconds", "10"])
            go_on = self.stop_worker(run, "brena", 0)
            wait_until("round 1 is open", lambda: run.training("alba", 1))
            go_on()
            rounds = self.check(run)
            log = (run.work / "logs" / "coordinator.log").read_text()
        self.assertEqual([c["site"] for c in rounds[0]["contributions"]], ["alba"])
        self.assertIn("deadline", rounds[0]["closed_reason"])
        self.assertIn("brena", rounds[0]["cohort"])
        late = [(record["round"], c) for record in rounds for c in record["contributions"] if c["staleness"] > 0]
        self.assertEqual([(number, c["site"], c["staleness"], c["inner_steps"]) for number, c in late], [(1, "brena", 1, STEPS)])
        # A version late, with discount 1: half as much as a fresh one.
        fresh = [c for c in rounds[1]["contributions"] if c["staleness"] == 0]
        self.assertEqual([c["site"] for c in fresh], ["alba", "brena"])
        self.assertAlmostEqual(late[0][1]["weight"], 0.5 * fresh[0]["weight"])
        self.assertAlmostEqual(sum(c["weight"] for c in rounds[1]["contributions"]), 1)
        self.assertIn("CONTRIBUTION_CARRIED", log)
        self.assertEqual({c["site"] for c in rounds[2]["contributions"]}, {"alba", "brena"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
