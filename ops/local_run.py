"""A whole run on one machine: an authority, a coordinator, and sites with their gates and workers, as real processes.

Used by ops/demo and by the integration tests; a real run does the same on several machines, by hand or by a scheduler.

    with LocalRun(work, bin_folder) as run:
        run.make_identities(["alba", "brena"])
        run.make_initial_model(tokenizer_texts=[...], vocabulary=1024, model=["--hidden", "64"])
        run.prepare("alba", [text_folder]); ...
        run.make_manifest(["--rounds", "4", "--inner-steps", "10"])
        run.init_coordinator(); run.start_coordinator()
        run.accept("alba"); run.start_gate("alba"); ...
        run.gates["alba"].wait(timeout=60)         # a gate ends when the run is finished

Everything lies under the work folder: identities/, tokenizer/, initial/, run.textproto, sites/NAME/, coordinator/, logs/.
Processes end with the context, first by SIGTERM, then by SIGKILL. Python's standard library only.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path


class ProgramFailed(Exception):
    """A program ended with an error, or did not end in time; the message carries its last lines."""


class Process:
    """A program that runs beside us, its output in a file."""

    def __init__(self, name, arguments, log, environment=None):
        self.name = name
        self.log = Path(log)
        with open(self.log, "ab") as output:
            # A session of its own: Ctrl-C reaches only us, and we end our children in order.
            self.popen = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=subprocess.STDOUT, start_new_session=True, env=environment)

    def running(self):
        return self.popen.poll() is None

    def tail(self, lines=15):
        text = self.log.read_text(errors="replace").splitlines()
        return "\n".join("  | " + line for line in text[-lines:])

    def wait(self, timeout):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{self.name} has not ended after {timeout} s:\n{self.tail()}") from None

    def signal(self, number):
        """To the program and its children."""
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        """kill -9, as a crash."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, timeout=15):
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.signal(signal.SIGKILL)
        self.popen.wait()


class LocalRun:
    def __init__(self, work, bin_folder, run_id="local"):
        self.work = Path(work)
        self.bin = Path(bin_folder)
        self.run_id = run_id
        self.sites = []
        self.coordinator = None
        self.gates = {}
        self.processes = []
        (self.work / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # Running programs.

    def program(self, name):
        return self.bin / name

    def call(self, *arguments, timeout=120):
        """Runs a program to its end and returns its standard output."""
        command = [str(self.program(arguments[0]))] + [str(a) for a in arguments[1:]]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{' '.join(command)} has not ended after {timeout} s") from None
        if done.returncode != 0:
            raise ProgramFailed(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip())
        return done.stdout

    def start(self, name, *arguments):
        """Starts a program beside us; its output goes to logs/NAME.log."""
        process = Process(name, [self.program(arguments[0]), *arguments[1:]], self.work / "logs" / f"{name}.log")
        self.processes.append(process)
        return process

    def stop(self):
        """Gates first: each ends its worker; then the coordinator and whatever else was started."""
        for process in list(self.gates.values()) + self.processes:
            process.stop()

    # What comes before a run.

    def kit(self, name):
        return self.work / "identities" / name

    def make_identities(self, sites):
        self.sites = list(sites)
        authority = self.kit("authority")
        self.call("weft-ops", "keys", "init-authority", "--out", authority)
        self.call("weft-ops", "keys", "request", "--name", "coordinator", "--out", self.kit("coordinator"))
        self.issue("coordinator", "--host", "127.0.0.1", "--host", "localhost")
        for site in self.sites:
            self.call("weft-ops", "keys", "request", "--name", site, "--out", self.kit(site))
            self.issue(site)

    def issue(self, name, *arguments):
        self.call("weft-ops", "keys", "issue", "--authority", self.kit("authority"), "--request",
                  self.kit(name) / "request.pem", "--out", self.kit(name), *arguments)

    def make_tokenizer(self, texts, vocabulary):
        self.call("weft-tokenizer", "train", "--vocabulary", vocabulary, "--out", self.work / "tokenizer", *texts)

    def make_initial_model(self, *model, seed=1):
        self.call("weft-model", "init", "--tokenizer", self.work / "tokenizer", "--out", self.work / "initial", "--seed", seed,
                  *model)

    def shards(self, site):
        return self.work / "sites" / site / "shards"

    def prepare(self, site, texts, *arguments):
        self.shards(site).parent.mkdir(parents=True, exist_ok=True)
        self.call("weft-tokenizer", "prepare", "--tokenizer", self.work / "tokenizer", "--out", self.shards(site), *arguments,
                  *texts)

    def make_manifest(self, *arguments):
        """run.textproto from the initial model, signed by the authority; the membership of all sites too."""
        manifest, membership = self.work / "run.textproto", self.work / "membership.textproto"
        self.call("weft-ops", "manifest", "new", "--initial", self.work / "initial", "--run-id", self.run_id, "--sites",
                  len(self.sites), "--out", manifest, *arguments)
        self.sign("manifest", manifest)
        members = [part for site in self.sites for part in ("--site", f"{site}={self.kit(site)}")]
        self.call("weft-ops", "membership", "new", "--run-id", self.run_id, *members, "--out", membership)
        self.sign("membership", membership)

    def sign(self, kind, path):
        self.call("weft-ops", kind, "sign", "--authority", self.kit("authority"), path, "--out", path.with_suffix(".signed.json"))

    # The run.

    def coordinator_folder(self):
        return self.work / "coordinator"

    def init_coordinator(self):
        self.call("weft-coordinator", "init", "--directory", self.coordinator_folder(), "--kit", self.kit("coordinator"),
                  "--manifest", self.work / "run.signed.json", "--membership", self.work / "membership.signed.json", "--initial",
                  self.work / "initial")

    def start_coordinator(self, *arguments, port=0, timeout=30):
        """Starts serving and waits for the port; --listen with the same port again after a restart."""
        port_file = self.work / "coordinator.port"
        port_file.unlink(missing_ok=True)
        self.coordinator = self.start("coordinator", "weft-coordinator", "serve", "--directory", self.coordinator_folder(),
                                      "--listen", f"127.0.0.1:{port}", "--port-file", port_file, *arguments)
        give_up = time.monotonic() + timeout
        while not port_file.exists():
            if not self.coordinator.running() or time.monotonic() > give_up:
                raise ProgramFailed(f"the coordinator does not serve:\n{self.coordinator.tail()}")
            time.sleep(0.02)
        self.port = int(port_file.read_text())

    def site_folder(self, site):
        return self.work / "sites" / site

    def accept(self, site):
        self.call("weft-gate", "accept", "--state", self.site_folder(site) / "gate", "--kit", self.kit(site), "--yes",
                  self.work / "run.signed.json")

    def start_gate(self, site, worker=()):
        """A gate; with worker arguments (None: no worker) it starts its worker itself."""
        folder = self.site_folder(site)
        start = [] if worker is None else ["--start-worker", "--", "--data", self.shards(site), *worker]
        gate = self.start(f"gate-{site}", "weft-gate", "run", "--state", folder / "gate", "--kit", self.kit(site),
                          "--coordinator", f"127.0.0.1:{self.port}", "--site-directory", folder / "exchange", *start)
        self.gates[site] = gate
        return gate

    def start_worker(self, site, *arguments):
        return self.start(f"worker-{site}", "weft-worker", "run", "--site-directory", self.site_folder(site) / "exchange",
                          "--data", self.shards(site), *arguments)

    def status(self):
        return json.loads(self.call("weft-coordinator", "status", "--directory", self.coordinator_folder(), "--json"))

    def bytes_left(self, site):
        """By the site's ledger."""
        shown = self.call("weft-gate", "ledger", "show", "--state", self.site_folder(site) / "gate", "--json")
        return json.loads(shown)["sent_bytes"]
