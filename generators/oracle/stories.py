"""What happens in a world, as far as frames show it: seen in pictures, said in sentences, and read back from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dmforge.generators.oracle.eyes import Seen
from dmforge.generators.worlds.script import COLOURS, FPS, SHAPES, Visit
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
"""What can be said of an object, and how it is understood."""
LINE = re.compile(r"(\S+ - \S+): (.+)")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about one object."""

    window: Window
    kind: str
    name: str
    what: str = ""

    @property
    def sentence(self) -> str:
        return SENTENCES[self.kind][0].format(name=self.name, what=self.what)


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known, in order."""

    facts: tuple[Fact, ...]

    def of(self, kind: str, name: str | None = None) -> list[Fact]:
        """The facts of a kind, of all objects or one."""
        return [fact for fact in self.facts if fact.kind == kind and name in (None, fact.name)]

    @property
    def names(self) -> list[str]:
        """The objects, as they come."""
        return list(dict.fromkeys(fact.name for fact in self.of("stays")))


def seen_in(seen: Seen, shown: Window) -> Story:
    """What the frames that were recognised show, and no more; `shown` is what they were taken from."""
    frames = sorted(frame for frame in seen.frames if shown.start_cs <= _time_cs(frame) < shown.end_cs)
    facts = [fact for visit in seen.script.visits for fact in _of_visit(visit, frames, shown)]
    return Story(tuple(sorted(facts, key=lambda fact: (fact.window.start_cs, fact.window.end_cs, fact.sentence))))


def read_story(text: str) -> Story:
    """A story from its sentences, a line each; lines that say something else are passed over."""
    facts: list[Fact] = []
    for line in text.split("\n"):
        found = LINE.fullmatch(line)
        span = read_span(found[1]) if found else None
        if found is None or span is None or span[0] >= span[1]:
            continue
        for kind, (_, pattern) in SENTENCES.items():
            said = pattern.fullmatch(found[2])
            if said is not None:
                facts.append(Fact(Window(*span), kind, said["name"], said.groupdict().get("what") or ""))
                break
    return Story(tuple(facts))


def told(story: Story) -> list[str]:
    """A story as lines that `read_story` understands."""
    return [f"{print_span(fact.window)}: {fact.sentence}" for fact in story.facts]


def _of_visit(visit: Visit, frames: Sequence[int], shown: Window) -> Iterator[Fact]:
    ages = {frame: frame - visit.first for frame in frames}
    there = [frame for frame in frames if 0 <= ages[frame] < visit.frames]
    if not there:
        return
    deed = visit.deed
    yield from _seen_at(there, frames, shown, "stays", visit)
    for flash in deed.flashes:
        yield from _seen_at(
            [f for f in there if flash.first <= ages[f] < flash.stop], frames, shown, "flashes", visit, flash.colour
        )
    if deed.turns is not None:
        turned = [frame for frame in there if ages[frame] >= deed.turns.first]
        if turned and len(turned) < len(there):  # whoever sees it in one colour only can't know that it changes
            yield from _seen_at(turned[:1], frames, shown, "turns", visit, deed.turns.colour)
    if deed.moves is not None and len(there) > 1:
        yield from _seen_at(there, frames, shown, "moves", visit, WAYS[deed.moves])
    for joins in deed.dots:
        come = next((after for before, after in pairwise(there) if ages[before] < joins <= ages[after]), None)
        yield from _seen_at([] if come is None else [come], frames, shown, "dots", visit)


def _seen_at(
    those: Sequence[int], frames: Sequence[int], shown: Window, kind: str, visit: Visit, what: str = ""
) -> Iterator[Fact]:
    """From the first of those frames until the next one that isn't one of them."""
    if those:
        start_cs = shown.start_cs if those[0] == frames[0] else _time_cs(those[0])
        after = next((frame for frame in frames if frame > those[-1]), None)
        end_cs = shown.end_cs if after is None else _time_cs(after)
        yield Fact(Window(start_cs, end_cs), kind, visit.name, what)


def _time_cs(frame: int) -> int:
    return 100 * frame // FPS
