"""Makes study worlds in which one object stands at two times: in each stay it flashes once, which only a close look shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import Literal

from dmforge.generators.synthetic.worlds.imagine import WorldKnobs
from dmforge.generators.synthetic.worlds.script import COLOURS, FPS, NEAR, SHAPES, Deed, Flash, Script, Visit
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.window_gaps import gaps_between

TWO_PLACES_S = 20
"""The shortest world with two places: it has room for two stays of 3 s, the long gap between them, and another object."""
FLASH_FRAMES = 3
"""A quarter of a second: a look of 4 frames a second shows one of these frames, wherever it begins."""
HIDING_FPS, SHOWING_FPS = tuple(map(Fraction, (1, 2, 3))), tuple(map(Fraction, (4, 6, 12)))
"""Densities at which looks at a whole stay show nothing of its flash, and show it."""
COARSE_FPS = (Fraction(1), Fraction(2))
"""Densities of overviews that show no flash."""
SHORT_SHARE = 0.25
"""The share of worlds with a short gap between the stays: a single wide look can hold both."""
SHORTEST_CS, LONGEST_CS = 200, 300
SHORTEST_GAP_CS = 200
"""An overview of one frame a second shows that the object was away, wherever its frames fall."""
GAP_FACTOR = 2
"""A gap is long from so many times the longer stay on, and short below so many times the shorter one."""

PlaceKind = Literal["order", "same", "seconds", "which"]
PLACE_KINDS: tuple[PlaceKind, ...] = ("order", "same", "seconds", "which")
"""What is asked about both stays: a world has one of these, by its seed, so that each is equally frequent."""


def place_kind(script: Script) -> PlaceKind:
    """What is asked about both stays of a world."""
    return PLACE_KINDS[script.seed % len(PLACE_KINDS)]


def imagine_two_places(seed: int, knobs: WorldKnobs, duration_s: int) -> Script:
    """Make the world of a seed. The object comes twice at any level, and nothing stands beside it."""
    rng = Random(f"two places {seed}")
    colours, shapes = rng.sample(sorted(COLOURS), 2), rng.sample(SHAPES, 2)
    drawn_places = [(rng.randrange(1001), rng.randrange(1001)) for _ in range(3)]
    has_short_gap = rng.random() < SHORT_SHARE
    has_other_object = knobs.bystander or knobs.decoy
    while True:  # on tenths of a second, a stay may begin where frames of looks and overviews leave no room to hide in
        windows = _windows(rng, 100 * duration_s, knobs.tenths, has_short_gap)
        if has_other_object:
            windows.append(_other_window(rng, windows, 100 * duration_s, knobs.tenths))
        stays = [
            Visit(window, colours[index // 2], shapes[index // 2], drawn_places[index], Deed())
            for index, window in enumerate(windows)
        ]
        frames_by_second = [hidden_flashes(window, Fraction(duration_s)) for window in windows]
        if all(len(seconds) > 1 for seconds in frames_by_second):  # a single second would give its place away
            break
    script = Script(seed, 100 * duration_s, tuple(stays), knobs.drifts, NEAR, looks=2)
    first_colour, second_colour = _flash_colours(rng, script)
    flash_colours = [first_colour, second_colour, rng.choice(other_colours(colours[1]))]
    for index, (stay, seconds) in enumerate(zip(stays, frames_by_second, strict=True)):
        first_frame = rng.choice(seconds[rng.choice(sorted(seconds))])
        if index < 2 or knobs.decoy:
            script = script.replacing(stay, flashing(stay, flash_colours[index], first_frame))
    return script


@lru_cache(maxsize=4096)
def hidden_flashes(window: Window, duration_s: Fraction) -> Mapping[int, tuple[int, ...]]:
    """Frames of the video at which a flash in a stay can begin that only looks of 4 frames a second and more show, by the
    second in which it is."""
    overviews = [plan_coarse(duration_s, fps) for fps in COARSE_FPS]
    frames_hidden_from = {int(time_s * FPS) for overview in overviews for time_s in overview.times_s}
    for fps in HIDING_FPS:
        frames_hidden_from |= set(plan_look(Look(window, fps), duration_s).indices)
    frames_of_showing_looks = [frozenset(plan_look(Look(window, fps), duration_s).indices) for fps in SHOWING_FPS]
    frames_by_second: dict[int, tuple[int, ...]] = {}
    first_of_stay, stop_of_stay = (-(-bound_cs * FPS // 100) for bound_cs in (window.start_cs, window.end_cs))
    for first_frame in range(first_of_stay, stop_of_stay - FLASH_FRAMES + 1):
        flash_frames = range(first_frame, first_frame + FLASH_FRAMES)
        lies_in_one_second = flash_frames[0] // FPS == flash_frames[-1] // FPS
        if not lies_in_one_second or not frames_hidden_from.isdisjoint(flash_frames):
            continue
        if not any(frames_of_look.isdisjoint(flash_frames) for frames_of_look in frames_of_showing_looks):
            second = first_frame // FPS
            frames_by_second[second] = (*frames_by_second.get(second, ()), first_frame)
    return frames_by_second


def flashing(stay: Visit, colour: str, first_frame: int) -> Visit:
    """The stay with a flash that begins at a frame of the video."""
    age_frames = first_frame - stay.first
    return stay.doing(Deed(flashes=(Flash(colour, age_frames, age_frames + FLASH_FRAMES),)))


def flash_frame(stay: Visit) -> int:
    """The frame of the video at which the stay's flash begins."""
    return stay.first + stay.deed.flashes[0].first


def flashing_in(stay: Visit, colour: str) -> Visit:
    """The stay with its flash in another colour."""
    return stay.doing(Deed(flashes=tuple(replace(flash, colour=colour) for flash in stay.deed.flashes)))


def other_colours(colour: str) -> list[str]:
    """The colours in which an object of this colour can flash."""
    return [other_colour for other_colour in sorted(COLOURS) if other_colour != colour]


def gap_cs(script: Script) -> int:
    """The time between the two stays."""
    first_stay, second_stay = script.visits[:2]
    return second_stay.window.start_cs - first_stay.window.end_cs


def has_long_gap(script: Script) -> bool:
    """The gap between the two stays is at least twice as long as either."""
    return gap_cs(script) >= GAP_FACTOR * max(stay.window.end_cs - stay.window.start_cs for stay in script.visits[:2])


def _flash_colours(rng: Random, script: Script) -> tuple[str, str]:
    """The colours of both flashes: half of the time the same. Where both are asked for in order, they are drawn freely: else
    who has seen one of them would be right about both half of the time."""
    possible_colours = other_colours(script.visits[0].colour)
    first_colour = rng.choice(possible_colours)
    if place_kind(script) == "order":
        return first_colour, rng.choice(possible_colours)
    is_same = rng.random() < 0.5
    return first_colour, first_colour if is_same else rng.choice([c for c in possible_colours if c != first_colour])


def _windows(rng: Random, duration_cs: int, to_tenths: bool, has_short_gap: bool) -> list[Window]:
    """Windows of both stays, with room around them."""
    unit_cs, margin_cs = (10, 50) if to_tenths else (100, 100)
    lengths_cs = [rng.randrange(SHORTEST_CS, LONGEST_CS + 1, unit_cs) for _ in range(2)]
    free_cs = duration_cs - sum(lengths_cs) - 2 * margin_cs
    if has_short_gap:
        drawn_gap_cs = rng.randrange(SHORTEST_GAP_CS, GAP_FACTOR * min(lengths_cs), unit_cs)
    else:
        drawn_gap_cs = rng.randrange(GAP_FACTOR * max(lengths_cs), free_cs + 1, unit_cs)
    start_cs = margin_cs + rng.randrange(0, free_cs - drawn_gap_cs + 1, unit_cs)
    second_start_cs = start_cs + lengths_cs[0] + drawn_gap_cs
    return [Window(start_cs, start_cs + lengths_cs[0]), Window(second_start_cs, second_start_cs + lengths_cs[1])]


def _other_window(rng: Random, windows: Sequence[Window], duration_cs: int, to_tenths: bool) -> Window:
    """A window before, between or after those of both stays."""
    unit_cs, margin_cs = (10, 50) if to_tenths else (100, 100)
    possible_starts = [
        start_cs
        for gap in gaps_between(windows, 0, duration_cs)
        for start_cs in range(gap.start_cs + margin_cs, gap.end_cs - margin_cs - SHORTEST_CS + 1, unit_cs)
    ]
    start_cs = rng.choice(possible_starts)
    return Window(start_cs, start_cs + SHORTEST_CS)
