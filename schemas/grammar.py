"""One parser and one renderer for what a policy writes, exact inverses of each other, total on any string.

    <think>T1 <span>12.00 - 20.00</span><fps>2</fps>T2</think><answer>A</answer>
    <think>T1 <span>12.00 - 20.00</span><box>120 40 560 800</box><fps>2</fps>T2</think><answer>A</answer>

Well-formed means canonical, so that what is parsed prints back to the byte: numbers only in their one printed form, nothing
but a box between `</span>` and `<fps>`, nothing before `<think>` or after `</answer>`. T1, T2 and the answer are kept verbatim,
white space included. White space (blank, tab, line ends) between `</think>` and `<answer>` is well-formed, since teachers do
write it, and is kept in `gap`. No text field may hold a tag. `<box>` is one between `</span>` and `<fps>` alone: elsewhere it
is words, as it was before there were boxes. Whether a window lies inside its video is a rule elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

from dmforge.schemas.box_text import length_of_box, read_written_box, written_box
from dmforge.schemas.defects import GAP, Defect, find_defects
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window, print_density, print_span, read_density, read_span
from dmforge.schemas.tags import CLOSE, OPEN, TAG
from dmforge.schemas.transcript import Piece, Transcript


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Thoughts with a look after each but the last, then an answer. No look at all is well-formed."""

    thoughts: tuple[str, ...]
    looks: tuple[Look, ...]
    answer: str
    gap: str = ""
    turns: tuple[int, ...] = ()
    """How many looks are asked for at once after each thought but the last; empty where that is one each time."""

    def __post_init__(self) -> None:
        if self.turns and (sum(self.turns) != len(self.looks) or min(self.turns) < 1 or max(self.turns) == 1):
            raise ValueError(f"turns of {self.turns} looks don't group {len(self.looks)}; where each has one, none are given")
        turn_count = len(self.turns) or len(self.looks)
        if len(self.thoughts) != turn_count + 1:
            looks_noun = "turns" if self.turns else "looks"
            raise ValueError(f"{turn_count} {looks_noun} need {turn_count + 1} thoughts, not {len(self.thoughts)}")
        if not self.answer.strip():
            raise ValueError("the answer is empty")
        if self.gap.strip(GAP):
            raise ValueError(f"only white space may stand between think and answer, not {self.gap[:40]!r}")
        if any(map(TAG.search, (*self.thoughts, self.answer))):
            raise ValueError("a thought or an answer holds a tag")
        if any(map(length_of_box, self.thoughts[1:])):
            raise ValueError("a thought behind a look begins with a box")

    def looks_by_turn(self) -> tuple[tuple[Look, ...], ...]:
        """The looks after each thought but the last."""
        ends = accumulate(self.turns or (1,) * len(self.looks))
        return tuple(self.looks[start:end] for start, end in pairwise((0, *ends)))


def parse(text: str, max_looks: int = 1) -> Trajectory | tuple[Defect, ...]:
    """The trajectory, or why it isn't one: at least one defect, in the order of their offsets."""
    texts_and_tags = TAG.split(text)  # text, tag, text, ... tag, text
    look_count = (len(texts_and_tags) - 9) // 8
    if 0 <= look_count <= max_looks and texts_and_tags[1::2] == _tags(look_count):
        trajectory = _read_texts(texts_and_tags[0::2])
        if trajectory is not None:
            return trajectory
    return find_defects(text, max_looks)


@cache
def _tags(look_count: int) -> list[str]:
    """The only sequence of tags that is well-formed with so many looks."""
    look_tags = [OPEN["span"], CLOSE["span"], OPEN["fps"], CLOSE["fps"]]
    return [OPEN["think"], *look_tags * look_count, CLOSE["think"], OPEN["answer"], CLOSE["answer"]]


def _read_texts(texts: list[str]) -> Trajectory | None:
    """The trajectory of the texts between the tags, None where one is malformed.

    The texts: before, (thought, span, nothing or a box, density) for each look, thought, gap, answer, after.
    """
    gap_text, answer, trailing_text = texts[-3:]
    if texts[0] or trailing_text or gap_text.strip(GAP) or not answer.strip():
        return None
    thoughts, looks = tuple(texts[1:-3:4]), list[Look]()
    if any(map(length_of_box, thoughts[1:])):
        return None
    for span_text, box_text, density_text in zip(texts[2:-3:4], texts[3:-3:4], texts[4:-3:4], strict=True):
        bounds_cs, box, fps = read_span(span_text), read_written_box(box_text), read_density(density_text)
        if bounds_cs is None or fps is None or bounds_cs[0] >= bounds_cs[1] or fps <= 0 or (box_text and box is None):
            return None
        looks.append(Look(Window(*bounds_cs), fps, box))
    return Trajectory(thoughts, tuple(looks), answer, gap_text)


def render(trajectory: Trajectory) -> str:
    """The text that parses to this trajectory."""
    return transcribe((), trajectory).policy_text


def transcribe(prompt: tuple[Piece, ...], trajectory: Trajectory) -> Transcript:
    """The transcript of a policy that wrote this after the prompt, with the clip of every look behind its `</fps>`."""
    if trajectory.turns:
        hint = "say it in the dialect `tool`, or leave the sample out"
        raise unsayable("span", f"{max(trajectory.turns)} looks in one turn", hint)
    return assemble(prompt, trajectory.thoughts, trajectory.looks, trajectory.answer, trajectory.gap)


def assemble(
    prompt: tuple[Piece, ...], thoughts: tuple[str, ...], looks: tuple[Look, ...], answer: str, gap_text: str = ""
) -> Transcript:
    """A transcript from texts that may hold anything, as a teacher's may. Whether it is well-formed, filters find out."""
    pieces = list(prompt)
    think_opening = OPEN["think"]
    for thought, look in zip(thoughts, looks, strict=False):  # the last thought has no look
        pieces += [Piece("policy", f"{think_opening}{thought}{written_look(look)}"), Piece("runtime", look=look)]
        think_opening = ""
    closing_text = f"{CLOSE['think']}{gap_text}{OPEN['answer']}{answer}{CLOSE['answer']}"
    return Transcript((*pieces, Piece("policy", f"{think_opening}{thoughts[-1]}{closing_text}")))


def written_look(look: Look) -> str:
    """A look as a policy writes it. One with a token quota is refused: without it, it would be another look."""
    if look.tokens is not None:
        hint = "say it in the dialect `tool`, or give the look no quota"
        raise unsayable("span", f"a quota of {look.tokens} tokens", hint)
    span_text, density_text = print_span(look.window), print_density(look.fps)
    return f"{OPEN['span']}{span_text}{CLOSE['span']}{written_box(look.box)}{OPEN['fps']}{density_text}{CLOSE['fps']}"


def trajectory_of(transcript: Transcript, max_looks: int = 1) -> Trajectory | tuple[Defect, ...]:
    """The inverse of `transcribe`; offsets of defects count in the transcript's `trajectory_text`."""
    return parse(transcript.trajectory_text, max_looks)


def unsayable(dialect: str, value: str, hint: str) -> InputError:
    """The refusal of a value that a dialect has no words for."""
    return InputError(f"{value} can't be said in the dialect `{dialect}`", where="dialect", hint=hint)
