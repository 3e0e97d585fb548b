"""Tasks become candidates: a teacher looks at the coarse clip and says where to look closer; then it sees that, and answers.

The gold answer is in neither call, and the second one shows the closer clip alone: what it says must stand on that. A window
may be given to the teacher where it doesn't find one of its own: the candidate says so.
"""

from __future__ import annotations

from fractions import Fraction
from random import Random

from pydantic import PositiveFloat, PositiveInt, model_validator

from dmforge.curation.accounts import Expected, Usage
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.curation.workspace import Workspace
from dmforge.generators.teacher.asking import Asking, In, Out, ShowingConfig
from dmforge.generators.teacher.client import KEY, Address, TeacherConfig, missing
from dmforge.generators.teacher.interview import Interview, Unreadable, announced, expected_usage
from dmforge.schemas.config import Config, Operational
from dmforge.schemas.errors import InputError
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import assemble
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Look, Window, print_seconds, print_span
from dmforge.schemas.prompts import prompt, question_text
from dmforge.schemas.records import Candidate, Shown, Task, Video, WindowSource
from dmforge.schemas.replies import AnswerReply, GivenReply, LookReply

GUESSED_CS, GUESSED_FPS = 400, Fraction(3)
"""What a plan takes a look to be, where only the teacher can say."""
LEAST_COVERED, MOST_TIMES = Fraction(9, 10), 4
"""A window that a teacher finds for a grounding question covers so much of gold, and is at most so many times as long."""
PADDING = 1.0
"""A window that is given is longer than gold, on each side by up to its length."""


class TeacherShare(Config):
    """One of several teachers, which are compared by what they cost and how much of theirs is kept."""

    model: str
    """The model's name, as its endpoint knows it."""
    share: PositiveFloat = 1.0
    """How many tasks it is given, beside the others' shares."""
    base_url: Operational[Address] = ""
    """Its endpoint, if not that of the stage."""
    key_name: Operational[str] = KEY
    """The variable of the environment that holds its key."""


class AnnotateConfig(ShowingConfig):
    """How candidates are made."""

    model: str = ""
    """The one teacher's name, as the endpoint knows it."""
    teachers: tuple[TeacherShare, ...] = ()
    """Several instead of one, `[[stages.annotate.teachers]]`; each task has one of them."""
    candidates: PositiveInt = 1
    """How many candidates a task gets; select takes the first good one."""
    attempts: PositiveInt = 3
    """How often a candidate is tried until its replies can be read, and its window is good enough."""
    window_source: WindowSource = "teacher"
    """`teacher`: windows are its own. `gold_padded`: where its own misses gold, one around gold is given to it, and the way
    there is written for that. `gold`: always the gold window, as the paper does it."""

    @model_validator(mode="after")
    def _has_teachers(self) -> AnnotateConfig:
        if bool(self.model) == bool(self.teachers):
            raise ValueError("name one `model`, or several `teachers`")
        return self

    def each(self) -> list[TeacherConfig]:
        """The teachers as configurations of their own."""
        return [self.model_copy(update=share.model_dump(exclude={"share"})) for share in self.teachers] or [self]

    def chosen(self, task: Task) -> int:
        """Which teacher has this task: by its id, so always the same one."""
        shares = [teacher.share for teacher in self.teachers] or [1.0]
        at = int.from_bytes(digest("teacher", task.id)[:8]) / 2**64 * sum(shares)
        for number, share in enumerate(shares):
            at -= share
            if at < 0:
                return number
        return len(shares) - 1


class AskingSeveral(Asking[In, Out]):
    """A stage in which each task has one of several teachers."""

    config: AnnotateConfig

    def missing(self) -> InputError | None:
        errors = (missing(teacher, self.name, self.account) for teacher in self.config.each())
        return next((error for error in errors if error is not None), None)

    def open(self, workspace: Workspace) -> None:
        config = self.config
        self._teachers = [Interview(workspace, one, config.clips, self.name, self.account) for one in config.each()]

    async def aclose(self) -> None:
        for teacher in self._teachers:
            await teacher.aclose()

    def teacher_of(self, task: Task) -> Interview:
        """The one that has this task."""
        return self._teachers[self.config.chosen(task)]


class Annotate(AskingSeveral[Shown, Candidate]):
    """Tasks to candidates, two questions each."""

    name, version = "annotate", 2
    replies = (LookReply, AnswerReply, GivenReply)
    config: AnnotateConfig

    def expected(self, item: Shown) -> Expected | None:
        """Both calls, from the frames that will be shown; of the second one the window is guessed."""
        task, video, config = item.task, item.video, self.config
        if video is None:
            return None
        window = task.windows[0] if task.windows else Window(0, min(video.duration_cs, GUESSED_CS))
        teacher = config.each()[config.chosen(task)]
        text = question_text(task)
        used = expected_usage(teacher, config.clips, LookReply, video, None, text)
        used += expected_usage(teacher, config.clips, AnswerReply, video, Look(window, GUESSED_FPS), text)
        every = Usage(*(config.candidates * number for number in (used.calls, used.input_tokens, used.output_tokens)))
        return Expected(every, teacher.price.usd(every))

    async def process(self, item: Shown) -> Result:
        if item.video is None:
            return Quarantined("no video", "the task's video is not in the lake")
        teacher = self.teacher_of(item.task)
        made: list[Candidate] = []
        reason, why = "", ""
        for number in range(self.config.candidates):
            found = await self._candidate(teacher, item.task, item.video, number)
            if isinstance(found, Candidate):
                made.append(found)
            else:
                reason, why = found
        return Made(tuple(made)) if made else Rejected(reason, why)

    async def _candidate(self, teacher: Interview, task: Task, video: Video, number: int) -> Candidate | tuple[str, str]:
        """A candidate, or the reason for none and what was last wrong."""
        always_gold = self.config.window_source == "gold" and bool(task.windows)
        reason, why = "", ""
        for attempt in range(number * self.config.attempts, (number + 1) * self.config.attempts):
            try:
                if always_gold:
                    return await self._given(teacher, task, video, attempt, "gold")
                return await self._own(teacher, task, video, attempt)
            except Unreadable as error:
                reason, why = "no readable reply", str(error)
            except _Missed as error:
                reason, why = "its window misses gold", str(error)
        if reason != "its window misses gold" or self.config.window_source != "gold_padded":
            return reason, why
        try:
            return await self._given(teacher, task, video, (number + 1) * self.config.attempts - 1, "gold_padded")
        except Unreadable as error:
            return "no readable reply", str(error)

    async def _own(self, teacher: Interview, task: Task, video: Video, attempt: int) -> Candidate:
        """With a window of the teacher's own."""
        first, thought, look = await own_look(teacher, task, video, attempt)
        if task.task_kind == "grounding" and self.config.window_source != "teacher" and not _is_near(look.window, task):
            raise _Missed(print_span(look.window))
        return await answered(teacher, task, video, attempt, first, thought, look, "teacher")

    async def _given(self, teacher: Interview, task: Task, video: Video, attempt: int, source: WindowSource) -> Candidate:
        """With gold, or a window around it; the teacher writes how one comes to look there."""
        window = task.windows[0] if source == "gold" else _padded(task.windows[0], video, task.id)
        text = f"{_with_length(video, question_text(task))}\n\n{given(window)}"
        first, how = await teacher.ask(GivenReply, video, None, text, attempt)
        look = Look(window, how.density())
        return await answered(teacher, task, video, attempt, first, how.thought, look, source)


class _Missed(Exception):
    """A window of the teacher's own that doesn't hold what it should."""


async def own_look(teacher: Interview, task: Task, video: Video, attempt: int) -> tuple[Id, str, Look]:
    """Call 1: the key of what was asked, the thought, and where the teacher wants to look."""
    first, where = await teacher.ask(LookReply, video, None, _with_length(video, question_text(task)), attempt)
    look = where.look()
    if look is None:
        raise Unreadable("look: the window is empty")
    if look.window.start_cs >= video.duration_cs:
        raise Unreadable("look: the window begins after the end")
    return first, where.thought, look


async def answered(
    teacher: Interview, task: Task, video: Video, attempt: int, first: Id, thought: str, look: Look, source: WindowSource
) -> Candidate:
    """Call 2, and what both make together."""
    try:
        text = f"{announced(look)}\n\n{question_text(task)}"
        second, what = await teacher.ask(AnswerReply, video, look, text, attempt)
    except NoFrames:
        raise Unreadable("look: it shows no frame") from None
    transcript = assemble(prompt(task), (thought, what.thought), (look,), what.answer)
    return Candidate(video.id, task.id, attempt, teacher.model, transcript, (look,), what.answer, source, (first, second))


def given(window: Window) -> str:
    """What is said where the window is not the teacher's to choose."""
    return f"The closer look will be at {print_span(window)} seconds."


def _with_length(video: Video, question: str) -> str:
    return f"The video lasts {print_seconds(video.duration_cs)} seconds.\n\n{question}"


def _is_near(window: Window, task: Task) -> bool:
    """Does it hold nearly all of some gold window, and not much else?"""
    for gold in task.windows:
        length = gold.end_cs - gold.start_cs
        covered = min(window.end_cs, gold.end_cs) - max(window.start_cs, gold.start_cs)
        if covered >= LEAST_COVERED * length and window.end_cs - window.start_cs <= MOST_TIMES * length:
            return True
    return False


def _padded(gold: Window, video: Video, task: Id) -> Window:
    """Gold with chance before and after it, so that a window never tells the answer by itself; the same chance every time."""
    chance, length = Random(task), gold.end_cs - gold.start_cs
    before, after = (round(chance.uniform(0, PADDING) * length) for _ in range(2))
    return Window(max(0, gold.start_cs - before), max(gold.end_cs, min(video.duration_cs, gold.end_cs + after)))
