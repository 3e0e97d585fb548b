"""Writes drafts of questions: a teacher that knows a video's storyline is asked for questions of given types about it.

A draft is no task yet. What is wrong with its text is recorded here; whether it can be answered without the video, and from
its clip, is measured by `admit`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Annotated, TypeVar, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from dmforge.curation.contract.budget import ExpectedCost
from dmforge.curation.contract.stage_results import Made, Quarantined, Rejected, Result
from dmforge.generators.stages.segments import Event, Storyline, within
from dmforge.generators.teacher.ask_stage import ShowingConfig, TeacherStage
from dmforge.generators.teacher.interview import UnreadableReply, expected_usage
from dmforge.schemas.drafting import fault
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Window, print_seconds, print_span
from dmforge.schemas.records import Joined, Needs, Record, TaskKind, Video
from dmforge.schemas.replies import MAX_FPS, Difficulty, Form, QuestionType, WriteReply, Written

TYPES: tuple[QuestionType, ...] = get_args(QuestionType)
FORMS: tuple[Form, ...] = get_args(Form)
KINDS: dict[Form, TaskKind] = {"open": "open", "mcq": "grounded_mcq", "grounded": "grounding"}
"""The kind of task that a draft becomes: each knows its windows."""
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


class QuestionsConfig(ShowingConfig):
    """Settings of how many questions are asked for, and of what kind."""

    per_video: Annotated[int, Field(ge=1, le=50)] = 6
    """How many questions are asked for."""
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
        for field_name, weights in (("types", self.types), ("forms", self.forms)):
            if not 0 < sum(weights.values()) < float("inf"):
                raise ValueError(f"`{field_name}` asks for nothing: give one of them a weight above 0")
        return self


class Questions(TeacherStage[StorylineWithVideo, QuestionDraft]):
    """One request to the teacher for each video; as many drafts as it wrote."""

    name, version = "questions", 1
    replies = (WriteReply,)
    config: QuestionsConfig

    def expected(self, item: StorylineWithVideo) -> ExpectedCost | None:
        if item.video is None or not item.storyline.events:
            return None
        prompt_text = brief(item.video, item.storyline.events, self._slots(item.video))
        usage = expected_usage(self.config, self.config.clips, WriteReply, item.video, None, prompt_text)
        return ExpectedCost(usage, self.config.price.usd(usage))

    async def process(self, item: StorylineWithVideo) -> Result:
        video = item.video
        if video is None:
            return Quarantined("no video", "the storyline's video is not in the lake")
        if not item.storyline.events:
            return Rejected("nothing happens", "the teacher saw no event in any part")
        requested_slots = self._slots(video)
        prompt_text = brief(video, item.storyline.events, requested_slots)
        try:
            request, reply = await self.teacher.insist(WriteReply, video, None, prompt_text, range(self.config.attempts))
        except UnreadableReply as error:
            return Rejected("no readable reply", str(error))
        return Made(drafts(video, reply, request, self.teacher.model, requested_slots))

    def _slots(self, video: Video) -> list[tuple[QuestionType, Form]]:
        """Types and forms in proportion to their weights; remainders are drawn, always alike for a video."""
        rng = Random(digest("questions", [self.config.seed, video.id]))
        types = _apportioned(self.config.types, self.config.per_video, rng)
        forms = _apportioned(self.config.forms, self.config.per_video, rng)
        rng.shuffle(forms)
        return list(zip(types, forms, strict=True))


def brief(video: Video, events: tuple[Event, ...], requested_slots: list[tuple[QuestionType, Form]]) -> str:
    """The text for the writer: what happens, and which questions to write."""
    happenings = [f"{print_span(event.window)}: {event.what}" for event in events]
    request_lines = [
        f"{slot_number}. {question_type}, {form}" for slot_number, (question_type, form) in enumerate(requested_slots, 1)
    ]
    length_sentence = f"The video lasts {print_seconds(video.duration_cs)} seconds. What happens in it:"
    return "\n".join([length_sentence, *happenings]) + "\n\n" + "\n".join(["Write these questions:", *request_lines])


def drafts(
    video: Video, reply: WriteReply, request: Id, writer: str, requested_slots: list[tuple[QuestionType, Form]]
) -> tuple[QuestionDraft, ...]:
    """Drafts from a reply, each with the first fault of its text."""
    slots_left, made_drafts = Counter(question_type for question_type, _ in requested_slots), list[QuestionDraft]()
    sound_questions: list[str] = []
    for question_index, written in enumerate(reply.questions):
        windows = _windows(written, video)
        text_fault = fault(written, windows, slots_left[written.type] > 0, sound_questions)
        if not text_fault:
            slots_left[written.type] -= 1
            sound_questions.append(written.question)
        is_grounded = written.form == "grounded" and windows
        made_drafts.append(
            QuestionDraft(
                video.id,
                question_index,
                written.type,
                written.form,
                " ".join(written.question.split()),
                written.options,
                print_span(windows[0]) if is_grounded else written.answer.strip(),
                windows,
                "any" if is_grounded else written.needs,
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
    windows_inside = (within(window, video_window) for window in windows if window is not None)
    return tuple(sorted((window for window in windows_inside if window is not None), key=lambda window: window.start_cs))


def _apportioned(weights: dict[Kind, float], draw_count: int, rng: Random) -> list[Kind]:
    """`draw_count` names, each in proportion to its weight; remainders are drawn."""
    total_weight = sum(weights.values())
    # in alphabetical order: the order in a recipe must not matter
    share_by_name = {name: draw_count * weight / total_weight for name, weight in sorted(weights.items()) if weight > 0}
    names = [name for name, exact_share in share_by_name.items() for _ in range(int(exact_share))]
    remainders = {name: exact_share % 1 for name, exact_share in share_by_name.items()}
    while len(names) < draw_count:
        name = rng.choices(list(remainders), [max(exact_share, 1e-9) for exact_share in remainders.values()])[0]
        names.append(name)
        remainders[name] = 0.0
    return names
