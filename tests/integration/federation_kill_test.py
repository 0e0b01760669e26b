#!/usr/bin/env python3
"""Whole federations whose programs are killed with -9 at random instants, and what is on disk afterwards.

    tests/integration/federation_kill_test.py                          # a dozen kills, as ops/test runs it
    tests/integration/federation_kill_test.py --kills 1000 --seed 7    # minutes; several shapes of federation in turn
    tests/integration/federation_kill_test.py --kills 200 --shape chunks --shaper

A failing run prints its seed and the command that repeats it, keeps its folder, and prints the last lines of every log.
The same seed draws the same kills; how they fall on the programs' work depends on the machine too.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
os.environ.setdefault("WEFT_SOURCE", str(SOURCE))
os.environ.setdefault("WEFT_BIN", str(SOURCE / "build/dev/bin"))
sys.path.insert(0, str(SOURCE / "tests/testing"))
from federation import MODEL, Federation, ProgramFailed  # noqa: E402
from killed_run import KilledRun, Options, Tally  # noqa: E402
from mortal import PHASES  # noqa: E402
from run_checks import Reference, check_run, resumed_pushes, rounds_of  # noqa: E402
from tcp_shaper import TcpShaper  # noqa: E402

NAMES = ["alba", "brena", "corvo", "dorma", "elva", "faro", "gora", "hilma"]


@dataclass
class Shape:
    """A kind of federation."""
    sites: int
    manifest: list
    model: list
    same: bool = True  # every round has the whole cohort: all equals the undisturbed run
    gap_seconds: float = 0.15
    kills_at_once: int = 150  # in one run; then the next run begins
    shaper: bool = False  # a slow link between gates and coordinator, cut at random


WHOLE = ["--up", "parameters_fp32", "--down", "parameters_fp32"]
SMALL = ["--inner-steps", "20", "--publish-every", "3"]
SHAPES = {
    "small": Shape(3, ["--rounds", "24", "--quorum", "3", *SMALL], MODEL),
    # About a million parameters: a contribution has five chunks of fp32.
    "chunks": Shape(3, ["--rounds", "8", "--quorum", "3", *SMALL, *WHOLE],
                    MODEL[:1] + ["160", "--layers", "4"] + MODEL[4:11] + ["512"] + MODEL[12:], gap_seconds=0.25, shaper=True),
    # Rounds close at a deadline without those that are late: the cohorts differ from run to run.
    "partial": Shape(5, ["--rounds", "12", "--quorum", "2", "--round-seconds", "2", *SMALL, *WHOLE], MODEL, same=False),
    # What sites keep between rounds: what their encodings have lost, duals, parts of the vector with steps ahead.
    "feedback": Shape(3, ["--rounds", "16", "--quorum", "3", *SMALL, "--preset", "proximal", "--up", "delta_int4", "--down",
                          "delta_int4"], MODEL),
    "duals": Shape(3, ["--rounds", "16", "--quorum", "3", *SMALL, "--preset", "admm"], MODEL),
    "fragments": Shape(3, ["--rounds", "16", "--quorum", "3", *SMALL, "--preset", "proximal", "--set", "consensus.fragments=3",
                           "--set", "consensus.fragment_delay_steps=6", "--set", "consensus.alpha=0.5"], MODEL),
    # Without a barrier the order of contributions differs from run to run.
    "delayed": Shape(3, ["--rounds", "36", "--quorum", "1", *SMALL, "--preset", "delayed"], MODEL, same=False),
    "eight": Shape(8, ["--rounds", "12", "--quorum", "8", *SMALL, "--preset", "diloco"], MODEL, gap_seconds=0.25),
}


def prepare(shape, folder):
    """Everything that comes before a run, and an undisturbed run: returns its Reference."""
    sites = NAMES[:shape.sites]
    with Federation(folder / "prepared", sites) as run:
        run.set_up(shape.manifest, model=shape.model)
    shutil.copytree(folder / "prepared", folder / "calm", symlinks=True)
    with Federation(folder / "calm", sites) as run:
        run.start_coordinator("--keep-contributions")
        for site in sites:
            run.start_gate(site)
        run.finish(timeout=300)
        reference = Reference.of(run)
        problems = check_run(run, reference, shape.same)
    shutil.rmtree(folder / "calm")
    if problems:
        raise ProgramFailed("the undisturbed run: " + "; ".join(problems))
    return reference


def one_run(shape, folder, reference, options, tally):
    shutil.copytree(folder / "prepared", folder / "run", symlinks=True)
    run = KilledRun(folder / "run", NAMES[:shape.sites], options, tally)
    resumed = 0
    try:
        run.go()
        problems = check_run(run, reference, shape.same)
        if problems:
            raise ProgramFailed("\n".join(problems))
        rounds = rounds_of(run)
        tally.rounds += len(rounds)
        tally.smaller_rounds += sum(len(r["contributions"]) < shape.sites for r in rounds)
        tally.runs += 1
        resumed = resumed_pushes(run)
    except BaseException:
        run.tails()
        raise
    shutil.rmtree(folder / "run")
    return resumed


def run_all(arguments, folder, tally):
    draw = random.Random(arguments.seed)
    names = [arguments.shape] if arguments.shape else (["small"] if arguments.kills < 100 else list(SHAPES))
    references, resumed, left, turn = {}, 0, arguments.kills, 0
    while left > 0:
        name = names[turn % len(names)]
        turn += 1
        shape = SHAPES[name]
        if name not in references:
            references[name] = prepare(shape, folder / name)
        kills = min(left, shape.kills_at_once)
        began = time.monotonic()
        options = Options(kills, draw, gap_seconds=shape.gap_seconds)
        if shape.shaper or arguments.shaper:
            options.shaper = TcpShaper(delay_seconds=0.005, bytes_per_second=6_000_000)
        before = sum(tally.kills.values())
        resumed += one_run(shape, folder / name, references[name], options, tally)
        done = sum(tally.kills.values()) - before
        left -= done
        print(f"{name}: {done} kills in {time.monotonic() - began:.0f} s, {left} are left", flush=True)
    missed = [f"{program} {phase}" for program in PHASES for phase in PHASES[program] if tally.kills[(program, phase)] == 0]
    if arguments.kills >= 500 and missed:
        raise ProgramFailed(f"{arguments.kills} kills hit no {', '.join(missed)}")
    if arguments.kills >= 100 and "chunks" in references and resumed == 0:
        raise ProgramFailed("no push went on where a broken one had ended")
    return resumed


def report(tally, resumed, seconds):
    for program, phases in PHASES.items():
        hits = [f"{phase} {tally.kills[(program, phase)]}" for phase in phases]
        print(f"  {program:12}" + ", ".join(hits))
    by_program = ", ".join(f"{tally.of_program(program)} {program}" for program in PHASES)
    print(f"killed: {by_program}; pushes that resumed: {resumed}; cuts: {tally.cuts}; rounds: {tally.rounds}, "
          f"{tally.smaller_rounds} of them without the whole federation; "
          f"runs: {tally.runs}; seconds: {seconds:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    parser.add_argument("--shape", choices=SHAPES, help="only this kind of federation [all in turn; below 100 kills: small]")
    parser.add_argument("--shaper", action="store_true", help="a slow link, cut at random, in every run [only in chunks]")
    parser.add_argument("--work", type=Path, help="where the runs lie [a temporary folder]")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="weft-kill-", dir=arguments.work))
    shape = f" --shape {arguments.shape}" if arguments.shape else ""
    shape += " --shaper" if arguments.shaper else ""
    again = f"tests/integration/federation_kill_test.py --kills {arguments.kills} --seed {arguments.seed}{shape}"
    print(f"seed {arguments.seed}; again: {again}", flush=True)
    tally, began = Tally(), time.monotonic()
    try:
        resumed = run_all(arguments, folder, tally)
    except BaseException as problem:
        print(f"FAILED, seed {arguments.seed}: {problem}\nkept: {folder}\nagain: {again}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)
    report(tally, resumed, time.monotonic() - began)


if __name__ == "__main__":
    main()
