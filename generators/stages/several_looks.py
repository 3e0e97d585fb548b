"""Asks a teacher that may look several times: after each closer look it says where to look next, or the answer.

Every request after the first shows the clips of all looks so far, and repeats the thoughts: what the coarse clip showed is
known from them alone, unless the recipe shows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from dmforge.curation.contract.budget import FurtherCalls, Usage
from dmforge.generators.teacher.expected_tokens import expected_usage, expected_usage_of_clips
from dmforge.generators.teacher.interview import Interview, QuestionRefused, UnreadableReply
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import assemble
from dmforge.schemas.ids import Id
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, Overview, Task, Video, WindowSource
from dmforge.schemas.replies import FinalReply, FirstReply, StepReply

GUESSED_FPS = Fraction(3)
"""The density that a cost estimate assumes, since only the teacher can choose it."""


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

    def max_usds(self, teacher: Interview, video: Video, text: str) -> Iterator[Callable[[], float]]:
        """The most that each further request can cost."""
        for count in range(1, self.max_looks + 1):
            reply_type = FinalReply if count == self.max_looks else StepReply
            yield partial(teacher.max_usd_of_looks, reply_type, video, text, count, has_overview=self.has_overview)

    def expected(self, config: TeacherConfig, clips: Clips, video: Video, text: str, windows: Sequence[Window]) -> Usage:
        """The likely usage, where the teacher looks as often as it may."""
        usage = expected_usage(config, clips, FirstReply, video, None, text)
        looks = [Look(windows[index % len(windows)], GUESSED_FPS) for index in range(self.max_looks)]
        for count in range(1, self.max_looks + 1):
            reply_type = FinalReply if count == self.max_looks else StepReply
            usage += expected_usage_of_clips(
                config, clips, reply_type, video, self.clips_after(looks[:count]), text, self.clips_at_once
            )
        return usage


@dataclass
class Steps:
    """What a teacher has thought and seen so far."""

    requests: list[Id] = field(default_factory=list[Id])
    thoughts: list[str] = field(default_factory=list[str])
    looks: list[Look] = field(default_factory=list[Look])

    def add(self, request: Id, thought: str, look: Look | None, video: Video) -> Look:
        """Add a thought and the look that it leads to."""
        if look is None:
            raise UnreadableReply("look: the window is empty")
        if look.window.start_cs >= video.duration_cs:
            raise UnreadableReply("look: the window begins after the end")
        self.requests.append(request)
        self.thoughts.append(thought)
        self.looks.append(look)
        return look


async def look_and_answer(
    teacher: Interview,
    task: Task,
    video: Video,
    attempt: int,
    steps: Steps,
    further: FurtherCalls,
    settings: SeveralLooks,
    before_looking: str,
    source: WindowSource,
) -> Candidate:
    """Ask on after a first look, until the teacher answers."""
    while True:
        further.begin_next()
        is_last = len(steps.looks) >= settings.max_looks
        text = f"{_print_thoughts(steps.thoughts)}\n\n{question_text(task)}"
        if not is_last:
            left = settings.max_looks - len(steps.looks)
            text = f"{before_looking} You may look {left} more time{'s' * (left > 1)}.\n\n{text}"
        clips = settings.clips_after(steps.looks)
        try:
            request, reply, model = await teacher.ask_about_clips(
                FinalReply if is_last else StepReply, video, clips, text, attempt, settings.clips_at_once
            )
        except NoFrames:
            raise UnreadableReply("look: it shows no frame") from None
        except QuestionRefused as error:  # for what these looks show: another attempt may look elsewhere
            raise UnreadableReply(str(error)) from None
        if isinstance(reply, FinalReply) or not reply.looks:
            break
        if reply.answer.strip():
            raise UnreadableReply("step: it looks again and answers")
        next_look, *further_looks = reply.looks
        if further_looks:
            raise UnreadableReply("step: it looks at several windows at once")
        steps.add(request, reply.thought, next_look.look(), video)
    thoughts, looks = (*steps.thoughts, reply.thought), tuple(steps.looks)
    return Candidate(
        video.id,
        task.id,
        attempt,
        model,
        assemble(prompt(task), thoughts, looks, reply.answer),
        looks,
        reply.answer,
        source,
        (*steps.requests, request),
        sent_patches=teacher.sent_patches(video, looks, settings.clips_at_once, has_overview=settings.has_overview),
    )


def _print_thoughts(thoughts: Sequence[str]) -> str:
    return "\n\n".join(("What you thought so far:", *(f"{number}. {thought}" for number, thought in enumerate(thoughts, 1))))
