"""The contract of annotation formats: a name, what its file looks like, and one function from a raw record to questions.

The function says what the record says and judges nothing: whether a window lies inside its video, or an answer is among its
options, is checked once for all formats in `checking.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dmforge.schemas.records import Needs, TaskKind

Role = Literal["train", "benchmark"]
Layout = Literal["json", "csv", "text", "parquet"]
"""One JSON document, a record a line or Parquet of such records; comma-separated values under a head, plain lines, Parquet."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question as a file words it. Times are seconds from the beginning of the video."""

    video: str
    """The name by which the file calls it: a path, a file name or an id."""
    kind: TaskKind
    question: str
    answer: str = ""
    """A letter, an option or words; of a grounding question it is made from its windows."""
    options: tuple[str, ...] = ()
    windows: tuple[tuple[float, float], ...] = ()
    needs: Needs = "any"
    duration_s: float | None = None
    """How long the video is by the annotation."""
    segment_s: float = 0.0
    """How long the segments are that its windows count in: a video's last one may end before that. 0 where they count none."""
    flags: tuple[str, ...] = ()
    """What had to be mended to read it."""
    reply: str = ""
    """A whole trajectory about it, where the file has one, as it words it."""
    fps: float | None = None
    """The density that the file gives as a target."""
    extras: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else its row says, and an export in the same format must give back."""


@dataclass(frozen=True, slots=True)
class RefusedQuestion:
    """A question of the file that can't be a task, and why."""

    video: str
    reason: str


Raw = dict[str, Any]
Companions = Mapping[str, Any]
"""The data of companion files, as the format reads them."""


@dataclass(frozen=True, slots=True)
class AnnotationFormat:
    """One format of annotation files."""

    name: str
    layout: Layout
    keys: frozenset[str]
    """The keys of a raw record: they tell a file from those of other formats."""
    questions: Callable[[Raw, Companions], Iterable[Question | RefusedQuestion]]
    """All questions of a raw record, in its order."""
    about: str
    """What it is, in a few words, for the list of formats."""
    records: Callable[[Any], Iterable[Any]] | None = None
    """The raw records of a JSON document that is not a list of them."""
    companion: Callable[[Path], Companions | None] | None = None
    """Reads a companion file that is given with the annotations; None where a file is not a companion."""
    needs_companion: str = ""
    """The name of the companion file without which no record can be a question; empty where none is needed."""
    namespace: str = "unknown"
    """Whose ids its videos are called by: `youtube`, say."""
    role: Role = "train"


def seconds(start_and_end: Any) -> tuple[float, float]:
    """A window as most formats write it."""
    start_s, end_s = start_and_end
    return float(start_s), float(end_s)


def by_key(document: Any) -> Iterable[Raw]:
    """Records of a JSON object whose keys name videos: each with its key as `video`."""
    return ({"video": video_name, **record} for video_name, record in document.items())
