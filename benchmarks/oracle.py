"""Does the oracle believe its eyes, and nothing else? Its share of right answers, level by level, for what it is shown.

The second call of each question that needs a video, with the pictures of the best look, and with others under the same stamps:
grey ones, its own in another order, those of another world. The baseline is a guess in the form of the answer.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle import Oracle
from dmforge.generators.synthetic.worlds.imagine import LEVELS
from tests.support.chats import Worlds, blank, chance, right_share
from tests.support.tables import show


def shares(worlds: Worlds) -> list[object]:
    """The row of a level."""
    oracle = Oracle(worlds.folder, Behaviour())
    numbers = [number for number, _ in worlds.asked]
    right = [worlds.gold_chat(number, question) for number, question in worlds.asked]
    variants = [
        right,
        [chat.showing(blank(chat.images)) for chat in right],
        [chat.showing(chat.images[1:] + chat.images[:1]) for chat in right],
        [worlds.elsewhere(number, chat) for number, chat in zip(numbers, right, strict=True)],
    ]
    guess = sum(chance(chat.question) for chat in right) / len(right)
    return [len(right), *(f"{right_share(oracle, chats):.3f}" for chats in variants), f"{guess:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100)
    arguments = parser.parse_args()
    rows: list[list[object]] = []
    for level in range(len(LEVELS)):
        with tempfile.TemporaryDirectory(prefix="dmforge-oracle-") as folder:
            rows.append([level, *shares(Worlds(Path(folder), arguments.videos, level))])
    columns = ["level", "questions", "right pictures", "grey", "shifted by one", "another world", "a guess, at most"]
    show("What the oracle answers right", f"python -m benchmarks.oracle --videos {arguments.videos}", columns, rows)


if __name__ == "__main__":
    main()
