"""The records of the lake. Frozen, typed, and named by a digest of what they say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

from dmforge.schemas.columns import GROWN, SINCE, plain
from dmforge.schemas.ids import Id, digest, show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.record_fields import aside, grown, later, receipt
from dmforge.schemas.transcript import Transcript

TaskKind = Literal["grounding", "mcq", "grounded_mcq", "open"]
Needs = Literal["any", "all"]
Overview = Literal["first", "always"]
"""When a teacher that looks several times is shown the coarse clip: before its first look only, or always."""
WindowSource = Literal["teacher", "gold_padded", "gold"]
TargetSource = Literal["gold", "replay", "teacher"]
SubjectKind = Literal["video", "task", "candidate"]
Mode = Literal["free", "forced"]
Status = Literal["made", "rejected", "quarantined"]
T = TypeVar("T")

TABLES: dict[str, type[Record]] = {}
"""The record class of each table, as far as its module was imported."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of one table. Its id is computed from its content unless it is being read back."""

    kind: ClassVar[str]
    table: ClassVar[str]
    video_column: ClassVar[str] = "video"
    """The column that holds the video a row is about: batches are cut in its order."""

    id: Id = field(default=b"", kw_only=True)

    def __init_subclass__(cls) -> None:
        TABLES[cls.table] = cls

    def __post_init__(self) -> None:
        if not self.id:
            excluded_columns = _aside(type(self)) | {
                column_name
                for column_name, column_default in _later(type(self))
                if getattr(self, column_name) == column_default
            }
            object.__setattr__(self, "id", digest(self.kind, plain(self, excluded_columns)))

    def __str__(self) -> str:
        return show(self.kind, self.id)


class Joined:
    """A row together with rows that it names by their ids. The first field is the input of a stage; every other one is called
    like the column of the input that holds its id. `X | None` is for a row that may not be there."""

    __slots__ = ()
    elsewhere = frozenset[str]()
    """Rows that may be about another video than the input is: all others are looked for near it, and not in a whole table."""

    @property
    def id(self) -> Id:
        return getattr(self, fields(self)[0].name).id  # pyright: ignore[reportArgumentType] (every kind is a dataclass)


Item = Record | Joined
"""One input of a stage."""


@cache
def _aside(record: type[Record]) -> frozenset[str]:
    """Fields that say where a row came from, not what it is: two rows that differ only there are the same row."""
    return frozenset(
        field.name for field in fields(record) if field.name == "id" or field.metadata.keys() & {"aside", "receipt"}
    )


@cache
def _later(record: type[Record]) -> tuple[tuple[str, Any], ...]:
    """Columns that came after the first format, with their defaults: a row at the default keeps the id that it had before."""
    return tuple((field.name, field.default) for field in fields(record) if SINCE in field.metadata)


def format_of(record: type[Record]) -> int:
    """The number of a table's format: that of its latest column, or of the latest member of a dataclass in one."""
    return max((number for f in fields(record) for number in (f.metadata.get(SINCE, 1), f.metadata.get(GROWN, 1))), default=1)


def table_formats() -> dict[str, int]:
    """The format number of every table."""
    return {table_name: format_of(record) for table_name, record in TABLES.items()}


@dataclass(frozen=True, slots=True)
class Video(Record):
    """One file, known by the sha256 of its bytes."""

    kind = "video"
    table = "videos"
    video_column = "id"

    sha256: str
    duration_cs: int
    width: int
    height: int
    rate_fps: Fraction
    codec: str
    rotation: int
    size_bytes: int
    source: str = aside()
    licence: str = aside()
    terms: str = aside()
    namespace: str = aside()
    source_id: str = aside("")
    role: str = aside("train")

    def __post_init__(self) -> None:
        # not digested again: the file's bytes are the content, whoever probed them and whatever they read there
        object.__setattr__(self, "id", bytes.fromhex(self.sha256)[:16])


@dataclass(frozen=True, slots=True)
class Provenance(Record):
    """Where a video comes from, as content: what depends on it is done again when it changes."""

    kind = "provenance"
    table = "provenances"

    video: Id
    source: str
    licence: str
    terms: str
    namespace: str
    source_id: str
    also: tuple[str, ...]
    """Other names that it came under."""
    role: str
    """`benchmark` where nothing may be trained on it."""


@dataclass(frozen=True, slots=True)
class Spliced(Record):
    """A part of a video that was spliced from others, with its origin: it is taken down with the video that it comes from."""

    kind = "spliced"
    table = "spliced"

    video: Id
    window: Window
    """Where it stands in the whole."""
    part: Id
    """The video that it was taken from."""
    role: Literal["host", "needle"]
    source: str
    licence: str
    terms: str
    source_id: str


@dataclass(frozen=True, slots=True)
class Task(Record):
    """One question about one video."""

    kind = "task"
    table = "tasks"

    video: Id
    task_kind: TaskKind
    question: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    needs: Needs
    source: str = aside()
    licence: str = aside()
    terms: str = aside()
    split: str = aside("")
    """What the file that it comes from is a split of, as the person who brought it says."""
    origin: str = aside("")
    """File and row that it was imported from."""
    flags: str = aside("")
    """What had to be mended on the way."""
    extras: str = aside("")
    """What an export in the format that it came in must give back, and a target that came with it: JSON."""


@dataclass(frozen=True, slots=True)
class TaskWithVideo(Joined):
    """A task with its video; None if that was quarantined."""

    task: Task
    video: Video | None


@dataclass(frozen=True, slots=True)
class Candidate(Record):
    """A teacher's whole trajectory for a task."""

    kind = "candidate"
    table = "candidates"

    video: Id
    task: Id
    attempt: int
    teacher: str
    transcript: Transcript = field(metadata=grown(3))
    looks: tuple[Look, ...] = field(metadata=grown(3))
    answer: str
    window_source: WindowSource
    requests: tuple[Id, ...]
    """The journal keys of the answers it was made from."""
    sent_patches: tuple[tuple[int, ...], ...] = later((), since=2)
    """Of each clip, which patches the teacher was sent, where its provider takes fewer than a student sees; else nothing."""
    answers: tuple[Id, ...] = receipt(since=4)
    """Digests of what these answers say, in the order of `requests`: the journal must say the same."""


@dataclass(frozen=True, slots=True)
class CandidateWithTask(Joined):
    """A candidate with its task and its video: what most filters judge."""

    candidate: Candidate
    task: Task
    video: Video | None


@dataclass(frozen=True, slots=True)
class Rollout(Record):
    """A student's trajectory for a task: `free`, or with the look `forced` on it."""

    kind = "rollout"
    table = "rollouts"

    video: Id
    task: Id
    student: Id
    mode: Mode
    index: int
    transcript: Transcript = field(metadata=grown(2))
    looks: tuple[Look, ...] = field(metadata=grown(2))
    answer: str
    ending: str
    """How it ended: `answered`, or which defect ended it."""
    filter: str
    """Which measurement it was made for."""
    arm: str
    """What that varies: `free`, `right`, `wrong`, `none`, a density, `text`."""
    score: float
    """How right its answer is."""
    key: Id
    """Digest of all that it follows from: the task, the student, its settings, what it was shown, its index."""


@dataclass(frozen=True, slots=True)
class Verdict(Record):
    """A filter's measurement of one subject. Never a bare boolean: `select` decides, from the score."""

    kind = "verdict"
    table = "verdicts"

    video: Id
    """The subject's own: one about another video's subject counts for nothing."""
    subject: Id
    subject_kind: SubjectKind
    filter: str
    score: float
    n: int
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Target(Record):
    """What is right to look at for a task, as trials found it: one look, or a set of them by `targets.as_target`."""

    kind = "target"
    table = "targets"

    video: Id
    task: Id
    look: Look = field(metadata=grown(2))
    source: TargetSource
    further_looks: tuple[Look, ...] = later((), since=3)
    """The looks of a set behind the first one."""

    @property
    def looks(self) -> tuple[Look, ...]:
        """All looks of the set."""
        return (self.look, *self.further_looks)


@dataclass(frozen=True, slots=True)
class Sample(Record):
    """What selection kept: for `cot` a candidate, for `rl` a task with a target."""

    kind = "sample"
    table = "samples"

    video: Id
    corpus: str
    task: Id
    candidate: Id | None
    target: Look | None = field(metadata=grown(2))
    target_source: TargetSource | None
    further_targets: tuple[Look, ...] = later((), since=3)
    """The looks behind the first one of a target that is a set."""

    @property
    def target_looks(self) -> tuple[Look, ...]:
        """All looks of the target; empty without one."""
        return () if self.target is None else (self.target, *self.further_targets)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input of one stage. Every input has exactly one, or is still pending."""

    table: ClassVar[str] = "outcomes"

    input: Id
    video: Id
    stage: str
    variant: Id
    """Part of the work key, which is this and the input."""
    status: Status
    reason: str
    detail: str
    rows: int


RECORDS: tuple[type[Record], ...] = (Video, Provenance, Task, Candidate, Rollout, Verdict, Target, Sample)
