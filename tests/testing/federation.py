"""A tiny federation for tests: made-up text for every site, a model of some ten thousand parameters, real processes.

    with Federation(folder, ["alba", "brena"]) as run:
        run.set_up(["--rounds", "2", "--inner-steps", "4"])
        run.start_coordinator(); run.start_gate("alba"); run.start_gate("brena")
        run.finish()

Builds on ops/local_run.py. When a test fails inside the context, the last lines of every log are printed.
"""

import json
import os
import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["WEFT_SOURCE"]) / "ops"))
from local_run import LocalRun, ProgramFailed  # noqa: E402

MODEL = ["--hidden", "32", "--layers", "1", "--heads", "2", "--kv-heads", "1", "--head-dimension", "16",
         "--intermediate", "64", "--context", "32"]


def made_up_text(seed, documents, letters="abdegiklmnoprstu"):
    draw = random.Random(seed)
    words = ["".join(draw.choice(letters) for _ in range(draw.randint(2, 7))) for _ in range(200)]
    return "\n\n".join(" ".join(draw.choice(words) for _ in range(40)) for _ in range(documents)) + "\n"


def wait_until(what, condition, timeout=30):
    """Polls until `condition` returns something true, and returns that."""
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise ProgramFailed(f"{what}: not so after {timeout} s")


class Federation(LocalRun):
    def __init__(self, work, sites, run_id="test"):
        super().__init__(work, os.environ["WEFT_BIN"], run_id)
        self.sites = list(sites)

    def __exit__(self, kind, *rest):
        if kind is not None:
            for process in self.processes:
                print(f"--- {process.log}\n{process.tail(40)}", file=sys.stderr)
        super().__exit__(kind, *rest)

    def set_up(self, manifest, model=MODEL, batch=2):
        """Everything that comes before a run: identities, tokenizer, initial model, shards, manifest, acceptance."""
        public = self.work / "public.txt"
        public.write_text(made_up_text(0, 200))
        self.make_identities(self.sites)
        self.make_tokenizer([public], 384)
        self.make_initial_model(*model)
        for number, site in enumerate(self.sites):
            text = self.work / f"{site}.txt"
            text.write_text(made_up_text(number + 1, 100))
            self.prepare(site, [text])
        preset = [] if "--preset" in manifest else ["--preset", "fedavg"]
        self.make_manifest("--batch", batch, *preset, *manifest)
        self.init_coordinator()
        for site in self.sites:
            self.accept(site)

    def start_coordinator(self, *arguments, port=0):
        super().start_coordinator("--heartbeat-seconds", "0.5", *arguments, port=port)

    def start_gate(self, site, worker=("--threads", "1")):
        return super().start_gate(site, worker)

    def finish(self, timeout=60):
        """Waits for every gate to end well, and returns the digest of the final consensus."""
        for site, gate in self.gates.items():
            code = gate.wait(timeout)
            if code != 0:
                raise ProgramFailed(f"the gate of {site} ended with {code}:\n{gate.tail()}")
        status = self.status()
        if status["phase"] != "FINISHED":
            raise ProgramFailed(f"the run is not finished: {status}")
        return status["consensus_digest"]

    def release(self, version):
        return self.coordinator_folder() / "releases" / f"round-{version:06d}"

    def exchange(self, site):
        return self.site_folder(site) / "exchange"

    def final_digest(self, site):
        return re.search(r'^base_digest: "(\w+)"', (self.exchange(site) / "final.textproto").read_text(), re.M).group(1)

    def ledger(self, site):
        """What left the site, by type, as its ledger says."""
        return json.loads(self.call("weft-gate", "ledger", "show", "--state", self.site_folder(site) / "gate", "--json"))

    def training(self, site, round_number):
        """Has the site's worker begun this round, and not ended it?"""
        log = self.exchange(site) / "training_log.jsonl"
        begun = log.exists() and f'{{"round":{round_number},' in log.read_text()
        done = self.exchange(site) / "results" / f"round-{round_number:06d}.textproto"
        return begun and not done.exists()

    def worker_of(self, site):
        """The process id of the worker that the site's gate has started."""
        gate = self.gates[site].popen.pid
        children = Path(f"/proc/{gate}/task/{gate}/children").read_text().split()
        return int(children[0]) if children else None
