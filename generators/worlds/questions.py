"""What may be asked about a world: exact answers, where they show, and the rival worlds in which others would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

from dmforge.generators.worlds.script import COLOURS, DIRECTIONS, FPS, MAX_DOTS, SHAPES, Deed, Flash, Script, Visit, tells
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window, print_span
from dmforge.schemas.records import Needs, TaskKind

Change = Callable[[Deed, str], Deed]
"""A deed, done so that another answer is right."""

DENSITIES = tuple(map(Fraction, (1, 2, 3, 4, 6, 12)))
OPTIONS = 4
GENERAL = (
    ("How many corners does a triangle have?", "3", ("2", "3", "4", "5")),
    ("How many sides of equal length does a square have?", "4", ("2", "3", "4", "6")),
    ("Which of these shapes has no corner at all?", "circle", ("circle", "square", "triangle", "diamond")),
    ("Which colour do blue and yellow paint give when they are mixed?", "green", ("green", "red", "purple", "cyan")),
    ("Which of these is a colour of the traffic light that means stop?", "red", ("blue", "red", "cyan", "purple")),
)
"""Anyone can answer these without looking: a filter should find that out."""


@dataclass(frozen=True, slots=True)
class Question:
    """A task as its world knows it."""

    kind: TaskKind
    text: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    """Where the answer is to be seen. A `mcq` has them too: whether a task says so is the kind's matter."""
    needs: Needs
    rivals: tuple[tuple[str, Script], ...]
    """Other answers, each with the world in which it would be right. Whoever has told them all from this world knows."""
    from_text: bool = False
    """No video is needed."""

    @property
    def look(self) -> Window:
        """The one window to look at: the first that will do, or what spans all that are needed."""
        last = self.windows[-1] if self.needs == "all" else self.windows[0]
        return Window(self.windows[0].start_cs, last.end_cs)

    def told_by(self, script: Script, frames: frozenset[int]) -> bool:
        """Whether these frames show the answer."""
        return tells(script, tuple(rival for _, rival in self.rivals), frames)

    def lowest_fps(self, script: Script) -> Fraction | None:
        """The lowest density at which a look at the window shows the answer; None where no video is needed."""
        if self.from_text:
            return None
        plans = (plan_look(Look(self.look, fps), script.duration_s) for fps in DENSITIES)
        return next(plan.requested_fps for plan in plans if self.told_by(script, frozenset(plan.indices)))

    def from_coarse(self, script: Script) -> bool:
        """Whether the coarse clip alone shows the answer."""
        return not self.from_text and self.told_by(script, coarse_frames(script))


def coarse_frames(script: Script) -> frozenset[int]:
    """The frames of the coarse clip, by default: those on screen at its times."""
    return frozenset(int(time_s * FPS) for time_s in plan_coarse(script.duration_s).times_s)


def questions(script: Script) -> tuple[Question, ...]:
    """All that is asked about a world, in an order that its seed decides."""
    draw = Random(f"questions {script.seed}")
    if script.is_study:
        return tuple(_deeds(draw, script))
    asked = [*_when(script), *_deeds(draw, script)]
    if draw.random() < 0.5:
        asked.append(_which_shape(draw, script))
    else:
        text, answer, options = draw.choice(GENERAL)
        asked.append(Question("mcq", text, options, answer, (), "any", (), from_text=True))
    draw.shuffle(asked)
    return tuple(asked)


def _main(script: Script) -> tuple[Visit, ...]:
    """The stays of the object that is asked about."""
    return tuple(visit for visit in script.visits if visit.name == script.visits[0].name)


def _when(script: Script) -> Iterator[Question]:
    visits = _main(script)
    times = ("",) if len(visits) == 1 else (" for the first time", " for the second time")
    for visit, which in zip(visits, times, strict=True):
        text = f"When is the {visit.name} on screen{which}?"
        absent = (("never", script.replacing(visit, None)),)
        yield Question("grounding", text, (), print_span(visit.window), (visit.window,), "any", absent)


def _which_shape(draw: Random, script: Script) -> Question:
    """On screen for seconds: the coarse clip shows it."""
    first = min(script.visits, key=lambda visit: visit.window.start_cs)
    text = "Which shape comes on screen first?" if len(script.visits) > 1 else "Which shape comes on screen?"
    rivals = {shape: script.replacing(first, replace(first, shape=shape)) for shape in SHAPES}
    return _choice(draw, "mcq", text, first.shape, (first.window,), rivals)


def _deeds(draw: Random, script: Script) -> Iterator[Question]:
    """What the object does; the same each time that it comes, so that any stay tells, except where something is counted."""
    visits = _main(script)
    deed, name = visits[0].deed, visits[0].name
    windows = tuple(visit.window for visit in visits)

    def choice(text: str, answer: str, answers: Sequence[str], change: Change) -> Question:
        rivals = {other: _everywhere(script, visits, change, other) for other in answers}
        return _choice(draw, draw.choice(("mcq", "grounded_mcq", "open")), text, answer, windows, rivals)

    if deed.flashes:
        colours = [colour for colour in COLOURS if colour != visits[0].colour]
        yield choice(f"Which colour does the {name} flash?", deed.flashes[0].colour, colours, _flashing)
        total = sum(len(visit.deed.flashes) for visit in visits)
        yield Question("open", f"How many times does the {name} flash in all?", (), str(total), windows, "all", _counts(script))
    if deed.flickers is not None:
        pace = "slowly" if deed.flickers.stop - deed.flickers.first > 2 else "quickly"
        colours = [colour for colour in COLOURS if colour != visits[0].colour]
        rivals = {other: _everywhere(script, visits, _flickering, other) for other in colours}
        text, answer = f"Which colour does the {name} flicker {pace}?", deed.flickers.colour
        yield Question("open", text, (), answer, windows, "any", _wrong(rivals, answer))
    if deed.turns is not None:
        colours = [colour for colour in COLOURS if colour != visits[0].colour]
        yield choice(f"Which colour does the {name} turn into?", deed.turns.colour, colours, _turning)
    if deed.moves is not None:
        yield choice(f"Which way does the {name} move?", deed.moves, tuple(DIRECTIONS), lambda d, way: replace(d, moves=way))
    if deed.dots:
        numbers = [str(number) for number in range(MAX_DOTS + 1)]
        rivals = {number: _everywhere(script, visits, _dotted, number) for number in numbers}
        text, answer = f"How many white dots line up while the {name} is on screen?", str(len(deed.dots))
        yield Question("open", text, (), answer, windows, "any", _wrong(rivals, answer))


def _choice(
    draw: Random, kind: TaskKind, text: str, answer: str, windows: tuple[Window, ...], rivals: dict[str, Script]
) -> Question:
    """A question whose answer is one of a few words."""
    wrong = _wrong(rivals, answer)
    if kind == "open":
        return Question(kind, text, (), answer, windows, "any", wrong)
    options = [answer, *(other for other, _ in draw.sample(wrong, min(OPTIONS, len(rivals)) - 1))]
    draw.shuffle(options)
    kept = tuple((other, rival) for other, rival in wrong if other in options)
    return Question(kind, text, tuple(options), answer, windows, "any", kept)


def _wrong(rivals: dict[str, Script], answer: str) -> tuple[tuple[str, Script], ...]:
    return tuple((other, rival) for other, rival in rivals.items() if other != answer)


def _everywhere(script: Script, visits: tuple[Visit, ...], change: Change, answer: str) -> Script:
    for visit in visits:
        script = script.replacing(visit, visit.doing(change(visit.deed, answer)))
    return script


def _flashing(deed: Deed, colour: str) -> Deed:
    return replace(deed, flashes=tuple(replace(flash, colour=colour) for flash in deed.flashes))


def _flickering(deed: Deed, colour: str) -> Deed:
    return replace(deed, flickers=replace(deed.flickers, colour=colour) if deed.flickers else None)


def _turning(deed: Deed, colour: str) -> Deed:
    return replace(deed, turns=replace(deed.turns, colour=colour) if deed.turns else None)


def _dotted(deed: Deed, number: str) -> Deed:
    """The same with fewer dots, or with more that join with the last one."""
    joined = deed.dots[: int(number)]
    return replace(deed, dots=(*joined, *deed.dots[-1:] * (int(number) - len(joined))))


def _counts(script: Script) -> tuple[tuple[str, Script], ...]:
    """One flash less, or one more in any second that has none."""
    visits = _main(script)
    total = sum(len(visit.deed.flashes) for visit in visits)
    rivals: list[tuple[str, Script]] = []
    for visit in visits:
        flashes = visit.deed.flashes
        first, stop, colour = flashes[0].first % FPS, flashes[0].stop - flashes[0].first, flashes[0].colour
        taken = {flash.first // FPS for flash in flashes}
        for index in range(len(flashes)):
            fewer = Deed(flashes=flashes[:index] + flashes[index + 1 :])
            rivals.append((str(total - 1), script.replacing(visit, visit.doing(fewer))))
        for second in sorted(set(range(visit.frames // FPS)) - taken):
            begin = FPS * second + first
            more = Deed(flashes=(*flashes, Flash(colour, begin, begin + stop)))
            rivals.append((str(total + 1), script.replacing(visit, visit.doing(more))))
    return tuple(rivals)
