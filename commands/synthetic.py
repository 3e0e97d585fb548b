"""Fills folders with synthetic videos, and serves the teacher that knows about them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serve
from dmforge.generators.synthetic.worlds.imagine import knobs_of
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.schemas.config import parse_config
from dmforge.schemas.errors import InputError


def fill_with_worlds(folder: Path, level: int, **settings: int | bool) -> None:
    """Render worlds of a level; the other settings are those of `WorldSettings`."""
    world_settings = parse_config(WorldSettings, {**settings, "knobs": knobs_of(level)}, where="dmforge worlds")
    make_worlds(folder, world_settings)


def serve_oracle(
    folder: Path, port: int, truth: Path | None, unknown: float, defects: Iterable[str], faults: Iterable[str]
) -> None:
    """Serve an oracle until it is stopped; `defects` and `faults` are given as `NAME=RATE`."""
    settings = {"unknown": unknown, "defects": _rates("--defect", defects), "faults": _rates("--fault", faults)}
    serve(folder, port, parse_config(Behaviour, settings, where="oracle"), truth)


def _rates(option: str, assignments: Iterable[str]) -> dict[str, float]:
    """Parse several `NAME=RATE` into rates by name."""
    rate_by_name: dict[str, float] = {}
    for assignment in assignments:
        name, _, rate = assignment.partition("=")
        try:
            rate_by_name[name] = float(rate)
        except ValueError:
            raise InputError(f"{assignment!r} has no rate", where=option, hint=f"write {option} {name}=0.1") from None
    return rate_by_name
