"""Admits drafts as tasks: a teacher must fail without the video, and give the writer's answer from the clip alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pydantic import NonNegativeInt, PositiveInt

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.stages.questions import KINDS, QuestionDraft
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.clip_messages import announced
from dmforge.generators.teacher.expected_tokens import expected_blind, expected_usage
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Joined, Record, Task, Video
from dmforge.schemas.replies import AnswerReply, Difficulty, GuessReply, QuestionType
from dmforge.schemas.scoring import answer_score

RIGHT = {"grounding": 0.5}
"""The score from which an answer agrees with the writer's, by kind of task: half the overlap for a span, else 1."""
MARGIN = 1
"""Questions about when, or how long, are shown with a margin of so many times the window on each side: else the clip's bounds
would be the answer."""


@dataclass(frozen=True, slots=True)
class Authored(Record):
    """What the writer said about a task: type, difficulty, density."""

    kind = "authored"
    table = "authored"

    video: Id
    """The video of the task."""
    task: Id
    """The task that the draft became."""
    type: QuestionType
    """What is asked for."""
    difficulty: Difficulty
    """As the writer judges it."""
    fps: Fraction
    """The density at which its clip showed the answer."""
    writer: str
    """The model that wrote it."""
    draft: Id
    """The draft that it was."""


@dataclass(frozen=True, slots=True)
class DraftWithVideo(Joined):
    """A draft with its video."""

    draft: QuestionDraft
    video: Video | None


class AdmitConfig(RetryingConfig):
    """Settings of how drafts are tested."""

    guesses: NonNegativeInt = 2
    """How often it answers without the video: only where it is right each time is the draft rejected. By chance that is
    one of options in so many."""
    attempts: PositiveInt = 3
    """How often each answer is asked for until it can be read."""


class Admit(RetryingStage[DraftWithVideo, Task | Authored]):
    """Drafts to tasks, at most `guesses` + 1 questions each."""

    name, version = "admit", 1
    allows_duplicate_rows = True  # a draft may ask what another one, or an annotation, asks
    replies = (GuessReply, AnswerReply)
    config: AdmitConfig

    def expected(self, item: DraftWithVideo) -> ExpectedCost | None:
        draft, video = item.draft, item.video
        if video is None or draft.fault:
            return None
        question_with_options, answer_look = question_text(_task(draft, video)), _look(draft, video)
        token_usage = expected_usage(self.config, self.config.clips, AnswerReply, video, answer_look, question_with_options)
        for _ in range(self.config.guesses):
            token_usage += expected_blind(self.config, GuessReply, question_with_options)
        return ExpectedCost(token_usage, self.config.price.usd(token_usage))

    async def process(self, item: DraftWithVideo) -> Result:
        draft, video = item.draft, item.video
        if video is None:
            return Quarantined("no video", "the draft's video is not in the lake")
        if draft.fault:
            return Rejected(draft.fault, draft.question)
        task = _task(draft, video)
        try:
            if await self._is_guessed(draft.id, task, video):
                return Rejected("answered without the video", draft.question)
            clip_answer = await self._answer_from_clip(draft.id, task, video, _look(draft, video))
        except NoFrames:
            return Rejected("its clip shows no frame", draft.question)
        except UnreadableReply as error:
            return self.rejected(item.id, NO_READABLE_REPLY, str(error))
        if answer_score(clip_answer, task) < RIGHT.get(task.task_kind, 1.0):
            return Rejected("its clip shows another answer", f"{draft.question}: {clip_answer!r}, not {task.answer!r}")
        authored_question = Authored(video.id, task.id, draft.type, draft.difficulty, draft.fps, draft.writer, draft.id)
        return Made((task, authored_question))

    async def _is_guessed(self, draft_id: Id, task: Task, video: Video) -> bool:
        question_with_options = question_text(task)
        for guess_index in range(self.config.guesses):
            attempt_numbers = self.attempts(draft_id, guess_index, self.config.guesses)
            _, reply, _ = await self.teacher.insist_on_text(GuessReply, video.id, question_with_options, attempt_numbers)
            if answer_score(reply.answer, task) < RIGHT.get(task.task_kind, 1.0):
                return False
        return self.config.guesses > 0

    async def _answer_from_clip(self, draft_id: Id, task: Task, video: Video, look: Look) -> str:
        prompt_text = f"{announced(look)}\n\n{question_text(task)}"
        _, reply, _ = await self.teacher.insist(AnswerReply, video, look, prompt_text, self.attempts(draft_id))
        return reply.answer


def _task(draft: QuestionDraft, video: Video) -> Task:
    return Task(
        video.id, KINDS[draft.form], draft.question, draft.options, draft.answer, draft.windows, draft.needs,
        source=video.source, licence=video.licence, terms=video.terms, origin=show("draft", draft.id),
    )  # fmt: skip


def _look(draft: QuestionDraft, video: Video) -> Look:
    """The look that shows the answer: the first window that will do, or one that spans all windows that are needed."""
    needed_windows = draft.windows if draft.needs == "all" else draft.windows[:1]
    start_cs, end_cs = min(window.start_cs for window in needed_windows), max(window.end_cs for window in needed_windows)
    if draft.form == "grounded" or draft.type == "duration":
        margin_cs = MARGIN * (end_cs - start_cs)
        start_cs, end_cs = max(0, start_cs - margin_cs), min(video.duration_cs, end_cs + margin_cs)
    return Look(Window(start_cs, end_cs), draft.fps)
