"""Comparisons with another corpus: a workspace, a folder of shards, a released set or a benchmark's own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa

from dmforge.commands.readable_recipe import readable_recipe
from dmforge.commands.standing import readers_view
from dmforge.curation.audit import difference, query
from dmforge.curation.audit.compared_corpora import ComparedQuantity, CorpusTables, compare
from dmforge.curation.audit.corpus_tables import workspace_tables
from dmforge.curation.audit.quantities import AUDITS
from dmforge.curation.audit.query import Tables
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.inspection.set_tables import set_tables
from dmforge.schemas.errors import InputError

LIKENESS = "likeness"
"""The question that is answered by a comparison of every distribution, and not by one query."""
LIKENESS_QUESTION = (
    "Is what was kept like another corpus, `--with OTHER`: how far apart is each distribution, and is that more than chance?"
)
_KINDS = "a workspace, a folder of shards, a set, or a benchmark's file"
_KINDS_OF_RUN = "another workspace"
_WORDS_OF_RUNS: Mapping[str, str] = {"other_decisions": "decisions", "other_scores": "try_scores"}
"""Tables about another run, and the words that they are here."""
_SUMMARY = pa.schema([
    ("distribution", pa.string()), ("unit", pa.string()), ("here", pa.int64()), ("there", pa.int64()),
    ("mean_here", pa.float64()), ("mean_there", pa.float64()), ("measure", pa.string()), ("distance", pa.float64()),
    ("low", pa.float64()), ("high", pa.float64()), ("chance", pa.float64()), ("apart", pa.bool_()),
])  # fmt: skip
_CLASSES = pa.schema([
    ("distribution", pa.string()), ("value", pa.string()), ("here", pa.int64()), ("share_here", pa.float64()),
    ("there", pa.int64()), ("share_there", pa.float64()), ("distance", pa.float64()), ("low", pa.float64()),
    ("high", pa.float64()),
])  # fmt: skip


def comparing() -> list[str]:
    """The named questions that take another corpus."""
    return sorted({LIKENESS, *AUDITS, *(name for name in query.names() if query.compares(name))})


def check_other(name: str, other: Path | None) -> None:
    """Refuse a comparison without another corpus, and another corpus for what compares nothing."""
    if other is None and (name == LIKENESS or query.compares(name)):
        hint = f"dmforge audit {name} --with OTHER, {_KINDS_OF_RUN if query.compares(name) else _KINDS}"
        raise InputError(f"{name} compares with another corpus", where="--with", hint=hint)
    if other is not None and name not in comparing():
        raise InputError(f"{name} compares nothing", where="--with", hint=f"these do: {', '.join(comparing())}")


def other_tables(name: str, other: Path) -> Tables:
    """The tables of another selection, or another run, that a named query asks."""
    if not query.compares(name):
        return {}
    if any(query.is_named(table, query.query(name).sql) for table in _WORDS_OF_RUNS) and not _is_workspace(other):
        hint = f"give a workspace; dmforge audit {LIKENESS} compares with what is none"
        raise InputError(f"{name} compares two runs, and this is no workspace", where=f"--with {other}", hint=hint)
    return {
        "others": partial(_other_samples, other),
        **{table: partial(_other_word, other, word) for table, word in _WORDS_OF_RUNS.items()},
    }


def compared_with(view: LakeView, name: str, there: CorpusTables, audit_name: str = LIKENESS) -> tuple[ComparedQuantity, ...]:
    """The distributions of a workspace beside those of another corpus: all of them, or those of one question."""
    return compare(workspace_tables(view, name), there, "" if audit_name == LIKENESS else audit_name)


def corpus_tables(place: Path) -> CorpusTables:
    """A corpus of any kind, as it is compared."""
    if not _is_workspace(place):
        return set_tables(place)
    workspace = WorkspaceFolder(place)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return workspace_tables(readers_view(Lake(workspace), recipe), workspace.root.name)


def summary_table(compared: tuple[ComparedQuantity, ...]) -> pa.Table:
    """A row for each distribution."""
    rows = [
        {
            "distribution": item.quantity.name, "unit": item.quantity.unit, "here": item.here, "there": item.there,
            "mean_here": _rounded(item.mean_here), "mean_there": _rounded(item.mean_there), "measure": item.measure,
            **_distance_cells(item), "chance": _rounded(item.distance.chance) if item.distance else None,
            "apart": item.distance.is_apart if item.distance else None,
        }
        for item in compared
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, _SUMMARY)


def class_table(compared: tuple[ComparedQuantity, ...]) -> pa.Table:
    """A row for each class of values, with its share on both sides."""
    rows = [
        {
            "distribution": item.quantity.name, "value": pair.label, "here": pair.here, "there": pair.there,
            **dict(zip(("share_here", "share_there"), map(_rounded, item.shares(pair)), strict=True)), **_distance_cells(item),
        }
        for item in compared
        for pair in item.classes
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, _CLASSES)


def _distance_cells(item: ComparedQuantity) -> dict[str, float | None]:
    distance = item.distance
    if distance is None:
        return {"distance": None, "low": None, "high": None}
    return {"distance": _rounded(distance.value), "low": _rounded(distance.low), "high": _rounded(distance.high)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _is_workspace(place: Path) -> bool:
    return WorkspaceFolder(place).recipe.is_file()


def _other_samples(other: Path) -> pa.Table:
    """The samples of another selection."""
    if not _is_workspace(other):
        return difference.samples_of_shards(other)
    return _asked_there(other, difference.samples_of_view)


def _other_word(other: Path, word: str) -> pa.Table:
    """The rows of a word in another workspace."""
    return _asked_there(other, partial(query.word_table, word))


def _asked_there(other: Path, ask: Callable[[LakeView], pa.Table]) -> pa.Table:
    workspace = WorkspaceFolder(other)
    recipe = readable_recipe(workspace.require())
    with workspace.reading():
        return ask(readers_view(Lake(workspace), recipe))
