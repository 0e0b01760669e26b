"""The text of the demo: of invented regions, or of a folder of the user's own, one subfolder a site.

For each site: its training text (files that only its own worker reads), a small sample that it makes public so that a
tokenizer can be learnt, and held-out text for scoring, of which nothing is in the training text.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple, Optional

import demo_regions

SAMPLE_BYTES = 120_000      # a site's public sample
TRAINING_BYTES = 4_000_000  # what is read of a site's own text at most: several times what the demo trains on
HELD_OUT_BYTES = 40_000     # what is scored of it
TRAINING_SENTENCES = 20_000
HELD_OUT_SENTENCES = 400


class SiteText(NamedTuple):
    name: str
    training: Path
    sample: Path
    held_out: Path
    questions: Optional[Path]  # of invented regions only


class BadText(Exception):
    """The folder of text cannot be used; the message says why and what is expected."""


def make_invented(work, seed, count):
    """Writes the texts of `count` invented regions."""
    return [_write(work, region.name, region.documents(TRAINING_SENTENCES), region.held_out_documents(HELD_OUT_SENTENCES),
                   region.questions()) for region in demo_regions.make_regions(seed, count)]


def read_folder(work, folder):
    """A site for each subfolder of `folder`; one paragraph or JSON line in twenty is held out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadText(f"{folder}: is no folder; expected is one with a subfolder of text for each site")
    subfolders = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(subfolders) < 2:
        raise BadText(f"{folder}: has {len(subfolders)} subfolders; expected are two or more, one a site")
    sites, names = [], set()
    for number, subfolder in enumerate(subfolders, 1):
        name = _site_name(subfolder.name, number, names)
        names.add(name)
        documents = _documents(subfolder)
        size = sum(len(document.encode()) for document in documents)
        if size < 50_000:
            raise BadText(f"{subfolder}: has {size} bytes of text in .txt and .jsonl files; expected are 50,000 or more")
        held_out = documents[::20]
        training = [document for number, document in enumerate(documents) if number % 20]
        # A sentence list may repeat itself: what is scored must not have been trained on.
        seen = set(training)
        held_out = [document for document in held_out if document not in seen]
        if not held_out:
            raise BadText(f"{subfolder}: one document in 20 is held out, and every one of them is also in the others")
        sites.append(_write(work, name, training, held_out, None))
    return sites


def _site_name(folder_name, number, taken):
    """Names of sites are of a-z, 0-9 and '-'."""
    name = re.sub(r"[^a-z0-9]+", "-", folder_name.lower()).strip("-")[:40] or f"site-{number}"
    return name if name not in taken and name not in ("coordinator", "authority") else f"{name}-{number}"


def _documents(folder):
    """Paragraphs of .txt files and "text" fields of .jsonl files, as far as TRAINING_BYTES."""
    documents, size = [], 0
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".txt", ".jsonl") or not path.is_file():
            continue
        with open(path, encoding="utf-8", errors="strict") as lines:
            try:
                for number, line in enumerate(lines, 1):
                    for document in _of_line(line, path, number):
                        documents.append(document)
                        size += len(document.encode())
                    if size > TRAINING_BYTES:
                        return documents
            except UnicodeDecodeError as error:
                raise BadText(f"{path}: is not UTF-8: {error.reason} at byte {error.start} of a block") from None
    return documents


def _of_line(line, path, number):
    line = line.strip()
    if path.suffix == ".txt":
        return [line] if line else []
    if not line:
        return []
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        raise BadText(f'{path}:{number}: expected a JSON object with "text" in each line') from None
    return [part.strip() for part in text.split("\n") if part.strip()]


def _spread(documents, bytes_wanted):
    """About so many bytes of documents, from everywhere."""
    every = max(1, sum(len(document.encode()) for document in documents) // bytes_wanted)
    return documents[::every]


def _write(work, name, training, held_out, questions):
    folder = Path(work) / "text" / name
    (folder / "training").mkdir(parents=True)
    text = SiteText(name, folder / "training", folder / "public_sample.txt", folder / "held_out.txt",
                    folder / "questions.jsonl" if questions else None)
    with open(text.training / "text.jsonl", "w", encoding="utf-8") as out:
        for document in training:
            out.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
    # A blank line between documents, as weft-eval reads them apart.
    for path, documents in ((text.sample, _spread(training, SAMPLE_BYTES)), (text.held_out, _spread(held_out, HELD_OUT_BYTES))):
        path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    if questions:
        lines = (json.dumps(question, ensure_ascii=False) for question in questions)
        text.questions.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return text
