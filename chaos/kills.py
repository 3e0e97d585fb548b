"""Killed anywhere, same bytes: runs are SIGKILLed at random moments until there were enough kills.

The subjects hold every stage between them (`chaos/everything.py`), and each kill is aimed at a stage that was killed
least. Or one subject of another kind: the rehearsal alone, the whole chain from worlds to shards, its paid part, or an
ingestion. The baseline, in the same run, is one undisturbed run of each. What must hold: lake and shards end byte-identical; no
answer that was acknowledged (fsynced in the journal) is asked for again; a kill makes no more questions be asked twice than
were in flight; and no process of a killed run lives on.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.everything import subjects, uncovered
from chaos.subjects import Answers, Intake, Rehearsal, Subject, WholeChain
from chaos.trial import Failed, Tally, Trial, trial
from chaos.undisturbed import Calm, undisturbed
from tests.support.tables import show

STARTING = 1 / 8
"""So many kills come while a run starts up."""
LEAD = 1.5
"""So many times as often as a stage on average one may be killed."""


def kill_once(trial: Trial) -> None:
    """Start a run and kill it, at a stage that was killed least if it comes that far."""
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


def finish(trial: Trial) -> None:
    """Let it run to its end."""
    with trial.counted():
        trial.ended(trial.start())


def chaos(subject: Subject | Sequence[Subject], kills: int, seed: int) -> Tally:
    """Kill runs of these subjects, in fresh workspaces as each is finished, and compare each with an undisturbed one."""
    killed = [subject] if isinstance(subject, Subject) else subject
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="dmforge-chaos-") as name:
        folder = Path(name)
        calms = [undisturbed(subject, folder / f"calm{number}") for number, subject in enumerate(killed)]
        while tally.kills < kills:
            calm, shaken = least_killed(calms, tally), folder / f"shaken{tally.rounds}"
            with trial(calm, shaken, tally, rng) as disturbed:
                try:
                    while not disturbed.finished:
                        (kill_once if tally.kills < kills else finish)(disturbed)
                    difference = disturbed.end()
                except Failed as error:
                    sys.exit(f"seed {seed}: after {tally.kills} kills, {shaken.name}: {error}")
            if difference.differing or not difference.same_files:
                losses = f"{difference.lost} rows lost, {difference.doubled} doubled"
                sys.exit(f"seed {seed}: after {tally.kills} kills {losses}; these differ: {difference.differing[:5]}")
    return tally


def least_killed(calms: Sequence[Calm], tally: Tally) -> Calm:
    """The subject whose stages were killed least, on average."""
    return min(calms, key=lambda calm: sum(tally.killed_in[stage] for stage in calm.stages) / len(calm.stages))


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
        longest_s = calm.seconds[target] * calm.subject.share
        process.wait(rng.uniform(0, longest_s) + at_once * rng.uniform(0.8, 1.1) * calm.before_s(target))


def _has_come_to(trial: Trial, target: str) -> bool:
    stages, now = trial.calm.stages, trial.stage
    return now is None or stages.index(now) >= stages.index(target)


def _records(trial: Trial) -> int:
    return len(list(trial.workspace.glob("runs/*.json")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--tasks", type=int, help="kill the rehearsal alone, on so many numbers")
    parser.add_argument("--chain", type=int, metavar="VIDEOS", help="kill the whole chain on so many worlds instead")
    parser.add_argument("--looks", type=int, default=1, help="how often the chain's teacher may look")
    parser.add_argument(
        "--answers", type=int, metavar="VIDEOS", help="kill only the paid part of that chain, with faults of all kinds"
    )
    parser.add_argument("--intake", type=int, metavar="VIDEOS", help="kill the ingestion of so many files instead")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    arguments = parser.parse_args()
    chosen = [
        f" --{name} {number}"
        for name in ("tasks", "chain", "answers", "intake", "looks")
        if (number := getattr(arguments, name))
    ]
    with tempfile.TemporaryDirectory(prefix="dmforge-worlds-") as name:
        folder = Path(name)
        if arguments.tasks:
            killed: list[Subject] = [Rehearsal(arguments.tasks)]
        elif arguments.chain:
            killed = [WholeChain(arguments.chain, folder, arguments.looks)]
        elif arguments.answers:
            killed = [Answers(arguments.answers, arguments.kills, folder)]
        elif arguments.intake:
            killed = [Intake(arguments.intake, folder)]
        elif never := uncovered():
            sys.exit(f"no subject has the stage {', '.join(never)}: give it to one of those in chaos/everything.py")
        else:
            killed = subjects(folder)
        tally = chaos(killed, arguments.kills, arguments.seed)
    rows: list[list[object]] = [["kills", tally.kills], ["rows lost", tally.lost], ["rows doubled", tally.doubled]]
    rows += [["workspaces finished, all byte-identical to the undisturbed one", tally.rounds]]
    rows += [["questions answered twice, in all", tally.asked_twice], ["most of them for one kill", tally.max_twice_a_kill]]
    rows += [[f"killed at {where}", number] for where, number in sorted(tally.killed_in.items())]
    command = f"python -m chaos.kills{''.join(chosen)} --kills {arguments.kills} --seed {arguments.seed}"
    show("Killed anywhere, same bytes", command, ["what", "number"], rows)


if __name__ == "__main__":
    main()
