"""Programs of a federation that can be killed and started again, and what each of them is doing at an instant.

    gate = Mortal(run, "gate", "alba")       # run: a KilledRun, which knows folders, ports and arguments
    gate.start(); ...; gate.phase()          # "pushing"
    gate.kill()

The phase is looked up from outside, in the files and log lines that the program leaves.
"""

import os
import signal
import time
from pathlib import Path

from local_run import Process

STARTUP_SECONDS = 0.08  # a program younger than this is starting
PHASES = {
    "coordinator": ["start-up", "idle", "receiving", "outer step", "publishing"],
    "gate": ["start-up", "idle", "fetching", "waiting for the worker", "pushing", "reporting"],
    "worker": ["start-up", "idle", "training"],
}
# The last of these in a gate's log says what it does; "waiting" covers everything until the worker has a result.
GATE_WORDS = {"joined": "idle", "phase=AGGREGATING": "idle", "phase=FORMING": "idle", "phase=OPEN": "fetching",
              "order written": "waiting for the worker", "the worker has a result": "pushing",
              "contribution stored": "reporting"}
WORKER_WORDS = {"begins a round": "training", "resumes a round": "training", "training round=": "training",
                "did a round": "idle", "waiting for the gate": "idle"}


def last_word(log, offset, program, words):
    """The value of the word that comes last in what the program's newest life has written to the log."""
    with open(log, "rb") as file:
        file.seek(max(offset, file.seek(0, os.SEEK_END) - 2000))
        text = file.read().decode(errors="replace")
    for line in reversed(text.splitlines()):
        if f"weft-{program}:" in line:
            for word, value in words.items():
                if word in line:
                    return value
    return None


class Mortal:
    """A program that is killed and started again."""

    def __init__(self, run, kind, site=None):
        self.run, self.kind, self.site = run, kind, site
        self.name = f"{kind}-{site}" if site else kind
        self.log = run.work / "logs" / f"{self.name}.log"
        self.process = None
        self.start_at = 0.0  # when dead: the instant to start again
        self.ended = False
        self.lives = 0

    def arguments(self):
        run, site = self.run, self.site
        if self.kind == "coordinator":
            return ["weft-coordinator", "serve", "--directory", run.coordinator_folder(), "--listen",
                    f"127.0.0.1:{run.port}", "--heartbeat-seconds", "0.5", "--keep-contributions"]
        folder = run.site_folder(site)
        worker = ["--data", run.shards(site), *run.options.worker]
        if self.kind == "worker":
            return ["weft-worker", "run", "--site-directory", run.exchange(site), *worker]
        start = ["--start-worker", "--", *worker] if run.is_child(site) else []
        return ["weft-gate", "run", "--state", folder / "gate", "--kit", run.kit(site), "--coordinator",
                f"127.0.0.1:{run.gate_port}", "--site-directory", run.exchange(site), "--give-up-hours", "0.1", "--silence-seconds", "3", *start]

    def start(self):
        program, *arguments = self.arguments()
        self.log_offset = self.log.stat().st_size if self.log.exists() else 0
        self.process = Process(self.name, [self.run.program(program), *arguments], self.log)
        self.started_at = time.monotonic()
        self.lives += 1

    def alive(self):
        return self.process is not None and self.process.running()

    def kill(self):
        """The program alone, not what it has started: its children live on as they would after a crash."""
        os.kill(self.process.popen.pid, signal.SIGKILL)
        self.process.popen.wait()

    def phase(self):
        if time.monotonic() - self.started_at < STARTUP_SECONDS:
            return "start-up"
        if self.kind == "gate":
            return last_word(self.log, self.log_offset, "gate", GATE_WORDS) or "idle"
        if self.kind == "worker":
            return last_word(self.log, self.log_offset, "worker", WORKER_WORDS) or "start-up"
        folder = self.run.coordinator_folder()
        if any(name.endswith(".tmp") for name in os.listdir(folder / "releases")):
            return "publishing"
        closed = last_word(self.log, 0, "coordinator", {"code=ROUND_CLOSED": "outer step", "code=OUTER_STEP_DONE": "idle"})
        if closed == "outer step":
            return closed
        return "receiving" if os.listdir(folder / "spool") else "idle"


class ChildWorker(Mortal):
    """A worker that its gate starts, and starts again. It gives up after six deaths without a result between them."""

    def __init__(self, run, gate):
        super().__init__(run, "worker", gate.site)
        self.gate, self.log = gate, gate.log
        self.pid = None
        self.deaths = 0
        self.results = 0
        self.started_at = 0.0

    def alive(self):
        if not self.gate.alive():
            return False
        gate = self.gate.process.popen.pid
        try:
            children = Path(f"/proc/{gate}/task/{gate}/children").read_text().split()
        except OSError:
            return False
        pid = int(children[0]) if children else None
        if pid != self.pid:
            self.pid, self.started_at, self.log_offset = pid, time.monotonic(), 0
        done = self.log.read_text(errors="replace").count("the worker has a result")
        if done != self.results:
            self.results, self.deaths = done, 0
        return pid is not None and self.deaths < 3

    def kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            self.deaths += 1
        except ProcessLookupError:
            pass
