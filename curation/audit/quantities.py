"""The distributions by which two corpora are compared: each as SQL over three tables that any corpus can be read into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

Scale = Literal["category", "tenths", "doubling", "counts"]
"""How values are put into classes to be seen side by side: names as they are, tenths of a whole, each class twice as long as
the one before, and whole numbers."""

SPAN = pa.struct([("start_cs", pa.int64()), ("end_cs", pa.int64())])
QUESTIONS = pa.schema([
    ("video", pa.binary()), ("duration_cs", pa.int64()), ("kind", pa.string()), ("source", pa.string()),
    ("licence", pa.string()), ("split", pa.string()), ("question", pa.string()), ("answer", pa.string()),
    ("options", pa.int64()), ("right", pa.int64()), ("windows", pa.list_(SPAN)),
])  # fmt: skip
"""A question; what is not known is null."""
TRAJECTORIES = pa.schema([
    ("video", pa.binary()), ("duration_cs", pa.int64()), ("looks", pa.int64()), ("words", pa.int64()),
    ("window_source", pa.string()),
])  # fmt: skip
LOOKS = pa.schema([
    ("video", pa.binary()), ("duration_cs", pa.int64()), ("start_cs", pa.int64()), ("end_cs", pa.int64()),
    ("fps", pa.float64()),
])  # fmt: skip
SCORES = pa.schema([("video", pa.binary()), ("filter", pa.string()), ("score", pa.float64())])

_WORDS = "len(regexp_extract_all({}, '\\S+'))"
_OF_VIDEO = "CASE WHEN duration_cs > 0 THEN least(1, ({}) / duration_cs) END"
_GOLD = "(SELECT video, duration_cs, unnest(windows) AS span FROM questions)"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that each question, window or look has, and two corpora may have otherwise."""

    name: str
    audit: str
    """The named question that asks about it."""
    about: str
    unit: str
    scale: Scale
    value: str
    """As SQL; what is null does not count."""
    rows: str
    first_bound: float = 1.0
    """Of doubling classes the end of the first one."""
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its SQL has named places for."""

    @property
    def is_number(self) -> bool:
        return self.scale != "category"

    @property
    def sql(self) -> str:
        """How often each value comes in each block of videos."""
        kind = "DOUBLE" if self.is_number else "VARCHAR"
        return (
            f"SELECT b.block, CAST({self.value} AS {kind}) AS value, count(*) AS n FROM {self.rows} q "
            "JOIN blocks b ON b.video = q.video WHERE value IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
        )


QUANTITIES = (
    Quantity("kind", "corpora", "questions, by kind", "", "category", "kind", "questions"),
    Quantity("source", "corpora", "questions, by source", "", "category", "source", "questions"),
    Quantity("licence", "corpora", "questions, by the licence of their video", "", "category", "licence", "questions"),
    Quantity("split", "corpora", "questions, by split", "", "category", "nullif(split, '')", "questions"),
    Quantity("video length", "corpora", "videos, by seconds", "s", "doubling", "duration_cs / 100",
             "(SELECT DISTINCT video, duration_cs FROM questions WHERE duration_cs > 0)", 15),
    Quantity("questions of a video", "corpora", "videos, by how many questions they have", "questions", "counts", "n",
             "(SELECT video, count(*) AS n FROM questions GROUP BY video)"),
    Quantity("question length", "balance", "questions, by words", "words", "doubling", _WORDS.format("question"),
             "questions", 4),
    Quantity("how questions begin", "balance", "questions, by their first two words", "", "category",
             "nullif(lower(regexp_extract(trim(question), '^\\w+[^\\w]+\\w+|^\\w+')), '')", "questions"),
    Quantity("answer length", "balance", "answers in words, by words", "words", "doubling",
             f"nullif({_WORDS.format('answer')}, 0)", "(FROM questions WHERE options = 0 AND kind <> 'grounding')"),
    Quantity("options", "balance", "questions with options, by how many", "options", "counts", "options",
             "(FROM questions WHERE options > 0)"),
    Quantity("right option", "balance", "questions with options, by the one that is right", "", "category",
             'chr(CAST(64 + "right" AS INTEGER))', '(FROM questions WHERE "right" > 0)'),
    Quantity("gold windows", "windows", "questions, by how many gold windows they have", "windows", "counts", "len(windows)",
             "questions"),
    Quantity("length of gold", "windows", "gold windows, by seconds", "s", "doubling",
             "(span.end_cs - span.start_cs) / 100", _GOLD),
    Quantity("share of gold", "windows", "gold windows, by their share of the video", "of the video", "tenths",
             _OF_VIDEO.format("span.end_cs - span.start_cs"), _GOLD),
    Quantity("place of gold", "windows", "gold windows, by where in the video their middle lies", "of the video", "tenths",
             _OF_VIDEO.format("(span.end_cs + span.start_cs) / 2"), _GOLD),
    Quantity("length of looks", "windows", "looks, by seconds", "s", "doubling", "(end_cs - start_cs) / 100", "looks"),
    Quantity("share of looks", "windows", "looks, by their share of the video", "of the video", "tenths",
             _OF_VIDEO.format("end_cs - start_cs"), "looks"),
    Quantity("place of looks", "windows", "looks, by where in the video their middle lies", "of the video", "tenths",
             _OF_VIDEO.format("(end_cs + start_cs) / 2"), "looks"),
    Quantity("density", "densities", "looks, by frames per second", "fps", "doubling", "fps", "looks"),
    Quantity("looks", "densities", "trajectories, by how many looks they have", "looks", "counts", "looks", "trajectories"),
    Quantity("who chose the window", "densities", "trajectories, by who chose their window", "", "category",
             "nullif(window_source, '')", "trajectories"),
    Quantity("thought length", "densities", "trajectories, by words", "words", "doubling", "words", "trajectories", 16),
)  # fmt: skip
"""All of them, in the order in which they are shown."""
SCORE_FILTERS = "SELECT DISTINCT filter FROM scores"
"""The filters that have measured anything."""
AUDITS = frozenset(quantity.audit for quantity in QUANTITIES)
"""The named questions that can be asked of two corpora side by side."""


def score_quantity(filter_name: str) -> Quantity:
    """How the scores of one filter lie, of whatever it has measured, kept or not."""
    rows, about = "(SELECT video, score FROM scores WHERE filter = $filter)", f"scores of {filter_name}"
    return Quantity(about, "", about, "", "tenths", "score", rows, values={"filter": filter_name})
