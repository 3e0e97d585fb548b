"""Everything at once, until time is over: what befalls runs is drawn at random, and each workspace must end as if nothing had.

Killed are runs, the processes that they start, and the server that they ask; the disk is full; the server is slow, comes and
goes, breaks connections. Each finished workspace is compared with an undisturbed one: no row lost, none doubled, the same
digest, media and shards to the byte; and no answer was asked for that stood in the journal. Where nothing cut a batch
otherwise, every byte of the lake is the same, too: these are counted.

Disks are mounted in a namespace of their own, which nobody else sees.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from chaos.everything import ALL, subjects
from chaos.kills import finish, least_killed
from chaos.mishaps import MISHAPS, ROOM
from chaos.trial import Failed, Tally, trial
from chaos.undisturbed import Calm, undisturbed
from tests.support.tables import show

WORDS = {
    "run": "runs killed", "worker": "processes of runs killed", "server": "servers killed", "disk": "full disks",
    "slow": "runs against a slow endpoint", "flapping": "times that the endpoint went away for 3 s",
    "breaking": "runs against one that breaks connections",
}  # fmt: skip
NO_MOUNTS = (
    "error: mounting in a namespace is not allowed here: unshare -m, unshare -rm\n"
    "hint: run it as root or where user namespaces are allowed; or leave full disks out: --only {}"
)


def soak(calms: Sequence[Calm], folder: Path, kinds: Sequence[str], until_s: float, most: int, rng: random.Random) -> Tally:
    """Disturb workspaces, one after the other, until it is late or enough was done."""
    tally, drawn = Tally(), Counter[str]()
    while time.monotonic() < until_s and tally.struck.total() < most:
        calm = least_killed(calms, tally)
        place = a_disk(folder / f"disk{tally.rounds}") if "disk" in kinds else nullcontext(folder / f"disk{tally.rounds}")
        with place as disk, trial(calm, disk / "shaken", tally, rng) as disturbed:
            while not disturbed.finished:
                late = time.monotonic() > until_s or tally.struck.total() >= most
                if late:
                    finish(disturbed)
                    continue
                kind = min(kinds, key=lambda kind: (drawn[kind], rng.random()))
                drawn[kind] += 1
                MISHAPS[kind](disturbed)
            difference = disturbed.end()
        if difference.differing:
            losses = f"{difference.lost} rows lost, {difference.doubled} doubled"
            raise Failed(f"round {tally.rounds} ended otherwise: {losses}; these differ: {difference.differing[:5]}")
    return tally


@contextmanager
def a_disk(folder: Path) -> Generator[Path]:
    """A folder that is a disk of its own while the block lasts."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def in_a_namespace(command: Sequence[str]) -> list[str] | None:
    """A command as one whose mounts nobody else sees, if this machine lets us."""
    for way in (["unshare", "-m"], ["unshare", "-rm"]):
        tried = [*way, "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
        if shutil.which("unshare") and not subprocess.run(tried, capture_output=True).returncode:
            return [*way, *command]
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--times", type=int, default=1_000_000, metavar="N", help="or until so much was done")
    parser.add_argument("--of", nargs="+", choices=ALL, default=list(ALL), help="what is disturbed")
    parser.add_argument("--only", nargs="+", choices=MISHAPS, default=list(MISHAPS), help="what befalls runs")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if "disk" in arguments.only and not arguments.inside:
        again = [sys.executable, "-m", "chaos.soak", *sys.argv[1:], "--seed", str(arguments.seed), "--inside"]
        command = in_a_namespace(again) or sys.exit(NO_MOUNTS.format(" ".join(kind for kind in MISHAPS if kind != "disk")))
        os.execvp(command[0], command)
    chosen = "" if arguments.only == list(MISHAPS) else f" --only {' '.join(arguments.only)}"
    chosen += "" if arguments.of == list(ALL) else f" --of {' '.join(arguments.of)}"
    times = f" --times {arguments.times}" if arguments.times < parser.get_default("times") else ""
    again = f"python -m chaos.soak --minutes {arguments.minutes:g}{times}{chosen} --seed {arguments.seed}"
    with tempfile.TemporaryDirectory(prefix="dmforge-soak-") as name:
        folder, until_s = Path(name), time.monotonic() + 60 * arguments.minutes
        calms = [
            undisturbed(subject, folder / f"calm{number}") for number, subject in enumerate(subjects(folder, arguments.of))
        ]
        try:
            tally = soak(calms, folder, arguments.only, until_s, arguments.times, random.Random(arguments.seed))
        except Failed as error:
            sys.exit(f"{again}\n{error}")
    rows: list[list[object]] = [[WORDS[kind], number] for kind, number in sorted(tally.struck.items())]
    rows += [["workspaces finished", tally.rounds], ["byte-identical in lake, media and shards", tally.same_files]]
    rows += [["the same digest, media and shards", tally.rounds], ["rows lost", tally.lost], ["rows doubled", tally.doubled]]
    rows += [["answers given twice", tally.asked_twice], ["asked though the answer was in the journal", 0]]
    rows += [["inputs reopened by --retry-quarantined", tally.retried]]
    rows += [[f"at {stage}", number] for stage, number in sorted(tally.killed_in.items()) if stage]
    show("Whatever befalls it, the same corpus", again, ["what", "number"], rows)


if __name__ == "__main__":
    main()
