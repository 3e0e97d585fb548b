"""Asks a teacher where to look, and for the answer from that look alone."""

from __future__ import annotations

from dmforge.generators.stages.several_looks import Steps, shows_frames
from dmforge.generators.teacher.clip_messages import about_video, announced
from dmforge.generators.teacher.interview import Interview
from dmforge.schemas.looks import Look
from dmforge.schemas.prompts import question_text
from dmforge.schemas.records import Candidate, Task, Video, WindowSource
from dmforge.schemas.replies import AnswerReply, LookReply


async def own_look(
    teacher: Interview,
    task: Task,
    video: Video,
    attempt: int,
    steps: Steps,
    reply_type: type[LookReply] = LookReply,
    clips_at_once: int = 1,
) -> Look:
    """Call 1: the look that the teacher chose, which is added to the steps."""
    text = before_looking(teacher, video, task)
    request, reply, _ = await teacher.ask(reply_type, video, None, text, attempt, clips_at_once=clips_at_once)
    return steps.add(request, reply.thought, reply.look(), video)


async def answer_look(
    teacher: Interview, task: Task, video: Video, attempt: int, steps: Steps, source: WindowSource
) -> Candidate:
    """Call 2: the answer from the one look, and the candidate that both calls make."""
    look = steps.looks[0]
    with shows_frames():
        answer = await teacher.ask(AnswerReply, video, look, after_looking(look, task), attempt)
    return steps.candidate(task, video, attempt, answer, source, teacher.sent_patches(video, (look,)))


def before_looking(teacher: Interview, video: Video, task: Task) -> str:
    """The question, below what bears on the choice of a look."""
    return f"{about_video(teacher.clips, video)}\n\n{question_text(task)}"


def after_looking(look: Look, task: Task) -> str:
    """The question, below what is shown."""
    return f"{announced(look)}\n\n{question_text(task)}"
