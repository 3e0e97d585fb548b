"""Writes drafts of questions: a teacher that knows a video's storyline is asked for questions of given types about it.

A draft is no task yet. What is wrong with its text is recorded here; whether it can be answered without the video, and from
its clip, is measured by `admit`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import Annotated, TypeVar, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.stages.segments import Storyline, within
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.interview import UnreadableReply, expected_usage
from dmforge.schemas.config import Later
from dmforge.schemas.drafting import fault
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Window, print_seconds, print_span
from dmforge.schemas.records import Joined, Needs, Record, TaskKind, Video
from dmforge.schemas.replies import MAX_FPS, Difficulty, Form, QuestionType, WriteReply, Written
from dmforge.schemas.scoring import overlap_cs

TYPES: tuple[QuestionType, ...] = get_args(QuestionType)
FORMS: tuple[Form, ...] = get_args(Form)
KINDS: dict[Form, TaskKind] = {"open": "open", "mcq": "grounded_mcq", "grounded": "grounding"}
"""The kind of task that a draft becomes: each knows its windows."""
MAX_QUESTIONS = 50
"""The most that are asked for in one reply: of a longer one too much would be cut off."""
IS_UNKNOWN = "unknown, nobody described this part"
ABOUT_GAPS = (
    "Anything may happen in the parts that are unknown. Ask nothing about them, put no window there, and ask nothing whose "
    "answer could depend on them, such as how often something happens in the whole video."
)
IN_GAP = "its window is in a part that nobody described"
Kind = TypeVar("Kind", bound=str)


@dataclass(frozen=True, slots=True)
class QuestionDraft(Record):
    """A question as the teacher wrote it."""

    kind = "draft"
    table = "drafts"

    video: Id
    number: int
    """Its index in the reply that it comes from."""
    type: QuestionType
    form: Form
    question: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    needs: Needs
    difficulty: Difficulty
    fps: Fraction
    """The lowest density at which, says the writer, the windows still show the answer."""
    writer: str
    request: Id
    """The journal key of the answer it was made from."""
    fault: str
    """What is wrong with its text; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class StorylineWithVideo(Joined):
    """A storyline with its video."""

    storyline: Storyline
    video: Video | None


class QuestionsConfig(RetryingConfig):
    """Settings of how many questions are asked for, and of what kind."""

    per_video: Annotated[int, Field(ge=1, le=MAX_QUESTIONS)] = 6
    """How many questions are asked for."""
    per_minute: Later[NonNegativeFloat] = 0.0
    """How many more for each minute of the video, down to a whole number; with `per_video`, at most 50 in all. A reply with
    so many takes `max_output_tokens` = 150 for each."""
    types: dict[QuestionType, NonNegativeFloat] = Field(default_factory=lambda: dict.fromkeys(TYPES, 1.0))
    """How often each type is asked for, beside the others. What a video can't bear is left out by the teacher."""
    forms: dict[Form, NonNegativeFloat] = Field(default_factory=lambda: dict.fromkeys(FORMS, 1.0))
    """The same for forms."""
    seed: int = 0
    """Another seed asks each video for others."""
    attempts: PositiveInt = 3
    """How often a video's questions are written until the reply can be read."""

    @model_validator(mode="after")
    def _wants_something(self) -> QuestionsConfig:
        for name, weights in (("types", self.types), ("forms", self.forms)):
            if not 0 < sum(weights.values()) < float("inf"):
                raise ValueError(f"`{name}` asks for nothing: give one of them a weight above 0")
        return self


class Questions(RetryingStage[StorylineWithVideo, QuestionDraft]):
    """One request to the teacher for each video; as many drafts as it wrote."""

    name, version = "questions", 1
    replies = (WriteReply,)
    config: QuestionsConfig

    def expected(self, item: StorylineWithVideo) -> ExpectedCost | None:
        """The cost of one request. `reply_tokens` is what a reply with `per_video` questions takes."""
        if item.video is None or not item.storyline.events:
            return None
        slots = self._slots(item.video)
        text = brief(item.video, item.storyline, slots)
        usage = expected_usage(self.config, self.config.clips, WriteReply, item.video, None, text)
        usage = replace(usage, output_tokens=usage.output_tokens * len(slots) // self.config.per_video)
        return ExpectedCost(usage, self.config.price.usd(usage))

    async def process(self, item: StorylineWithVideo) -> Result:
        video, storyline = item.video, item.storyline
        if video is None:
            return Quarantined("no video", "the storyline's video is not in the lake")
        if not storyline.events and storyline.gaps:
            return Rejected("no event is known", f"not described are {'; '.join(map(str, storyline.gaps))}")
        if not storyline.events:
            return Rejected("nothing happens", "the teacher saw no event in any part")
        slots = self._slots(video)
        text = brief(video, storyline, slots)
        try:
            request, reply, model = await self.teacher.insist(WriteReply, video, None, text, self.attempts(item.id))
        except UnreadableReply as error:
            return self.rejected(item.id, NO_READABLE_REPLY, str(error))
        gaps = tuple(gap.window for gap in storyline.gaps)
        return Made(drafts(video, gaps, reply, request, model, slots))

    def _slots(self, video: Video) -> list[tuple[QuestionType, Form]]:
        """Types and forms in proportion to their weights; remainders are drawn, always alike for a video."""
        rng = Random(digest("questions", [self.config.seed, video.id]))
        count = min(MAX_QUESTIONS, self.config.per_video + int(self.config.per_minute * video.duration_cs / 6000))
        types = _apportioned(self.config.types, count, rng)
        forms = _apportioned(self.config.forms, count, rng)
        rng.shuffle(forms)
        return list(zip(types, forms, strict=True))


def brief(video: Video, storyline: Storyline, slots: list[tuple[QuestionType, Form]]) -> str:
    """The text for the writer: what happens, what is unknown, and which questions to write."""
    moments = [(event.window, event.what) for event in storyline.events]
    if storyline.gaps:
        moments += [(gap.window, IS_UNKNOWN) for gap in storyline.gaps]
        moments.sort(key=lambda moment: moment[0].start_cs)
    happenings = [f"{print_span(window)}: {text}" for window, text in moments]
    about_gaps = ["", ABOUT_GAPS] if storyline.gaps else []
    requests = [f"{number}. {kind}, {form}" for number, (kind, form) in enumerate(slots, 1)]
    length = f"The video lasts {print_seconds(video.duration_cs)} seconds. What happens in it:"
    return "\n".join([length, *happenings, *about_gaps]) + "\n\n" + "\n".join(["Write these questions:", *requests])


def drafts(
    video: Video,
    gaps: tuple[Window, ...],
    reply: WriteReply,
    request: Id,
    writer: str,
    slots: list[tuple[QuestionType, Form]],
) -> tuple[QuestionDraft, ...]:
    """Drafts from a reply, each with the first fault of its text."""
    slots_left, made_drafts = Counter(kind for kind, _ in slots), list[QuestionDraft]()
    sound_questions: list[str] = []
    for index, written in enumerate(reply.questions):
        windows = _windows(written, video)
        text_fault = fault(written, windows, slots_left[written.type] > 0, sound_questions)
        if not text_fault and overlap_cs(windows, gaps):
            text_fault = IN_GAP
        if not text_fault:
            slots_left[written.type] -= 1
            sound_questions.append(written.question)
        grounded = written.form == "grounded" and windows
        made_drafts.append(
            QuestionDraft(
                video.id,
                index,
                written.type,
                written.form,
                " ".join(written.question.split()),
                written.options,
                print_span(windows[0]) if grounded else written.answer.strip(),
                windows,
                "any" if grounded else written.needs,
                written.difficulty,
                Fraction(written.fps).limit_denominator(MAX_FPS),
                writer,
                request,
                text_fault,
            )
        )
    return tuple(made_drafts)


def _windows(written: Written, video: Video) -> tuple[Window, ...]:
    """The windows of a question, cut to the video's length; those outside it are dropped."""
    video_window = Window(0, video.duration_cs)
    windows = (span.window() for span in written.windows)
    inside = (within(window, video_window) for window in windows if window is not None)
    return tuple(sorted((window for window in inside if window is not None), key=lambda window: window.start_cs))


def _apportioned(weights: dict[Kind, float], count: int, rng: Random) -> list[Kind]:
    """`count` names, each in proportion to its weight; remainders are drawn."""
    total = sum(weights.values())
    # in alphabetical order: the order in a recipe must not matter
    shares = {name: count * weight / total for name, weight in sorted(weights.items()) if weight > 0}
    names = [name for name, share in shares.items() for _ in range(int(share))]
    remainders = {name: share % 1 for name, share in shares.items()}
    while len(names) < count:
        name = rng.choices(list(remainders), [max(share, 1e-9) for share in remainders.values()])[0]
        names.append(name)
        remainders[name] = 0.0
    return names
