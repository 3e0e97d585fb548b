"""Makes candidates in two calls: from the coarse clip a teacher chooses where to look closer; shown that, it answers.

The gold answer is in neither call, and the second one shows the closer clip alone: its answer must rest on that. A window
may be given to the teacher where it doesn't find one of its own: the candidate records that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from random import Random
from typing import Annotated

from pydantic import PositiveFloat, PositiveInt, model_validator

from dmforge.curation.contract.budget import ExpectedCost, FurtherCalls, Usage
from dmforge.curation.contract.stage_results import Made, Quarantined, Result
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.stages.one_look import after_looking, answer_look, before_looking, own_look
from dmforge.generators.stages.several_looks import GUESSED_FPS, LONGEST_NAMED, SeveralLooks, Steps, look_and_answer
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, In, Out, RetryingConfig, RetryingStage, keys_of_replies
from dmforge.generators.teacher.expected_tokens import expected_usage
from dmforge.generators.teacher.interview import Interview, QuestionRefused, UnreadableReply
from dmforge.generators.teacher.teacher_config import Address, TeacherConfig, Variable, missing, wrong_endpoint
from dmforge.schemas.config import Config, Formerly, Later, Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Candidate, Overview, Task, TaskWithVideo, Video, WindowSource
from dmforge.schemas.replies import AnswerReply, FinalReply, FirstReply, GivenReply, LookReply, StepReply

MISSES_GOLD = "its window misses gold"
GUESSED_CS = 400
"""The length of the look that a cost estimate assumes, where only the teacher can choose it."""
MIN_COVERED, MAX_TIMES = Fraction(9, 10), 4
"""A window that a teacher finds for a grounding question must cover so much of gold, and be at most so many times as long."""
PADDING = 1.0
"""A given window extends gold on each side by up to so many times its length."""


class TeacherShare(Config):
    """One of several teachers, which are compared by what they cost and how much of theirs is kept."""

    model: str
    """The model's name, as its endpoint knows it."""
    share: PositiveFloat = 1.0
    """How many tasks it is given, beside the others' shares."""
    base_url: Operational[Address] = ""
    """Its endpoint, if not that of the stage."""
    api_key_env: Annotated[Operational[Variable], Formerly("key_name")] = ""
    """The variable of the environment that holds its key, if not that of the stage."""


class AnnotateConfig(RetryingConfig):
    """How candidates are made."""

    model: str = ""
    """The one teacher's name, as the endpoint knows it."""
    teachers: tuple[TeacherShare, ...] = ()
    """Several instead of one, `[[stages.annotate.teachers]]`; each task has one of them."""
    candidates: PositiveInt = 1
    """How many candidates a task gets; select takes the first good one."""
    attempts: PositiveInt = 3
    """How often a candidate is tried until its replies can be read, and its window is good enough."""
    max_looks: Later[PositiveInt] = 1
    """How often a teacher may look, by the recipe's `[looks]`. With 1 it looks once, and answers from that look alone."""
    overview: Later[Overview] = "first"
    """Where it may look several times: whether the coarse clip is shown in the first request only, or `always`."""
    window_source: WindowSource = "teacher"
    """`teacher`: windows are its own. `gold_padded`: where its own misses gold, one around gold is given to it, and the way
    there is written for that. `gold`: always the gold window, as the paper does it."""

    @model_validator(mode="after")
    def _has_teachers(self) -> AnnotateConfig:
        if bool(self.model) == bool(self.teachers):
            raise ValueError("name one `model`, or several `teachers`")
        return self

    def each(self) -> list[TeacherConfig]:
        """One configuration for each teacher."""
        teacher_settings = [
            {
                setting_name: setting_value
                for setting_name, setting_value in teacher_share
                if setting_value and setting_name != "share"
            }
            for teacher_share in self.teachers
        ]
        return [self.model_copy(update=settings_update) for settings_update in teacher_settings] or [self]

    @property
    def several(self) -> SeveralLooks | None:
        """How a teacher looks several times; None where it looks once."""
        return SeveralLooks(self.max_looks, self.overview) if self.max_looks > 1 else None

    def chosen(self, task: Task) -> int:
        """The index of the teacher that a task is assigned to, by its id."""
        teacher_shares = [teacher.share for teacher in self.teachers] or [1.0]
        drawn_point = int.from_bytes(digest("teacher", task.id)[:8]) / 2**64 * sum(teacher_shares)
        for teacher_index, teacher_share in enumerate(teacher_shares):
            drawn_point -= teacher_share
            if drawn_point < 0:
                return teacher_index
        return len(teacher_shares) - 1


class SeveralTeachersStage(RetryingStage[In, Out]):
    """A stage that asks several teachers, one for each task."""

    config: AnnotateConfig

    def missing(self) -> InputError | None:
        missing_errors = (missing(teacher, self.name, self.account) for teacher in self.config.each())
        return next((error for error in missing_errors if error is not None), None)

    def wrong_endpoint(self) -> InputError | None:
        endpoint_errors = (wrong_endpoint(teacher, self.name) for teacher in self.config.each())
        return next((error for error in endpoint_errors if error is not None), None)

    def open(self, workspace: WorkspaceFolder) -> None:
        self.read_granted(workspace)
        config = self.config
        self._teachers = [
            Interview(workspace, teacher_config, config.clips, self.name, self.account, journal_only=self.journal_only)
            for teacher_config in config.each()
        ]

    async def aclose(self) -> None:
        for teacher in self._teachers:
            await teacher.aclose()

    def teacher_of(self, task: Task) -> Interview:
        """The teacher that this task is assigned to."""
        return self._teachers[self.config.chosen(task)]

    def attempt(self, teacher: Interview, task: Task, video: Video) -> AbstractContextManager[FurtherCalls]:
        """An attempt: what further looks and the answer can cost at most is set aside before the first look is paid for."""
        if self.config.several is not None:
            return self.account.attempt(*self.config.several.max_usds(teacher, video, task))
        text = after_looking(LONGEST_NAMED, task)
        return self.account.attempt(partial(teacher.max_usd_of_looks, AnswerReply, video, text))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no candidate: a reason, the detail of the last failure, and whether a further round would meet the same."""

    reason: str
    detail: str
    is_final: bool = False


class Annotate(SeveralTeachersStage[TaskWithVideo, Candidate]):
    """Tasks to candidates, in two calls each; in one more for each further look."""

    name, version = "annotate", 2
    replies = (LookReply, AnswerReply, GivenReply)
    retryable = (NO_READABLE_REPLY, MISSES_GOLD)
    config: AnnotateConfig

    def cache_key_parts(self) -> list[str]:
        several = (FirstReply, StepReply, FinalReply) if self.config.several else ()
        return [*super().cache_key_parts(), *keys_of_replies(several)]

    def expected(self, item: TaskWithVideo) -> ExpectedCost | None:
        """The cost of both calls, from the frames that will be shown; the window of the second is guessed."""
        task, video, config = item.task, item.video, self.config
        if video is None:
            return None
        window = task.windows[0] if task.windows else Window(0, min(video.duration_cs, GUESSED_CS))
        teacher = config.each()[config.chosen(task)]
        text = question_text(task)
        if config.several is not None:
            usage = config.several.expected(teacher, config.clips, video, text, task.windows or [window])
        else:
            usage = expected_usage(teacher, config.clips, LookReply, video, None, text)
            usage += expected_usage(teacher, config.clips, AnswerReply, video, Look(window, GUESSED_FPS), text)
        all_candidates = Usage(*(config.candidates * count for count in (usage.calls, usage.input_tokens, usage.output_tokens)))
        return ExpectedCost(all_candidates, teacher.price.usd(all_candidates))

    async def process(self, item: TaskWithVideo) -> Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        teacher, last_failure = self.teacher_of(item.task), Failure("", "")
        for round_number in self.rounds(item.task.id):  # what one round makes is the result, whatever was granted beyond it
            candidates: list[Candidate] = []
            for candidate_index in range(self.config.candidates):
                attempts = self.attempts_of_round(round_number, candidate_index, self.config.candidates)
                candidate_or_failure = await self._candidate(teacher, item.task, item.video, attempts)
                if isinstance(candidate_or_failure, Candidate):
                    candidates.append(candidate_or_failure)
                else:
                    last_failure = candidate_or_failure
            if candidates:
                return Made(tuple(candidates))
            if last_failure.is_final:
                break
        return self.rejected(item.task.id, last_failure.reason, last_failure.detail)

    async def _candidate(self, teacher: Interview, task: Task, video: Video, attempts: range) -> Candidate | Failure:
        """A candidate, or why there is none."""
        always_gold = self.config.window_source == "gold" and bool(task.windows)
        last_failure = Failure("", "")
        for attempt in attempts:
            try:
                if always_gold:
                    return await self._with_given_window(teacher, task, video, attempt, "gold")
                return await self._with_own_window(teacher, task, video, attempt)
            except UnreadableReply as error:
                last_failure = Failure(NO_READABLE_REPLY, str(error), isinstance(error, QuestionRefused))
            except _Missed as error:
                last_failure = Failure(MISSES_GOLD, str(error))
        if last_failure.reason != MISSES_GOLD or self.config.window_source != "gold_padded":
            return last_failure
        try:
            return await self._with_given_window(teacher, task, video, attempts[-1], "gold_padded")
        except UnreadableReply as error:
            return Failure(NO_READABLE_REPLY, str(error), isinstance(error, QuestionRefused))

    async def _with_own_window(self, teacher: Interview, task: Task, video: Video, attempt: int) -> Candidate:
        """A candidate with a window that the teacher chose."""
        steps, several = Steps(), self.config.several
        with self.attempt(teacher, task, video) as further:
            if several is not None:
                clips_at_once = several.clips_at_once if several.has_overview else 1
                await own_look(teacher, task, video, attempt, steps, FirstReply, clips_at_once)
                candidate = await look_and_answer(teacher, task, video, attempt, steps, further, several, "teacher")
                if self._misses_gold(task, candidate.looks):
                    raise _Missed(", ".join(print_span(look.window) for look in candidate.looks))
                return candidate
            look = await own_look(teacher, task, video, attempt, steps)
            if self._misses_gold(task, (look,)):
                raise _Missed(print_span(look.window))
            further.begin_next()
            return await answer_look(teacher, task, video, attempt, steps, "teacher")

    async def _with_given_window(
        self, teacher: Interview, task: Task, video: Video, attempt: int, source: WindowSource
    ) -> Candidate:
        """A candidate with the gold window, or one around it; the teacher writes the thought that leads there."""
        window = task.windows[0] if source == "gold" else _padded(task.windows[0], video, task.id)
        text = f"{before_looking(teacher, video, task)}\n\n{given(window)}"
        steps, several = Steps(), self.config.several
        with self.attempt(teacher, task, video) as further:
            look_request, reply, _ = await teacher.ask(GivenReply, video, None, text, attempt)
            steps.add(look_request, reply.thought, Look(window, reply.density()), video)
            if several is not None:
                return await look_and_answer(teacher, task, video, attempt, steps, further, several, source)
            further.begin_next()
            return await answer_look(teacher, task, video, attempt, steps, source)

    def _misses_gold(self, task: Task, looks: Sequence[Look]) -> bool:
        """Whether windows that the teacher chose are all too far from gold, where the recipe wants one to be near."""
        is_checked = task.task_kind == "grounding" and self.config.window_source != "teacher"
        return is_checked and not any(_is_near(look.window, task) for look in looks)


class _Missed(Exception):
    """A window that the teacher chose and that misses gold."""


def given(window: Window) -> str:
    """The sentence that gives a window to the teacher."""
    return f"The closer look will be at {print_span(window)} seconds."


def _is_near(window: Window, task: Task) -> bool:
    """A window covers nearly all of some gold window, and not much else."""
    for gold_window in task.windows:
        gold_length_cs = gold_window.end_cs - gold_window.start_cs
        covered_cs = min(window.end_cs, gold_window.end_cs) - max(window.start_cs, gold_window.start_cs)
        if covered_cs >= MIN_COVERED * gold_length_cs and window.end_cs - window.start_cs <= MAX_TIMES * gold_length_cs:
            return True
    return False


def _padded(gold_window: Window, video: Video, task_id: Id) -> Window:
    """Gold with a random margin before and after it, so that the window doesn't give the answer away; the same for each
    task."""
    rng, gold_length_cs = Random(task_id), gold_window.end_cs - gold_window.start_cs
    margin_before, margin_after = (round(rng.uniform(0, PADDING) * gold_length_cs) for _ in range(2))
    return Window(
        max(0, gold_window.start_cs - margin_before),
        max(gold_window.end_cs, min(video.duration_cs, gold_window.end_cs + margin_after)),
    )
