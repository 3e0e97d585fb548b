"""How many leaks does `unleaked` find, and how many sound thoughts falsely? By writer, by thought and by kind of task.

The first table is what counts: the thoughts of each writer, by weights that were fitted to those of all others; it takes some
minutes. The second is of the weights as they are, which know all of these; the third of thoughts that they never met.
"""

from __future__ import annotations

from collections import defaultdict

from tests.judging.thoughts import DEV, HELD_OUT, Thought, falsely_flagged, missed, read
from tests.support.tables import show
from tools.leak_weights import leave_one_out, threshold_of

COMMAND = "python -m benchmarks.leaks"


def by_writer() -> list[list[object]]:
    """A line a writer: leaks, those that were found without him, sound thoughts, those that were found falsely."""
    sets = [read(path) for path in DEV]
    scores = leave_one_out(sets)
    threshold = threshold_of(sets, scores)
    rows: list[list[object]] = []
    totals = [0, 0, 0, 0]
    for path, thoughts, set_scores in zip(DEV, sets, scores, strict=True):
        leaks = [score for thought, score in zip(thoughts, set_scores, strict=True) if thought.leaks]
        sound = [score for thought, score in zip(thoughts, set_scores, strict=True) if not thought.leaks]
        counts = [len(leaks), _reaching(leaks, threshold), len(sound), _reaching(sound, threshold)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        rows.append([path.stem, *counts])
    return [*rows, ["all", *totals]]


def _reaching(scores: list[int], threshold: int) -> int:
    return sum(score >= threshold for score in scores)


def table(all_thoughts: list[Thought]) -> list[list[object]]:
    """A line a group: leaks, those that were found, sound thoughts, those that were found falsely."""
    groups: defaultdict[str, list[Thought]] = defaultdict(list)
    for thought in all_thoughts:
        for group in (f"leak in {thought.where}" if thought.leaks else "sound", thought.rule_input.kind, "all"):
            groups[group].append(thought)
    rows: list[list[object]] = []
    for group, thoughts in sorted(groups.items(), key=lambda item: (item[0] == "all", item[0])):
        leaks, passed, falsely = sum(thought.leaks for thought in thoughts), missed(thoughts), falsely_flagged(thoughts)
        rows.append([
            group, leaks, leaks - len(passed), f"{100 * (1 - len(passed) / leaks):.0f}" if leaks else "",
            len(thoughts) - leaks, len(falsely), " ".join(passed), " ".join(falsely),
        ])  # fmt: skip
    return rows


def main() -> None:
    columns = ["thoughts", "leaks", "caught", "%", "sound", "false", "missed", "falsely found"]
    show("Leaks by a writer left out", COMMAND, ["writer", "leaks", "caught", "sound", "false"], by_writer())
    show("Leaks that the weights were fitted to", COMMAND, columns, table(read(*DEV)))
    if HELD_OUT.exists():
        show("Leaks by another hand", COMMAND, columns, table(read(HELD_OUT)))


if __name__ == "__main__":
    main()
