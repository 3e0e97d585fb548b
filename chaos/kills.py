"""Killed anywhere, same bytes: runs are SIGKILLed at steps that are drawn from a seed, until there were enough kills.

A kill has a name, `annotate:fsync:3`: the third fsync of that stage (`chaos/steps.py`). A seed draws the same steps of a stage
whatever other stages there are, as long as it makes so many calls; what a round was killed at is printed as a command that
repeats it. The subjects hold every stage between them (`chaos/everything.py`), and those that were killed least come first. Or
one subject of another kind: the rehearsal alone, the whole chain from worlds to shards, its paid part, or an ingestion. The
baseline, in the same run, is one undisturbed run of each. What must hold: lake and shards end byte-identical; no answer that
was acknowledged (fsynced in the journal) is asked for again; a kill makes no more questions be asked twice than were in flight;
and no process of a killed run lives on.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from chaos.everything import ALL, subjects, uncovered
from chaos.steps import CALLS, START, Step
from chaos.subjects import Answers, Intake, Rehearsal, Subject, WholeChain
from chaos.trial import Failed, Tally, Trial, trial
from chaos.undisturbed import Calm, undisturbed
from tests.support.tables import show

DOUBLINGS = 8
"""Steps up to 2 to the power of this are drawn, each doubling as often: most of what a stage does first is done once."""


def killed_round(trial: Trial, faults: Sequence[Step], struck: list[Step]) -> None:
    """Kill runs of a workspace at these steps, in their order, and let it run to its end; `struck` gets those that came."""
    coming = list(faults)
    while coming and not trial.finished:
        with trial.counted():
            process = trial.start_until([next(steps) for _, steps in groupby(coming, attrgetter("stage"))])
            step = trial.stopped(process)
            if step is None:
                trial.ended(process)
                continue
            trial.kill(process)
            trial.struck("run", step.stage, str(step))
            trial.tally.killed_before[step.call] += 1
            struck.append(step)
            del coming[: coming.index(step) + 1]
    while not trial.finished:
        finish(trial)


def finish(trial: Trial) -> None:
    """Let it run to its end."""
    with trial.counted():
        trial.ended(trial.start())


def chaos(subject: Subject | Sequence[Subject], kills: int, seed: int, faults: Sequence[Step] = ()) -> Tally:
    """Kill runs of these subjects, in fresh workspaces as each is finished, and compare each with an undisturbed one.

    With `faults`, one workspace is killed at these.
    """
    killed = [subject] if isinstance(subject, Subject) else subject
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="dmforge-chaos-") as name:
        folder = Path(name)
        calms = [undisturbed(subject, folder / f"calm{number}") for number, subject in enumerate(killed)]
        while tally.kills < kills and not (faults and tally.rounds):
            calm, shaken = least_killed(calms, tally), folder / f"shaken{tally.rounds}"
            coming = list(faults) or drawn(calm, tally, kills - tally.kills, seed)
            struck: list[Step] = []
            with trial(calm, shaken, tally, rng) as disturbed:
                try:
                    killed_round(disturbed, coming, struck)
                    difference = disturbed.end()
                except Failed as error:
                    sys.exit(f"{again(calm.subject, struck)}\nafter {tally.kills} kills, {shaken.name}: {error}")
            if difference.differing or not difference.same_files:
                losses = f"{difference.lost} rows lost, {difference.doubled} doubled"
                differing = f"{losses}; these differ: {difference.differing[:5]}"
                sys.exit(f"{again(calm.subject, struck)}\nafter {tally.kills} kills {differing}")
    return tally


def again(subject: Subject, struck: Sequence[Step]) -> str:
    """The command that kills one workspace at these steps again."""
    return f"python -m chaos.kills {subject.words} --fault {' '.join(map(str, struck))}"


def least_killed(calms: Sequence[Calm], tally: Tally) -> Calm:
    """The subject whose stages were killed least, on average."""
    return min(calms, key=lambda calm: sum(tally.killed_in[stage] for stage in calm.stages) / len(calm.stages))


def drawn(calm: Calm, tally: Tally, kills: int, seed: int) -> list[Step]:
    """The steps that a round's runs are killed at, in the order in which they come. If there are to be few kills, the stages
    that were killed least have them."""
    stages = [START, *calm.stages]
    faults: list[Step] = []
    for stage in sorted(stages, key=lambda stage: tally.killed_in[stage]):
        faults += _drawn_in(calm, stage, random.Random(f"{seed}:{tally.rounds}:{stage}"))
    return sorted(faults[:kills], key=lambda step: stages.index(step.stage))


def _drawn_in(calm: Calm, stage: str, rng: random.Random) -> list[Step]:
    """Steps of one stage, each in a run that goes on behind the one before it."""
    done, faults = 0.0, list[Step]()
    for _ in range(rng.randint(1, calm.subject.kills_a_stage)):
        calls, number = rng.sample(CALLS, len(CALLS)), int(2 ** rng.uniform(0, DOUBLINGS))
        made = calm.steps.get(stage, {})
        left_by_call = {call: round((1 - done) * made.get(call, 0)) for call in calls}
        call = next((call for call in calls if left_by_call[call] > 0), None)
        if call is None:
            break
        step = Step(stage, call, 1 + (number - 1) % left_by_call[call])
        done += step.number / made[call]
        faults.append(step)
    return faults


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
    parser.add_argument("--of", nargs="+", choices=ALL, default=list(ALL), help="which recipes are killed, if nothing else")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument(
        "--fault", nargs="+", type=Step.read, default=[], metavar="STAGE:CALL:NUMBER", help="kill one workspace at these steps"
    )
    arguments = parser.parse_args()
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
            killed = subjects(folder, arguments.of)
        tally = chaos(killed, arguments.kills, arguments.seed, arguments.fault)
    rows: list[list[object]] = [["kills", tally.kills], ["rows lost", tally.lost], ["rows doubled", tally.doubled]]
    rows += [["workspaces finished, all byte-identical to the undisturbed one", tally.rounds]]
    rows += [["questions answered twice, in all", tally.asked_twice], ["most of them for one kill", tally.max_twice_a_kill]]
    rows += [[f"killed at {where}", number] for where, number in sorted(tally.killed_in.items())]
    rows += [[f"just before {call}, or in the middle of it", number] for call, number in sorted(tally.killed_before.items())]
    words = killed[0].words if len(killed) == 1 else f"--of {' '.join(arguments.of)}"
    command = f"python -m chaos.kills {words} --kills {arguments.kills} --seed {arguments.seed}"
    if arguments.fault:
        command = again(killed[0], arguments.fault)
    show("Killed anywhere, same bytes", command, ["what", "number"], rows)


if __name__ == "__main__":
    main()
