"""The index behind browse: a search finds what looking through all texts finds, and counts are those of plain counting."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmforge.curation.browse import token_index
from dmforge.curation.browse.row_columns import BINS, NamedColumnBuilder, score_column
from dmforge.curation.browse.row_index import FACETS, IndexedTasks, RowIndex
from dmforge.curation.browse.row_query import RowQuery
from dmforge.curation.browse.row_selection import PAGE_ROWS, RowSelection
from dmforge.curation.browse.token_index import TokenIndex

LETTERS = st.text(st.sampled_from("abAB \t\n.<>\u00e9\u0130\u4e2d\u202e"), max_size=12)
WORDS = st.text(st.sampled_from("abAB.<>\u00e9\u4e2d\u202e"), min_size=1, max_size=4)


def indexed(texts: list[str], numbers: list[int] | None = None, count: int | None = None) -> TokenIndex:
    index = TokenIndex(len(texts) if count is None else count)
    batch = pa.record_batch({"n": pa.array(numbers or range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
    assert list(index.fill(iter([batch])))[-1:] == [len(texts)][: len(texts)]
    return index


@given(st.lists(LETTERS, min_size=1, max_size=30), WORDS)
def test_a_search_finds_what_looking_through_all_texts_finds(texts: list[str], word: str) -> None:
    lowered = pa.compute.utf8_lower(pa.array(texts)).to_pylist()
    assert indexed(texts).holding(word).tolist() == [word.lower() in text for text in lowered]


def test_texts_of_several_segments_are_found_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_index, "SEGMENT_TEXTS", 64)
    monkeypatch.setattr(token_index, "MAX_RUNS", 3)
    draw = np.random.default_rng(3)
    texts = [" ".join(draw.choice(["red", "green", "redder", "door", "doors."], 4).tolist()) for _ in range(500)]
    numbers = draw.permutation(700)[:500].tolist()
    index = indexed(texts, numbers, 700)
    for word in ("red", "RED", "e", "doors", "greenred", "d."):
        holding = {number for number, text in zip(numbers, texts, strict=True) if word.lower() in text}
        assert set(np.flatnonzero(index.holding(word)).tolist()) == holding


KINDS, SPLITS = ("mcq", "open", "grounding"), ("", "train", "test")
ROWS = 900


@pytest.fixture(scope="module")
def drawn() -> tuple[RowIndex, list[dict[str, object]]]:
    """An index of rows that were drawn, and the same rows as dictionaries."""
    draw = np.random.default_rng(5)
    scores = np.where(draw.random(ROWS) < 0.2, np.nan, draw.integers(-1, 12, ROWS) / 10)
    kinds, splits = draw.choice(KINDS, ROWS).tolist(), draw.choice(SPLITS, ROWS).tolist()
    tasks = np.sort(draw.integers(0, 300, ROWS)).astype(np.int32)
    texts = [f"{kind} {'door' if number % 3 else 'car'}" for number, kind in enumerate(kinds)]
    rows: list[dict[str, object]] = [
        {"row": row, "kind": kinds[row], "split": splits[row], "text": texts[row], "score": float(scores[row])}
        for row in range(ROWS)
    ]

    def named(values: list[str]) -> object:
        builder = NamedColumnBuilder(ROWS)
        builder.add(np.arange(ROWS), pa.array(values))
        return builder.column()

    columns = {name: named([""] * ROWS) for name in FACETS} | {"kind": named(kinds), "split": named(splits)}
    ids = draw.integers(0, 256, (ROWS, 16), dtype=np.uint8)
    of_tasks = IndexedTasks(
        draw.integers(0, 256, (300, 16), dtype=np.uint8),
        pa.chunked_array([[""] * 300]),
        np.zeros(300, np.int32),
        TokenIndex(300),
    )
    index = RowIndex(
        ids, tasks, np.zeros((1, 16), np.uint8), of_tasks, columns, {"answer": score_column(scores, 0.7)},  # pyright: ignore
        np.arange(ROWS, dtype=np.uint32), indexed(texts),
    )  # fmt: skip
    return index, rows


VIEWS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.lists(st.sampled_from([*KINDS, "none of them"]), min_size=1, max_size=3),
        "split": st.lists(st.sampled_from(SPLITS), min_size=1, max_size=2),
        "score.answer": st.sampled_from(["..0.5", "0.3..", "0.2..0.6", "..<0.7", "..", "2..", "0.6..0.2"]),
        "q": st.sampled_from(["door", "CAR", "mc oor", "zebra"]),
        "sort": st.sampled_from(["drawn", "-drawn", "score.answer", "-score.answer", "length", "-length", "fails", "-fails"]),
    },
)


def fits(row: dict[str, object], view: dict[str, object], but: str = "") -> bool:
    score, text = row["score"], str(row["text"])
    low, _, high = str(view.get("score.answer", "..")).partition("..")
    is_within = True
    if "score.answer" in view and but != "score.answer":
        assert isinstance(score, float)
        is_within = float(low or -9) <= score <= float(high.lstrip("<") or 9) and not ("<" in high and score == float(high[1:]))
    names = all(row[column] in view[column] for column in ("kind", "split") if column in view and column != but)  # type: ignore[operator]
    return is_within and names and all(word in text for word in str(view.get("q", "")).lower().split())


@given(VIEWS)
def test_views_hold_and_count_what_plain_counting_does(
    drawn: tuple[RowIndex, list[dict[str, object]]], view: dict[str, object]
) -> None:
    index, rows = drawn
    selection, query = RowSelection(index), RowQuery.read(urlencode(view, doseq=True))
    fitting = [row for row in rows if fits(row, view)]
    first = selection.page(query, 0)
    pages = [selection.page(query, page).rows for page in range(-(-first.total // PAGE_ROWS))]
    in_order = [row for page in pages for row in page]
    assert first.total == len(fitting)
    assert sorted(in_order) == [row["row"] for row in fitting]
    scores = [index.scores["answer"].score(row) for row in in_order]
    measured = [score for score in scores if score is not None]
    if str(view.get("sort", "")).lstrip("-") == "score.answer":
        assert scores[len(measured) :] == [None] * (len(scores) - len(measured))
        assert measured == sorted(measured, reverse=str(view["sort"]).startswith("-"))
    if view.get("sort") in ("length", "-drawn"):
        assert in_order == sorted(in_order, reverse=True)
    for column in ("kind", "split"):
        counted = {name.name: name.rows for name in selection.counts(query, column).names if name.rows}
        assert counted == Counter(row[column] for row in rows if fits(row, view, column))
    here = [row["score"] for row in rows if fits(row, view, "score.answer") and row["score"] == row["score"]]
    counts = selection.score_counts(query, "answer")
    assert sum(counts.bins) == len(here)
    assert len(counts.bins) == BINS
    assert counts.failing == sum(score < 0.7 for score in here)  # type: ignore[operator]
