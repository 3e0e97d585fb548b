"""One flipped bit, or one file cut short, anywhere in a workspace: found, or harmless, and never in a shard.

A small workspace is built once: worlds, an oracle's answers, a corpus, an export, a checkpoint, a review, a takedown. Each
trial damages one place in a copy of it, drawn evenly over kinds of files. `dmforge verify -w` looks at it; then, with no
endpoint, what a run makes is made again from what the damage left: shards alone, or all from the journal on. What must hold:
where the run ends well its shards and its digest are those of the undamaged workspace, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from chaos.subjects import DMFORGE
from dmforge.commands import intake, pack_corpus, run
from dmforge.commands.caller import Caller
from dmforge.commands.verify_workspace import verify_workspace
from dmforge.curation.io.checksums import CHECKSUMS
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.lake import journal
from dmforge.curation.lake.logical_digest import digest_of_all
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.schemas.errors import DmforgeError
from tests.support.tables import show

KINDS = {
    "recipe": ("recipe.toml",),
    "format number": ("format.json",),
    "list of videos": ("inputs/videos.jsonl",),
    "annotations": ("inputs/annotations/*.jsonl",),
    "reviews": ("inputs/reviews/*.jsonl",),
    "takedowns": ("inputs/forgotten.jsonl",),
    "commits": ("lake/commits/*/*.json",),
    "parts": ("lake/*/*.parquet",),
    "journal": ("journal/*/*.jsonl",),
    "indexes of the journal": ("journal/*/*.jsonl.index",),
    "columns of the journal": ("journal/*/*.jsonl.columns",),
    "renditions": ("media/*/*.mp4",),
    "receipts": ("media/*/*.json",),
    "clip settings": ("media/clips.json",),
    "records of runs": ("runs/*.json",),
    "shards": ("shards/*/*/*.tar",),
    "manifests": ("shards/*/*/manifest.json",),
    "indexes and cards": ("shards/*/*/*.parquet", "shards/*/*/*.md", "shards/*/*/croissant.json"),
    "names of selections": ("shards/*/current",),
    "exports": ("exports/*/*/*/*", "exports/*/*/*/*/*"),
    "checkpoints": ("sft/checkpoint-*/*",),
}
"""Every kind of file that lasts, and where it lies."""
WRITTEN_IN_PLACE = ("journal", "inputs", "runs")
"""Folders whose files a run appends to: a trial has its own; all others are only ever replaced, so links do."""
REMADE = {"pack": ("pack",), "annotate": ("annotate", "rules", "citations", "verify", "select_cot", "pack")}
"""Which stages' commits are removed, so that a run makes them again."""
TRAINING = """
out = "ws/sft"
[model]
from_config = "mote"
[data]
corpora = [{ place = "ws/shards/cot/current" }]
[training]
steps = 2
"""
QUIET = Caller(Terminal(stderr=True, quiet=True), "flips")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one damage."""

    kind: str
    place: str
    verified: bool
    """`dmforge verify` named the file, or refused the workspace by it."""
    run: str
    """How the run ended: with the `same` result or an `other`, `refused` with the file named, `stopped`, or `crashed`."""
    detail: str

    @property
    def failed(self) -> bool:
        """Damaged bytes went where they may not: into shards, or unseen into the digest."""
        return self.run == "crashed" or (self.run == "other" and self.kind != "recipe")

    @property
    def verdict(self) -> str:
        if self.failed:
            return "crashed" if self.run == "crashed" else "went into what was made"
        if self.verified:
            return "found by verify"
        return {"same": "harmless", "other": "an edit of the recipe"}.get(self.run, "found by run")


def build(folder: Path, videos: int, *, trained: bool) -> Path:
    """The workspace that every trial begins with."""
    worlds, root = folder / "worlds", folder / "ws"
    make_worlds(worlds, WorldSettings(videos=videos))
    workspace = run.init(root, "study")
    intake.add_videos(workspace, "flips", [str(worlds / "videos")], SourceInfo("worlds", "CC0-1.0", namespace="worlds"))
    intake.add_annotations(workspace, "flips", "jsonl", [worlds / "tasks.jsonl"])
    with serving(worlds, Behaviour()) as url:
        _command(folder, ["run", "-w", "ws"], OPENAI_BASE_URL=url)
    video, *_ = json.loads(_command(folder, ["audit", "--sql", "SELECT id FROM videos ORDER BY id", "-w", "ws", "--json"]))[
        "rows"
    ]
    _command(folder, ["forget", video[0], "--reason", "asked to", "-w", "ws"])
    question = "SELECT id, task, video FROM candidates ORDER BY id LIMIT 1"
    ((candidate, _, video_of),) = json.loads(_command(folder, ["audit", "--sql", question, "-w", "ws", "--json"]))["rows"]
    _review(workspace, candidate, video_of)
    _command(folder, ["run", "-w", "ws"])
    _command(folder, ["export", "cot", "--to", "trl", "-w", "ws"])
    for journal_path in root.glob("journal/*/*.jsonl"):
        journal.UNINDEXED_BYTES = 0  # so small a journal would have none
        journal.keep_index(journal_path)
    if trained:
        (folder / "sft.toml").write_text(TRAINING)
        _command(folder, ["train", "sft", "sft.toml"])
    return root


def _review(workspace: WorkspaceFolder, candidate: str, video: str) -> None:
    from dmforge.curation.sources.reviews import Review, append
    from dmforge.schemas.ids import read

    append(workspace, Review(read(video)[1], read(candidate)[1], "candidate", "ann", "keep", "", "seen"))


def _command(folder: Path, words: Sequence[str], **environment: str) -> str:
    done = subprocess.run([*DMFORGE, *words], cwd=folder, env=_alone() | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"dmforge {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


def _alone() -> dict[str, str]:
    """The environment, with no endpoint in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | {"OMP_NUM_THREADS": "1"}


def made(root: Path) -> dict[str, str]:
    """What a workspace has made of its inputs: every file of its shards, and the logical digest."""
    files = sorted(path for path in root.glob("shards/*/*/*") if path.is_file())
    sha256s = {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return sha256s | {"digest": digest_of_all(run.digest(WorkspaceFolder(root)))}


def trial(root: Path, expected: dict[str, str], kinds: Sequence[str], seed: int) -> Outcome:
    """Damage a copy in a file of one of these kinds, look at it, and make from it what a run makes."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="flip-", dir=root.parent) as name:
        copy = Path(name) / "ws"
        _copied(root, copy)
        kind = rng.choice([kind for kind in kinds if _files(copy, kind)])
        path = rng.choice(_files(copy, kind))
        detail = _damage(path, rng)
        place = str(path.relative_to(copy))
        try:
            verified = _is_named_by_verify(copy, place)
            ending = _run(copy, place, expected, REMADE[rng.choice(sorted(REMADE))])
        except Exception as error:  # a person would have seen a traceback: a defect of dmforge, and told as one
            verified, ending, detail = False, "crashed", f"{detail}: {type(error).__name__}: {str(error)[:300]}"
        return Outcome(kind, place, verified, ending, f"seed {seed}: {detail}")


def _copied(root: Path, copy: Path) -> None:
    for path in sorted(root.rglob("*")):
        target = copy / path.relative_to(root)
        if path.is_dir():
            target.mkdir(parents=True)
        elif path.relative_to(root).parts[0] in WRITTEN_IN_PLACE:
            shutil.copy2(path, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def _files(root: Path, kind: str) -> list[Path]:
    return sorted(path for pattern in KINDS[kind] for path in root.glob(pattern) if path.is_file() and path.stat().st_size)


def _damage(path: Path, rng: random.Random) -> str:
    """Flip one bit of a file, or cut it short, as a disk does: with the times that it had."""
    data, status = bytearray(path.read_bytes()), path.stat()
    offset = rng.randrange(len(data))
    if rng.random() < 0.5:
        before = data[offset]
        data[offset] ^= 1 << rng.randrange(8)
        detail = f"at {offset} {bytes([before])!r} became {bytes([data[offset]])!r}"
    else:
        del data[offset:]
        detail = f"cut to {offset} bytes"
    path.unlink()  # its other name must not be damaged
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return detail


def _is_named_by_verify(copy: Path, place: str) -> bool:
    try:
        report = verify_workspace(WorkspaceFolder(copy), QUIET)
    except DmforgeError as error:
        return place in str(error)
    names = [defect.file for defect in report.defects]
    if place.endswith(CHECKSUMS):  # what it lists is not as it says, so that is named
        return any(Path(name).is_relative_to(Path(place).parent) for name in names)
    return any(place == name or place.startswith(f"{name}/") or name in ("journal", "inputs") for name in names) or any(
        place in note for note in report.notes
    )


def _run(copy: Path, place: str, expected: dict[str, str], stages: Sequence[str]) -> str:
    """Make again what these stages make, unless the damage would go with what is removed first."""
    if any(f"commits/{stage}/" in place or f"part-{stage}-" in place for stage in stages):
        stages = () if "commits/pack/" in place or "part-pack-" in place else ("pack",)
    if not place.startswith("shards/"):
        for stage in stages:
            shutil.rmtree(copy / "lake/commits" / stage, ignore_errors=True)
        if stages:
            shutil.rmtree(copy / "shards", ignore_errors=True)
    try:
        reports = list(run.run(WorkspaceFolder(copy), QUIET.console, "flips"))
        if any(report.tally.pending for report in reports):
            return "stopped"
        ending = "same" if made(copy) == expected else "other"
        if place.startswith("shards/") and ending == "other":  # a run makes nothing of shards; who reads them is refused
            pack_corpus.export(WorkspaceFolder(copy), QUIET.console, "cot", "messages", str(copy / "out"), None)
        return ending
    except DmforgeError as error:
        return "refused" if Path(place).name in str(error) else "stopped"


def trials(root: Path, flips: int, seed: int, processes: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Outcome]:
    """So many trials, in several processes."""
    expected = made(root)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        del os.environ[name]
    with ProcessPoolExecutor(processes, mp_context=get_context("forkserver")) as pool:
        for number, outcome in enumerate(pool.map(partial(trial, root, expected, kinds), range(seed, seed + flips)), 1):
            if number % 50 == 0:
                print(f"{number} of {flips}", file=sys.stderr, flush=True)
            yield outcome


def rows_of(outcomes: Sequence[Outcome]) -> list[list[object]]:
    """A row for each kind: how many, found by what, harmless."""
    by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_kind[outcome.kind][outcome.verdict] += 1
    columns = ("found by verify", "found by run", "harmless", "an edit of the recipe", "went into what was made", "crashed")
    rows: list[list[object]] = [
        [kind, by_kind[kind].total(), *(by_kind[kind][name] for name in columns)] for kind in KINDS if kind in by_kind
    ]
    return [*rows, ["all", len(outcomes), *(sum(counts[name] for counts in by_kind.values()) for name in columns)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--videos", type=int, default=3)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--of", nargs="+", choices=KINDS, default=list(KINDS), help="which kinds of files are damaged")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-flips-") as name:
        root = build(Path(name), arguments.videos, trained=True)
        outcomes = list(trials(root, arguments.flips, arguments.seed, arguments.processes, arguments.of))
    for outcome in outcomes:
        if outcome.verdict not in ("found by verify", "found by run"):
            print(f"{outcome.verdict}: {outcome.place}: {outcome.detail}; the run: {outcome.run}", file=sys.stderr)
    columns = [
        "kind of file",
        "damaged",
        "verify names it",
        "a run does",
        "harmless",
        "recipe edited",
        "in what was made",
        "crashed",
    ]
    command = f"python -m chaos.flips --flips {arguments.flips} --videos {arguments.videos} --seed {arguments.seed}"
    if len(arguments.of) < len(KINDS):
        command += f" --of {' '.join(map(shlex.quote, arguments.of))}"
    show("One flipped bit, or one file cut short", command, columns, rows_of(outcomes))
    stopped = Counter(outcome.run for outcome in outcomes)
    print(f"\nRuns afterwards: {', '.join(f'{count} {ending}' for ending, count in sorted(stopped.items()))}")
    if any(outcome.failed for outcome in outcomes):
        sys.exit("damaged bytes went into what was made, or a command crashed over them")


if __name__ == "__main__":
    main()
