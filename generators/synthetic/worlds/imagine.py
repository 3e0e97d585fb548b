"""Makes a script from a seed. Levels add one difficulty after the other, so that a study can turn one knob."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from dmforge.generators.synthetic.worlds.script import (
    COLOURS,
    DIRECTIONS,
    FPS,
    MAX_DOTS,
    NEAR,
    SHAPES,
    Deed,
    Flash,
    Script,
    Visit,
)
from dmforge.schemas.config import Config
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Window

MAX_DURATION_S = 170
"""The longest world whose frames the timecode in the picture can count."""
MIN_DURATION_S = 12
"""The shortest world that has room for three visits and the gaps between them."""

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
"""Densities at which a slow flicker and a quick one are seen, in frames per second."""
LATER_CS = 50
"""The causing object comes so much later than the changing one, so that their order is clear."""
QUICKNESS = (6, 6, 4, 4, 3, 3, 2, 1)
"""Densities that flashes are drawn from: most flashes are too quick for the coarse clip, so that there is a reason to look."""


class WorldKnobs(Config):
    """Switches that make a world harder, each in one way."""

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


KNOBS = tuple(WorldKnobs.model_fields)
LEVELS = tuple(WorldKnobs(**dict.fromkeys(KNOBS[:level], True)) for level in range(len(KNOBS) + 1))
"""Level 0 is one object, whole seconds, nothing else; every further level turns one more knob."""


def knobs_of(level: int) -> WorldKnobs:
    """The knobs that a level turns."""
    if not 0 <= level < len(LEVELS):
        raise InputError(f"there is no level {level}", where="--level", hint=f"give one from 0 to {len(LEVELS) - 1}")
    return LEVELS[level]


def imagine(seed: int, knobs: WorldKnobs, duration_s: int = MIN_DURATION_S) -> Script:
    """Make the world of a seed. Knobs that are not turned leave it as it is."""
    rng = Random(f"world {seed}")
    colours, shapes = rng.sample(sorted(COLOURS), 2), rng.sample(SHAPES, 2)
    drawn_places = [(rng.randrange(1001), rng.randrange(1001)) for _ in range(3)]
    has_other_object = knobs.bystander or knobs.decoy
    visit_windows = _windows(rng, 1 + knobs.returns + has_other_object, knobs.tenths, 100 * duration_s)
    if has_other_object:
        *visit_windows, other_object_window = rng.sample(visit_windows, len(visit_windows))
        visit_windows.sort(key=lambda visit_window: visit_window.start_cs)
    else:
        other_object_window = visit_windows[0]
    first_visit = Visit(visit_windows[0], colours[0], shapes[0], drawn_places[0], Deed())
    first_visit = first_visit.doing(_deed(rng, first_visit))
    scripted_visits = [first_visit]
    if knobs.returns:
        second_visit = replace(first_visit, window=visit_windows[1], place=drawn_places[1], deed=Deed())
        scripted_visits.append(second_visit.doing(_second_deed(rng, first_visit.deed, second_visit)))
    if has_other_object:
        other_object_visit = Visit(other_object_window, colours[1], shapes[1], drawn_places[2], Deed())
        scripted_visits.append(
            other_object_visit.doing(Deed(flashes=_flashes(rng, other_object_visit, 1)) if knobs.decoy else Deed())
        )
    if knobs.causes:
        scripted_visits = _with_cause(Random(f"cause {seed}"), first_visit.name, scripted_visits)
    return Script(seed, 100 * duration_s, tuple(scripted_visits), knobs.drifts)


def study(script: Script) -> Script:
    """The same world for tiny students: its object is near, and flickers in every second."""
    rng, old_visits = Random(f"study {script.seed}"), script.visits
    first_frame, stop_frame = rng.choice(SEEN_FROM[rng.choice(PACES)])
    study_flicker = Flash(_other_colour(rng, old_visits[0]), first_frame, stop_frame)
    flickering_visits = (
        visit.doing(Deed(flickers=study_flicker)) if visit.name == old_visits[0].name else visit for visit in old_visits
    )
    return replace(script, visits=tuple(flickering_visits), radius=NEAR)


def _windows(rng: Random, window_count: int, to_tenths: bool, duration_cs: int) -> list[Window]:
    """Windows of visits in order, with gaps around each: 2 to 4 s for a single one, 2 to 3 s for several."""
    unit_cs, gap_cs = (10, 50) if to_tenths else (100, 100)
    longest_cs = 400 if window_count == 1 else 300
    lengths_cs = [rng.randrange(200, longest_cs + 1, unit_cs) for _ in range(window_count)]
    while (free_cs := duration_cs - sum(lengths_cs) - gap_cs * (window_count + 1)) < 0:
        lengths_cs[lengths_cs.index(max(lengths_cs))] -= unit_cs
    start_offsets_cs = sorted(rng.randrange(0, free_cs + 1, unit_cs) for _ in range(window_count))
    drawn_windows: list[Window] = []
    for window_index, (start_offset_cs, length_cs) in enumerate(zip(start_offsets_cs, lengths_cs, strict=True)):
        start_cs = gap_cs * (window_index + 1) + start_offset_cs + sum(lengths_cs[:window_index])
        drawn_windows.append(Window(start_cs, start_cs + length_cs))
    return drawn_windows


def _deed(rng: Random, visit: Visit) -> Deed:
    deed_kind = rng.choice(("flash", "flash", "flash", "flashes", "flashes", "flashes", "turn", "move", "dots"))
    if deed_kind == "flash":
        return Deed(flashes=_flashes(rng, visit, 1))
    if deed_kind == "flashes":
        return Deed(flashes=_flashes(rng, visit, rng.randint(2, visit.frames // FPS)))
    if deed_kind == "turn":
        return Deed(turns=Flash(_other_colour(rng, visit), rng.randrange(FPS // 2, visit.frames - FPS // 2), visit.frames))
    if deed_kind == "move":
        return Deed(moves=rng.choice(sorted(DIRECTIONS)))
    dot_count = rng.randint(1, MAX_DOTS)
    return Deed(dots=tuple(sorted(rng.sample(range(2, visit.frames - FPS), dot_count))))


def _second_deed(rng: Random, first_deed: Deed, visit: Visit) -> Deed:
    """The deed of an object that comes back: flashes add up, everything else is done once more."""
    if len(first_deed.flashes) > 1:
        return Deed(flashes=_flashes(rng, visit, rng.randint(2, visit.frames // FPS), first_deed.flashes[0].colour))
    if first_deed.flashes:
        return Deed(flashes=_flashes(rng, visit, 1, first_deed.flashes[0].colour))
    if first_deed.turns is not None:
        return Deed(turns=replace(first_deed.turns, first=visit.frames // 2, stop=visit.frames))
    if first_deed.dots:
        return Deed(dots=tuple(2 + 2 * dot_index for dot_index in range(len(first_deed.dots))))
    return first_deed


def _with_cause(rng: Random, object_name: str, visits: list[Visit]) -> list[Visit]:
    """Visits in which another object, at the other side of the picture, flashes, and the object changes colour."""
    cause_colour, new_colour = rng.sample(
        [cause_colour for cause_colour in sorted(COLOURS) if cause_colour not in {visit.colour for visit in visits}], 2
    )
    cause_shape = rng.choice([cause_shape for cause_shape in SHAPES if cause_shape not in {visit.shape for visit in visits}])
    place_height, flash_colour = (
        rng.randrange(1001),
        rng.choice([flash_candidate for flash_candidate in sorted(COLOURS) if flash_candidate != cause_colour]),
    )
    caused_visits: list[Visit] = []
    for earlier_visit in visits:
        if earlier_visit.name != object_name:
            caused_visits.append(earlier_visit)
            continue
        change_frame = rng.randrange(FPS, earlier_visit.frames - FPS + 1)
        change_deed = Deed(turns=Flash(new_colour, change_frame, earlier_visit.frames))
        later_window = Window(earlier_visit.window.start_cs + LATER_CS, earlier_visit.window.end_cs)
        cause_flash = Flash(
            flash_colour,
            change_frame - LATER_CS * FPS // 100,
            min(change_frame + FPS, earlier_visit.frames) - LATER_CS * FPS // 100,
        )
        caused_visits.append(replace(earlier_visit, place=(0, earlier_visit.place[1]), deed=change_deed))
        caused_visits.append(Visit(later_window, cause_colour, cause_shape, (1000, place_height), Deed(flashes=(cause_flash,))))
    return caused_visits


def _flashes(rng: Random, visit: Visit, flash_count: int, colour: str | None = None) -> tuple[Flash, ...]:
    """`flash_count` flashes, at most one a second, all of one colour and equally quick; slow ones would run together."""
    quickness = rng.choice([quickness for quickness in QUICKNESS if quickness > 1 or flash_count == 1])
    first_frame, stop_frame = rng.choice(SEEN_FROM[quickness])
    colour = colour or _other_colour(rng, visit)
    flash_seconds = sorted(rng.sample(range(visit.frames // FPS), flash_count))
    return tuple(
        Flash(colour, FPS * flash_second + first_frame, FPS * flash_second + stop_frame) for flash_second in flash_seconds
    )


def _other_colour(rng: Random, visit: Visit) -> str:
    return rng.choice([colour for colour in sorted(COLOURS) if colour != visit.colour])
