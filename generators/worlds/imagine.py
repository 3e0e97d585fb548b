"""A seed becomes a script. Levels add one difficulty after the other, so that a study can turn one knob."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from dmforge.generators.worlds.script import COLOURS, DIRECTIONS, FPS, MAX_DOTS, NEAR, SHAPES, Deed, Flash, Script, Visit
from dmforge.schemas.config import Config
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Window

MAX_DURATION_S = 170
"""What the timecode in the picture can count up to."""
MIN_DURATION_S = 12
"""Room for three visits and the gaps between them."""

# A flash at these frames of a second is seen from this density on and not below, given a look that begins with a whole number
# of seconds after the object came: at f frames a second, every (12/f)th frame is shown.
SEEN_FROM: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 12),),
    2: ((6, 9), (4, 7)),
    3: ((3, 5), (8, 10)),
    4: ((2, 4), (9, 11)),
    6: ((1, 3), (10, 12)),
}
PACES = (2, 4)
"""Frames per second that a slow flicker takes to be seen, and a quick one."""
LATER_CS = 50
"""What causes a change comes so much later than what changes: which of them is first is clear."""
QUICKNESS = (6, 6, 4, 4, 3, 3, 2, 1)
"""What flashes are drawn from: most are too quick for the coarse clip, so that there is a reason to look."""


class Knobs(Config):
    """What makes a world harder, one thing each."""

    tenths: bool = False
    """Windows begin and end on tenths of a second, not on whole seconds."""
    bystander: bool = False
    """Another object is on screen at another time."""
    decoy: bool = False
    """Another object flashes, too, at another time."""
    returns: bool = False
    """The object comes a second time."""
    drifts: bool = False
    """The background moves."""
    causes: bool = False
    """Another object stands beside it, and when that one flashes, it turns into another colour."""


KNOBS = tuple(Knobs.model_fields)
LEVELS = tuple(Knobs(**dict.fromkeys(KNOBS[:level], True)) for level in range(len(KNOBS) + 1))
"""Level 0 is one object, whole seconds, nothing else; every further level turns one more knob."""


def knobs_of(level: int) -> Knobs:
    """The knobs of a level."""
    if not 0 <= level < len(LEVELS):
        raise InputError(f"there is no level {level}", where="--level", mend=f"give one from 0 to {len(LEVELS) - 1}")
    return LEVELS[level]


def imagine(seed: int, knobs: Knobs, duration_s: int = MIN_DURATION_S) -> Script:
    """The world of a seed. Knobs that are not turned leave it as it is."""
    draw = Random(f"world {seed}")
    colours, shapes = draw.sample(sorted(COLOURS), 2), draw.sample(SHAPES, 2)
    places = [(draw.randrange(1001), draw.randrange(1001)) for _ in range(3)]
    others = knobs.bystander or knobs.decoy
    windows = _windows(draw, 1 + knobs.returns + others, knobs.tenths, 100 * duration_s)
    if others:
        *windows, aside = draw.sample(windows, len(windows))
        windows.sort(key=lambda window: window.start_cs)
    else:
        aside = windows[0]
    comes = Visit(windows[0], colours[0], shapes[0], places[0], Deed())
    comes = comes.doing(_deed(draw, comes))
    visits = [comes]
    if knobs.returns:
        again = replace(comes, window=windows[1], place=places[1], deed=Deed())
        visits.append(again.doing(_again(draw, comes.deed, again)))
    if others:
        other = Visit(aside, colours[1], shapes[1], places[2], Deed())
        visits.append(other.doing(Deed(flashes=_flashes(draw, other, 1)) if knobs.decoy else Deed()))
    if knobs.causes:
        visits = _caused(Random(f"cause {seed}"), comes.name, visits)
    return Script(seed, 100 * duration_s, tuple(visits), knobs.drifts)


def study(script: Script) -> Script:
    """The same world as even a tiny student can learn it: seen from near, and what it does it does in every second."""
    draw, visits = Random(f"study {script.seed}"), script.visits
    first, stop = draw.choice(SEEN_FROM[draw.choice(PACES)])
    flicker = Flash(_other_colour(draw, visits[0]), first, stop)
    done = (visit.doing(Deed(flickers=flicker)) if visit.name == visits[0].name else visit for visit in visits)
    return replace(script, visits=tuple(done), radius=NEAR)


def _windows(draw: Random, number: int, tenths: bool, duration_cs: int) -> list[Window]:
    """Stays that do not touch, in order, with room around each: 2 to 4 s for one, 2 to 3 s where there are more."""
    unit, gap = (10, 50) if tenths else (100, 100)
    longest = 400 if number == 1 else 300
    lengths = [draw.randrange(200, longest + 1, unit) for _ in range(number)]
    while (free := duration_cs - sum(lengths) - gap * (number + 1)) < 0:
        lengths[lengths.index(max(lengths))] -= unit
    rests = sorted(draw.randrange(0, free + 1, unit) for _ in range(number))
    windows: list[Window] = []
    for index, (rest, length) in enumerate(zip(rests, lengths, strict=True)):
        start = gap * (index + 1) + rest + sum(lengths[:index])
        windows.append(Window(start, start + length))
    return windows


def _deed(draw: Random, visit: Visit) -> Deed:
    kind = draw.choice(("flash", "flash", "flash", "flashes", "flashes", "flashes", "turn", "move", "dots"))
    if kind == "flash":
        return Deed(flashes=_flashes(draw, visit, 1))
    if kind == "flashes":
        return Deed(flashes=_flashes(draw, visit, draw.randint(2, visit.frames // FPS)))
    if kind == "turn":
        return Deed(turns=Flash(_other_colour(draw, visit), draw.randrange(FPS // 2, visit.frames - FPS // 2), visit.frames))
    if kind == "move":
        return Deed(moves=draw.choice(sorted(DIRECTIONS)))
    number = draw.randint(1, MAX_DOTS)
    return Deed(dots=tuple(sorted(draw.sample(range(2, visit.frames - FPS), number))))


def _again(draw: Random, before: Deed, visit: Visit) -> Deed:
    """What it does when it comes back: flashes add up, everything else is done once more."""
    if len(before.flashes) > 1:
        return Deed(flashes=_flashes(draw, visit, draw.randint(2, visit.frames // FPS), before.flashes[0].colour))
    if before.flashes:
        return Deed(flashes=_flashes(draw, visit, 1, before.flashes[0].colour))
    if before.turns is not None:
        return Deed(turns=replace(before.turns, first=visit.frames // 2, stop=visit.frames))
    if before.dots:
        return Deed(dots=tuple(2 + 2 * index for index in range(len(before.dots))))
    return before


def _caused(draw: Random, name: str, visits: list[Visit]) -> list[Visit]:
    """Whenever the object is there, something at the other side of the picture flashes, and it changes."""
    colour, turned = draw.sample([colour for colour in sorted(COLOURS) if colour not in {visit.colour for visit in visits}], 2)
    shape = draw.choice([shape for shape in SHAPES if shape not in {visit.shape for visit in visits}])
    height, flashing = draw.randrange(1001), draw.choice([other for other in sorted(COLOURS) if other != colour])
    done: list[Visit] = []
    for visit in visits:
        if visit.name != name:
            done.append(visit)
            continue
        at = draw.randrange(FPS, visit.frames - FPS + 1)
        changes = Deed(turns=Flash(turned, at, visit.frames))
        late = Window(visit.window.start_cs + LATER_CS, visit.window.end_cs)
        flash = Flash(flashing, at - LATER_CS * FPS // 100, min(at + FPS, visit.frames) - LATER_CS * FPS // 100)
        done.append(replace(visit, place=(0, visit.place[1]), deed=changes))
        done.append(Visit(late, colour, shape, (1000, height), Deed(flashes=(flash,))))
    return done


def _flashes(draw: Random, visit: Visit, number: int, colour: str | None = None) -> tuple[Flash, ...]:
    """So many flashes, one a second at most, all of one colour and equally quick; slow ones would run together."""
    quickness = draw.choice([quickness for quickness in QUICKNESS if quickness > 1 or number == 1])
    first, stop = draw.choice(SEEN_FROM[quickness])
    colour = colour or _other_colour(draw, visit)
    seconds = sorted(draw.sample(range(visit.frames // FPS), number))
    return tuple(Flash(colour, FPS * second + first, FPS * second + stop) for second in seconds)


def _other_colour(draw: Random, visit: Visit) -> str:
    return draw.choice([colour for colour in sorted(COLOURS) if colour != visit.colour])
