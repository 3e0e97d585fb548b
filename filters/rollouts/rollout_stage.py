"""The base of all stages that measure by a student's rollouts: in rounds, video after video, no rollout made twice.

An input is tried in arms, which differ in what the student is shown, and in rounds, until its stage needs no more. The
rollouts of one video go through the engine together and are committed together, with the verdicts that follow from them: the
result depends on the video alone, wherever a run was cut off. A rollout that was ever committed, under whichever recipe, is
taken from the lake.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field, NonNegativeFloat, PositiveInt

from dmforge.curation.contract.stage import Batch, BatchConfig
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.recall import Recall
from dmforge.curation.video.media import Media, refuse_other_clips, require_clips
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.experiment import FREE, THOUGHT, Arm, Experiment
from dmforge.filters.rollouts.rounds import RoundsConfig, Share, TryCount
from dmforge.generators.footage import CachedFootage, Footage, PromptPiece, show
from dmforge.generators.inference.engines.engine import Engine, Sampling
from dmforge.generators.inference.forced_steps import written_step
from dmforge.generators.inference.named_student import StudentConfig, open_engine
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, roll
from dmforge.generators.rendition_footage import Renditions
from dmforge.schemas.box_text import written_box
from dmforge.schemas.clips import Clips
from dmforge.schemas.config import Formerly, Later, Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Look, print_density, print_span
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import CandidateWithTask, Record, Rollout, Task, Verdict, Video
from dmforge.schemas.records import TaskWithVideo as ShownTask
from dmforge.schemas.scoring import answer_score
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece

In = TypeVar("In", ShownTask, CandidateWithTask)
Out = TypeVar("Out", bound=Record)
Fps = Annotated[Fraction, Field(gt=0, le=GRID_FPS)]
TAGS = (*OPEN.values(), *CLOSE.values())
ROLLOUT_VERSION = 2
"""Raised when a change of the code changes what a student writes: earlier rollouts are then not reused."""
RESERVED_TOKEN = re.compile(r"<\|[a-z_]+\|>")
"""What a tokenizer would take for a special token of the chat or of a clip."""


class RolloutStageConfig(BatchConfig):
    """Which student is tried, with how many rollouts."""

    batch_items: Operational[PositiveInt] = 1
    """Inputs of a commit, which ends with the video that reaches this number: a kill undoes what is not committed."""
    student: StudentConfig = Field(default_factory=StudentConfig)
    """The student that is tried: `[student]` of the recipe, if not given here."""
    clips: Clips = Field(default_factory=Clips)
    """Which frames the student is shown."""
    rounds: RoundsConfig = Field(default_factory=RoundsConfig)
    """How many rollouts there are, and after which of them it is decided whether more are needed."""
    temperature: NonNegativeFloat = 1.0
    """Sampling temperature."""
    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 512
    """The most tokens that the student may write in a rollout."""
    max_visual_tokens: Annotated[PositiveInt, Formerly("most_visual_tokens")] = 1 << 20
    """The most visual tokens of all clips of a rollout, the coarse one included."""
    max_looks: Later[PositiveInt] = 1
    """How often the student may look in a rollout, by the recipe's `[looks]`. If more than once, it thinks for itself before
    each look that is forced on it."""
    own_thoughts: bool = True
    """Before a forced look stands what the student thought in its free rollout of the same index, if it came to a look there;
    without it a look comes out of nowhere, which a small student has never seen. The thought was about another window, so the
    frames contradict it, in every arm alike."""
    right_iou: Share = 0.5
    """The least IoU with gold of a right answer to a grounding question."""
    max_rows: Annotated[Operational[PositiveInt], Formerly("most_rows")] = 32
    """Rollouts of one batch in the model: bounded by its memory. They are all about one video."""


class RolloutStage(Batch[In, Out]):
    """A measurement by a student's rollouts. A subclass says which arms there are, when they are enough, and what follows."""

    whole_videos = True
    config: RolloutStageConfig
    shows_coarse_clip: ClassVar[bool] = True
    """Whether the coarse clip is shown to the student."""
    forces_looks: ClassVar[bool] = False
    """Whether its arms differ by looks that are forced on the student."""

    def blocked_by(self) -> str:
        return self.config.student.blocked_by()

    def cache_key_parts(self) -> list[str]:
        return [self.student_id.hex()]

    @cached_property
    def student_id(self) -> Id:
        return self.config.student.id()

    def settings_id(self, video: Video) -> Id:
        """An id of all that decides a rollout besides its task, student, arm and index."""
        config = self.config
        shown_settings = [config.clips.for_video(video).semantic(), config.max_visual_tokens, self.shows_coarse_clip]
        several = [config.max_looks] if config.max_looks > 1 else []
        written_settings = [config.student.semantic(), config.temperature, config.max_tokens, *several]
        return digest("settings", [ROLLOUT_VERSION, *written_settings, *shown_settings])

    def check(self, workspace: WorkspaceFolder) -> None:
        self.config.student.require_span()
        refuse_other_clips(workspace, self.config.clips)
        if self.forces_looks and self.config.max_looks > 1 and not self.config.own_thoughts:
            message = (
                f"[looks] max_looks is {self.config.max_looks}: a student that looks several times thinks before each look"
            )
            hint = f"leave own_thoughts out; or measure what one look does: [stages.{self.name}] max_looks = 1"
            raise InputError(message, where=f"[stages.{self.name}] own_thoughts", hint=hint)

    def begin(self, workspace: WorkspaceFolder) -> None:
        self.config.student.require()
        require_clips(workspace, self.config.clips)

    def open(self, workspace: WorkspaceFolder) -> None:
        self._workspace = workspace
        self._recall = Recall(Lake(workspace), Rollout)
        self._engine = self.engine()

    def close(self) -> None:
        del self._engine

    def engine(self) -> Engine:
        """The engine that writes the rollouts."""
        return open_engine(self.config.student)

    @abstractmethod
    def arms(self, item: In, task: Task, video: Video) -> tuple[Sequence[Arm], str] | Result:
        """The arms in which an input is tried, and a note on them; or its result, where it needs no rollouts."""

    @abstractmethod
    def arms_to_continue(self, trial: Experiment) -> Collection[str]:
        """The arms that need more rollouts after a round."""

    @abstractmethod
    def conclude(self, trial: Experiment) -> Sequence[Out]:
        """The records that follow from all rollouts of an input."""

    def further_arms(self, trial: Experiment) -> Sequence[Arm]:
        """Arms in which an input is tried once those before need no more rollouts."""
        del trial
        return ()

    def posed_task(self, item: ShownTask | CandidateWithTask, index: int) -> Task:
        """The task as it is posed, and its answer scored, in the rollout of this index."""
        del index
        return item.task

    def process(self, items: Iterator[In]) -> Iterator[Result]:
        for _, items_of_video in groupby(items, key=lambda item: item.task.video):
            yield from self._process_video([self._start(item) for item in items_of_video])

    def _start(self, item: In) -> Experiment | Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        if RESERVED_TOKEN.search(question_text(item.task)):
            return Rejected("its text holds a token of the chat")
        arms_or_result = self.arms(item, item.task, item.video)
        if not isinstance(arms_or_result, tuple):
            return arms_or_result
        arms, arms_note = arms_or_result
        trial = Experiment(item, item.task, item.video, note=arms_note)
        trial.add_arms(arms)
        return trial

    def _process_video(self, trials: Sequence[Experiment | Result]) -> Iterator[Result]:
        """The results of all inputs about one video."""
        running_trials = [trial for trial in trials if isinstance(trial, Experiment)]
        if running_trials:
            video = running_trials[0].video
            rollouts_by_key = {row.key: row for row in self._recall.of(video.id) if row.student == self.student_id}
            media = Media(self._workspace, video.id)
            footage = CachedFootage(Renditions(video, self.config.clips, media.coarse, media.grid))
            while running_trials:
                for per_arm in self.config.rounds.sizes:
                    self._run_round([trial for trial in running_trials if trial.active_arms], per_arm, rollouts_by_key, footage)
                running_trials = [trial for trial in running_trials if self._has_further_arms(trial)]
        for trial in trials:
            if isinstance(trial, Experiment):
                arm_rollouts = [rollout for rollouts in trial.rollouts.values() for rollout in rollouts]
                yield Made((*arm_rollouts, *trial.free_rollouts, *self.conclude(trial)))
            else:
                yield trial

    def _has_further_arms(self, trial: Experiment) -> bool:
        further_arms = self.further_arms(trial)
        if further_arms:
            trial.add_arms(further_arms)
        return bool(further_arms)

    def _run_round(
        self, trials: Sequence[Experiment], per_arm: int, rollouts_by_key: dict[Id, Rollout], footage: Footage
    ) -> None:
        """Bring every active arm to `per_arm` rollouts."""
        if self.config.own_thoughts:
            with_forced_look = [trial for trial in trials if any(trial.arms[arm_name].look for arm_name in trial.active_arms)]
            self._roll_out_missing(
                [(trial, FREE, index) for trial in with_forced_look for index in range(len(trial.free_rollouts), per_arm)],
                rollouts_by_key,
                footage,
            )
            for trial in with_forced_look:
                for index in range(len(trial.free_rollouts), per_arm):
                    free_rollout = rollouts_by_key[self._rollout_key(trial, FREE, index)]
                    trial.free_rollouts.append(replace(free_rollout, filter=self.name, arm=THOUGHT, score=0.0, id=b""))
        requested = [
            (trial, trial.arms[arm_name], index)
            for trial in trials
            for arm_name in trial.active_arms
            for index in range(len(trial.rollouts[arm_name]), per_arm)
        ]
        self._roll_out_missing(requested, rollouts_by_key, footage)
        for trial, arm, rollout_index in requested:
            scored_rollout = rollouts_by_key[self._rollout_key(trial, arm, rollout_index)]
            trial_score = answer_score(scored_rollout.answer, self.posed_task(trial.subject, rollout_index))
            trial.rollouts[arm.name].append(replace(scored_rollout, filter=self.name, arm=arm.name, score=trial_score, id=b""))
        for trial in trials:
            trial.rounds_done += 1
            trial.active_arms = self.arms_to_continue(trial)

    def _roll_out_missing(
        self, requested: Sequence[tuple[Experiment, Arm, int]], rollouts_by_key: dict[Id, Rollout], footage: Footage
    ) -> None:
        """Make the requested rollouts that aren't known yet, and add them to `rollouts_by_key`."""
        request_by_key = {
            rollout_key: request for request in requested if (rollout_key := self._rollout_key(*request)) not in rollouts_by_key
        }
        missing_keys = list(request_by_key)
        for batch_start in range(0, len(missing_keys), self.config.max_rows):
            key_batch = missing_keys[batch_start : batch_start + self.config.max_rows]
            requests = [self._request(*request_by_key[rollout_key], footage) for rollout_key in key_batch]
            max_looks = max(self.config.max_looks, *(len(request.steps) for request in requests))
            limits = RolloutLimits(max_looks, self.config.max_visual_tokens)
            for rollout_key, rollout_result in zip(key_batch, roll(self._engine, requests, limits), strict=True):
                rollouts_by_key[rollout_key] = self._rollout(*request_by_key[rollout_key], rollout_result, rollout_key)

    def _rollout_key(self, trial: Experiment, arm: Arm, index: int) -> Id:
        printed_look = _printed(_forced_look(trial, arm, index))
        posed_text = question_text(self.posed_task(trial.subject, index))
        thought = _thought_before_look(trial, arm, index)
        rollout_settings = self.settings_id(trial.video)
        key_content = [trial.task.id, self.student_id, rollout_settings, posed_text, printed_look, thought, arm.opening, index]
        return digest("rollout", [*key_content, *([list(map(written_step, arm.steps))] if arm.steps else [])])

    def _request(self, trial: Experiment, arm: Arm, index: int, footage: Footage) -> RolloutRequest:
        # the seed is the same in all arms: they differ by what is shown, and not by luck
        rollout_seed = int.from_bytes(
            digest("seed", [trial.task.id, self.student_id, self.settings_id(trial.video), index])[:8]
        )
        sampling = Sampling(self.config.temperature, rollout_seed, self.config.max_tokens)
        prompt_pieces = self._prompt_with_clips(self.posed_task(trial.subject, index), footage)
        return RolloutRequest(
            prompt_pieces,
            footage,
            sampling,
            _forced_look(trial, arm, index),
            _thought_before_look(trial, arm, index),
            arm.opening,
            arm.steps,
        )

    def _prompt_with_clips(self, task: Task, footage: Footage) -> tuple[PromptPiece, ...]:
        return show(prompt(task) if self.shows_coarse_clip else (Piece("prompt", question_text(task)),), footage)

    def _rollout(self, trial: Experiment, arm: Arm, index: int, result: RolloutResult, key: Id) -> Rollout:
        return Rollout(
            trial.video.id, trial.task.id, self.student_id, arm.mode, index,
            result.transcript, result.looks, result.answer, result.ending, self.name, arm.name, 0.0, key,
        )  # fmt: skip

    def tries(self, trial: Experiment, arm_name: str, max_tries: int | None = None) -> TryCount:
        """How many of an arm's rollouts, or of the first `max_tries` of them, were right."""
        tried_rollouts = trial.rollouts[arm_name][:max_tries]
        min_score = self.config.right_iou if trial.task.task_kind == "grounding" else 1.0
        return TryCount(sum(tried_rollout.score >= min_score for tried_rollout in tried_rollouts), len(tried_rollouts))

    def forced_arm(self, name: str, looks: Sequence[Look], *, own_density: bool = False) -> Arm:
        """An arm in which these looks are forced on the student, or their windows alone, for it to choose the densities."""
        if self.config.max_looks == 1 and len(looks) == 1:
            return Arm(name, looks[0], own_density)
        return Arm(name, steps=tuple(look.window if own_density else look for look in looks))

    @property
    def confidence(self) -> float:
        return self.config.rounds.confidence


def _forced_look(trial: Experiment, arm: Arm, index: int) -> Look | None:
    """The look that is forced in the rollout of this index, with the density that the thought before it names."""
    free_looks = trial.free_rollouts[index].looks if index < len(trial.free_rollouts) else ()
    return replace(arm.look, fps=free_looks[0].fps) if arm.look and arm.own_density and free_looks else arm.look


def _printed(look: Look | None) -> list[object] | None:
    limits = [written_box(look.box), look.tokens] if look and (look.box or look.tokens) else []
    return [print_span(look.window), print_density(look.fps), *limits] if look else None


def _thought_before_look(trial: Experiment, arm: Arm, index: int) -> str:
    """The thought before an arm's forced look; empty where the student's free rollout came to no look."""
    if arm.look is None or index >= len(trial.free_rollouts):
        return ""
    free_text = trial.free_rollouts[index].transcript.trajectory_text
    thought, has_look, _ = free_text.removeprefix(OPEN["think"]).partition(OPEN["span"])
    is_complete = has_look and free_text.startswith(OPEN["think"]) and not RESERVED_TOKEN.search(thought)
    return thought if is_complete and not any(reserved_tag in thought for reserved_tag in TAGS) else ""


def task_verdict(trial: Experiment, name: str, score: float, rollout_count: int, reason: str = "", detail: str = "") -> Verdict:
    """A verdict on the task that was tried."""
    return Verdict(trial.video.id, trial.task.id, "task", name, score, rollout_count, reason, detail)
