"""How many leaks does `unleaked` find, and how many sound thoughts falsely? By the thought that leaks, and by the kind of task.

The first table is of the thoughts that the rule was made on, the second of thoughts by another hand, where there are any. Both
lie in tests/judging.
"""

from __future__ import annotations

from collections import defaultdict

from tests.judging.thoughts import DEV, HELD_OUT, Thought, falsely_found, missed, read
from tests.support.tables import show

COMMAND = "python -m benchmarks.leaks"


def table(written: list[Thought]) -> list[list[object]]:
    """A line a group: leaks, those that were found, sound thoughts, those that were found falsely."""
    groups: defaultdict[str, list[Thought]] = defaultdict(list)
    for thought in written:
        for group in (f"leak in {thought.where}" if thought.leaks else "sound", thought.judged.kind, "all"):
            groups[group].append(thought)
    rows: list[list[object]] = []
    for group, some in sorted(groups.items(), key=lambda item: (item[0] == "all", item[0])):
        leaks, passed, falsely = sum(thought.leaks for thought in some), missed(some), falsely_found(some)
        rows.append([
            group, leaks, leaks - len(passed), f"{100 * (1 - len(passed) / leaks):.0f}" if leaks else "",
            len(some) - leaks, len(falsely), " ".join(passed), " ".join(falsely),
        ])  # fmt: skip
    return rows


def main() -> None:
    columns = ["thoughts", "leaks", "caught", "%", "sound", "false", "missed", "falsely found"]
    show("Leaks that the rule was made on", COMMAND, columns, table(read(*DEV)))
    if HELD_OUT.exists():
        show("Leaks by another hand", COMMAND, columns, table(read(HELD_OUT)))


if __name__ == "__main__":
    main()
