"""A federation whose programs are killed with -9 at random instants and started again after a random short delay.

    run = KilledRun(folder, sites, Options(kills=12, seed=7, worker=["--threads", "1"]), tally)
    run.go()                                  # until the run is finished, with all its kills done on the way

Each kill waits for a program to be in a phase that was drawn (pushing, publishing, just started ...), looked up in the
files and log lines that the program leaves, then for a few milliseconds more. What was hit is counted by the phase that
the program was in at the instant of the kill. When the kills are used up, the run must finish within a bound.
"""

import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from federation import Federation, ProgramFailed
from local_run import Process

STARTUP_SECONDS = 0.08  # a program younger than this is starting
PHASE_WAIT_SECONDS = 1.5  # so long a kill waits for the phase that was drawn; then it takes what there is
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


@dataclass
class Options:
    kills: int
    draw: random.Random
    gap_seconds: float = 0.15  # between kills, on average
    worker: list = field(default_factory=lambda: ["--threads", "1", "--checkpoint-every-steps", "2"])
    children: int = 1  # the first so many sites' workers are children of their gates; the others stand alone
    finish_seconds: float = 60  # from the last kill
    shaper: object = None  # a TcpShaper between gates and coordinator; it is cut at random


@dataclass
class Tally:
    """What all runs of one test did."""
    kills: Counter = field(default_factory=Counter)  # (program, phase)
    cuts: int = 0
    rounds: int = 0
    smaller_rounds: int = 0  # that closed without some site
    runs: int = 0

    def of_program(self, program):
        return sum(count for (name, _), count in self.kills.items() if name == program)


def free_port(draw):
    """Below the ports that the kernel hands out: nobody takes it while its coordinator is dead."""
    while True:
        port = draw.randint(15000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


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


class KilledRun(Federation):
    def __init__(self, work, sites, options, tally):
        super().__init__(work, sites)
        self.options, self.tally = options, tally
        self.draw = options.draw
        self.port = self.gate_port = free_port(self.draw)
        self.kills_left = options.kills
        self.programs = []

    def is_child(self, site):
        return self.sites.index(site) < self.options.children

    def add_programs(self):
        self.programs = [Mortal(self, "coordinator")]
        for site in self.sites:
            self.exchange(site).mkdir(parents=True, exist_ok=True)
            gate = Mortal(self, "gate", site)
            self.programs.append(gate)
            self.programs.append(ChildWorker(self, gate) if self.is_child(site) else Mortal(self, "worker", site))
        for folder in ("releases", "spool"):
            (self.coordinator_folder() / folder).mkdir(exist_ok=True)

    def finished(self):
        return all(p.ended for p in self.programs if p.kind == "gate")

    def go(self):
        self.add_programs()
        if self.options.shaper is not None:
            self.gate_port = self.options.shaper.start(self.port)
        try:
            plan = None
            last_kill = time.monotonic()
            while not self.finished():
                self.look_after()
                if self.kills_left > 0:
                    plan = self.pursue(plan or self.new_plan())
                    last_kill = time.monotonic()
                elif time.monotonic() - last_kill > self.options.finish_seconds:
                    raise ProgramFailed(f"not finished {self.options.finish_seconds} s after the last kill: {self.status()}")
                time.sleep(0.002)
        finally:
            self.end_programs()

    def look_after(self):
        """Starts what is due; notices what has ended by itself, which is right only at the end of the run."""
        now = time.monotonic()
        for program in self.programs:
            if isinstance(program, ChildWorker) or program.ended:
                continue
            if program.process is None:
                if now >= program.start_at:
                    program.start()
                continue
            code = program.process.popen.poll()
            if code is None:
                continue
            may_end = program.kind == "gate" or (program.kind == "worker" and "the gate says stop" in program.process.tail(3))
            if code == 0 and may_end:
                program.ended = True
            else:
                raise ProgramFailed(f"{program.name} ended by itself with {code}:\n{program.process.tail(30)}")
        for program in self.programs:  # a gate that was killed at its very end takes its worker's stop back
            if program.kind == "worker" and program.ended and not self.finished():
                program.ended, program.process, program.start_at = False, None, now + 0.5

    def new_plan(self):
        kind = self.draw.choice(list(PHASES))
        targets = [p for p in self.programs if p.kind == kind]
        phase = self.draw.choice(PHASES[kind] + ["any"])
        # Most hits come at once; some deep in the phase.
        delay = self.draw.choice([0, self.draw.uniform(0, 0.003), self.draw.uniform(0, 0.03), self.draw.uniform(0, 0.5)])
        at = time.monotonic() + self.draw.expovariate(1 / self.options.gap_seconds)
        return {"target": self.draw.choice(targets), "phase": phase, "delay": delay, "at": at,
                "give_up": at + PHASE_WAIT_SECONDS}

    def pursue(self, plan):
        """A step of waiting for the plan's instant; the kill when it has come. Returns the plan that is left."""
        target, now = plan["target"], time.monotonic()
        if now < plan["at"]:
            return plan
        if not target.alive():
            return plan if now < plan["give_up"] else None
        if plan["phase"] == "start-up" and not plan.get("again"):
            # Kill it wherever it is, and once more within milliseconds of its start.
            self.hit(target)
            if isinstance(target, ChildWorker) or self.kills_left == 0:
                return None
            target.start_at = now
            return {**plan, "again": True, "at": now, "give_up": now + 2, "after": self.draw.uniform(0, STARTUP_SECONDS)}
        if plan.get("again"):
            if now - target.started_at < plan["after"]:
                return plan
        elif plan["phase"] not in ("any", target.phase()) and now < plan["give_up"]:
            return plan
        if plan["delay"] > 0:
            time.sleep(plan["delay"])
        if target.alive():
            if self.draw.random() < 0.05:
                for program in self.programs:  # the whole machine, as when the power fails
                    if program.alive():
                        self.hit(program)
            else:
                self.hit(target)
        return None

    def hit(self, program):
        if self.kills_left == 0:
            return
        phase = program.phase()
        if not isinstance(program, ChildWorker) and program.process.popen.poll() is not None:
            return  # it ended by itself in this instant; look_after judges it
        program.kill()
        self.kills_left -= 1
        self.tally.kills[(program.kind, phase)] += 1
        if not isinstance(program, ChildWorker):
            program.process = None
            program.start_at = time.monotonic() + self.draw.choice([0, self.draw.uniform(0, 0.1), self.draw.uniform(0, 0.6)])
        shaper = self.options.shaper
        if shaper is not None and self.draw.random() < 0.3:
            self.tally.cuts += 1
            # A broken line is noticed at once; a silent one only when heartbeats fail to come.
            self.draw.choice([shaper.cut, shaper.cut, shaper.freeze])(self.draw.choice([0, 0.5, 1.5, 5]))

    def end_programs(self):
        for kind in ("gate", "worker", "coordinator"):
            for program in self.programs:
                if program.kind == kind and not isinstance(program, ChildWorker) and program.process is not None:
                    program.process.stop()
        if self.options.shaper is not None:
            self.options.shaper.stop()

    def tails(self, lines=25):
        for log in sorted((self.work / "logs").glob("*.log")):
            text = log.read_text(errors="replace").splitlines()
            print(f"--- {log}", *text[-lines:], sep="\n  | ", file=sys.stderr)
