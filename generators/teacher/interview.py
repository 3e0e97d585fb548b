"""Asks one teacher questions with frames: each answer is taken from the journal if it is there, then read as a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from dmforge.curation.contract.budget import Budget
from dmforge.curation.contract.run_events import AnswerKnown
from dmforge.curation.contract.stage import Unanswered
from dmforge.curation.lake.journal import CUT, Answer, Journal
from dmforge.curation.lake.journal_seals import AnswerReference, reply_digest
from dmforge.curation.lake.request_origin import with_origin
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.curation.video.media import Media
from dmforge.curation.video.read_frames import read_coarse, read_look
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.prompts import instruction
from dmforge.generators.teacher.batch_record import RequestsOut
from dmforge.generators.teacher.batched_requests import BatchedRequests
from dmforge.generators.teacher.client import (
    BAD_QUESTION,
    TOO_LARGE,
    Teacher,
    image_tokens,
)
from dmforge.generators.teacher.clip_messages import ANNOUNCED_OVERVIEW, announced, clip_parts, shown_content, text_part
from dmforge.generators.teacher.content_filters import PROMPT_FILTER, names_filter
from dmforge.generators.teacher.earlier_models import EarlierModels, KnownAnswer
from dmforge.generators.teacher.frames_sent import FramesSent, frames_sent, sent_patches
from dmforge.generators.teacher.largest_look import max_usage_of_looks
from dmforge.generators.teacher.question_keys import EarlierKeys, TeacherQuestion, question_key
from dmforge.generators.teacher.response import shown
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import Part, TeacherRequest
from dmforge.generators.video_part import video_part
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import DmforgeError, InputError, Transient
from dmforge.schemas.ids import Id, show
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Video
from dmforge.schemas.replies import Reply
from dmforge.schemas.reply_reader import read_reply
from dmforge.schemas.reply_schema import Bounds
from dmforge.schemas.stamps import patch_times, stamp

R = TypeVar("R", bound=Reply)


FIRST_REPLIES = 12
"""When so many replies of a stage have come and none can be read, no more is asked."""
UNREADABLE_HINT = (
    "raise max_output_tokens where replies are cut off; set structured_output, or take another model; --keep-going asks on"
)
ASKS_NOBODY = "the journal has no answer, and a repair asks nobody"
MAX_GROWTH = 4
"""A reply that is cut off is asked for with up to so many times `max_output_tokens`."""


class ReadReply(NamedTuple, Generic[R]):
    """A reply, and where it comes from."""

    request: AnswerReference
    """Of its answer in the journal."""
    reply: R
    model: str
    """Who gave it."""


class UnreadableReply(Exception):
    """A reply that can't be used; the message says why, in words that don't vary."""


class QuestionRefused(UnreadableReply):
    """A provider refuses the question itself, by a filter or for its size: asking it again would give the same."""


class Interview:
    """All requests of one stage to one teacher, through the journal."""

    def __init__(
        self,
        workspace: WorkspaceFolder,
        config: TeacherConfig,
        clips: Clips,
        stage: str,
        account: Budget,
        *,
        journal_only: bool = False,
    ) -> None:
        self.model, self.clips = config.model, clips
        self._workspace, self._config, self._stage, self._account = workspace, config, stage, account
        self._journal_only = journal_only
        self._received = self._readable = 0
        self._journal = Journal(workspace, config.model, read_only=journal_only)
        self._requests_out = None if config.batch else RequestsOut(self._journal.folder, config.model)
        if config.batch and workspace.writer:
            hint = "run it in one process: it only waits, and one waits as fast as many"
            raise InputError("batches are not shared by ranks", where=f"[stages.{stage}] batch", hint=hint)
        batched = (
            BatchedRequests(config, stage, workspace, self._journal, account.events)
            if config.batch and not account.asks_nobody
            else None
        )
        self._teacher = Teacher(config, stage, account, batched, has_answered=len(self._journal) > 0)
        self._earlier_keys = EarlierKeys(config, workspace, stage)
        self._earlier_models = EarlierModels(config, workspace, stage)
        self._limit = config.max_output_tokens

    async def aclose(self) -> None:
        await self._teacher.aclose()
        self._earlier_models.close()
        self._journal.close()

    def max_usd_of_looks(
        self, reply_type: type[Reply], video: Video, text: str, looks: int = 1, *, has_overview: bool = False
    ) -> float:
        """The most that a question with frames of so many looks can cost, whichever looks these will be."""
        usage = max_usage_of_looks(self._config, self.clips, reply_type, video, text, self._limit, looks, has_overview)
        return self._config.price.usd(usage)

    async def ask(
        self,
        reply_type: type[R],
        video: Video,
        look: Look | None,
        text: str,
        attempt: int,
        max_questions: int | None = None,
        clips_at_once: int = 1,
    ) -> ReadReply[R]:
        """Ask with the frames of a look, or of the coarse clip, above a text. `clips_at_once`: the most clips that any request
        in which this clip is shown shows."""
        sent = frames_sent(self._config, self.clips, video, look, clips_at_once)
        bounds = Bounds(look.window if look else Window(0, video.duration_cs), max_questions)
        content_key = shown_content(self._config, video, sent)
        return await self._ask_showing(reply_type, video, [(None, look, sent)], text, attempt, content_key, bounds)

    async def ask_about_clips(
        self, reply_type: type[R], video: Video, clips: Sequence[Look | None], text: str, attempt: int, clips_at_once: int
    ) -> ReadReply[R]:
        """Ask with the frames of several clips, each below a sentence that says what it is, above a text."""
        sent = [frames_sent(self._config, self.clips, video, look, clips_at_once) for look in clips]
        announcements = [announced(look) if look else ANNOUNCED_OVERVIEW for look in clips]
        content_key = [[announcements, *(shown_content(self._config, video, frames) for frames in sent)]]
        shown_clips, bounds = list(zip(announcements, clips, sent, strict=True)), Bounds(Window(0, video.duration_cs))
        return await self._ask_showing(reply_type, video, shown_clips, text, attempt, content_key, bounds)

    async def _ask_showing(
        self,
        reply_type: type[R],
        video: Video,
        shown_clips: Sequence[tuple[str | None, Look | None, FramesSent]],
        text: str,
        attempt: int,
        content_key: Sequence[object],
        bounds: Bounds,
    ) -> ReadReply[R]:
        """Ask with clips above a text: of each the sentence above it, if one stands there, its look, and its frames."""

        async def parts() -> list[Part]:
            all_parts: list[Part] = []
            for announcement, look, frames in shown_clips:
                all_parts += [text_part(announcement)] if announcement else []
                all_parts += await self._clip(video, look, frames)
            return [*all_parts, text_part(text)]

        texts: list[str] = []
        for announcement, _, frames in shown_clips:
            texts += [announcement] if announcement else []
            texts += map(stamp, patch_times(frames.plan.times_s))
        images = sum(frames.image_count for _, _, frames in shown_clips)
        tokens = sum(image_tokens(self._config.price, frames.image_count, frames.size) for _, _, frames in shown_clips)
        question = TeacherQuestion(
            reply_type, video.id, text, attempt, content_key, [*texts, text], parts, images, tokens, bounds
        )
        return await self._ask_once(reply_type, question)

    def sent_patches(
        self, video: Video, looks: Sequence[Look], clips_at_once: int = 1, *, has_overview: bool = False
    ) -> tuple[tuple[int, ...], ...]:
        """Of the coarse clip and of some looks, which patches are sent; nothing where all of them are. `has_overview`: the
        coarse clip is among the clips that share a request."""
        overview = frames_sent(self._config, self.clips, video, None, clips_at_once if has_overview else 1)
        return sent_patches([overview, *(frames_sent(self._config, self.clips, video, look, clips_at_once) for look in looks)])

    async def insist(
        self,
        reply_type: type[R],
        video: Video,
        look: Look | None,
        text: str,
        attempts: Sequence[int],
        max_questions: int | None = None,
    ) -> ReadReply[R]:
        """Ask once for each attempt until a reply can be read; raise what was wrong with the last one. After a filter refused
        the question there is no further attempt."""
        ask = partial(self.ask, reply_type, video, look, text, max_questions=max_questions)
        return await _first_readable([partial(ask, attempt) for attempt in attempts])

    async def insist_on_text(self, reply_type: type[R], video: Id, text: str, attempts: Sequence[int]) -> ReadReply[R]:
        """As `insist`, with a text alone."""
        return await _first_readable([partial(self.ask_text, reply_type, video, text, attempt) for attempt in attempts])

    async def ask_text(self, reply_type: type[R], video: Id, text: str, attempt: int) -> ReadReply[R]:
        """Ask with a text alone, about a video that is not shown."""

        async def parts() -> list[Part]:
            return [text_part(text)]

        question = TeacherQuestion(reply_type, video, text, attempt, [video], [text], parts, 0, 0)
        return await self._ask_once(reply_type, question)

    async def _ask_once(self, reply_type: type[R], question: TeacherQuestion) -> ReadReply[R]:
        known_answer = await self._answer(question)
        answer = known_answer.answer
        refusal, finish = answer.get("refusal"), str(answer.get("finish", ""))
        if refusal:
            self._count_unreadable(f"the teacher refused: {shown(str(refusal))}", answer)
            error = QuestionRefused if finish in (PROMPT_FILTER, TOO_LARGE, BAD_QUESTION) else UnreadableReply
            raise error(f"{reply_type.name}: the teacher refused: {shown(str(refusal))}")
        reply = read_reply(reply_type, str(answer.get("content", "")))
        if not isinstance(reply, str):
            self._readable += 1
            return ReadReply(AnswerReference(known_answer.key, reply_digest(answer)), reply, known_answer.model)
        if finish == CUT:
            reply = f"cut off at max_output_tokens = {answer.get('limit', self._config.max_output_tokens)}"
        elif names_filter(finish):
            reply = f"a filter ended it, {shown(finish)}: {reply}"
        self._count_unreadable(reply, answer)
        raise UnreadableReply(f"{reply_type.name}: {reply}")

    def _count_unreadable(self, fault: str, answer: Answer) -> None:
        """End the stage where none of its first replies can be read: the others would be paid for in vain, too."""
        if not self._readable and self._received >= FIRST_REPLIES and not self._account.keep_going:
            text = shown(str(answer.get("content", ""))) or "nothing"
            message = (
                f"none of the first {self._received} replies of {self.model} can be read; the last: {fault}; it says: {text}"
            )
            self._teacher.end(message, UNREADABLE_HINT)
            self._account.to_change[self._stage] = UNREADABLE_HINT

    def _known_answer(self, question: TeacherQuestion) -> KnownAnswer | None:
        """The answer of an earlier model, or of this one in a journal of before."""
        if (known_answer := self._earlier_models.find(question)) is not None:
            return known_answer
        earlier = self._earlier_keys.find(self._journal, question)
        if earlier is not None and (earlier.limit >= self._max_limit or not earlier.stored.is_cut):
            return KnownAnswer(earlier.key, earlier.stored.answer, self.model)
        return None

    async def _answer(self, question: TeacherQuestion) -> KnownAnswer:
        """The answer to a question that counts."""
        if (known_answer := self._known_answer(question)) is not None:
            self._account.events.emit(AnswerKnown(self._stage, known_answer.model))
            return known_answer
        key, is_known = question_key(self._config, question), True

        async def ask(limit: int) -> Answer:
            nonlocal is_known
            is_known = False
            return await self._send(key, question, limit)

        answer = await self._uncut_answer(key, question.video, ask)
        if is_known:
            self._account.events.emit(AnswerKnown(self._stage, self.model))
        else:  # not as it comes: many may be on their way to the disk before the first of them is read
            self._received += 1
        return KnownAnswer(key, answer, self.model)

    async def _uncut_answer(self, key: Id, video: Id, ask: Callable[[int], Awaitable[Answer]]) -> Answer:
        """The answer to a question. One that was cut off is asked for again, each time with twice as much, up to a bound; and
        from then on all questions are asked with as much."""
        while True:
            limit = self._limit
            answer = await self._journal.answer(key, video, partial(ask, limit), limit)
            asked_with = max(limit, self._journal.limit_of(key))
            is_providers_limit = answer.get("limit", asked_with) < asked_with
            if answer.get("finish") != CUT or asked_with >= self._max_limit or is_providers_limit:
                return answer
            self._limit = max(self._limit, min(2 * asked_with, self._max_limit))
            words = f"replies are cut off at max_output_tokens = {asked_with}: up to {self._limit} are asked for from now on"
            self._account.note(self._stage, self.model, words)

    @property
    def _max_limit(self) -> int:
        return MAX_GROWTH * self._config.max_output_tokens

    async def _send(self, key: Id, question: TeacherQuestion, limit: int) -> Answer:
        if self._journal_only:
            raise Unanswered
        if self._account.asks_nobody:
            raise Transient(ASKS_NOBODY)
        if self._requests_out is not None:
            self._requests_out.refuse(show("ask", key), f"[stages.{self._stage}] batch")
        request = TeacherRequest(
            show("ask", key), question.video, instruction(question.reply.name), question.texts, question.parts,
            question.reply, question.attempt, question.image_count, question.image_tokens, question.bounds, limit,
        )  # fmt: skip
        try:
            answer = await self._teacher.ask(request)
        except DmforgeError as error:
            if not isinstance(error, Transient):
                error.where = error.where or f"{self._stage}, {show(Video.kind, question.video)}"
            raise
        return with_origin(answer, self._stage, question.reply.name, request.instruction, question.attempt)

    async def _clip(self, video: Video, look: Look | None, sent: FramesSent) -> list[Part]:
        """A clip as parts of a message."""
        images = await asyncio.to_thread(self._images, video, look, sent)
        is_video = self._config.frames_as == "video"
        return [video_part(sent.plan.times_s, images)] if is_video else clip_parts(sent.plan, images)

    def _images(self, video: Video, look: Look | None, sent: FramesSent) -> list[bytes]:
        media = Media(self._workspace, video.id)
        if look is None:
            return to_jpeg(read_coarse(media.coarse, sent.plan.indices))
        return to_jpeg(read_look(self.clips, video, look, media.grid)[list(sent.positions)])


async def _first_readable(attempts: Sequence[Callable[[], Awaitable[ReadReply[R]]]]) -> ReadReply[R]:
    last_error = UnreadableReply()
    for attempt in attempts:
        try:
            return await attempt()
        except QuestionRefused:
            raise
        except UnreadableReply as error:
            last_error = error
    raise last_error
