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
from dmforge.curation.lake.journal_seals import AnswerReference
from dmforge.generators.stages.segments import Storyline, within
from dmforge.generators.teacher.ask_stage import NO_READABLE_REPLY, RetryingConfig, RetryingStage
from dmforge.generators.teacher.expected_tokens import expected_usage
from dmforge.generators.teacher.interview import UnreadableReply
from dmforge.schemas.config import Later
from dmforge.schemas.drafting import fault
from dmforge.schemas.ids import Id, digest
from dmforge.schemas.looks import Window, print_seconds, print_span
from dmforge.schemas.record_fields import receipt
from dmforge.schemas.records import Joined, Needs, Record, TaskKind, Video
from dmforge.schemas.replies import MAX_FPS, Difficulty, Form, QuestionType, WriteReply, Written
from dmforge.schemas.scoring import overlap_cs
from dmforge.schemas.units import Index

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
    """The video that is asked about."""
    number: Index
    """Its index in the reply that it comes from."""
    type: QuestionType
    """What is asked for: an order, a count, a cause, ..."""
    form: Form
    """How it is to be answered: freely, by options, or by a window."""
    question: str
    """As it is asked, without its options."""
    options: tuple[str, ...]
    """In their order; empty for questions without any."""
    answer: str
    """The right one, as the writer says."""
    windows: tuple[Window, ...]
    """Where the video shows the answer, as the writer says."""
    needs: Needs
    """Whether any one of the windows shows it, or all together do."""
    difficulty: Difficulty
    """As the writer judges it."""
    fps: Fraction
    """The lowest density at which, says the writer, the windows still show the answer."""
    writer: str
    """The model that wrote it."""
    request: Id
    """The journal key of the answer it was made from."""
    fault: str
    """What is wrong with its text; empty where nothing is."""
    answers: tuple[Id, ...] = receipt(since=2)
    """The digest of what this answer says: the journal must say the same."""


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
        for setting_name, weights in (("types", self.types), ("forms", self.forms)):
            if not 0 < sum(weights.values()) < float("inf"):
                raise ValueError(f"`{setting_name}` asks for nothing: give one of them a weight above 0")
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
        question_slots = self._slots(item.video)
        prompt_text = brief(item.video, item.storyline, question_slots)
        usage = expected_usage(self.config, self.config.clips, WriteReply, item.video, None, prompt_text)
        usage = replace(usage, output_tokens=usage.output_tokens * len(question_slots) // self.config.per_video)
        return ExpectedCost(usage, self.config.price.usd(usage))

    async def process(self, item: StorylineWithVideo) -> Result:
        video, storyline = item.video, item.storyline
        if video is None:
            return Quarantined("no video", "the storyline's video is not in the lake")
        if not storyline.events and storyline.gaps:
            return Rejected("no event is known", f"not described are {'; '.join(map(str, storyline.gaps))}")
        if not storyline.events:
            return Rejected("nothing happens", "the teacher saw no event in any part")
        question_slots = self._slots(video)
        prompt_text = brief(video, storyline, question_slots)
        try:
            request, reply, teacher_model = await self.teacher.insist(
                WriteReply, video, None, prompt_text, self.attempts(item.id)
            )
        except UnreadableReply as error:
            return self.rejected(item.id, NO_READABLE_REPLY, str(error))
        gap_windows = tuple(gap.window for gap in storyline.gaps)
        return Made(drafts(video, gap_windows, reply, request, teacher_model, question_slots))

    def _slots(self, video: Video) -> list[tuple[QuestionType, Form]]:
        """Types and forms in proportion to their weights; remainders are drawn, always alike for a video."""
        rng = Random(digest("questions", [self.config.seed, video.id]))
        question_count = min(MAX_QUESTIONS, self.config.per_video + int(self.config.per_minute * video.duration_cs / 6000))
        question_types = _apportioned(self.config.types, question_count, rng)
        question_forms = _apportioned(self.config.forms, question_count, rng)
        rng.shuffle(question_forms)
        return list(zip(question_types, question_forms, strict=True))


def brief(video: Video, storyline: Storyline, slots: list[tuple[QuestionType, Form]]) -> str:
    """The text for the writer: what happens, what is unknown, and which questions to write."""
    window_texts = [(event.window, event.what) for event in storyline.events]
    if storyline.gaps:
        window_texts += [(gap.window, IS_UNKNOWN) for gap in storyline.gaps]
        window_texts.sort(key=lambda window_text: window_text[0].start_cs)
    happening_lines = [f"{print_span(window)}: {moment_text}" for window, moment_text in window_texts]
    about_gaps = ["", ABOUT_GAPS] if storyline.gaps else []
    request_lines = [f"{slot_number}. {question_type}, {form}" for slot_number, (question_type, form) in enumerate(slots, 1)]
    length_text = f"The video lasts {print_seconds(video.duration_cs)} seconds. What happens in it:"
    return (
        "\n".join([length_text, *happening_lines, *about_gaps]) + "\n\n" + "\n".join(["Write these questions:", *request_lines])
    )


def drafts(
    video: Video,
    gaps: tuple[Window, ...],
    reply: WriteReply,
    request: AnswerReference,
    writer: str,
    slots: list[tuple[QuestionType, Form]],
) -> tuple[QuestionDraft, ...]:
    """Drafts from a reply, each with the first fault of its text."""
    slots_left_by_type, made_drafts = Counter(question_type for question_type, _ in slots), list[QuestionDraft]()
    sound_questions: list[str] = []
    for question_index, written_question in enumerate(reply.questions):
        windows = _windows(written_question, video)
        text_fault = fault(written_question, windows, slots_left_by_type[written_question.type] > 0, sound_questions)
        if not text_fault and overlap_cs(windows, gaps):
            text_fault = IN_GAP
        if not text_fault:
            slots_left_by_type[written_question.type] -= 1
            sound_questions.append(written_question.question)
        is_grounded = written_question.form == "grounded" and windows
        made_drafts.append(
            QuestionDraft(
                video.id,
                question_index,
                written_question.type,
                written_question.form,
                " ".join(written_question.question.split()),
                written_question.options,
                print_span(windows[0]) if is_grounded else written_question.answer.strip(),
                windows,
                "any" if is_grounded else written_question.needs,
                written_question.difficulty,
                Fraction(written_question.fps).limit_denominator(MAX_FPS),
                writer,
                request.key,
                text_fault,
                answers=(request.reply_digest,),
            )
        )
    return tuple(made_drafts)


def _windows(written_question: Written, video: Video) -> tuple[Window, ...]:
    """The windows of a question, cut to the video's length; those outside it are dropped."""
    video_window = Window(0, video.duration_cs)
    optional_windows = (span.window() for span in written_question.windows)
    inside_windows = (within(window, video_window) for window in optional_windows if window is not None)
    return tuple(sorted((window for window in inside_windows if window is not None), key=lambda window: window.start_cs))


def _apportioned(weights: dict[Kind, float], count: int, rng: Random) -> list[Kind]:
    """`count` names, each in proportion to its weight; remainders are drawn."""
    weight_sum = sum(weights.values())
    # in alphabetical order: the order in a recipe must not matter
    share_by_kind = {
        kind_name: count * kind_weight / weight_sum for kind_name, kind_weight in sorted(weights.items()) if kind_weight > 0
    }
    kind_names = [kind_name for kind_name, kind_share in share_by_kind.items() for _ in range(int(kind_share))]
    remainder_by_kind = {kind_name: kind_share % 1 for kind_name, kind_share in share_by_kind.items()}
    while len(kind_names) < count:
        kind_name = rng.choices(list(remainder_by_kind), [max(remainder, 1e-9) for remainder in remainder_by_kind.values()])[0]
        kind_names.append(kind_name)
        remainder_by_kind[kind_name] = 0.0
    return kind_names
