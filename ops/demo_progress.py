"""What the demo shows while it trains: a line for each site and each reference, rewritten in place on a terminal; and
elsewhere one line whenever a site has finished a round."""

import json
import re
import shutil
import sys
import time
from typing import NamedTuple


class Line(NamedTuple):
    name: str
    state: str      # "round 3/40", "done", "waiting for a core"
    share: float    # done of the whole
    loss: float     # nats per token; 0: none yet
    speed: float    # tokens per second; 0: none yet


def site_line(site, exchange_folder, rounds):
    """From the worker's progress file in the site directory."""
    try:
        text = (exchange_folder / "progress.textproto").read_text()
    except OSError:
        return Line(site, "joining", 0, 0, 0), 0
    number = lambda field: float((re.search(rf"^{field}: ([-+.\deE]+)", text, re.M) or [0, 0])[1])
    state = (re.search(r'^state: "(\w*)"', text, re.M) or ["", ""])[1]
    # Rounds are numbered from 0; a round that is done counts as a whole one.
    steps = number("inner_steps_done") / max(1, number("inner_steps"))
    finished = number("round") + (steps if state != "done" else 1)
    words = f"round {min(rounds, int(number('round')) + 1)}/{rounds}" + (" waiting" if state == "waiting" else "")
    return Line(site, words, finished / rounds, number("loss"), number("tokens_per_second")), int(finished)


def island_line(name, out, steps, batch_tokens, started, done):
    """From the training log that an island keeps; `started` is when it was, or None."""
    if done:
        return Line(name, "done", 1, 0, 0)
    if started is None:
        return Line(name, "waits for a core", 0, 0, 0)
    try:
        with open(f"{out}.training/training_log.jsonl", "rb") as log:
            log.seek(max(0, log.seek(0, 2) - 1000))
            step = json.loads(log.read().decode().splitlines()[-2])
    except (OSError, ValueError, IndexError):
        return Line(name, "starting", 0, 0, 0)
    count = step["step"] + 1
    return Line(name, f"step {count}/{steps}", count / steps, step["loss"],
                count * batch_tokens / max(0.1, time.monotonic() - started))


class Display:
    def __init__(self):
        self._terminal = sys.stdout.isatty()
        self._height = 0
        self._told = {}
        self._start = time.monotonic()

    def show(self, lines, rounds_done, round_count):
        """`lines` for a terminal; `rounds_done` are the finished rounds of each site."""
        if self._terminal:
            self._rewrite([self._format(line) for line in lines])
            return
        by_name = {line.name: line for line in lines}
        for site, done in rounds_done.items():
            if done > self._told.get(site, 0):
                self._told[site] = done
                print(f"  {time.monotonic() - self._start:5.0f} s  {site:<12} round {done}/{round_count}"
                      f"  loss {by_name[site].loss:.3f}  {by_name[site].speed:,.0f} tokens/s", flush=True)

    @staticmethod
    def _format(line):
        filled = int(24 * min(1.0, line.share))
        loss = f"loss {line.loss:6.3f}" if line.loss else " " * 11
        speed = f"{line.speed:8,.0f} tokens/s" if line.speed else ""
        return f"  {line.name:<22} [{'#' * filled}{'.' * (24 - filled)}] {line.state:<18} {loss} {speed}"

    def _rewrite(self, rows):
        width = shutil.get_terminal_size().columns - 1
        up = f"\x1b[{self._height}A" if self._height else ""
        sys.stdout.write(up + "".join(f"\r\x1b[K{row[:width]}\n" for row in rows))
        sys.stdout.flush()
        self._height = len(rows)
