#!/usr/bin/env python3
"""One program of a federation dies at its N-th durable write or effect, for every N there is, and is started again: the
consensus and everything else on disk must be as if nothing had happened. Enumerated, where federation_kill_test draws.

    tests/integration/crash_points_test.py                              # the coordinator, one round: as ops/test runs it
    tests/integration/crash_points_test.py --program gate --rounds 2    # or worker
    tests/integration/crash_points_test.py --rounds 2 --scheme duals    # or feedback, fragments

The other programs run undisturbed. Except for a worker's own turn, the site vectors are those of the undisturbed run,
put where the worker would write them: training again would only cost time. proto/crash_point.h is the hook.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
os.environ.setdefault("WEFT_SOURCE", str(SOURCE))
os.environ.setdefault("WEFT_BIN", str(SOURCE / "build/dev/bin"))
sys.path.insert(0, str(SOURCE / "tests/testing"))
from federation import MODEL, Federation, ProgramFailed, wait_until  # noqa: E402
from local_run import Process  # noqa: E402
from run_checks import Reference, check_run  # noqa: E402

SITES = ["alba", "brena"]
CRASHED = 137
BOUND_SECONDS = 120
# What sites and coordinator keep between rounds. Without a barrier rounds come in another order each time.
SCHEMES = {
    "plain": [],
    "feedback": ["--preset", "proximal", "--up", "delta_int4", "--down", "delta_int4"],
    "duals": ["--preset", "admm"],
    "fragments": ["--preset", "proximal", "--set", "consensus.fragments=2", "--set", "consensus.fragment_delay_steps=1"],
}
# What the coordinator says when it comes back; every kind of moment must have been hit.
MOMENTS = ["waits for 2 sites", "is open for", "is closed", "all rounds are done;", "all rounds are done and published"]


class CrashingRun(Federation):
    """`program` dies at crash point `number`, and goes on without the hook."""

    def __init__(self, work, program, number):
        super().__init__(work, SITES)
        self.mortal = {"coordinator": "coordinator", "gate": "gate-alba", "worker": "worker-alba"}[program]
        self.hook = {**os.environ, "WEFT_CRASH_AT": str(number)}
        self.crashed = False

    def spawn(self, name, *arguments):
        process = Process(name, [self.program(arguments[0]), *arguments[1:]], self.work / "logs" / f"{name}.log",
                          self.hook if name == self.mortal and not self.crashed else None)
        process.arguments = arguments
        self.processes.append(process)
        return process

    def revive(self, process):
        """A program that has reached its crash point starts again; any other end but 0 fails the test."""
        code = process.popen.poll()
        if code is None or code == 0:
            return process
        if process.name != self.mortal or code != CRASHED or self.crashed:
            raise ProgramFailed(f"{process.name} ended with {code}:\n{process.tail(20)}")
        self.crashed = True
        return self.spawn(process.name, *process.arguments)

    def go(self, with_worker):
        port_file = self.work / "coordinator.port"
        serve = ["weft-coordinator", "serve", "--directory", self.coordinator_folder(), "--keep-contributions",
                 "--heartbeat-seconds", "0.5", "--port-file", port_file]
        coordinator = self.spawn("coordinator", *serve, "--listen", "127.0.0.1:0")
        give_up = time.monotonic() + BOUND_SECONDS
        while not port_file.exists():
            coordinator = self.revive(coordinator)
            time.sleep(0.005)
            if time.monotonic() > give_up:
                raise ProgramFailed(f"the coordinator does not serve:\n{coordinator.tail()}")
        coordinator.arguments = [*serve, "--listen", f"127.0.0.1:{int(port_file.read_text())}"]
        running = [coordinator]
        for site in SITES:
            running.append(self.spawn(f"gate-{site}", "weft-gate", "run", "--state", self.site_folder(site) / "gate", "--kit",
                                      self.kit(site), "--coordinator", f"127.0.0.1:{int(port_file.read_text())}",
                                      "--site-directory", self.exchange(site)))
        if with_worker:
            running.append(self.spawn("worker-alba", "weft-worker", "run", "--site-directory", self.exchange("alba"), "--data",
                                      self.shards("alba"), "--threads", "1", "--checkpoint-every-steps", "2"))
        while any(p.running() or p.popen.returncode != 0 for p in running if p is not running[0]):
            running = [self.revive(process) for process in running]
            time.sleep(0.005)
            if time.monotonic() > give_up:
                raise ProgramFailed(f"not finished after {BOUND_SECONDS} s: {self.status()}")
        self.revive(running[0])


def prepare(folder, rounds, scheme):
    """prepared/: a run about to begin, with the undisturbed run's site vectors in place. Returns its Reference."""
    with Federation(folder / "prepared", SITES) as run:
        run.set_up(["--rounds", str(rounds), "--inner-steps", "4", "--quorum", "2", *SCHEMES[scheme]], model=MODEL)
    shutil.copytree(folder / "prepared", folder / "calm", symlinks=True)
    results = folder / "results"
    with Federation(folder / "calm", SITES) as run:
        run.start_coordinator("--keep-contributions")
        for site in SITES:
            run.start_gate(site, worker=None)
            for part in ("results", "blobs"):
                (results / site / part).mkdir(parents=True)
        # One round at a time, so that every result can be kept before its successor removes it.
        for number in range(rounds):
            for site in SITES:
                process = run.start_worker(site, "--threads", "1")
                name = Path("results") / f"round-{number:06d}.textproto"
                wait_until(f"{site} has a result of round {number}", (run.exchange(site) / name).exists, 60)
                keep(run, site, name, results / site)
                process.stop()
        run.finish(timeout=BOUND_SECONDS)
        for site in SITES:
            shutil.copy(run.exchange(site) / "training_log.jsonl", results / site)
        reference = Reference.of(run)
    return reference


def keep(run, site, name, folder):
    vector = re.search(r'^vector_digest: "(\w+)"', (run.exchange(site) / name).read_text(), re.M).group(1)
    for path in (name, Path("blobs") / vector):
        shutil.copy(run.exchange(site) / path, folder / path)


def crash_at(folder, program, number, reference):
    """Returns whether the program came so far, and what its log says at its return."""
    work = folder / f"{program}-{number}"
    shutil.copytree(folder / "prepared", work, symlinks=True)
    for site in SITES:
        if program != "worker" or site != "alba":
            shutil.copytree(folder / "results" / site, work / "sites" / site / "exchange")
    try:
        with CrashingRun(work, program, number) as run:
            run.go(with_worker=program == "worker")
            problems = check_run(run, reference, same=True)
            if problems:
                raise ProgramFailed("\n".join(problems))
            log = (run.work / "logs" / f"{run.mortal}.log").read_text()
    except Exception as problem:
        raise ProgramFailed(f"{program}, crash point {number}: {problem}\nkept: {work}") from problem
    shutil.rmtree(work)
    return run.crashed, log


def enumerate_points(folder, program, reference, jobs):
    """Every crash point of `program`. The order of a federation's events varies a little from run to run, so numbers go on
    until several in a row were not reached."""
    places, said, number = Counter(), "", 1
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            batch = list(pool.map(lambda n: crash_at(folder, program, n, reference), range(number, number + 2 * jobs)))
            for _, log in batch:
                said += log
                places.update(re.findall(r"^crash point \d+: (.*)", log, re.M))
            number += 2 * jobs
            if not any(crashed for crashed, _ in batch):
                return places, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", choices=["coordinator", "gate", "worker"], default="coordinator")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scheme", choices=SCHEMES, default="plain")
    parser.add_argument("--jobs", type=int, default=4, help="federations side by side")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="weft-crash-"))
    began = time.monotonic()
    reference = prepare(folder, arguments.rounds, arguments.scheme)
    places, said = enumerate_points(folder, arguments.program, reference, arguments.jobs)
    if arguments.program == "coordinator":
        missed = [moment for moment in MOMENTS if not re.search(f"goes on at: .*{moment}", said)]
        if missed:
            raise ProgramFailed(f"no crash came when the coordinator's state was: {missed}")
    shutil.rmtree(folder)
    print(", ".join(f"{place}: {count}" for place, count in sorted(places.items())))
    print(f"{sum(places.values())} crash points of the {arguments.program} in {arguments.rounds} round(s), {arguments.scheme}, "
          f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
