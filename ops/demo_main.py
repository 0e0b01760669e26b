"""The demo: a run authority, a coordinator and some sites on this machine, each site with its own gate, worker and text.

Started by ops/demo, which builds the programs first. Every step is done by a program of Weft as an operator would call it
(local_run.py); beside the federation run the references that the result is held against. Python's standard library only.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import demo_progress
import demo_regions
import demo_report
import demo_text
from local_run import LocalRun, ProgramFailed

# About a million parameters, and training that two slow cores do in minutes.
MODEL = ("--hidden", 128, "--layers", 4, "--heads", 4, "--kv-heads", 2, "--head-dimension", 32,
         "--intermediate", 384, "--context", 128)
VOCABULARY_INVENTED, VOCABULARY_REAL = 1024, 2048
BATCH, SEQUENCE = 4, 128
INNER_STEPS = 16  # of a round: short exchanges keep sites of different languages together
MARKER = ".weft-demo"
SCHEMES = ("fedavg", "fedprox", "elastic", "elastic_async", "delayed", "diloco", "fedadam", "admm", "proximal")
WITHOUT_BARRIER = ("elastic_async", "delayed")  # a round is of one contribution there


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="ops/demo", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Trains one model across several sites on this machine, and shows what each model knows.\n"
                    "Without --data, the text is invented: regions with languages and facts of their own.",
        epilog="examples:\n  ops/demo\n  ops/demo --sites 4 --rounds 20 --scheme fedavg\n"
               "  ops/demo --data my_text     # my_text/french/*.txt, my_text/hindi/*.jsonl (with \"text\") ...\n"
               "Exit: 0 done, 1 failed, 2 bad usage, 130 stopped by Ctrl-C.")
    parser.add_argument("--work", type=Path, default=None, metavar="DIR",
                        help="holds everything the demo makes, summary.json too [build/demo]; what an earlier demo left there is removed")
    parser.add_argument("--data", type=Path, metavar="DIR", help="your own text: one subfolder a site, .txt or .jsonl files")
    parser.add_argument("--sites", type=int, default=None, metavar="N", help="invented regions [3]; not with --data")
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="rounds [40]")
    parser.add_argument("--scheme", default="proximal", choices=SCHEMES,
                        help="how the consensus is made [proximal]")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of everything that is drawn [1]")
    parser.add_argument("--keep", action="store_true", help="leave the coordinator serving when the demo is done")
    parser.add_argument("--programs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--check-usage", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.data and parsed.sites:
        parser.error("--sites counts invented regions; with --data, the subfolders are the sites")
    parsed.sites = parsed.sites or 3
    if not 2 <= parsed.sites <= len(demo_regions.NAMES):
        parser.error(f"--sites {parsed.sites}: 2 to {len(demo_regions.NAMES)} are possible")
    if not 1 <= parsed.rounds <= 10_000:
        parser.error(f"--rounds {parsed.rounds}: 1 to 10000 are possible")
    if not 0 <= parsed.seed < 1 << 63:
        parser.error(f"--seed {parsed.seed}: 0 or above")
    parsed.work = (parsed.work or Path(__file__).resolve().parent.parent / "build" / "demo").absolute()
    return parsed


def say(words):
    print(f"demo: {words}", flush=True)


def make_work_folder(work):
    """Empty, and known to be ours: a folder with anything else in it is left alone."""
    if work.exists() and any(work.iterdir()):
        if not (work / MARKER).exists():
            raise demo_text.BadText(f"{work}: is not empty and not from an earlier demo; choose another --work")
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    (work / MARKER).touch()


class Islands:
    """The references, trained without a consensus while the federation leaves cores free: each site alone with as many
    tokens as it has in the federation, and all text in one place with as many as all sites together."""

    def __init__(self, run, steps, cores, beside):
        self._run, self._steps, self._cores, self._beside = run, steps, cores, beside
        # The longest first, so that no core waits for it in the end.
        self.jobs = [(demo_report.POOLED_TRAINING, list(run.sites), steps * len(run.sites))]
        self.jobs += [(f"alone:{site}", [site], steps) for site in run.sites]
        self.started = {}

    def folder(self, name):
        return self._run.work / "references" / name.replace(":", "-")

    def models(self):
        return {name: self.folder(name) for name, _, _ in self.jobs}

    def _running(self):
        return [name for name, (process, _) in self.started.items() if process.running()]

    def step(self, federation_runs):
        """Starts what may run now; raises if one has failed."""
        for name, (process, _) in self.started.items():
            if not process.running() and process.popen.returncode != 0:
                raise ProgramFailed(f"{name} failed:\n{process.tail()}")
        allowed = self._beside if federation_runs else self._cores
        for name, sites, steps in self.jobs:
            if len(self._running()) >= allowed or name in self.started:
                continue
            data = [part for site in sites for part in ("--data", self._run.shards(site))]
            site = sites[0] if len(sites) == 1 else "pooled"
            process = self._run.start("island-" + name.replace(":", "-"), "weft-worker", "island", "--manifest",
                                      self._run.work / "run.textproto", "--initial", self._run.work / "initial", "--site", site,
                                      "--steps", steps, "--threads", 1, "--slots", self._run.work / "slots", "--slot-count",
                                      self._cores, "--out", self.folder(name), *data)
            self.started[name] = (process, time.monotonic())

    def done(self):
        return len(self.started) == len(self.jobs) and not self._running()

    def lines(self):
        lines = []
        for name, _, steps in self.jobs:
            process, started = self.started.get(name, (None, None))
            done = process is not None and not process.running()
            lines.append(demo_progress.island_line(demo_report.title(name), self.folder(name), steps, BATCH * SEQUENCE, started, done))
        return lines


def rounds_of_run(options, sites):
    """Without a barrier each contribution has a round of its own: as many for every site."""
    return options.rounds * (len(sites) if options.scheme in WITHOUT_BARRIER else 1)


def prepare(options, run):
    """Text, identities, tokenizer, initial model, shards, manifest: all that comes before the first round."""
    if options.data:
        texts = demo_text.read_folder(run.work, options.data)
    else:
        texts = demo_text.make_invented(run.work, options.seed, options.sites)
    sites = [text.name for text in texts]
    say(f"sites: {', '.join(sites)}; each has text that only its own worker reads")
    run.make_identities(sites)
    say("made a run authority, and a kit for the coordinator and for every site")
    sample_bytes = sum(text.sample.stat().st_size for text in texts)
    say(f"learning the tokenizer from {sample_bytes:,} bytes that the sites made public (text/*/public_sample.txt)")
    run.make_tokenizer([text.sample for text in texts], VOCABULARY_REAL if options.data else VOCABULARY_INVENTED)
    run.make_initial_model(*MODEL, seed=options.seed)
    for text in texts:
        run.prepare(text.name, [text.training], "--held-out", 0)
    rounds = rounds_of_run(options, sites)
    run.make_manifest("--rounds", rounds, "--inner-steps", INNER_STEPS, "--preset", options.scheme, "--batch", BATCH,
                      "--sequence", SEQUENCE, "--learning-rate", 3e-3, "--publish-every", max(1, rounds // 4), "--seed",
                      options.seed, "--quorum", 1 if options.scheme in WITHOUT_BARRIER else len(sites), "--description",
                      f"The demo: {len(sites)} sites on one machine")
    print(run.call("weft-ops", "manifest", "show", run.work / "run.signed.json", "--kit", run.kit(sites[0])), flush=True)
    return texts


def federate(options, run, cores):
    """Runs the rounds, with the references beside them, until all are done."""
    run.init_coordinator()
    run.start_coordinator()
    (run.work / "slots").mkdir()
    for site in run.sites:
        run.accept(site)
        run.start_gate(site, ["--threads", 1, "--slots", run.work / "slots", "--slot-count", cores])
    # With a single core the references wait for the federation; with more, they take what its sites leave, at least one.
    islands = Islands(run, options.rounds * INNER_STEPS, cores, 0 if cores == 1 else max(1, cores - len(run.sites)))
    display = demo_progress.Display()
    rounds = rounds_of_run(options, run.sites)
    federation_runs = True
    while federation_runs or not islands.done():
        if not run.coordinator.running():
            raise ProgramFailed(f"the coordinator has ended:\n{run.coordinator.tail()}")
        for site, gate in run.gates.items():
            if not gate.running() and gate.popen.returncode != 0:
                raise ProgramFailed(f"the gate of {site} failed:\n{gate.tail()}")
        federation_runs = any(gate.running() for gate in run.gates.values())
        islands.step(federation_runs)
        lines, rounds_done = [], {}
        for site in run.sites:
            line, rounds_done[site] = demo_progress.site_line(site, run.site_folder(site) / "exchange", rounds)
            lines.append(line if run.gates[site].running() else line._replace(state="done", share=1.0))
        display.show(lines + islands.lines(), rounds_done, rounds)
        time.sleep(0.25)
    return islands.models()


def newest_release(run):
    releases = sorted((run.coordinator_folder() / "releases").glob("round-*"))
    if not releases:
        raise ProgramFailed(f"{run.coordinator_folder()}/releases: the coordinator has released nothing")
    return releases[-1]


def sample_prompt(text):
    """The first words of the held-out text."""
    line = text.held_out.read_text(encoding="utf-8").splitlines()[0]
    return " ".join(line.split()[:3])[:40]


def run_demo(options):
    start = time.monotonic()
    make_work_folder(options.work)
    cores = len(os.sched_getaffinity(0))
    with LocalRun(options.work, options.programs, run_id="demo") as run:
        texts = prepare(options, run)
        say(f"training: {rounds_of_run(options, texts)} rounds at {len(texts)} sites, one thread each, at most {cores} at once")
        references = federate(options, run, cores)
        release = newest_release(run)
        say("scoring every model on every site's held-out text")
        models = {name: folder for name, folder in references.items() if name.startswith("alone:")}
        models[demo_report.CONSENSUS] = release
        models[demo_report.POOLED_TRAINING] = references[demo_report.POOLED_TRAINING]
        reports = demo_report.evaluate(run, texts, models, cores)
        summary = demo_report.summarise(reports, {site: run.bytes_left(site) for site in run.sites}, options.rounds,
                                        release.relative_to(options.work), demo_report.share_not_computing(release),
                                        time.monotonic() - start)
        demo_report.write(options.work / "summary.json", summary)
        print("\n" + demo_report.table(summary, demo_regions.SUBJECTS) + "\n")
        print(demo_report.next_steps(run, release, sample_prompt(texts[0])))
        print(f"\nEverything lies in {options.work}; the same figures in {options.work / 'summary.json'} "
              f"({summary['seconds']:.0f} s).")
        if options.keep:
            run.processes.remove(run.coordinator)
            print(f"\nThe coordinator still serves at 127.0.0.1:{run.port}; end it with: kill {run.coordinator.popen.pid}")


def main():
    options = parse_arguments(sys.argv[1:])
    if options.check_usage:
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run_demo(options)
    except KeyboardInterrupt:
        print("\ndemo: stopped; every program it started has ended", file=sys.stderr)
        return 130
    except (ProgramFailed, demo_text.BadText) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
