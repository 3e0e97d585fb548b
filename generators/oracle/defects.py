"""A planted defect is one named fault in an otherwise good reply, so that what a filter finds can be counted.

Every planter owes all its choices to the `Random` it is given, and returns None where its fault makes no sense.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, pairwise
from math import floor
from random import Random
from typing import Literal, TypeVar

from dmforge.schemas.looks import Window, print_seconds, print_span, read_span
from dmforge.schemas.records import TaskKind
from dmforge.schemas.replies import AnswerReply, LookReply
from dmforge.schemas.scoring import choice, matches, number
from dmforge.schemas.tags import CLOSE, OPEN

R = TypeVar("R", LookReply, AnswerReply)

STAMP_ERROR_CS = 10
"""A printed stamp is up to 5 cs off, and so is half the distance of two: who is farther than by this is so in truth too."""
OUTSIDE_CS = 100
"""Evidence this far from the shown window isn't there by rounding."""
LOW_FPS = tuple(map(Decimal, ("0.5", "0.25", "0.2", "0.1", "0.05")))
KINDRED = (
    ("red", "green", "blue", "yellow", "purple", "cyan"),
    ("circle", "square", "triangle", "diamond"),
    ("left", "right", "up", "down"),
    ("yes", "no"),
)
"""A wrong answer to an open question is of the gold answer's kind: anything else would be too easy to find."""
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
"""For grounding: to quote a span would be to cite two times, a second fault."""
CITATIONS = ("One sees this best at {time} seconds.", "What the frame at {time} seconds shows tells the most.")
BROKEN_TAGS = (
    *(*OPEN.values(), *CLOSE.values(), CLOSE["think"] + OPEN["answer"]),
    *(f"{OPEN['fps']}2{CLOSE['fps']}", f"{OPEN['span']}1.00 - 2.00{CLOSE['span']}"),
)
"""One tag or two: a look has four, so wherever one of these stands, no well-formed trajectory comes of it."""
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
class Situation:
    """What a planter knows about the request whose reply it spoils."""

    kind: TaskKind
    options: tuple[str, ...]
    answer: str
    """Gold."""
    windows: tuple[Window, ...]
    """Where the answer shows, gold; empty for a question that needs no video."""
    duration_cs: int
    stamps: tuple[str, ...]
    """As printed over the frames that were shown: `<1.2 seconds>`."""
    shown: Window | None
    """The window of the closer look; None while only the coarse clip was shown."""


LookPlanter = Callable[[LookReply, Situation, Random], LookReply | None]
AnswerPlanter = Callable[[AnswerReply, Situation, Random], AnswerReply | None]
TextPlanter = Callable[[str, Situation, Random], str | None]
"""Spoils the thought or the answer of a reply."""


def _length_cs(window: Window) -> int:
    return window.end_cs - window.start_cs


def _gaps(taken: tuple[Window, ...], start_cs: int, end_cs: int) -> list[Window]:
    """What the windows leave free between two times, in order."""
    ordered = sorted(taken, key=lambda window: window.start_cs)
    begins = accumulate((window.end_cs for window in ordered), max, initial=start_cs)
    ends = (*(min(window.start_cs, end_cs) for window in ordered), end_cs)
    return [Window(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def _miss(gold: tuple[Window, ...], duration_cs: int, length_cs: int, draw: Random) -> Window | None:
    """A window that meets no gold; where gold fills the video, one too short for an IoU of .1 with any of it."""
    gaps = _gaps(gold, 0, duration_cs)
    if not gaps:
        gaps, length_cs = [Window(0, duration_cs)], min(length_cs, min(map(_length_cs, gold)) // 11)
    length_cs = min(length_cs, max(map(_length_cs, gaps)))
    if length_cs < 1:
        return None
    gap = draw.choice([gap for gap in gaps if _length_cs(gap) >= length_cs])
    start_cs = draw.randint(gap.start_cs, gap.end_cs - length_cs)
    return Window(start_cs, start_cs + length_cs)


def _looking_at(reply: LookReply, window: Window) -> LookReply:
    start_s, end_s = (Decimal(print_seconds(time_cs)) for time_cs in (window.start_cs, window.end_cs))
    return reply.model_copy(update={"start_s": start_s, "end_s": end_s})


def _wrong_window(reply: LookReply, situation: Situation, draw: Random) -> LookReply | None:
    length_cs = round(reply.end_s * 100) - round(reply.start_s * 100)
    window = _miss(situation.windows, situation.duration_cs, length_cs, draw) if situation.windows else None
    return None if window is None else _looking_at(reply, window)


def _window_past_end(reply: LookReply, situation: Situation, draw: Random) -> LookReply | None:
    if reply.start_s * 100 >= situation.duration_cs:
        return None
    end_cs = situation.duration_cs + max(500, situation.duration_cs // 4) + draw.randrange(1000)
    return reply.model_copy(update={"end_s": Decimal(print_seconds(end_cs))})


def _needless_density(reply: LookReply, situation: Situation, draw: Random) -> LookReply | None:
    fps = max(Decimal(12), 3 * reply.fps)
    return reply.model_copy(update={"fps": fps}) if fps <= 1000 else None


def _low_density(reply: LookReply, situation: Situation, draw: Random) -> LookReply | None:
    lower = [fps for fps in LOW_FPS if 2 * fps <= reply.fps]
    return reply.model_copy(update={"fps": draw.choice(lower)}) if lower else None


def _span_equals_answer(reply: LookReply, situation: Situation, draw: Random) -> LookReply | None:
    if situation.kind != "grounding" or not situation.windows:
        return None
    answered = (window for window in situation.windows if print_span(window) == situation.answer)
    return _looking_at(reply, next(answered, situation.windows[0]))


def _sentences(thought: str) -> list[str]:
    return re.split(r"(?<=[.!?]) ", thought)


def _put(text: str, thought: str, draw: Random) -> str:
    """Before, between or after the sentences, which stay as they are."""
    sentences = _sentences(thought)
    sentences.insert(draw.randint(0, len(sentences)), text)
    return " ".join(sentences)


def _putting(texts: tuple[str, ...]) -> TextPlanter:
    return lambda thought, situation, draw: _put(draw.choice(texts), thought, draw)


def _replacing_by(texts: tuple[str, ...]) -> TextPlanter:
    return lambda thought, situation, draw: draw.choice(texts)


def _leaked_gold(thought: str, situation: Situation, draw: Random) -> str:
    leak = draw.choice(SPAN_LEAKS if situation.kind == "grounding" else LEAKS)
    return _put(leak.format(answer=situation.answer), thought, draw)


def _repetition(thought: str, situation: Situation, draw: Random) -> str | None:
    sentences = [sentence for sentence in _sentences(thought) if sentence.strip()]
    return " ".join([draw.choice(sentences)] * draw.randint(12, 40)) if sentences else None


def _stamps_cs(situation: Situation) -> list[int]:
    return sorted(int(Decimal(stamp.strip("<>").removesuffix(" seconds")) * 100) for stamp in situation.stamps)


def _reach_cs(stamps_cs: list[int]) -> int:
    """Farther than this from a stamp, and a time isn't on its patch: half the widest distance of two neighbours."""
    return max((later - stamp for stamp, later in pairwise(stamps_cs)), default=0) // 2 + STAMP_ERROR_CS


def _cite(thought: str, places: list[Window], draw: Random) -> str | None:
    if not places:
        return None
    place = draw.choice(places)
    time = print_seconds(draw.randrange(place.start_cs, place.end_cs))
    return _put(draw.choice(CITATIONS).format(time=time), thought, draw)


def _cited_off_stamps(thought: str, situation: Situation, draw: Random) -> str | None:
    """Inside what was shown. Every time between even stamps is on one of them: often only the edges have room."""
    stamps_cs, area = _stamps_cs(situation), situation.shown or Window(0, situation.duration_cs)
    if len(stamps_cs) < 2:  # how far a lone patch reaches isn't said anywhere
        return None
    reach_cs = _reach_cs(stamps_cs)
    near = tuple(Window(max(0, stamp_cs - reach_cs), stamp_cs + reach_cs + 1) for stamp_cs in stamps_cs)
    return _cite(thought, _gaps(near, area.start_cs, min(area.end_cs, situation.duration_cs)), draw)


def _cited_outside_window(thought: str, situation: Situation, draw: Random) -> str | None:
    if situation.shown is None:
        return None
    margin_cs = max(OUTSIDE_CS, _reach_cs(_stamps_cs(situation)))
    near = Window(max(0, situation.shown.start_cs - margin_cs), situation.shown.end_cs + margin_cs)
    return _cite(thought, _gaps((near,), 0, situation.duration_cs), draw)


def _cited_past_end(thought: str, situation: Situation, draw: Random) -> str | None:
    """The coarse clip shows the whole video: only what comes after it is outside."""
    start_cs = situation.duration_cs + max(OUTSIDE_CS, _reach_cs(_stamps_cs(situation)))
    return _cite(thought, [Window(start_cs, start_cs + 2_000)], draw)


def _wrong_span(situation: Situation, draw: Random) -> str | None:
    times = read_span(situation.answer)
    gold = (*situation.windows, *([Window(*times)] if times and times[0] < times[1] else ()))
    window = _miss(gold, situation.duration_cs, _length_cs(gold[0]), draw) if gold else None
    return None if window is None else print_span(window)


def _kindred(situation: Situation) -> tuple[str, ...]:
    """Answers of the gold answer's kind, with or without it."""
    if situation.options:
        return situation.options
    count = number(situation.answer)
    if count is not None:
        whole = floor(count)
        return tuple(map(str, (*range(max(0, whole - 1), whole), whole + 1, whole + 2)))
    return next((words for words in KINDRED if any(matches(situation.answer, word) for word in words)), OF_NO_KIND)


def _wrong_answer(answer: str, situation: Situation, draw: Random) -> str | None:
    """One that says neither what is gold nor what was answered."""
    if situation.kind == "grounding":
        return _wrong_span(situation, draw)
    said = (situation.answer, answer)
    others = [other for other in _kindred(situation) if not any(matches(other, text, situation.options) for text in said)]
    return draw.choice(others) if others else None


def _doubled_answer(answer: str, situation: Situation, draw: Random) -> str | None:
    other = _wrong_answer(answer, situation, draw)
    if other is None:
        return None
    joints, orders = (CLOSE["answer"] + OPEN["answer"], " or "), ((answer, other), (other, answer))
    texts = (joint.join(both) for joint in joints for both in orders)
    # "(B) or red" is read as option B, and "red or blue" may itself be one
    doubled = [text for text in texts if choice(text, situation.options) is None]
    return draw.choice(doubled) if doubled else None


def _text_after_answer(answer: str, situation: Situation, draw: Random) -> str:
    return answer + draw.choice(EXPLANATIONS)


def _in(field: Literal["thought", "answer"], plant: TextPlanter) -> Callable[[R, Situation, Random], R | None]:
    def planter(reply: R, situation: Situation, draw: Random) -> R | None:
        text = plant(getattr(reply, field), situation, draw)
        return None if text is None else reply.model_copy(update={field: text})

    return planter


_THOUGHT_DEFECTS: dict[str, TextPlanter] = {
    "leaked_gold": _leaked_gold,
    "cited_off_stamps": _cited_off_stamps,
    "malformed_tags": _putting(BROKEN_TAGS),
    "empty_thought": _replacing_by(BLANKS),
    "repetition": _repetition,
    "other_language": _replacing_by(FOREIGN),
    "needs_audio": _putting(SOUNDS),
    "unsafe": _putting(UNSAFE),
}

LOOK_DEFECTS: dict[str, LookPlanter] = {
    "wrong_window": _wrong_window,
    "window_past_end": _window_past_end,
    "needless_density": _needless_density,
    "low_density": _low_density,
    "span_equals_answer": _span_equals_answer,
    "cited_past_end_t1": _in("thought", _cited_past_end),
    **{f"{name}_t1": _in("thought", plant) for name, plant in _THOUGHT_DEFECTS.items()},
}

ANSWER_DEFECTS: dict[str, AnswerPlanter] = {
    "wrong_answer": _in("answer", _wrong_answer),
    "missing_answer": _in("answer", _replacing_by(("",))),
    "doubled_answer": _in("answer", _doubled_answer),
    "text_after_answer": _in("answer", _text_after_answer),
    "cited_outside_window_t2": _in("thought", _cited_outside_window),
    **{f"{name}_t2": _in("thought", plant) for name, plant in _THOUGHT_DEFECTS.items()},
}
