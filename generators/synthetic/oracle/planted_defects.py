"""Planters of defects: each puts one named fault into an otherwise good reply, so that what a filter finds can be counted.

Every planter takes all its choices from the `Random` that it is given, and returns None where its fault makes no sense.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise, product
from math import floor
from random import Random
from typing import Literal, TypeVar

from dmforge.schemas.looks import Window, print_seconds, print_span, read_span
from dmforge.schemas.records import TaskKind
from dmforge.schemas.replies import AnswerReply, LookReply
from dmforge.schemas.scoring import choice, matches, number
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.window_gaps import gaps_between

R = TypeVar("R", LookReply, AnswerReply)

STAMP_ERROR_CS = 10
"""A printed stamp is up to 5 cs off, and so is half the distance of two: a time farther off than both together is really
off."""
OUTSIDE_CS = 100
"""A cited time so far outside the shown window is no matter of rounding."""
LOW_FPS = tuple(map(Decimal, ("0.5", "0.25", "0.2", "0.1", "0.05")))
COLOUR_WORDS = ("red", "green", "blue", "yellow", "purple", "cyan")
KINDRED = (
    COLOUR_WORDS,
    ("circle", "square", "triangle", "diamond"),
    ("left", "right", "up", "down"),
    ("yes", "no"),
    ("the first", "the second", "both", "neither"),
    tuple(f"{first} then {second}" for first, second in product(COLOUR_WORDS, repeat=2)),
)
"""Sets of similar answers: a wrong answer to an open question is from gold's set, since anything else is too easy to find."""
OF_NO_KIND = ("a wooden ladder", "an empty room", "two parked bicycles")
LEAKS = (
    "The correct answer is given as {answer}, so this is what I am looking for.",
    "The ground truth says {answer}.",
    "According to the annotation, it is {answer}.",
    "Since the expected answer is {answer}, nothing else needs to be considered.",
)
SPAN_LEAKS = (
    "The ground truth says when this is, so there is nothing to search for.",
    "According to the annotation, this is the right part of the video.",
    "As the correct answer is given, I only need to confirm it.",
)
"""Leaks for grounding: quoting a span would cite two times, which is a second fault."""
CITATIONS = ("One sees this best at {time} seconds.", "What the frame at {time} seconds shows tells the most.")
BROKEN_TAGS = (
    *(*OPEN.values(), *CLOSE.values(), CLOSE["think"] + OPEN["answer"]),
    *(f"{OPEN['fps']}2{CLOSE['fps']}", f"{OPEN['span']}1.00 - 2.00{CLOSE['span']}"),
)
"""Texts of one tag or two: a look has four, so wherever one of these stands, the trajectory is malformed."""
BLANKS = ("", " ", "\n", " \n\t\n ")
FOREIGN = (
    "画面中可以看到一个物体在背景前慢慢发生变化、因此需要更仔细地观察这一段。随后的画面清楚地说明了问题的答案。",
    "En las imágenes se ve un objeto que cambia poco a poco, así que conviene mirarlo más de cerca. Lo demás queda claro.",
    "Здесь виден предмет, который постепенно меняется, поэтому этот отрезок стоит рассмотреть внимательнее.",
    "चित्रों में एक वस्तु दिखाई देती है जो धीरे-धीरे बदलती है, इसलिए इस भाग को ध्यान से देखना होगा। बाकी सब स्पष्ट है।",
)
SOUNDS = ("A bell can be heard just then.", "The voice of the speaker confirms it.", "The sound alone tells it.")
UNSAFE = (
    "People like her are worth nothing and should be beaten until they leave.",
    "His name is Peter Example, he lives at 12 Mill Lane, and anyone may ring him at 555 0142.",
    "Whoever wants to hurt a neighbour can do it in just this way, and nobody would find out.",
)
EXPLANATIONS = ("\nThe closer frames leave no doubt about it.", ", because the closer frames show nothing else.")
"""None begins with a full stop: "B. It is ..." would be read as a letter with the text of its option."""


@dataclass(frozen=True, slots=True)
class DefectContext:
    """The request and its gold answer, as a planter of defects knows them."""

    kind: TaskKind
    options: tuple[str, ...]
    answer: str
    """The gold answer."""
    windows: tuple[Window, ...]
    """The gold windows, where the answer shows; empty for a question that needs no video."""
    duration_cs: int
    stamps: tuple[str, ...]
    """As printed over the frames that were shown: `<1.2 seconds>`."""
    shown_windows: tuple[Window, ...]
    """The windows of the closer looks; none while only the coarse clip was shown."""


LookPlanter = Callable[[LookReply, DefectContext, Random], LookReply | None]
AnswerPlanter = Callable[[AnswerReply, DefectContext, Random], AnswerReply | None]
TextPlanter = Callable[[str, DefectContext, Random], str | None]
"""Makes a defective thought or answer from a good one."""


def window_length_cs(window: Window) -> int:
    return window.end_cs - window.start_cs


def window_off_gold(gold_windows: tuple[Window, ...], duration_cs: int, length_cs: int, rng: Random) -> Window | None:
    """A window that overlaps no gold; where gold fills the video, one too short for an IoU of .1 with any of it."""
    gaps_without_gold = gaps_between(gold_windows, 0, duration_cs)
    if not gaps_without_gold:
        gaps_without_gold, length_cs = [Window(0, duration_cs)], min(length_cs, min(map(window_length_cs, gold_windows)) // 11)
    length_cs = min(length_cs, max(map(window_length_cs, gaps_without_gold)))
    if length_cs < 1:
        return None
    free_gap = rng.choice([gap for gap in gaps_without_gold if window_length_cs(gap) >= length_cs])
    start_cs = rng.randint(free_gap.start_cs, free_gap.end_cs - length_cs)
    return Window(start_cs, start_cs + length_cs)


def _looking_at(reply: LookReply, window: Window) -> LookReply:
    start_s, end_s = (Decimal(print_seconds(time_cs)) for time_cs in (window.start_cs, window.end_cs))
    return reply.model_copy(update={"start_s": start_s, "end_s": end_s})


def _wrong_window(reply: LookReply, situation: DefectContext, rng: Random) -> LookReply | None:
    length_cs = round(reply.end_s * 100) - round(reply.start_s * 100)
    wrong_look_window = window_off_gold(situation.windows, situation.duration_cs, length_cs, rng) if situation.windows else None
    return None if wrong_look_window is None else _looking_at(reply, wrong_look_window)


def _window_past_end(reply: LookReply, situation: DefectContext, rng: Random) -> LookReply | None:
    if reply.start_s * 100 >= situation.duration_cs:
        return None
    end_cs = situation.duration_cs + max(500, situation.duration_cs // 4) + rng.randrange(1000)
    return reply.model_copy(update={"end_s": Decimal(print_seconds(end_cs))})


def _needless_density(reply: LookReply, situation: DefectContext, rng: Random) -> LookReply | None:
    needless_fps = max(Decimal(12), 3 * reply.fps)
    return reply.model_copy(update={"fps": needless_fps}) if needless_fps <= 1000 else None


def _low_density(reply: LookReply, situation: DefectContext, rng: Random) -> LookReply | None:
    lower_fps = [fps for fps in LOW_FPS if 2 * fps <= reply.fps]
    return reply.model_copy(update={"fps": rng.choice(lower_fps)}) if lower_fps else None


def _span_equals_answer(reply: LookReply, situation: DefectContext, rng: Random) -> LookReply | None:
    if situation.kind != "grounding" or not situation.windows:
        return None
    answer_windows = (
        candidate_window for candidate_window in situation.windows if print_span(candidate_window) == situation.answer
    )
    return _looking_at(reply, next(answer_windows, situation.windows[0]))


def _sentences(thought: str) -> list[str]:
    return re.split(r"(?<=[.!?]) ", thought)


def insert_text(inserted: str, thought: str, rng: Random) -> str:
    """Insert a text before, between or after the sentences of a thought."""
    sentences = _sentences(thought)
    sentences.insert(rng.randint(0, len(sentences)), inserted)
    return " ".join(sentences)


def _inserting(texts: tuple[str, ...]) -> TextPlanter:
    return lambda thought, situation, rng: insert_text(rng.choice(texts), thought, rng)


def _replacing_by(texts: tuple[str, ...]) -> TextPlanter:
    return lambda thought, situation, rng: rng.choice(texts)


def _leaked_gold(thought: str, situation: DefectContext, rng: Random) -> str:
    leak_text = rng.choice(SPAN_LEAKS if situation.kind == "grounding" else LEAKS)
    return insert_text(leak_text.format(answer=situation.answer), thought, rng)


def _repetition(thought: str, situation: DefectContext, rng: Random) -> str | None:
    sentences = [sentence for sentence in _sentences(thought) if sentence.strip()]
    return " ".join([rng.choice(sentences)] * rng.randint(12, 40)) if sentences else None


def _stamps_cs(situation: DefectContext, shown_window: Window | None = None) -> list[int]:
    """The times of all stamps, or of those over the frames of one window."""
    stamps_cs = sorted(int(Decimal(stamp_text.strip("<>").removesuffix(" seconds")) * 100) for stamp_text in situation.stamps)
    if shown_window is None:
        return stamps_cs
    start_cs, end_cs = shown_window.start_cs - STAMP_ERROR_CS, shown_window.end_cs + STAMP_ERROR_CS
    return [stamp_cs for stamp_cs in stamps_cs if start_cs <= stamp_cs <= end_cs]


def _patch_reach_cs(stamps_cs: list[int]) -> int:
    """The distance from a stamp beyond which a time isn't on its patch: half the widest distance of two neighbours."""
    return max((later_cs - earlier_cs for earlier_cs, later_cs in pairwise(stamps_cs)), default=0) // 2 + STAMP_ERROR_CS


def _cite(thought: str, citable_windows: list[Window], rng: Random) -> str | None:
    if not citable_windows:
        return None
    drawn_window = rng.choice(citable_windows)
    time_text = print_seconds(rng.randrange(drawn_window.start_cs, drawn_window.end_cs))
    return insert_text(rng.choice(CITATIONS).format(time=time_text), thought, rng)


def _cited_off_stamps(thought: str, situation: DefectContext, rng: Random) -> str | None:
    """Cite a time inside a shown window but on no stamp. Between even stamps there is none: often only the edges have
    room."""
    shown_windows = situation.shown_windows or (Window(0, situation.duration_cs),)
    stamps_of_clips = [_stamps_cs(situation, shown_window) for shown_window in shown_windows]
    if any(len(stamps_cs) < 2 for stamps_cs in stamps_of_clips):  # the reach of a single patch is unknown
        return None
    reach_cs = max(map(_patch_reach_cs, stamps_of_clips))
    stamp_windows = tuple(
        Window(max(0, stamp_cs - reach_cs), stamp_cs + reach_cs + 1)
        for stamp_cs in sorted(stamp_cs for stamps_cs in stamps_of_clips for stamp_cs in stamps_cs)
    )
    citable_windows = [
        gap
        for shown_window in shown_windows
        for gap in gaps_between(stamp_windows, shown_window.start_cs, min(shown_window.end_cs, situation.duration_cs))
    ]
    return _cite(thought, citable_windows, rng)


def _cited_outside_window(thought: str, situation: DefectContext, rng: Random) -> str | None:
    if not situation.shown_windows:
        return None
    stamps_of_clips = [_stamps_cs(situation, shown_window) for shown_window in situation.shown_windows]
    margin_cs = max(OUTSIDE_CS, *map(_patch_reach_cs, stamps_of_clips))
    padded_windows = [
        Window(max(0, shown_window.start_cs - margin_cs), shown_window.end_cs + margin_cs)
        for shown_window in situation.shown_windows
    ]
    return _cite(thought, gaps_between(padded_windows, 0, situation.duration_cs), rng)


def _cited_past_end(thought: str, situation: DefectContext, rng: Random) -> str | None:
    """Cite a time after the end: the coarse clip shows the whole video, so only that is outside."""
    start_cs = situation.duration_cs + max(OUTSIDE_CS, _patch_reach_cs(_stamps_cs(situation)))
    return _cite(thought, [Window(start_cs, start_cs + 2_000)], rng)


def _wrong_span(situation: DefectContext, rng: Random) -> str | None:
    answer_bounds_cs = read_span(situation.answer)
    gold_windows = (
        *situation.windows,
        *([Window(*answer_bounds_cs)] if answer_bounds_cs and answer_bounds_cs[0] < answer_bounds_cs[1] else ()),
    )
    wrong_answer_window = (
        window_off_gold(gold_windows, situation.duration_cs, window_length_cs(gold_windows[0]), rng) if gold_windows else None
    )
    return None if wrong_answer_window is None else print_span(wrong_answer_window)


def _similar_answers(situation: DefectContext) -> tuple[str, ...]:
    """Answers similar to gold, which may include it."""
    if situation.options:
        return situation.options
    answer_number = number(situation.answer)
    if answer_number is not None:
        whole_number = floor(answer_number)
        return tuple(map(str, (*range(max(0, whole_number - 1), whole_number), whole_number + 1, whole_number + 2)))
    return next(
        (
            similar_words
            for similar_words in KINDRED
            if any(matches(situation.answer, similar_word) for similar_word in similar_words)
        ),
        OF_NO_KIND,
    )


def _wrong_answer(answer: str, situation: DefectContext, rng: Random) -> str | None:
    """An answer that agrees neither with gold nor with the reply's answer."""
    if situation.kind == "grounding":
        return _wrong_span(situation, rng)
    answers_given = (situation.answer, answer)
    wrong_candidates = [
        similar_answer
        for similar_answer in _similar_answers(situation)
        if not any(matches(similar_answer, earlier_answer, situation.options) for earlier_answer in answers_given)
    ]
    return rng.choice(wrong_candidates) if wrong_candidates else None


def _doubled_answer(answer: str, situation: DefectContext, rng: Random) -> str | None:
    wrong_answer = _wrong_answer(answer, situation, rng)
    if wrong_answer is None:
        return None
    joint_texts, answer_orders = (CLOSE["answer"] + OPEN["answer"], " or "), ((answer, wrong_answer), (wrong_answer, answer))
    joined_answers = (joint_text.join(two_answers) for joint_text in joint_texts for two_answers in answer_orders)
    # "(B) or red" is read as option B, and "red or blue" may itself be one
    unreadable_answers = [joined_answer for joined_answer in joined_answers if choice(joined_answer, situation.options) is None]
    return rng.choice(unreadable_answers) if unreadable_answers else None


def _text_after_answer(answer: str, situation: DefectContext, rng: Random) -> str:
    return answer + rng.choice(EXPLANATIONS)


def _planting_in(
    field: Literal["thought", "answer"], plant_text: TextPlanter
) -> Callable[[R, DefectContext, Random], R | None]:
    def planter(reply: R, situation: DefectContext, rng: Random) -> R | None:
        planted_text = plant_text(getattr(reply, field), situation, rng)
        return None if planted_text is None else reply.model_copy(update={field: planted_text})

    return planter


_THOUGHT_DEFECTS: dict[str, TextPlanter] = {
    "leaked_gold": _leaked_gold,
    "cited_off_stamps": _cited_off_stamps,
    "malformed_tags": _inserting(BROKEN_TAGS),
    "empty_thought": _replacing_by(BLANKS),
    "repetition": _repetition,
    "other_language": _replacing_by(FOREIGN),
    "needs_audio": _inserting(SOUNDS),
    "unsafe": _inserting(UNSAFE),
}

LOOK_DEFECTS: dict[str, LookPlanter] = {
    "wrong_window": _wrong_window,
    "window_past_end": _window_past_end,
    "needless_density": _needless_density,
    "low_density": _low_density,
    "span_equals_answer": _span_equals_answer,
    "cited_past_end_t1": _planting_in("thought", _cited_past_end),
    **{f"{name}_t1": _planting_in("thought", plant) for name, plant in _THOUGHT_DEFECTS.items()},
}

ANSWER_DEFECTS: dict[str, AnswerPlanter] = {
    "wrong_answer": _planting_in("answer", _wrong_answer),
    "missing_answer": _planting_in("answer", _replacing_by(("",))),
    "doubled_answer": _planting_in("answer", _doubled_answer),
    "text_after_answer": _planting_in("answer", _text_after_answer),
    "cited_outside_window_t2": _planting_in("thought", _cited_outside_window),
    **{f"{name}_t2": _planting_in("thought", plant) for name, plant in _THOUGHT_DEFECTS.items()},
}
