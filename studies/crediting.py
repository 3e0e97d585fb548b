"""What the rows of studies/credit.py say: two tables, and what is to be drawn."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dmforge.curation.io.atomic import write_json
from dmforge.schemas.errors import InputError
from dmforge.trainers.metrics import Figure
from studies.crossed import agreeing, crossed
from studies.journeys import Row, keep, read
from studies.plots import Band, Panel, draw
from tests.support.tables import show

BEGINNING = "sft"
"""What the row of an imitation has for a scenario."""
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Study:
    """What is measured, and with which arm the others are compared."""

    measures: Mapping[str, str]
    """By the name of its list in a point: what it is called."""
    tops: Mapping[str, float]
    """How high each is drawn."""
    baseline: str
    arms: str = "arm"
    """What tells arms apart."""


ONE_LOOK = Study(
    {"iou": "mIoU", "right": "accuracy", "off_fps": "density error, fps"},
    {"iou": 1.0, "right": 1.0, "off_fps": 2.0},
    baseline="1",
    arms="holistic",
)


def carry_out(parser: ArgumentParser, command: str, study: Study, done: Callable[[Path, Namespace], Iterator[Row]]) -> None:
    """Read the command line of a study, add the rows that are missing, and report what all of them say.

    `parser` has `--folder`, `--rows` and options of its own; `done` gives the missing rows of a folder, one after the other.
    """
    arguments = parser.parse_args()
    if (arguments.folder is None) == (arguments.rows is None):
        parser.error("give --folder, or --rows")
    if arguments.rows and not arguments.rows.is_file():
        parser.error(f"there is no file {arguments.rows}")
    rows = arguments.rows or arguments.folder / "rows.jsonl"
    if arguments.folder:
        torch.set_num_threads(1)
        for row in done(arguments.folder, arguments):
            keep(rows, [*read(rows), row])
            print(f"{row.scenario}, {row.arm}, seed {row.seed}: {row.cpu_s:.0f} CPU s", flush=True)
    report(read(rows), rows.with_suffix(".svg"), f"{command} --rows {rows}", study)


def require_size(folder: Path, size: Mapping[str, int]) -> None:
    """Refuse a folder whose rows are of another size: they don't go together."""
    size_path = folder / "size.json"
    if size_path.exists() and json.loads(size_path.read_text()) != size:
        raise InputError("its rows are of another size", where=str(size_path), hint="name another folder")
    write_json(size_path, size)


def report(rows: Sequence[Row], drawing: Path, command: str, study: Study = ONE_LOOK) -> None:
    """Print the tables, write the drawing."""
    starts = {row.sft: row for row in rows if row.scenario == BEGINNING}
    arms = list(dict.fromkeys(row.arm for row in rows if row.scenario != BEGINNING))
    trained = compared(rows, len(arms))
    scenarios = list(dict.fromkeys(row.scenario for row in trained))
    print_levels(starts, trained, scenarios, arms, command, study)
    print_differences(trained, scenarios, arms, command, study)
    grid = [list(panels(starts, trained, scenarios, arms, measure, study)) for measure in study.measures]
    drawing.write_text(draw(grid, study.arms), "utf-8")


def compared(rows: Sequence[Row], arms: int) -> list[Row]:
    """Trainings of those seeds that every arm of their scenario has: a mean over other seeds compares seeds, not arms."""
    times = Counter((row.scenario, row.seed) for row in rows)
    return [row for row in rows if row.scenario != BEGINNING and times[row.scenario, row.seed] == arms]


def print_levels(
    starts: dict[int, Row],
    trained: Sequence[Row],
    scenarios: Sequence[str],
    arms: Sequence[str],
    command: str,
    study: Study,
) -> None:
    """What each arm came to, after its last update."""
    lines: list[list[object]] = []
    for sft, row in sorted(starts.items()):
        begun = [_shown(crossed(row.points[0].values(measure)[None])) for measure in study.measures]
        lines.append([f"imitation {sft}", "", 0, 1, *begun])
    for scenario in scenarios:
        for arm in arms:
            some = {row.seed: row for row in trained if (row.scenario, row.arm) == (scenario, arm)}
            if some:
                last = next(iter(some.values())).points[-1].updates
                cells = [_shown(crossed(at(some, sorted(some), last, measure))) for measure in study.measures]
                lines.append([scenario, arm, last, len(some), *cells])
    columns = ["scenario", study.arms, "updates", "seeds", *study.measures.values()]
    show("What each arm came to (intervals over seeds and videos)", command, columns, lines)


def print_differences(
    trained: Sequence[Row], scenarios: Sequence[str], arms: Sequence[str], command: str, study: Study
) -> None:
    """Each arm less plain GRPO: same checkpoint, same worlds to practise on, same draws, same worlds to be measured on."""
    lines: list[list[object]] = []
    for scenario in scenarios:
        by_arm = {arm: {r.seed: r for r in trained if (r.scenario, r.arm) == (scenario, arm)} for arm in arms}
        for arm in arms:
            seeds = sorted(by_arm[arm].keys() & by_arm.get(study.baseline, {}).keys())
            if arm == study.baseline or not seeds:
                continue
            for point in by_arm[arm][seeds[0]].points[-2:]:  # half-way, and at the end; the drawing has all
                cells = [
                    _gain(by_arm[arm], by_arm[study.baseline], seeds, point.updates, measure) for measure in study.measures
                ]
                lines.append([scenario, arm, point.updates, len(seeds), *cells])
    columns = [
        "scenario",
        study.arms,
        "updates",
        "seeds",
        *(f"{name} (seeds above : below)" for name in study.measures.values()),
    ]
    show("Less plain GRPO (paired; intervals over seeds and videos)", command, columns, lines)


def panels(
    starts: dict[int, Row],
    trained: Sequence[Row],
    scenarios: Sequence[str],
    arms: Sequence[str],
    measure: str,
    study: Study,
) -> Iterator[Panel]:
    """One for each scenario."""
    for scenario in scenarios:
        bands: list[Band] = []
        for arm in arms:
            some = {row.seed: row for row in trained if (row.scenario, row.arm) == (scenario, arm)}
            if not some:
                continue
            updates = [point.updates for point in next(iter(some.values())).points]
            figures = [crossed(at(some, sorted(some), number, measure)) for number in updates]
            if all(row.sft in starts for row in some.values()):
                began = np.array([starts[some[seed].sft].points[0].values(measure) for seed in sorted(some)])
                updates, figures = [0, *updates], [crossed(began), *figures]
            known = [(x, figure) for x, figure in zip(updates, figures, strict=True) if figure]
            if known:
                bands.append(Band(arm, tuple((x, figure.value, figure.low, figure.high) for x, figure in known)))
        yield Panel(scenario, study.measures[measure], study.tops[measure], tuple(bands))


def at(some: dict[int, Row], seeds: Sequence[int], updates: int, measure: str) -> Values:
    """A row a seed, a column a world."""
    return np.array([next(p for p in some[seed].points if p.updates == updates).values(measure) for seed in seeds])


def _gain(some: dict[int, Row], others: dict[int, Row], seeds: Sequence[int], updates: int, measure: str) -> str:
    difference = at(some, seeds, updates, measure) - at(others, seeds, updates, measure)
    above, _, below = agreeing(difference)
    figure = crossed(difference)
    return f"{figure.value:+.3f} ({figure.low:+.3f} to {figure.high:+.3f}) {above} : {below}" if figure else ""


def _shown(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} - {figure.high:.3f})"
