"""What came out of the demo: scores by weft-eval, the table for people, summary.json for scripts."""

import concurrent.futures
import json
import os
from pathlib import Path

CONSENSUS, POOLED_TRAINING = "consensus", "pooled_training"


def evaluate(run, texts, models, cores):
    """Scores every model on every site's held-out text; `models` is {name: folder}. {model: report of weft-eval}"""
    out = run.work / "evaluation"
    out.mkdir(exist_ok=True)

    def score(model):
        report = out / (model.replace(":", "-") + ".json")
        arguments = [part for text in texts for part in ("--text", f"{text.name}={text.held_out}")]
        arguments += [part for text in texts if text.questions for part in ("--questions", f"{text.name}={text.questions}")]
        run.call("weft-eval", "run", "--model", models[model], "--threads", 1, "--documents", "blank-lines", "--json", report,
                 *arguments, timeout=600)
        return json.loads(report.read_text())

    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        return dict(zip(models, pool.map(score, models)))


def share_not_computing(release):
    """{site: share of its time between the first and the last round in which it had no order to work on}, by what the sites
    reported to the coordinator."""
    seconds = {}
    for line in (release / "training_log.jsonl").read_text(encoding="utf-8").splitlines():
        for site, report in json.loads(line)["sites"].items():
            waited, trained = seconds.get(site, (0, 0))
            seconds[site] = (waited + report["seconds_waiting"], trained + report["seconds_training"])
    return {site: waited / max(waited + trained, 1e-9) for site, (waited, trained) in seconds.items()}


def summarise(reports, bytes_left, rounds, release, not_computing, seconds):
    bits = {model: {**{text["name"]: text["bits_per_byte"] for text in report["texts"]},
                    "pooled": report["pooled"]["bits_per_byte"]} for model, report in reports.items()}
    facts = {model: {questions["name"]: questions["acc"] for questions in report.get("questions", [])}
             for model, report in reports.items() if report.get("questions")}
    return {"held_out_bits_per_byte": bits, "facts": facts, "bytes_left": bytes_left, "rounds": rounds,
            "not_computing": {site: round(share, 4) for site, share in not_computing.items()},
            "release": str(release), "seconds": round(seconds, 1)}


def write(path, summary):
    """Whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.rename(path)


def title(model):
    """How people are told of a model or a text, whose name in summary.json is `model`."""
    if model.startswith("alone:"):
        return f"{model[len('alone:'):]} alone"
    return {CONSENSUS: "the consensus", POOLED_TRAINING: "all text in one place", "pooled": "all"}.get(model, model)


def _rows(table):
    columns = list(next(iter(table.values())))
    widths = [max(12, len(column) + 2) for column in columns]
    head = f"  {'model':<32}" + "".join(f"{title(column):>{width}}" for column, width in zip(columns, widths))
    rows = [head]
    for model, scores in table.items():
        rows.append(f"  {title(model):<32}" +
                    "".join(f"{scores[column]:>{width}}" for column, width in zip(columns, widths)))
    return "\n".join(rows)


def table(summary, answers):
    """`answers`: how many a question of facts offers."""
    bits = {model: {name: f"{value:.3f}" for name, value in scores.items()}
            for model, scores in summary["held_out_bits_per_byte"].items()}
    parts = ["Bits per byte on held-out text of each site, and of all of them (lower is better):", _rows(bits)]
    if summary["facts"]:
        shares = {model: {name: f"{100 * value:.0f} %" for name, value in scores.items()}
                  for model, scores in summary["facts"].items()}
        parts += ["", f"Which facts each model knows: held-out questions answered, of each region (guessing: "
                      f"{100 / answers:.0f} %):", _rows(shares)]
    left = ", ".join(f"{site} {count:,}" for site, count in summary["bytes_left"].items())
    parts += ["", f"Bytes that left each site over {summary['rounds']} rounds, by its ledger: {left}."]
    waits = ", ".join(f"{site} {100 * share:.0f} %" for site, share in summary["not_computing"].items())
    parts += [f"Share of its time in which a site had no order to compute: {waits}.",
              "(Here a site waits while others have their turn at the cores; sites with cores of their own do not.)"]
    return "\n".join(parts)


def _shown(path):
    """A path as short as it can be typed here."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def next_steps(run, release, prompt):
    """What to type next."""
    folder = _shown(Path(run.work) / release)
    quoted = prompt.replace("'", "'\\''")
    return f"""The release, an ordinary Hugging Face folder: {folder}

Generate text from it:
  {_shown(run.program('weft-model'))} generate --model {folder} --prompt '{quoted}' --tokens 40

Load it in Python (with the packages torch and transformers):
  from transformers import AutoModelForCausalLM, AutoTokenizer
  model = AutoModelForCausalLM.from_pretrained({folder!r})
  tokenizer = AutoTokenizer.from_pretrained({folder!r})
  inputs = tokenizer({prompt!r}, return_tensors="pt")
  print(tokenizer.decode(model.generate(**inputs, max_new_tokens=40)[0]))"""
