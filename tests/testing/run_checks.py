"""Checks of what a finished run has left on disk, for runs whose programs were killed on the way.

    problems = check_run(run, Reference.of(calm_run))      # a list of sentences; empty: all is well

Nothing here uses the programs' own code for digests and sums, except for the ledger, which `weft-gate ledger verify` reads.
"""

import array
import hashlib
import json
import re
import struct
from dataclasses import dataclass

CHUNK = 1 << 20
HEADER = 128


def blob_digest(data):
    """proto/FORMAT.md, "Blob digest"."""
    whole = hashlib.sha256(b"weftblob" + struct.pack("<IIQ", 1, CHUNK, len(data)))
    for begin in range(0, len(data), CHUNK):
        whole.update(hashlib.sha256(data[begin:begin + CHUNK]).digest())
    return whole.hexdigest()


def fp32_vector(data):
    if data[:8] != b"weftvec1" or struct.unpack_from("<I", data, 8)[0] != 1:
        raise ValueError("not a parameters_fp32 vector")
    return array.array("f", data[HEADER:])


def rounds_of(run):
    """rounds.jsonl of the newest release."""
    newest = max((run.coordinator_folder() / "releases").glob("round-??????"))
    return [json.loads(line) for line in (newest / "rounds.jsonl").read_text().splitlines()]


def training_log(run, site):
    path = run.exchange(site) / "training_log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def ledger(run, site):
    return [json.loads(line) for line in (run.site_folder(site) / "gate" / "ledger.jsonl").read_text().splitlines()]


@dataclass
class Reference:
    """What an undisturbed run of the same manifest has come to."""
    digest: str
    rounds: list
    losses: dict  # site -> {(round, step): loss}

    @staticmethod
    def of(run):
        return Reference(run.final_digest(run.sites[0]), rounds_of(run),
                         {site: {(l["round"], l["step"]): l["loss"] for l in training_log(run, site)} for site in run.sites})


def check_rounds(run, rounds, status):
    version, bases, base = 0, {}, None  # by fragment: each goes on from where it was exchanged before
    for number, record in enumerate(rounds):
        if record["round"] != number or record["base_version"] != version:
            yield f"line {number} of rounds.jsonl is of round {record['round']}, base version {record['base_version']}"
        base = bases.get(record["fragment"])
        if base is not None and record["base_digest"] != base:
            yield f"round {number} began from {record['base_digest']}, the round before came to {base}"
        sites = [c["site"] for c in record["contributions"]]
        if sorted(set(sites)) != sites or not set(sites) <= set(record["cohort"]):
            yield f"round {number}: contributions of {sites}, the cohort is {record['cohort']}"
        total = sum(c["weight"] for c in record["contributions"]) + record["base_weight"]
        if abs(total - 1) > 1e-9:
            yield f"round {number}: the weights sum to {total}"
        version, base = version + 1, record["result_digest"]
        bases[record["fragment"]] = base
    if len(rounds) != status["round_count"]:
        yield f"rounds.jsonl has {len(rounds)} rounds of {status['round_count']}"
    if len(bases) == 1 and base != status["consensus_digest"]:
        yield f"the last round came to {base}, the coordinator says {status['consensus_digest']}"


def check_against(reference, rounds):
    """With the whole cohort in every round, everything is as in the undisturbed run."""
    for mine, calm in zip(rounds, reference.rounds):
        for key in ("base_digest", "result_digest", "cohort"):
            if mine[key] != calm[key]:
                yield f"round {mine['round']}: {key} is {mine[key]}, undisturbed it is {calm[key]}"
        for field in ("site", "digest", "weight", "inner_steps", "token_count", "bytes"):
            if [c[field] for c in mine["contributions"]] != [c[field] for c in calm["contributions"]]:
                yield f"round {mine['round']}: {field}s of contributions differ from the undisturbed run"


def check_kept_contributions(run, rounds):
    """Each file is what its name says, those that were included are there, and nobody stored two for one base."""
    for record in rounds:
        folder = run.coordinator_folder() / "contributions" / f"round-{record['round']:06d}"
        named = {c["digest"] for c in record["contributions"]}
        found = {path.name for path in folder.iterdir()}
        if not named <= found:
            yield f"{folder}: lacks {sorted(named - found)}"
        # One may have been named when its round closed without it; it is stored nowhere else.
        if len(found) > len(record["cohort"]):
            yield f"{folder}: holds {len(found)} contributions of a cohort of {len(record['cohort'])}"
        for path in folder.iterdir():
            if blob_digest(path.read_bytes()) != path.name:
                yield f"{path}: has the digest {blob_digest(path.read_bytes())}"


def recompute(run, rounds):
    """Every round's consensus from the kept contributions and the weights in rounds.jsonl. For runs of whole fp32 vectors
    with outer SGD 1.0: the consensus is the weighted sum, in double, in site order, rounded once."""
    for record in rounds:
        folder = run.coordinator_folder() / "contributions" / f"round-{record['round']:06d}"
        blobs = [(c["weight"], (folder / c["digest"]).read_bytes()) for c in record["contributions"]]
        total = [0.0] * len(fp32_vector(blobs[0][1]))
        for weight, blob in blobs:
            total = [t + weight * x for t, x in zip(total, fp32_vector(blob))]
        header = bytearray(blobs[0][1][:HEADER])
        header[64:96] = bytes(32)  # absolute: no base
        digest = blob_digest(bytes(header) + array.array("f", total).tobytes())
        if digest != record["result_digest"]:
            yield f"round {record['round']}: recomputed {digest}, the coordinator came to {record['result_digest']}"


def recompute_by_tool(run, rounds):
    """Where contributions come from older bases: weft-coordinator makes every round's consensus again from what was kept."""
    for record in rounds:
        again = json.loads(run.call("weft-coordinator", "recompute", record["round"], "--directory", run.coordinator_folder(),
                                    "--json"))
        if not again["same"]:
            yield f"round {record['round']}: recomputed it is another one: {again}"


def check_coordinator_log(run):
    """Rounds never go back, and no site's contribution is stored twice in a round."""
    newest, stored = 0, set()
    for line in (run.work / "logs" / "coordinator.log").read_text(errors="replace").splitlines():
        found = re.search(r"code=(\w+) site=(\S+) round=(\d+)", line)
        if found is None:
            continue
        code, site, number = found[1], found[2], int(found[3])
        # A report is of the round that its site was in, and says so in words.
        if number < newest:
            yield f"the coordinator's log goes back from round {newest} to {number}: {line}"
        newest = max(newest, number)
        if code == "CONTRIBUTION_STORED":
            if (site, number) in stored:
                yield f"{site} stored two contributions in round {number}"
            stored.add((site, number))


def check_site(run, site, digest, rounds, reference):
    final = run.final_digest(site)
    if final != digest:
        yield f"{site} ends with {final}, the run with {digest}"
    path = run.exchange(site) / "blobs" / digest
    if not path.exists() or blob_digest(path.read_bytes()) != digest:
        yield f"{path}: not there, or not what its name says"
    run.call("weft-gate", "ledger", "verify", "--state", run.site_folder(site) / "gate")
    log = training_log(run, site)
    at = [(line["round"], line["step"]) for line in log]
    if at != sorted(set(at)):
        yield f"{site}: the training log has a step twice, or goes back"
    same_base = {mine["round"] for mine, calm in zip(rounds, reference.rounds) if mine["base_digest"] == calm["base_digest"]}
    if len(same_base) == len(rounds):  # Then it trained every step of the undisturbed run, and no other.
        if set(at) != set(reference.losses[site]):
            yield f"{site}: {len(at)} steps in the training log, {len(reference.losses[site])} in the undisturbed run"
        for line in log:
            calm = reference.losses[site].get((line["round"], line["step"]))
            if calm is not None and line["loss"] != calm:
                yield f"{site}: round {line['round']} step {line['step']}: loss {line['loss']}, undisturbed {calm}"


def check_files(run, rounds):
    """What killed programs leave half-done must be removed by those that come after them: at most one file for every
    program's last life, whatever the number of its deaths."""
    for folder in [run.coordinator_folder(), *(run.site_folder(site) for site in run.sites)]:
        left = [str(path.relative_to(run.work)) for path in folder.rglob("*.tmp")]
        if len(left) > 2:
            yield f"{len(left)} temporary files are left below {folder}: {left[:6]} ..."
    # Two versions with a change and an outer state each; with fragments as many parts; bases that late ones start from.
    late = max(c["staleness"] for record in rounds for c in record["contributions"])
    most = 6 + 2 * max(record["fragment"] for record in rounds) + (16 if late > 0 else 0)
    blobs = list((run.coordinator_folder() / "blobs").iterdir())
    if len(blobs) > most:
        yield f"{len(blobs)} blobs are left in {run.coordinator_folder()}/blobs"
    for site in run.sites:
        blobs = [path for path in (run.exchange(site) / "blobs").iterdir() if path.suffix != ".tmp"]
        if len(blobs) > most:
            yield f"{len(blobs)} blobs are left in {run.exchange(site)}/blobs"


def check_releases(run):
    for folder in sorted((run.coordinator_folder() / "releases").glob("round-??????")):
        for line in (folder / "SHA256SUMS").read_text().splitlines():
            wanted, name = line.split(maxsplit=1)
            if hashlib.sha256((folder / name.lstrip("*")).read_bytes()).hexdigest() != wanted:
                yield f"{folder}/{name}: is not what SHA256SUMS says"


def resumed_pushes(run):
    """How many contributions were sent in several calls of which a later one left out chunks that had arrived."""
    count = 0
    for site in run.sites:
        calls = []  # of one round: chunks sent in each call
        current = None
        for entry in ledger(run, site):
            if entry["kind"] != "sent" or entry["type"] not in ("push-head", "push-chunk"):
                continue
            if entry["round"] != current:
                current, calls = entry["round"], []
            if entry["type"] == "push-head":
                calls.append(0)
                continue
            calls[-1] += 1
            chunks = int(entry["note"].split()[-1])
            if len(calls) > 1 and calls[-1] == 1 and not entry["note"].startswith("chunk 0 "):
                count += 1  # this call did not begin at the beginning
            if calls[-1] > chunks:
                raise ValueError(f"{site} sent {calls[-1]} of {chunks} chunks in one call")
    return count


def check_run(run, reference, same):
    """`same`: every round has the whole cohort, so that everything equals the undisturbed run. Otherwise every consensus is
    computed again: here, where the vectors are fp32 and the outer step is SGD 1.0; by the operator's tool without a barrier."""
    status = run.status()
    rounds = rounds_of(run)
    problems = [] if status["phase"] == "FINISHED" else [f"the run is not finished: {status}"]
    problems += check_rounds(run, rounds, status)
    if same:
        problems += check_against(reference, rounds)
        digest = reference.digest
    else:
        digest = status["consensus_digest"]
        in_turn = any(record["base_weight"] > 0 for record in rounds)
        problems += recompute_by_tool(run, rounds) if in_turn else recompute(run, rounds)
    problems += check_kept_contributions(run, rounds)
    problems += check_coordinator_log(run)
    for site in run.sites:
        problems += check_site(run, site, digest, rounds, reference)
    problems += check_files(run, rounds)
    problems += check_releases(run)
    return problems
