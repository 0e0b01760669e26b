"""weft-gate doctor against a real coordinator: before a run, and beside the gate of the same site, which goes on."""

import json
import os
import tempfile
import unittest
from pathlib import Path

from federation import Federation, ProgramFailed, wait_until
from run_checks import ledger


class DoctorRunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-doctor-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Where a proxy is set, the doctor names it; the machine's own address needs none.
        os.environ.setdefault("no_proxy", "127.0.0.1")

    def doctor(self, run, site):
        """What each check found."""
        lines = run.call("weft-gate", "doctor", "--json", "--state", run.site_folder(site) / "gate", "--kit", run.kit(site),
                         "--coordinator", f"127.0.0.1:{run.port}", "--site-directory", run.exchange(site), "--data",
                         run.shards(site)).splitlines()
        found = {line["check"]: line for line in map(json.loads, lines)}
        for check in ("membership", "clock", "bandwidth"):
            self.assertEqual(found[check]["result"], "ok", found[check])
        return found

    def test_it_joins_nothing_and_disturbs_nobody(self):
        with Federation(self.folder, ["alba"]) as run:
            run.set_up(["--rounds", "2", "--inner-steps", "400", "--quorum", "1"])
            run.start_coordinator()
            self.assertIn("FORMING", self.doctor(run, "alba")["membership"]["words"])
            # One site would be enough for the first round.
            status = run.status()
            self.assertEqual((status["phase"], status["sites"]), ("FORMING", []))
            gate = run.start_gate("alba")
            wait_until("alba trains", lambda: run.training("alba", 0))
            self.assertIn("OPEN", self.doctor(run, "alba")["membership"]["words"])
            run.finish()
            run.call("weft-gate", "ledger", "verify", "--state", run.site_folder("alba") / "gate")
            joins = [entry for entry in ledger(run, "alba") if entry["type"] == "join"]
            self.assertEqual(len(joins), 3)  # of the gate, and twice of the doctor
            self.assertEqual(gate.log.read_text().count("joined run="), 1)

    def test_it_says_what_the_coordinator_refuses(self):
        with Federation(self.folder, ["alba", "brena"]) as run:
            run.set_up(["--rounds", "1", "--inner-steps", "2"])
            run.start_coordinator()
            run.call("weft-ops", "membership", "revoke", run.work / "membership.signed.json", "--site", "brena", "--reason",
                     "its key is lost", "--out", run.work / "m2.textproto")
            run.sign("membership", run.work / "m2.textproto")
            (run.work / "m2.signed.json").rename(run.coordinator_folder() / "membership.signed.json")
            wait_until("the membership is read", lambda: "MEMBERSHIP" in (run.work / "logs" / "coordinator.log").read_text())
            with self.assertRaisesRegex(ProgramFailed, "(?s)REVOKED.*the membership must name it"):
                self.doctor(run, "brena")
            self.doctor(run, "alba")


if __name__ == "__main__":
    unittest.main(verbosity=2)
