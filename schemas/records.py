"""The tables of the lake, a record each. What a column means stands under it: pages, views and audits say it from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal

from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.record import TABLES, Item, Joined, Record, format_of, table_formats
from dmforge.schemas.record_fields import aside, grown, later, later_aside, receipt
from dmforge.schemas.transcript import Transcript
from dmforge.schemas.units import Count, Degrees, Index, Patch, Pixels, Score, Share

# what a row is has this address, too: who asks for all tables must have imported these
__all__ = ["TABLES", "Item", "Joined", "Record", "format_of", "table_formats"]

TaskKind = Literal["grounding", "mcq", "grounded_mcq", "open"]
Needs = Literal["any", "all"]
Overview = Literal["first", "always"]
"""When a teacher that looks several times is shown the coarse clip: before its first look only, or always."""
WindowSource = Literal["teacher", "gold_padded", "gold"]
TargetSource = Literal["gold", "replay", "teacher"]
SubjectKind = Literal["video", "task", "candidate"]
Mode = Literal["free", "forced"]
Status = Literal["made", "rejected", "quarantined"]


@dataclass(frozen=True, slots=True)
class Video(Record):
    """One file, known by the sha256 of its bytes."""

    kind = "video"
    table = "videos"
    video_column = "id"

    sha256: str
    """Of the file's bytes, in hex."""
    duration_cs: int
    """How long it is displayed: from the first frame to the end of the last."""
    width: Pixels
    """As it is displayed: upright, with square pixels."""
    height: Pixels
    """As it is displayed."""
    rate_fps: Fraction
    """Frames by duration: the mean, where the rate varies."""
    codec: str
    """Of its pictures, by FFmpeg's name."""
    rotation: Degrees
    """How far its frames are turned clockwise to be displayed."""
    size_bytes: int
    """Of the file."""
    source: str = aside()
    """The data set or place that it comes from; `unknown` where nobody said it, as for the next three."""
    licence: str = aside()
    """What it may be used under."""
    terms: str = aside()
    """Conditions beside the licence."""
    namespace: str = aside()
    """Whose ids the videos' names are: `youtube`, say."""
    source_id: str = aside("")
    """Its name in that namespace."""
    role: str = aside("train")
    """`train`, or `benchmark` where nothing may be trained on it."""

    def __post_init__(self) -> None:
        # not digested again: the file's bytes are the content, whoever probed them and whatever they read there
        object.__setattr__(self, "id", bytes.fromhex(self.sha256)[:16])


@dataclass(frozen=True, slots=True)
class Provenance(Record):
    """Where a video comes from, as content: what depends on it is done again when it changes."""

    kind = "provenance"
    table = "provenances"

    video: Id
    """The video that it is about."""
    source: str
    """The data set or place that it comes from."""
    licence: str
    """What it may be used under."""
    terms: str
    """Conditions beside the licence."""
    namespace: str
    """Whose ids the videos' names are."""
    source_id: str
    """Its name in that namespace."""
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
    """The whole."""
    window: Window
    """Where it stands in the whole."""
    part: Id
    """The video that it was taken from."""
    role: Literal["host", "needle"]
    """Whether it is the video that others were put into, or one of those."""
    source: str
    """Of the video that it was taken from, as are the next three."""
    licence: str
    """What that may be used under."""
    terms: str
    """Conditions beside the licence."""
    source_id: str
    """The name that it has where it comes from."""


@dataclass(frozen=True, slots=True)
class Task(Record):
    """One question about one video."""

    kind = "task"
    table = "tasks"
    precedence = ("import_number",)

    video: Id
    """The video that is asked about."""
    task_kind: TaskKind
    """`grounding` (when does it happen?), `mcq` (options), `grounded_mcq` (options, and where the answer shows) or `open`."""
    question: str
    """As it is asked, without its options."""
    options: tuple[str, ...]
    """In their order; empty for questions without any."""
    answer: str
    """The right one, called gold, as it was annotated: a letter, an option's text, or free words; empty where nobody knows
    it."""
    windows: tuple[Window, ...]
    """Where the video shows the answer; empty where nobody knows it."""
    needs: Needs
    """Whether any one of the windows shows it, or all together do."""
    source: str = aside()
    """The data set that the question is from."""
    licence: str = aside()
    """What the question may be used under."""
    terms: str = aside()
    """Conditions beside the licence."""
    split: str = aside("")
    """What the file that it comes from is a split of, as the person who brought it says."""
    origin: str = aside("")
    """File and row that it was imported from."""
    flags: str = aside("")
    """What had to be mended on the way."""
    extras: str = aside("")
    """What an export in the format that it came in must give back, and a target that came with it: JSON."""
    import_number: Index = later_aside(0, since=2)
    """Which import of its workspace it came with, from 1 on: of the same question, the first one stays. 0 where nobody
    counted."""


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
    """The video that was looked at."""
    task: Id
    """The task that it is for."""
    attempt: Index
    """Which attempt of the teacher it is from."""
    teacher: str
    """The model, by the name that its endpoint knows."""
    transcript: Transcript = field(metadata=grown(3))
    """All that stands in the context of the trajectory, in pieces, each with its author."""
    looks: tuple[Look, ...] = field(metadata=grown(3))
    """The looks of the trajectory, in order."""
    answer: str
    """What stands between `<answer>` and `</answer>`."""
    window_source: WindowSource
    """Who chose the windows: the teacher, or gold (with a margin, or as it is)."""
    requests: tuple[Id, ...]
    """The journal keys of the answers it was made from."""
    sent_patches: tuple[tuple[Patch, ...], ...] = later((), since=2)
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
    """The video that was looked at."""
    task: Id
    """The task that it is for."""
    student: Id
    """The digest of the checkpoint's bytes; of one on the Hub, of its name."""
    mode: Mode
    """`free`: all of it is the student's. `forced`: its looks were given to it."""
    index: Index
    """Which of the rollouts of one arm it is."""
    transcript: Transcript = field(metadata=grown(2))
    """All that stands in the context, in pieces, each with its author."""
    looks: tuple[Look, ...] = field(metadata=grown(2))
    """Those whose clips were shown, in order."""
    answer: str
    """Empty where it came to none."""
    ending: str
    """How it ended: `answered`, or which defect ended it."""
    filter: str
    """Which measurement it was made for."""
    arm: str
    """What that varies: `free`, `right`, `wrong`, `none`, a density, `text`."""
    score: Share
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
    """The row that was measured."""
    subject_kind: SubjectKind
    """Whether that is a video, a task or a candidate."""
    filter: str
    """The name of the measurement, by which recipes set thresholds."""
    score: Score
    """What was measured; what it counts, and from where it is good, its filter says."""
    n: Count
    """Of how many things the score is: rollouts, claims, words. 0 where there was nothing to measure."""
    reason: str = ""
    """Why the score isn't higher, in a few fixed words that can be counted."""
    detail: str = ""
    """The place and the words that decided it."""


@dataclass(frozen=True, slots=True)
class Target(Record):
    """What is right to look at for a task, as trials found it: one look, or a set of them by `targets.as_target`."""

    kind = "target"
    table = "targets"

    video: Id
    """The video of the task."""
    task: Id
    """The task that it is for."""
    look: Look = field(metadata=grown(2))
    """The right look; of a set the first one."""
    source: TargetSource
    """Who says so: gold windows, rollouts of a student, or a teacher's candidate."""
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
    """The video that it is about."""
    corpus: str
    """The corpus that it belongs to, by its name in the recipe."""
    task: Id
    """The task that it is, or that its candidate is for."""
    candidate: Id | None
    """The trajectory that is imitated; none in a corpus for practice."""
    target: Look | None = field(metadata=grown(2))
    """What is right to look at, of a set the first look; none where nobody knows it."""
    target_source: TargetSource | None
    """Who says so; none where there is no target."""
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
    """The row that was settled."""
    video: Id
    """The video that this row is about."""
    stage: str
    """The stage that settled it."""
    variant: Id
    """A digest of the stage's name, version and settings. With the input it is the key of the work."""
    status: Status
    """`made`: it gave rows, or none. `rejected`: it is sound, and unsuitable. `quarantined`: it can't be worked on."""
    reason: str
    """Of a rejection or a quarantine, in words that can be counted."""
    detail: str
    """The rest of the reason."""
    rows: Count
    """How many were made from it."""


RECORDS: tuple[type[Record], ...] = (Video, Provenance, Task, Candidate, Rollout, Verdict, Target, Sample)
