"""Asks a teacher that may look several times: after each closer look it says where to look next, or the answer.

Every request after the first shows the clips of all looks so far, and repeats the thoughts: what the coarse clip showed is
known from them alone, unless the recipe shows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

from dmforge.curation.contract.budget import FurtherCalls, Usage
from dmforge.curation.lake.journal_seals import AnswerReference
from dmforge.generators.teacher.clip_messages import ANNOUNCED_OVERVIEW, about_video, announced
from dmforge.generators.teacher.expected_tokens import expected_usage, expected_usage_of_clips
from dmforge.generators.teacher.interview import Interview, QuestionRefused, ReadReply, UnreadableReply
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import assemble
from dmforge.schemas.looks import MAX_CS, Look, Window
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, Overview, Task, Video, WindowSource
from dmforge.schemas.replies import FinalReply, FirstReply, StepReply

GUESSED_FPS = Fraction(3)
"""The density that a cost estimate assumes, since only the teacher can choose it."""
LONGEST_NAMED = Look(Window(MAX_CS - 1, MAX_CS), Fraction(1, 1 << 19))
"""The look whose announcement is as long as any."""


@dataclass(frozen=True, slots=True)
class SeveralLooks:
    """How often a teacher may look, and what it is shown meanwhile."""

    max_looks: int
    overview: Overview

    @property
    def has_overview(self) -> bool:
        return self.overview == "always"

    @property
    def clips_at_once(self) -> int:
        """The most clips that a request shows."""
        return self.max_looks + self.has_overview

    def clips_after(self, looks: Sequence[Look]) -> list[Look | None]:
        """The clips that are shown after some looks; None is the coarse one."""
        return [*([None] if self.has_overview else []), *looks]

    def max_usds(self, teacher: Interview, video: Video, task: Task) -> Iterator[Callable[[], float]]:
        """The most that each further request can cost."""
        for count in range(1, self.max_looks + 1):
            reply_type, text = self._reply_after(count), self.longest_text(teacher.clips, video, task, count)
            yield partial(teacher.max_usd_of_looks, reply_type, video, text, count, has_overview=self.has_overview)

    def longest_text(self, clips: Clips, video: Video, task: Task, count: int) -> str:
        """All that stands in a request after so many looks, but for stamps and thoughts."""
        announcements = [*[announced(LONGEST_NAMED)] * count, *([ANNOUNCED_OVERVIEW] if self.has_overview else [])]
        return "".join((*announcements, self.text_after([""] * count, about_video(clips, video), task)))

    def text_after(self, thoughts: Sequence[str], video_text: str, task: Task) -> str:
        """The question after so many looks, below the thoughts that led to them, and what bears on a further look."""
        text = f"{_print_thoughts(thoughts)}\n\n{question_text(task)}"
        looks_left = self.max_looks - len(thoughts)
        times = "time" if looks_left == 1 else "times"
        return f"{video_text} You may look {looks_left} more {times}.\n\n{text}" if looks_left else text

    def _reply_after(self, count: int) -> type[StepReply | FinalReply]:
        return FinalReply if count == self.max_looks else StepReply

    def expected(self, config: TeacherConfig, clips: Clips, video: Video, text: str, windows: Sequence[Window]) -> Usage:
        """The likely usage, where the teacher looks as often as it may."""
        usage = expected_usage(config, clips, FirstReply, video, None, text)
        looks = [Look(windows[index % len(windows)], GUESSED_FPS) for index in range(self.max_looks)]
        for count in range(1, self.max_looks + 1):
            shown_clips = self.clips_after(looks[:count])
            usage += expected_usage_of_clips(
                config, clips, self._reply_after(count), video, shown_clips, text, self.clips_at_once
            )
        return usage


@dataclass
class Steps:
    """What a teacher has thought and seen so far."""

    requests: list[AnswerReference] = field(default_factory=list[AnswerReference])
    thoughts: list[str] = field(default_factory=list[str])
    looks: list[Look] = field(default_factory=list[Look])

    def add(self, request: AnswerReference, thought: str, look: Look | None, video: Video) -> Look:
        """Add a thought and the look that it leads to."""
        if look is None:
            raise UnreadableReply("look: the window is empty")
        if look.window.start_cs >= video.duration_cs:
            raise UnreadableReply("look: the window begins after the end")
        self.requests.append(request)
        self.thoughts.append(thought)
        self.looks.append(look)
        return look

    def candidate(
        self,
        task: Task,
        video: Video,
        attempt: int,
        answer: ReadReply[Any],
        source: WindowSource,
        sent_patches: tuple[tuple[int, ...], ...],
    ) -> Candidate:
        """The candidate that these steps and an answer make."""
        thoughts, looks = (*self.thoughts, answer.reply.thought), tuple(self.looks)
        transcript = assemble(prompt(task), thoughts, looks, answer.reply.answer)
        requests = (*self.requests, answer.request)
        return Candidate(
            video.id, task.id, attempt, answer.model, transcript, looks, answer.reply.answer, source,
            tuple(request.key for request in requests), sent_patches=sent_patches,
            answers=tuple(request.reply_digest for request in requests),
        )  # fmt: skip


@contextmanager
def shows_frames() -> Generator[None]:
    """Where looks show no frame, or a provider refuses what they show, another attempt may look elsewhere."""
    try:
        yield
    except NoFrames:
        raise UnreadableReply("look: it shows no frame") from None
    except QuestionRefused as error:
        raise UnreadableReply(str(error)) from None


async def look_and_answer(
    teacher: Interview,
    task: Task,
    video: Video,
    attempt: int,
    steps: Steps,
    further: FurtherCalls,
    several: SeveralLooks,
    source: WindowSource,
) -> Candidate:
    """Ask on after a first look, until the teacher answers."""
    while True:
        further.begin_next()
        reply_type = FinalReply if len(steps.looks) == several.max_looks else StepReply
        text = several.text_after(steps.thoughts, about_video(teacher.clips, video), task)
        clips = several.clips_after(steps.looks)
        with shows_frames():
            answer = await teacher.ask_about_clips(reply_type, video, clips, text, attempt, several.clips_at_once)
        reply = answer.reply
        if isinstance(reply, FinalReply) or not reply.looks:
            break
        if reply.answer.strip():
            raise UnreadableReply("step: it looks again and answers")
        next_look, *further_looks = reply.looks
        if further_looks:
            raise UnreadableReply("step: it looks at several windows at once")
        steps.add(answer.request, reply.thought, next_look.look(), video)
    sent = teacher.sent_patches(video, steps.looks, several.clips_at_once, has_overview=several.has_overview)
    return steps.candidate(task, video, attempt, answer, source, sent)


def _print_thoughts(thoughts: Sequence[str]) -> str:
    return "\n\n".join(("What you thought so far:", *(f"{number}. {thought}" for number, thought in enumerate(thoughts, 1))))
