"""A federation whose programs are killed with -9 at random instants and started again after a random short delay.

    run = KilledRun(folder, sites, Options(kills=12, draw=random.Random(7)), Tally())
    run.go()             # until the run is finished, with all its kills done on the way

Each kill waits for a program to be in a phase that was drawn (pushing, publishing, just started ...), looked up in the
files and log lines that the program leaves, then for a few milliseconds more. What was hit is counted by the phase that
the program was in at the instant of the kill. When the kills are used up, the run must finish within a bound.
"""

import random
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from federation import Federation, ProgramFailed
from mortal import PHASES, STARTUP_SECONDS, ChildWorker, Mortal

PHASE_WAIT_SECONDS = 1.5  # so long a kill waits for the phase that was drawn; then it takes what there is


@dataclass
class Options:
    kills: int
    draw: random.Random
    gap_seconds: float = 0.15  # between kills, on average
    worker: list = field(default_factory=lambda: ["--threads", "1", "--checkpoint-every-steps", "5"])
    children: int = 1  # the first so many sites' workers are children of their gates; the others stand alone
    finish_seconds: float = 180  # from the last kill
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


def free_port():
    """Below the ports that the kernel hands out: nobody takes it while its coordinator is dead."""
    while True:
        port = random.SystemRandom().randint(15000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class KilledRun(Federation):
    def __init__(self, work, sites, options, tally):
        super().__init__(work, sites)
        self.options, self.tally = options, tally
        self.draw = options.draw
        self.port = self.gate_port = free_port()
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
