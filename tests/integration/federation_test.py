"""Whole runs with real processes on this machine: coordinator, gates and workers, TLS between them."""

import os
import signal
import socket
import tempfile
import unittest
from pathlib import Path

from counting_proxy import CountingProxy
from federation import MODEL, Federation, ProgramFailed, wait_until


class FederationTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="weft-federation-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_one_site_is_plain_training_bit_for_bit(self):
        """With one site, whole vectors, alpha 1 and outer SGD 1.0, fedavg is local training."""
        with Federation(self.folder, ["alba"]) as run:
            run.set_up(["--rounds", "3", "--inner-steps", "5", "--up", "parameters_fp32", "--down", "parameters_fp32"])
            run.start_coordinator()
            run.start_gate("alba")
            run.finish()
            run.call("weft-worker", "island", "--manifest", run.work / "run.textproto", "--initial", run.work / "initial",
                     "--data", run.shards("alba"), "--site", "alba", "--out", run.work / "island", "--threads", "1")
            federated = (run.release(3) / "model.safetensors").read_bytes()
            self.assertEqual(federated, (run.work / "island" / "model.safetensors").read_bytes())
            self.assertNotEqual(federated, (run.release(0) / "model.safetensors").read_bytes())

    def test_three_sites_end_with_the_coordinators_consensus(self):
        sites = ["alba", "brena", "corvo"]
        with Federation(self.folder, sites) as run:
            run.set_up(["--rounds", "3", "--inner-steps", "4", "--up", "delta_bf16", "--down", "delta_bf16"])
            run.start_coordinator()
            for site in sites:
                run.start_gate(site)
            digest = run.finish()
            parameters = (run.release(3) / "model.safetensors").stat().st_size / 4
            for site in sites:
                self.assertEqual(run.final_digest(site), digest)
                self.assertTrue((run.exchange(site) / "blobs" / digest).exists())
                self.assertTrue((run.exchange(site) / "stop").exists())
                log = run.gates[site].log.read_text()
                self.assertIn("by=delta", log)
                left = run.ledger(site)
                # Two bytes a parameter and round, and little beside.
                self.assertAlmostEqual(left["sent"]["push-chunk"]["bytes"], 3 * 2 * parameters, delta=0.15 * 6 * parameters)
                self.assertLess(left["sent_bytes"] - left["sent"]["push-chunk"]["bytes"], 10000)
                run.call("weft-gate", "ledger", "verify", "--state", run.site_folder(site) / "gate", "--head", left["head"])
            self.assertEqual(len(run.status()["releases"]), 2)

    def test_the_ledger_counts_what_the_wire_carries(self):
        with Federation(self.folder, ["alba"]) as run:
            bigger = MODEL[:1] + ["512", "--layers", "2"] + MODEL[4:]
            run.set_up(["--rounds", "3", "--inner-steps", "2", "--up", "parameters_fp32"], model=bigger)
            run.start_coordinator()
            proxy = CountingProxy(run.port)
            self.addCleanup(proxy.close)
            run.port = proxy.port
            run.start_gate("alba")
            run.finish()
            counted = run.ledger("alba")["sent_bytes"]
            self.assertGreater(counted, 4_000_000)
            self.assertLess(abs(proxy.sent - counted), 0.02 * counted + 65536 * proxy.connections)
            self.assertEqual(proxy.connections, 1)

    def disturb(self, run):
        """Kills, with -9: a worker in round 0, a gate with its worker in round 1, the coordinator before round 2."""
        wait_until("alba trains in round 0", lambda: run.training("alba", 0))
        os.kill(run.worker_of("alba"), signal.SIGKILL)
        wait_until("brena trains in round 1", lambda: run.training("brena", 1))
        run.gates["brena"].kill()
        run.start_gate("brena")
        wait_until("round 2 is near", lambda: run.status()["consensus_version"] >= 2)
        port = run.port
        run.coordinator.kill()
        run.start_coordinator(port=port)

    def run_two_sites(self, folder, disturbed):
        with Federation(folder, ["alba", "brena"]) as run:
            # About a second a round, so that there is a middle to be killed in.
            bigger = MODEL[:1] + ["96", "--layers", "2"] + MODEL[4:]
            run.set_up(["--rounds", "3", "--inner-steps", "120", "--quorum", "2"], model=bigger, batch=8)
            run.start_coordinator()
            for site in run.sites:
                run.start_gate(site)
            if disturbed:
                self.disturb(run)
            digest = run.finish()
            for site in run.sites:
                self.assertEqual(run.final_digest(site), digest)
                run.call("weft-gate", "ledger", "verify", "--state", run.site_folder(site) / "gate")
            return digest

    def test_killed_processes_change_nothing_in_the_result(self):
        calm = self.run_two_sites(self.folder / "calm", disturbed=False)
        self.assertEqual(self.run_two_sites(self.folder / "disturbed", disturbed=True), calm)

    def test_a_gate_waits_for_a_coordinator_that_comes_late(self):
        with Federation(self.folder, ["alba"]) as run:
            run.set_up(["--rounds", "1", "--inner-steps", "2"])
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                run.port = probe.getsockname()[1]
            gate = run.start_gate("alba")
            wait_until("alba has tried in vain", lambda: gate.log.read_text().count("join failed") >= 4)
            run.start_coordinator(port=run.port)
            run.finish()

    def test_refusals_are_said_in_one_line(self):
        with Federation(self.folder, ["alba", "brena"]) as run:
            run.set_up(["--rounds", "1", "--inner-steps", "2"])
            run.start_coordinator()
            state = run.work / "other"
            arguments = ["--state", state, "--kit", run.kit("alba"), "--coordinator", f"127.0.0.1:{run.port}",
                         "--site-directory", run.work / "exchange"]
            with self.assertRaisesRegex(ProgramFailed, "no run manifest was accepted here"):
                run.call("weft-gate", "run", *arguments)

            # A manifest that the same authority has signed, but not the one that the coordinator serves.
            other = run.work / "other.textproto"
            other.write_text((run.work / "run.textproto").read_text().replace("seed: 1", "seed: 2"))
            run.sign("manifest", other)
            run.call("weft-gate", "accept", "--state", state, "--kit", run.kit("alba"), "--yes",
                     other.with_suffix(".signed.json"))
            with self.assertRaisesRegex(ProgramFailed, "(?s)failed with 1.*WRONG_MANIFEST"):
                run.call("weft-gate", "run", *arguments)

            # Two gates of one site: the newest wins.
            first = run.start_gate("alba", worker=None)
            wait_until("alba has joined", lambda: "joined" in first.log.read_text())
            run.call("weft-gate", "accept", "--state", run.work / "second", "--kit", run.kit("alba"), "--yes",
                     run.work / "run.signed.json")
            second = run.start("second", "weft-gate", "run", "--state", run.work / "second", *arguments[2:])
            self.assertEqual(first.wait(20), 1)
            self.assertIn("SESSION_REPLACED", first.tail(1))
            # Asked to end, a gate ends well and at once.
            second.popen.terminate()
            self.assertEqual(second.wait(10), 0)
            self.assertIn("goes on with the run", second.tail(1))

            # Somebody whom the membership does not name.
            run.call("weft-ops", "keys", "request", "--name", "stranger", "--out", run.kit("stranger"))
            run.issue("stranger")
            run.call("weft-gate", "accept", "--state", run.work / "third", "--kit", run.kit("stranger"), "--yes",
                     run.work / "run.signed.json")
            with self.assertRaisesRegex(ProgramFailed, "(?s)failed with 1.*NOT_A_MEMBER"):
                run.call("weft-gate", "run", "--state", run.work / "third", "--kit", run.kit("stranger"), *arguments[4:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
