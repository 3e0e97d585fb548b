"""Stories of worlds, as far as frames show them: facts seen in pictures, written as sentences, and read back from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dmforge.generators.synthetic.oracle.recognition import SeenFrames
from dmforge.generators.synthetic.worlds.script import COLOURS, FPS, SHAPES, Visit
from dmforge.schemas.looks import Window, print_span, read_span

WAYS = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}
_NAME = rf"(?P<name>(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)}))"
_COLOUR = rf"(?P<what>{'|'.join(COLOURS)})"
SENTENCES = {
    "stays": ("a {name} is on screen", re.compile(f"an? {_NAME} is on screen")),
    "flashes": ("the {name} flashes {what}", re.compile(f"the {_NAME} flashes {_COLOUR}")),
    "turns": ("the {name} turns {what}", re.compile(f"the {_NAME} turns {_COLOUR}")),
    "moves": ("the {name} moves {what}", re.compile(f"the {_NAME} moves (?P<what>{'|'.join(WAYS.values())})")),
    "dots": ("a white dot joins the row while the {name} is on screen", re.compile(f"a white dot joins .* the {_NAME} is .*")),
}
"""Sentences about an object, by kind of fact, each with the pattern that reads it."""
LINE = re.compile(r"(\S+ - \S+): (.+)")


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about one object."""

    window: Window
    kind: str
    name: str
    what: str = ""

    @property
    def sentence(self) -> str:
        return SENTENCES[self.kind][0].format(name=self.name, what=self.what)


@dataclass(frozen=True, slots=True)
class Story:
    """All known facts about a world, in order."""

    facts: tuple[Fact, ...]

    def of(self, fact_kind: str, object_name: str | None = None) -> list[Fact]:
        """The facts of a kind, about all objects or one."""
        return [fact for fact in self.facts if fact.kind == fact_kind and object_name in (None, fact.name)]

    @property
    def names(self) -> list[str]:
        """The names of the objects, in order of appearance."""
        return list(dict.fromkeys(stay_fact.name for stay_fact in self.of("stays")))


def seen_in(view: SeenFrames, window: Window) -> Story:
    """The story that the recognised frames show; `window` is the part of the video that they were taken from."""
    seen_frames = sorted(frame_index for frame_index in view.frames if window.start_cs <= _time_cs(frame_index) < window.end_cs)
    seen_facts = [seen_fact for visit in view.script.visits for seen_fact in _facts_of_visit(visit, seen_frames, window)]
    return Story(
        tuple(
            sorted(seen_facts, key=lambda seen_fact: (seen_fact.window.start_cs, seen_fact.window.end_cs, seen_fact.sentence))
        )
    )


def read_story(text: str) -> Story:
    """Read a story from its sentences, one a line; other lines are skipped."""
    read_facts: list[Fact] = []
    for story_line in text.split("\n"):
        line_match = LINE.fullmatch(story_line)
        span_cs = read_span(line_match[1]) if line_match else None
        if line_match is None or span_cs is None or span_cs[0] >= span_cs[1]:
            continue
        for fact_kind, (_, pattern) in SENTENCES.items():
            sentence_match = pattern.fullmatch(line_match[2])
            if sentence_match is not None:
                read_facts.append(
                    Fact(Window(*span_cs), fact_kind, sentence_match["name"], sentence_match.groupdict().get("what") or "")
                )
                break
    return Story(tuple(read_facts))


def story_lines(story: Story) -> list[str]:
    """A story as lines that `read_story` reads."""
    return [f"{print_span(fact.window)}: {fact.sentence}" for fact in story.facts]


def _facts_of_visit(visit: Visit, seen_frames: Sequence[int], window: Window) -> Iterator[Fact]:
    age_by_frame = {frame_index: frame_index - visit.first for frame_index in seen_frames}
    visible_frames = [frame_index for frame_index in seen_frames if 0 <= age_by_frame[frame_index] < visit.frames]
    if not visible_frames:
        return
    deed = visit.deed
    yield from _fact_over(visible_frames, seen_frames, window, "stays", visit)
    for flash in deed.flashes:
        yield from _fact_over(
            [frame_index for frame_index in visible_frames if flash.first <= age_by_frame[frame_index] < flash.stop],
            seen_frames,
            window,
            "flashes",
            visit,
            flash.colour,
        )
    if deed.turns is not None:
        turned_frames = [frame_index for frame_index in visible_frames if age_by_frame[frame_index] >= deed.turns.first]
        if turned_frames and len(turned_frames) < len(visible_frames):  # seen in one colour only, it can't be known to change
            yield from _fact_over(turned_frames[:1], seen_frames, window, "turns", visit, deed.turns.colour)
    if deed.moves is not None and len(visible_frames) > 1:
        yield from _fact_over(visible_frames, seen_frames, window, "moves", visit, WAYS[deed.moves])
    for join_age in deed.dots:
        joined_frame = next(
            (
                later_frame
                for earlier_frame, later_frame in pairwise(visible_frames)
                if age_by_frame[earlier_frame] < join_age <= age_by_frame[later_frame]
            ),
            None,
        )
        yield from _fact_over([] if joined_frame is None else [joined_frame], seen_frames, window, "dots", visit)


def _fact_over(
    fact_frames: Sequence[int], seen_frames: Sequence[int], window: Window, fact_kind: str, visit: Visit, what: str = ""
) -> Iterator[Fact]:
    """A fact that lasts from the first of its frames until the next frame that is none of them."""
    if fact_frames:
        start_cs = window.start_cs if fact_frames[0] == seen_frames[0] else _time_cs(fact_frames[0])
        next_frame = next((frame_index for frame_index in seen_frames if frame_index > fact_frames[-1]), None)
        end_cs = window.end_cs if next_frame is None else _time_cs(next_frame)
        yield Fact(Window(start_cs, end_cs), fact_kind, visit.name, what)


def _time_cs(frame_index: int) -> int:
    return 100 * frame_index // FPS
