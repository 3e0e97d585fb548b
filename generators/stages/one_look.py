"""Asks a teacher where to look, and for the answer from that look alone."""

from __future__ import annotations

from dmforge.generators.stages.several_looks import Steps
from dmforge.generators.teacher.clip_messages import announced, print_look_sizes
from dmforge.generators.teacher.interview import Interview, QuestionRefused, UnreadableReply
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import assemble
from dmforge.schemas.looks import Look, print_seconds
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, Task, Video, WindowSource
from dmforge.schemas.replies import AnswerReply, LookReply


async def own_look(
    teacher: Interview,
    task: Task,
    video: Video,
    attempt: int,
    steps: Steps,
    reply_type: type[LookReply] = LookReply,
) -> Look:
    """Call 1: the look that the teacher chose, which is added to the steps."""
    request, reply, _ = await teacher.ask(reply_type, video, None, before_looking(teacher, video, task), attempt)
    return steps.add(request, reply.thought, reply.look(), video)


async def answer_look(
    teacher: Interview, task: Task, video: Video, attempt: int, steps: Steps, source: WindowSource
) -> Candidate:
    """Call 2: the answer from the one look, and the candidate that both calls make."""
    look = steps.looks[0]
    try:
        answer_request, reply, teacher_model = await teacher.ask(AnswerReply, video, look, after_looking(look, task), attempt)
    except NoFrames:
        raise UnreadableReply("look: it shows no frame") from None
    except QuestionRefused as error:  # for what this look shows: another attempt may look elsewhere
        raise UnreadableReply(str(error)) from None
    transcript = assemble(prompt(task), (*steps.thoughts, reply.thought), (look,), reply.answer)
    return Candidate(
        video.id,
        task.id,
        attempt,
        teacher_model,
        transcript,
        (look,),
        reply.answer,
        source,
        (*steps.requests, answer_request),
        sent_patches=teacher.sent_patches(video, (look,)),
    )


def before_looking(teacher: Interview, video: Video, task: Task) -> str:
    """The question, below what bears on the choice of a look: the video's length, and how large frames will be."""
    return f"{about_video(teacher, video)}\n\n{question_text(task)}"


def about_video(teacher: Interview, video: Video) -> str:
    """What bears on the choice of a look: the video's length, and how large frames will be."""
    length = f"The video lasts {print_seconds(video.duration_cs)} seconds."
    return f"{length}{print_look_sizes(teacher.clips, video)}"


def after_looking(look: Look, task: Task) -> str:
    """The question, below what is shown."""
    return f"{announced(look)}\n\n{question_text(task)}"
