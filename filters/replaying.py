"""What all measurements by a student have in common: its rollouts, in rounds, video after video, none of them made twice.

An input is tried in arms, which differ in what the student is shown, and in rounds, until its own stage has seen enough. The
rollouts of one video go through the engine together and are committed together, with the verdicts that follow from them: what
came out depends on the video alone, wherever a run was cut off. One that was ever committed, under whichever recipe, is taken
from the lake.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, NonNegativeFloat, PositiveInt

from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.recall import Recall
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.stage import Batch, BatchConfig
from dmforge.curation.video.media import Media, require_clips
from dmforge.curation.workspace import Workspace
from dmforge.filters.rounds import Rounds, Share, Tries
from dmforge.generators.engines.contract import Engine, Sampling
from dmforge.generators.footage import Footage, Kept, Shown, show
from dmforge.generators.renditions import Renditions
from dmforge.generators.rollout import Limits, Quest, Rolled, roll
from dmforge.generators.student.named import StudentConfig, open_engine
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Operational
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Look, Window, print_density, print_span
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Attempt, Mode, Record, Rollout, Task, Verdict, Video
from dmforge.schemas.records import Shown as Asked
from dmforge.schemas.scoring import answer_score
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece

In = TypeVar("In", Asked, Attempt)
Out = TypeVar("Out", bound=Record)
Fps = Annotated[Fraction, Field(gt=0, le=GRID_FPS)]
STRAIGHT_TO_THE_ANSWER = f"{OPEN['think']}{CLOSE['think']}{OPEN['answer']}"
"""What is written for a student that is not to look."""
TAGS = (*OPEN.values(), *CLOSE.values())
ROLLED = 2
"""Raised when the code changes what a student writes: rollouts of before are then not taken for its own."""
RESERVED = re.compile(r"<\|[a-z_]+\|>")
"""What would be taken for a frame of the chat, or of a clip."""


class ReplayingConfig(BatchConfig):
    """Whose rollouts, and how many."""

    batch_items: Operational[PositiveInt] = 1
    """A commit ends with the video that makes it so large: a kill undoes what is not committed."""
    student: StudentConfig = Field(default_factory=StudentConfig)
    """Who is tried: `[student]` of the recipe, if not said here."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames it is shown."""
    rounds: Rounds = Field(default_factory=Rounds)
    """How many rollouts there are, at which points it is asked whether that is enough."""
    temperature: NonNegativeFloat = 1.0
    """Of sampling."""
    most_tokens: PositiveInt = 512
    """That the student may write in a rollout."""
    most_visual_tokens: PositiveInt = 1 << 20
    """Of all clips that it is shown in a rollout, the coarse one included."""
    own_thoughts: bool = True
    """What stands before a look that is forced is what the student thought in its free rollout of the same index, if it came to
    a look there; without it a look comes out of nowhere, which a small student has never seen. The thought was about another
    window: what the frames say goes against it, in every arm alike."""
    right_iou: Share = 0.5
    """An answer to a grounding question is right from this overlap with gold on."""
    most_rows: Operational[PositiveInt] = 32
    """Rollouts side by side in the model: bounded by its memory. They are all about one video."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to put a task to the student."""

    name: str
    look: Look | None = None
    """Forced on it."""
    own_density: bool = False
    """Whether only the window is: it is looked at as densely as the student did where it came to a look by itself."""
    opening: str = ""
    """Written for it, instead of a look."""

    @property
    def mode(self) -> Mode:
        return "forced" if self.look or self.opening else "free"


FREE = Arm("free")
THOUGHT = "thought"
"""The arm under which free rollouts stand that were made for the sake of their thoughts."""
NONE = Arm("none", opening=STRAIGHT_TO_THE_ANSWER)


@dataclass
class Trial:
    """An input under way."""

    subject: Asked | Attempt
    task: Task
    video: Video
    arms: Mapping[str, Arm]
    note: str = ""
    """What its stage wants to remember of how the arms were chosen."""
    got: dict[str, list[Rollout]] = field(default_factory=dict[str, list[Rollout]])
    """By arm, in the order of their indices."""
    going: Collection[str] = ()
    """Arms that go on."""
    rounds: int = 0
    """So many are done."""
    thoughts: list[Rollout] = field(default_factory=list[Rollout])
    """Free rollouts, in the order of their indices: what is thought before a look that is forced."""


class Replaying(Batch[In, Out]):
    """A measurement by the rollouts of a student. Its own stage says which arms there are, when it has seen enough, and what
    follows."""

    whole_videos = True
    config: ReplayingConfig
    sees: ClassVar[bool] = True
    """Whether the coarse clip is shown."""

    def awaits(self) -> str:
        return self.config.student.awaits()

    def ingredients(self) -> list[str]:
        return [self.student.hex()]

    @cached_property
    def student(self) -> Id:
        return self.config.student.id()

    @cached_property
    def settings(self) -> Id:
        """What a rollout follows from beside the task, the student, what is forced on it and its index."""
        config = self.config
        shown = [config.clips.semantic(), config.most_visual_tokens, self.sees]
        return digest("settings", [ROLLED, config.student.semantic(), config.temperature, config.most_tokens, *shown])

    def begin(self, workspace: Workspace) -> None:
        self.config.student.require()
        require_clips(workspace, self.config.clips)

    def open(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._recall = Recall(Lake(workspace), Rollout)
        self._engine = self.engine()

    def close(self) -> None:
        del self._engine

    def engine(self) -> Engine:
        """Who writes."""
        return open_engine(self.config.student)

    @abstractmethod
    def arms(self, item: In, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        """How this input is tried, and a note on that; or what becomes of it without."""

    @abstractmethod
    def wants(self, trial: Trial) -> Collection[str]:
        """Arms that should go on after a round."""

    @abstractmethod
    def found(self, trial: Trial) -> Sequence[Out]:
        """What follows from all of its rollouts."""

    def asked(self, item: Asked | Attempt, index: int) -> Task:
        """The task as it is put in the rollout of this index, and as its answer is scored."""
        del index
        return item.task

    def process(self, items: Iterator[In]) -> Iterator[Result]:
        for _, group in groupby(items, key=lambda item: item.task.video):
            yield from self._video([self._trial(item) for item in group])

    def _trial(self, item: In) -> Trial | Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        if RESERVED.search(question_text(item.task)):
            return Rejected("its text holds a token of the chat")
        told = self.arms(item, item.task, item.video)
        if not isinstance(told, tuple):
            return told
        arms = {arm.name: arm for arm in told[0]}
        return Trial(item, item.task, item.video, arms, told[1], {name: [] for name in arms}, list(arms))

    def _video(self, trials: Sequence[Trial | Result]) -> Iterator[Result]:
        """Everything about one video."""
        under_way = [trial for trial in trials if isinstance(trial, Trial)]
        if under_way:
            video = under_way[0].video
            known = {row.key: row for row in self._recall.of(video.id) if row.student == self.student}
            media = Media(self._workspace, video.id)
            footage = Kept(Renditions(video, self.config.clips, media.coarse, media.grid))
            for size in self.config.rounds.sizes:
                self._round([trial for trial in under_way if trial.going], size, known, footage)
        for trial in trials:
            if isinstance(trial, Trial):
                rollouts = [*(row for rows in trial.got.values() for row in rows), *trial.thoughts]
                yield Made((*rollouts, *self.found(trial)))
            else:
                yield trial

    def _round(self, trials: Sequence[Trial], size: int, known: dict[Id, Rollout], footage: Footage) -> None:
        """Bring every arm that goes on to so many rollouts."""
        if self.config.own_thoughts:
            thinking = [trial for trial in trials if any(trial.arms[name].look for name in trial.going)]
            self._rolled([(trial, FREE, at) for trial in thinking for at in range(len(trial.thoughts), size)], known, footage)
            for trial in thinking:
                told = [known[self._key(trial, FREE, index)] for index in range(len(trial.thoughts), size)]
                trial.thoughts += [replace(row, filter=self.name, arm=THOUGHT, score=0.0, id=b"") for row in told]
        wanted = [
            (trial, trial.arms[name], index)
            for trial in trials
            for name in trial.going
            for index in range(len(trial.got[name]), size)
        ]
        self._rolled(wanted, known, footage)
        for trial, arm, index in wanted:
            row = known[self._key(trial, arm, index)]
            score = answer_score(row.answer, self.asked(trial.subject, index))
            trial.got[arm.name].append(replace(row, filter=self.name, arm=arm.name, score=score, id=b""))
        for trial in trials:
            trial.rounds += 1
            trial.going = self.wants(trial)

    def _rolled(self, wanted: Sequence[tuple[Trial, Arm, int]], known: dict[Id, Rollout], footage: Footage) -> None:
        """Make those of these rollouts that are not known."""
        fresh = {key: one for one in wanted if (key := self._key(*one)) not in known}
        keys = list(fresh)
        for first in range(0, len(keys), self.config.most_rows):
            some = keys[first : first + self.config.most_rows]
            quests = [self._quest(*fresh[key], footage) for key in some]
            limits = Limits(most_visual_tokens=self.config.most_visual_tokens)
            for key, rolled in zip(some, roll(self._engine, quests, limits), strict=True):
                known[key] = self._rollout(*fresh[key], rolled, key)

    def _key(self, trial: Trial, arm: Arm, index: int) -> Id:
        forced = _forced(trial, arm, index)
        look = None if forced is None else [print_span(forced.window), print_density(forced.fps)]
        put = question_text(self.asked(trial.subject, index))
        thought = _thought(trial, arm, index)
        return digest("rollout", [trial.task.id, self.student, self.settings, put, look, thought, arm.opening, index])

    def _quest(self, trial: Trial, arm: Arm, index: int, footage: Footage) -> Quest:
        # the seed is the same in all arms: they differ by what is shown, and not by luck
        seed = int.from_bytes(digest("seed", [trial.task.id, self.student, self.settings, index])[:8])
        sampling = Sampling(self.config.temperature, seed, self.config.most_tokens)
        told = self._prompt(self.asked(trial.subject, index), footage)
        return Quest(told, footage, sampling, _forced(trial, arm, index), _thought(trial, arm, index), arm.opening)

    def _prompt(self, task: Task, footage: Footage) -> tuple[Shown, ...]:
        return show(prompt(task) if self.sees else (Piece("prompt", question_text(task)),), footage)

    def _rollout(self, trial: Trial, arm: Arm, index: int, rolled: Rolled, key: Id) -> Rollout:
        return Rollout(
            trial.video.id, trial.task.id, self.student, arm.mode, index,
            rolled.transcript, rolled.looks, rolled.answer, rolled.ending, self.name, arm.name, 0.0, key,
        )  # fmt: skip

    def tries(self, trial: Trial, arm: str, upto: int | None = None) -> Tries:
        """How many of an arm's rollouts were right; of the first so many."""
        rows = trial.got[arm][:upto]
        least = self.config.right_iou if trial.task.task_kind == "grounding" else 1.0
        return Tries(sum(row.score >= least for row in rows), len(rows))

    @property
    def confidence(self) -> float:
        return self.config.rounds.confidence


def _forced(trial: Trial, arm: Arm, index: int) -> Look | None:
    """What is forced in the rollout of this index. A thought that has just named a density is followed by that one."""
    own = trial.thoughts[index].looks if index < len(trial.thoughts) else ()
    return replace(arm.look, fps=own[0].fps) if arm.look and arm.own_density and own else arm.look


def _thought(trial: Trial, arm: Arm, index: int) -> str:
    """What is thought before the look of an arm; nothing where the student came to none."""
    if arm.look is None or index >= len(trial.thoughts):
        return ""
    text = trial.thoughts[index].transcript.trajectory_text
    thought, found, _ = text.removeprefix(OPEN["think"]).partition(OPEN["span"])
    is_whole = found and text.startswith(OPEN["think"]) and not RESERVED.search(thought)
    return thought if is_whole and not any(tag in thought for tag in TAGS) else ""


def on_task(trial: Trial, name: str, score: float, n: int, reason: str = "", detail: str = "") -> Verdict:
    """A verdict on the task that was tried."""
    return Verdict(trial.video.id, trial.task.id, "task", name, score, n, reason, detail)


def right_window(task: Task) -> Window | None:
    """The one window to look at: the first that will do, or what spans all that are needed; None where nobody said."""
    if not task.windows:
        return None
    if task.needs == "any":
        return task.windows[0]
    return Window(min(window.start_cs for window in task.windows), max(window.end_cs for window in task.windows))
