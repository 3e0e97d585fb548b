"""Figures over the whole lake, counted in SQL: sizes, where is looked and how densely, scores with their thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

BINS = 20
"""How many bins the histogram of a score has."""
MAX_BARS = 10
"""How many bars a table of kinds or sources has; the others are counted together."""
_LOOKED = """
CREATE OR REPLACE TEMP TABLE looked AS
SELECT c.looks[1].fps AS fps, (c.looks[1].window.end_cs - c.looks[1].window.start_cs) / 100 AS length_s,
    c.looks[1].window.start_cs / nullif(v.duration_cs, 0) AS begins, t.task_kind AS kind, t.source,
    v.duration_cs / 100 AS duration_s, c.window_source, s.candidate IS NOT NULL AS kept
FROM candidates c LEFT JOIN tasks t ON t.id = c.task LEFT JOIN videos v ON v.id = c.video
    LEFT JOIN (SELECT DISTINCT candidate FROM samples WHERE candidate IS NOT NULL) s ON s.candidate = c.id
"""
_DOUBLING = "CAST(ceil(log2(greatest({0}, {1}) / {1})) AS INT)"
"""The class of a length: up to the first bound, up to twice that, and so on."""
_SCORES = f"""
SELECT filter, least(CAST(floor(score * {BINS}) AS INT), {BINS} - 1) AS bin, count(*) AS n, sum(score) AS total
FROM verdicts GROUP BY ALL ORDER BY filter, bin
"""
_BELOW = """
SELECT v.filter, count(*) FROM verdicts v JOIN thresholds t ON t.filter = v.filter WHERE v.score < t.least GROUP BY v.filter
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a table: how many there are, and how many of them are kept."""

    label: str
    kept: int
    all: int


@dataclass(frozen=True, slots=True)
class BarChart:
    """A distribution."""

    title: str
    about: str
    bars: tuple[Bar, ...]

    @property
    def max_count(self) -> int:
        return max((bar.all for bar in self.bars), default=0)


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """How the scores of one filter lie, from 0 to 1."""

    filter: str
    counts: tuple[int, ...]
    mean: float
    min_score: float | None
    below: int
    kept: tuple[tuple[float, int], ...] = ()
    """How many samples each value of its threshold keeps, all others as they are; empty where that is not known."""

    @property
    def n(self) -> int:
        return sum(self.counts)

    def kept_line(self, width: int, height: int) -> str:
        """The points of that curve in a picture."""
        most = max((count for _, count in self.kept), default=0) or 1
        points = [(at * width, height * (1 - count / most)) for at, count in sorted(self.kept) if 0 <= at <= 1]
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


@dataclass(frozen=True, slots=True)
class SummaryFigure:
    """One number of the summary."""

    name: str
    value: str


def summary(connection: duckdb.DuckDBPyConnection) -> list[SummaryFigure]:
    """The sizes of the lake: videos, tasks, candidates, samples."""
    video_count, total_s = _row(connection, "SELECT count(*), coalesce(sum(duration_cs), 0) / 100 FROM videos")
    (task_count,) = _row(connection, "SELECT count(*) FROM tasks")
    (candidate_count,) = _row(connection, "SELECT count(*) FROM candidates")
    corpus_counts = connection.execute("SELECT corpus, count(*) FROM samples GROUP BY corpus ORDER BY corpus").fetchall()
    length_text = f"{total_s / 3600:,.1f} h" if total_s >= 3600 else f"{total_s / 60:,.1f} min"
    summary_figures = [
        SummaryFigure("videos", f"{video_count:,}"),
        SummaryFigure("of video", length_text),
        SummaryFigure("tasks", f"{task_count:,}"),
    ]
    summary_figures += [SummaryFigure("candidates", f"{candidate_count:,}")]
    return [
        *summary_figures,
        *(SummaryFigure(f"samples in {corpus}", f"{sample_count:,}") for corpus, sample_count in corpus_counts),
    ]


def distributions(connection: duckdb.DuckDBPyConnection) -> list[BarChart]:
    """Distributions of what candidates look at, and of their kinds; empty ones are left out."""
    connection.execute(_LOOKED)
    legend = "candidates; the coloured part is kept"
    lengths = _classes(connection, "length_s", 1)
    charts = [
        BarChart("Length of the window", f"{legend}, by seconds that the first look spans", _bars_of_classes(lengths, 1)),
        BarChart("Where the window begins", f"{legend}, by the part of the video that has passed", _bars_by_tenth(connection)),
        BarChart("Density", f"{legend}, by frames per second of the first look", _bars_by(
            connection, "CASE WHEN fps.den = 1 THEN CAST(fps.num AS VARCHAR) ELSE fps.num || '/' || fps.den END || ' fps'",
            "looked WHERE fps IS NOT NULL", "min(fps.num / fps.den)",
        )),
        BarChart("Length of the video", f"{legend}, by seconds", _bars_of_classes(_classes(connection, "duration_s", 15), 15)),
        BarChart("Kind of question", legend, _bars_by(connection, "kind", "looked WHERE kind IS NOT NULL")),
        BarChart("Source of the question", legend, _bars_by(connection, "source", "looked WHERE kind IS NOT NULL")),
        BarChart("Who chose the window", legend, _bars_by(connection, "window_source", "looked WHERE window_source <> ''")),
    ]  # fmt: skip
    return [chart for chart in charts if chart.bars]


def scores(
    connection: duckdb.DuckDBPyConnection,
    min_scores: Mapping[str, float],
    kept_by_filter: Mapping[str, tuple[tuple[float, int], ...]],
) -> list[ScoreDistribution]:
    """The histogram of each filter's scores, how many are below the threshold, and what other thresholds would keep."""
    connection.execute("CREATE OR REPLACE TEMP TABLE thresholds (filter VARCHAR, least DOUBLE)")
    if min_scores:
        connection.executemany(
            "INSERT INTO thresholds VALUES (?, ?)", [list(name_and_score) for name_and_score in sorted(min_scores.items())]
        )
    below_by_filter = dict(connection.execute(_BELOW).fetchall())
    counts_by_filter: dict[str, list[int]] = {}
    weight_by_filter: dict[str, float] = {}
    for filter_name, bin_index, bin_count, bin_total in connection.execute(_SCORES).fetchall():
        counts_by_filter.setdefault(filter_name, [0] * BINS)[max(0, bin_index)] += bin_count
        weight_by_filter[filter_name] = weight_by_filter.get(filter_name, 0.0) + bin_total
    return [
        ScoreDistribution(
            filter_name,
            tuple(bin_counts),
            weight_by_filter[filter_name] / sum(bin_counts),
            min_scores.get(filter_name),
            below_by_filter.get(filter_name, 0),
            kept_by_filter.get(filter_name, ()),
        )
        for filter_name, bin_counts in counts_by_filter.items()
    ]


def _bars_by(
    connection: duckdb.DuckDBPyConnection, label_sql: str, rows_sql: str, order_sql: str = "-count(*)"
) -> tuple[Bar, ...]:
    """The counts of rows by a label; beyond `MAX_BARS` the others are one bar."""
    sql = f"SELECT {label_sql} AS label, count_if(kept), count(*) FROM {rows_sql} GROUP BY label ORDER BY {order_sql}, label"
    labelled_bars = [Bar(*bar_row) for bar_row in connection.execute(sql).fetchall()]
    other_bars = labelled_bars[MAX_BARS:]
    bar_of_others = (
        [
            Bar(
                f"{len(other_bars)} others",
                sum(other_bar.kept for other_bar in other_bars),
                sum(other_bar.all for other_bar in other_bars),
            )
        ]
        if other_bars
        else []
    )
    return (*labelled_bars[:MAX_BARS], *bar_of_others)


def _classes(connection: duckdb.DuckDBPyConnection, column: str, first_bound: int) -> list[tuple[int, int, int]]:
    from_sql = f"FROM looked WHERE {column} IS NOT NULL"
    sql = f"SELECT {_DOUBLING.format(column, first_bound)} AS class, count_if(kept), count(*) {from_sql} GROUP BY 1 ORDER BY 1"
    return connection.execute(sql).fetchall()


def _bars_of_classes(classes: Sequence[tuple[int, int, int]], first_bound: int) -> tuple[Bar, ...]:
    """A bar for each class, labelled by its bounds; empty classes between others have one as well."""
    if not classes:
        return ()
    counts_by_class = {class_index: (kept_count, total_count) for class_index, kept_count, total_count in classes}
    class_ends = [
        (class_index, first_bound * 2**class_index) for class_index in range(min(counts_by_class), max(counts_by_class) + 1)
    ]
    return tuple(
        Bar(
            f"{class_end // 2:,} to {class_end:,} s" if class_index else f"up to {class_end:,} s",
            *counts_by_class.get(class_index, (0, 0)),
        )
        for class_index, class_end in class_ends
    )


def _bars_by_tenth(connection: duckdb.DuckDBPyConnection) -> tuple[Bar, ...]:
    # behind the end: a look that begins after its video
    sql = """
        SELECT least(greatest(CAST(floor(begins * 10) AS INT), 0), 10) AS tenth, count_if(kept), count(*)
        FROM looked WHERE begins IS NOT NULL GROUP BY 1 ORDER BY 1
    """
    counts_by_tenth = {
        duration_tenth: (kept_count, total_count)
        for duration_tenth, kept_count, total_count in connection.execute(sql).fetchall()
    }
    tenth_labels = [*(f"{tenth_index * 10} to {tenth_index * 10 + 10} %" for tenth_index in range(10)), "behind its end"]
    tenth_indices = range(11 if 10 in counts_by_tenth else 10)
    return (
        tuple(Bar(tenth_labels[tenth_index], *counts_by_tenth.get(tenth_index, (0, 0))) for tenth_index in tenth_indices)
        if counts_by_tenth
        else ()
    )


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    return connection.execute(sql).fetchall()[0]
