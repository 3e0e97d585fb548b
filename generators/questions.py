"""Storylines become drafts: a teacher that knows what happens in a video writes questions of named types about it.

A draft is no task yet. What is wrong with its text is written down here; whether it can be answered without the video, and from
its clip, `admit` finds out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Annotated, TypeVar, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from dmforge.curation.accounts import Expected
from dmforge.curation.settled import Made, Quarantined, Rejected, Result
from dmforge.generators.segments import Event, Storyline, within
from dmforge.generators.teacher.asking import Asking, ShowingConfig
from dmforge.generators.teacher.interview import Unreadable, expected_usage
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
class Draft(Record):
    """A question as it was written."""

    kind = "draft"
    table = "drafts"

    video: Id
    number: int
    """In the reply that it comes from."""
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
class Told(Joined):
    """A storyline beside its video."""

    storyline: Storyline
    video: Video | None


class QuestionsConfig(ShowingConfig):
    """How many questions are wanted, and of what kind."""

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
        for name, weights in (("types", self.types), ("forms", self.forms)):
            if not 0 < sum(weights.values()) < float("inf"):
                raise ValueError(f"`{name}` asks for nothing: give one of them a weight above 0")
        return self


class Questions(Asking[Told, Draft]):
    """One question to the teacher a video; as many drafts as it wrote."""

    name, version = "questions", 1
    replies = (WriteReply,)
    config: QuestionsConfig

    def expected(self, item: Told) -> Expected | None:
        if item.video is None or not item.storyline.events:
            return None
        text = brief(item.video, item.storyline.events, self._wanted(item.video))
        used = expected_usage(self.config, self.config.clips, WriteReply, item.video, None, text)
        return Expected(used, self.config.price.usd(used))

    async def process(self, item: Told) -> Result:
        video = item.video
        if video is None:
            return Quarantined("no video", "the storyline's video is not in the lake")
        if not item.storyline.events:
            return Rejected("nothing happens", "the teacher saw no event in any part")
        wanted = self._wanted(video)
        text = brief(video, item.storyline.events, wanted)
        try:
            request, reply = await self.teacher.insist(WriteReply, video, None, text, range(self.config.attempts))
        except Unreadable as error:
            return Rejected("no readable reply", str(error))
        return Made(drafts(video, reply, request, self.teacher.model, wanted))

    def _wanted(self, video: Video) -> list[tuple[QuestionType, Form]]:
        """Types and forms in proportion to their weights; chance, always the same for a video, decides on what is left over."""
        draw = Random(digest("questions", [self.config.seed, video.id]))
        types = _shared_out(self.config.types, self.config.per_video, draw)
        forms = _shared_out(self.config.forms, self.config.per_video, draw)
        draw.shuffle(forms)
        return list(zip(types, forms, strict=True))


def brief(video: Video, events: tuple[Event, ...], wanted: list[tuple[QuestionType, Form]]) -> str:
    """What the writer is told: what happens, and what is wanted."""
    told = [f"{print_span(event.window)}: {event.what}" for event in events]
    asked = [f"{number}. {kind}, {form}" for number, (kind, form) in enumerate(wanted, 1)]
    length = f"The video lasts {print_seconds(video.duration_cs)} seconds. What happens in it:"
    return "\n".join([length, *told]) + "\n\n" + "\n".join(["Write these questions:", *asked])


def drafts(
    video: Video, reply: WriteReply, request: Id, writer: str, wanted: list[tuple[QuestionType, Form]]
) -> tuple[Draft, ...]:
    """What was written, each with the first thing that is wrong with it."""
    left, made = Counter(kind for kind, _ in wanted), list[Draft]()
    sound: list[str] = []
    for number, written in enumerate(reply.questions):
        windows = _windows(written, video)
        wrong = fault(written, windows, left[written.type] > 0, sound)
        if not wrong:
            left[written.type] -= 1
            sound.append(written.question)
        grounded = written.form == "grounded" and windows
        made.append(
            Draft(
                video.id,
                number,
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
                wrong,
            )
        )
    return tuple(made)


def _windows(written: Written, video: Video) -> tuple[Window, ...]:
    """Those that lie in the video, as far as they do."""
    whole = Window(0, video.duration_cs)
    told = (span.window() for span in written.windows)
    inside = (within(window, whole) for window in told if window is not None)
    return tuple(sorted((window for window in inside if window is not None), key=lambda window: window.start_cs))


def _shared_out(weights: dict[Kind, float], number: int, draw: Random) -> list[Kind]:
    """So many names, each as often as its weight says; what doesn't come out even is drawn."""
    whole = sum(weights.values())
    # in the order of the alphabet: that of a recipe is no part of the work key
    shares = {name: number * weight / whole for name, weight in sorted(weights.items()) if weight > 0}
    found = [name for name, share in shares.items() for _ in range(int(share))]
    rest = {name: share % 1 for name, share in shares.items()}
    while len(found) < number:
        name = draw.choices(list(rest), [max(share, 1e-9) for share in rest.values()])[0]
        found.append(name)
        rest[name] = 0.0
    return found
