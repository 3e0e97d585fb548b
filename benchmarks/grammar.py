"""How fast are trajectories parsed? The baseline is a bare split on the tags."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from fractions import Fraction

from dmforge.schemas.grammar import Trajectory, parse, render
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.tags import TAG
from tests.support.tables import show

TRAJECTORIES = 100_000
TEXT = "a the person then opens door at 14.3 seconds, where two others look back. < so"


def trajectory(rng: random.Random) -> Trajectory:
    """About 800 characters of invented thoughts around one look."""
    start = rng.randrange(100_000)
    look = Look(Window(start, start + rng.randrange(1, 5000)), Fraction(rng.choice([1, 2, 3, 4, 6])))
    first, second = (" ".join(rng.choices(TEXT.split(), k=words)) for words in (30, 125))
    return Trajectory((first, second), (look,), rng.choice("ABCD"), rng.choice(["", "\n"]))


def cpu_seconds(work: Callable[[], object]) -> float:
    """The best of three: other processes only ever slow it down."""
    seconds: list[float] = []
    for _ in range(3):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def main() -> None:
    rng = random.Random(0)
    built = [trajectory(rng) for _ in range(TRAJECTORIES)]
    texts = [render(item) for item in built]
    cut_off = [text[: rng.randrange(len(text))] for text in texts]
    assert [parse(text) for text in texts] == built

    works: list[tuple[str, list[str], Callable[[], object]]] = [
        ("re.split on the tags", texts, lambda: [TAG.split(text) for text in texts]),
        ("parse, well-formed", texts, lambda: [parse(text) for text in texts]),
        ("parse, cut off at random", cut_off, lambda: [parse(text) for text in cut_off]),
        ("render", texts, lambda: [render(item) for item in built]),
    ]
    rows: list[list[object]] = []
    baseline_s = 0.0
    for name, of, work in works:
        seconds = cpu_seconds(work)
        baseline_s = baseline_s or seconds
        rate, megabytes = TRAJECTORIES / seconds, sum(map(len, of)) / 1e6 / seconds
        rows.append([name, f"{seconds:.2f}", f"{rate:,.0f}", f"{megabytes:.0f}", f"{seconds / baseline_s:.1f}"])
    characters = sum(map(len, texts)) // TRAJECTORIES
    title = f"{TRAJECTORIES:,} trajectories of {characters} characters: CPU time on one core, best of 3"
    show(title, "python -m benchmarks.grammar", ["what", "CPU s", "trajectories/s", "MB/s", "x split"], rows)


if __name__ == "__main__":
    main()
