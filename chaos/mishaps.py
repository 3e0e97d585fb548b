"""What befalls a run: each starts one, does something to it, and waits for its end.

A run may end unfinished with a message that names what befell it and exit code 1; the next run then goes on. Anything else is a
broken promise.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chaos.gate import Passage
from chaos.trial import Failed, Trial
from tests.support.memory import tree

DIED_EARLY = "its process died before the first input"
PENDING = "pending"
FULL = ("no space left on device", "free some space and run the same command again")
PAGE = 4096
ROOM = "512m"
"""For a workspace that is finished at last."""
SPELL_S = 3.0
"""A flapping server is up so long, and down so long."""
STARTING = 1 / 8
"""So many kills come while a run starts up."""
LEAD = 1.5
"""So many times as often as a stage on average one may be killed."""


def kill_once(trial: Trial) -> None:
    """Start a run and kill it at a moment: at a stage that was killed least, if it comes that far."""
    target, records = aimed_at(trial), _records(trial)
    process = trial.start()
    with trial.counted():
        try:
            _wait_for_a_moment(trial, process, target, records)
        except subprocess.TimeoutExpired:
            trial.kill(process)
            started = _records(trial) > records
            trial.struck("run", (trial.stage or "the end") if started else "the start of a run")
        else:
            trial.ended(process)


def aimed_at(trial: Trial) -> str | None:
    """Of the stages that are still to come the one that was killed least. None where that was killed often enough: or the last
    stage would be killed for ever, and the others never again."""
    stages, killed = trial.calm.stages, trial.tally.killed_in
    begin = trial.stage
    rest = [] if begin is None else stages[stages.index(begin) :]
    target = min(rest, key=lambda stage: killed[stage], default=None)
    enough = 1 + LEAD * sum(killed[stage] for stage in stages) / len(stages)
    return None if target is None or killed[target] > enough else target


def _wait_for_a_moment(trial: Trial, process: subprocess.Popen[str], target: str | None, records: int) -> None:
    """Until the run is at a stage, and then a little; or, now and then, while it starts up. Raises TimeoutExpired when it is
    the moment; returns where the run has ended before."""
    rng, calm = trial.rng, trial.calm
    if target is None:
        process.wait()
        return
    if rng.random() < STARTING:
        process.wait(rng.uniform(0, 1.0))
        return
    at_once = trial.stage == target
    while process.poll() is None and _records(trial) == records:
        time.sleep(0.01)
    while process.poll() is None and not _has_come_to(trial, target):
        time.sleep(0.01)
    if process.poll() is None:
        process.wait(rng.uniform(0, calm.seconds[target]) + at_once * rng.uniform(0.8, 1.1) * calm.before_s(target))


def _has_come_to(trial: Trial, target: str) -> bool:
    stages, now = trial.calm.stages, trial.stage
    return now is None or stages.index(now) >= stages.index(target)


def _records(trial: Trial) -> int:
    return len(list(trial.workspace.glob("runs/*.json")))


def kill_workers(trial: Trial) -> None:
    """One to three processes that a run has started are killed from outside, as a machine short of memory does it."""
    process, left = trial.start(), trial.rng.randint(1, 3)
    with trial.counted():
        while process.poll() is None and left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(trial.rng.uniform(0.05, 1.5))
            workers = tree(process.pid)[1:]
            if process.poll() is None and workers:
                where = trial.stage or "the end"
                with suppress(ProcessLookupError):
                    os.kill(trial.rng.choice(workers), signal.SIGKILL)
                    trial.struck("worker", where)
                    left -= 1
        trial.ended(process, DIED_EARLY)


def kill_server(trial: Trial) -> None:
    """The server that is asked is killed, and stands again some seconds later at the same address."""
    process = trial.start()
    with trial.counted(in_flight=None):
        with suppress(subprocess.TimeoutExpired):
            process.wait(trial.rng.uniform(0, 1.2 * _asking_s(trial)))
        if process.poll() is None:
            trial.struck("server", trial.stage or "the end")
            trial.servers.kill()
            trial.door.shut()
            with suppress(subprocess.TimeoutExpired):
                process.wait(trial.rng.uniform(0.5, 5))
            trial.door.upstream = trial.servers.start()
            trial.door.open()
        trial.ended(process, PENDING)


def slow(trial: Trial) -> None:
    """Every answer takes up to two seconds longer."""
    _through(trial, "slow", Passage(slowest_s=2.0))


def breaking(trial: Trial) -> None:
    """Of three connections one is broken, before the question, before the answer or in its middle."""
    _through(trial, "breaking", Passage(broken=1 / 3))


def flapping(trial: Trial) -> None:
    """The endpoint is up and down by turns."""
    process = trial.start()
    with trial.counted(in_flight=None):
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(trial.rng.uniform(0, SPELL_S))
            if process.poll() is None:
                trial.struck("flapping", trial.stage or "the end")
                trial.door.shut()
                time.sleep(SPELL_S)
                trial.door.open()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SPELL_S)
        trial.ended(process, PENDING)


def full_disk(trial: Trial) -> None:
    """The disk that holds the workspace is full after some pages more; then there is room again."""
    disk = trial.workspace.parent
    used = shutil.disk_usage(disk).used
    # most of what a run writes comes in small files: a few pages are a stage
    room = int(PAGE * 2 ** trial.rng.uniform(0, 8))
    sized(disk, str(used + room))
    process = trial.start()
    with trial.counted(in_flight=None):
        _, stderr = process.communicate()
        where = trial.stage or "the end"
        sized(disk, ROOM)
    message = " ".join(stderr.split())
    if process.returncode == 0:
        trial.finished = True
        return
    trial.struck("disk", where)
    if process.returncode != 1 or not all(words in message for words in FULL) or "Traceback" in message:
        raise Failed(f"on a full disk a run ended with {process.returncode}: {stderr[-3000:]}")
    if str(disk) not in stderr:
        raise Failed(f"a run on a full disk does not say which: {stderr[-3000:]}")
    left = [path for path in trial.workspace.rglob("*.writing") if "media" not in path.parts]
    if left:
        raise Failed(f"half-written files are left: {left[:3]}")


def sized(disk: Path, size: str) -> None:
    """Give a mounted tmpfs another size."""
    done = subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"the disk could not be sized: {done.stderr}")


def _through(trial: Trial, kind: str, passage: Passage) -> None:
    """Such an endpoint, and now and then a kill on top of it: a run that takes its time is killed more easily."""
    process = trial.start()
    with trial.counted(in_flight=None), trial.door.passing(passage):
        trial.struck(kind, trial.stage or "the end")
        with suppress(subprocess.TimeoutExpired):
            process.wait(trial.rng.uniform(0, 3 * _asking_s(trial)))
        if process.poll() is None:
            where = trial.stage or "the end"
            trial.kill(process)
            trial.struck("run", where)
        else:
            trial.ended(process, PENDING)


def _asking_s(trial: Trial) -> float:
    return sum(trial.calm.seconds.values()) + trial.calm.walk_s


Mishap = Callable[[Trial], None]
MISHAPS: dict[str, Mishap] = {
    "run": kill_once,
    "worker": kill_workers,
    "server": kill_server,
    "disk": full_disk,
    "slow": slow,
    "flapping": flapping,
    "breaking": breaking,
}
