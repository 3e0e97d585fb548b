"""Scripts of worlds: what stands where at every frame. Pictures, questions and truth are all derived from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Window

FPS = GRID_FPS
"""Frames per second of a world, those of the grid: the frame that a look asks for is a frame that was drawn."""

COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 80, 235),
    "yellow": (235, 220, 50),
    "purple": (175, 55, 210),
    "cyan": (50, 215, 225),
}
SHAPES = ("circle", "square", "triangle", "diamond")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MAX_DOTS = 5
UNITS = 64
"""Units of length on the shorter side of a picture; sizes of objects are given in them."""
RADIUS, NEAR = 14, 24
"""The radius of an object, and of one that is seen from near."""


@dataclass(frozen=True, slots=True)
class Flash:
    """Another colour for some frames, which are counted from the object's first one."""

    colour: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Deed:
    """What an object does while it is on screen. It does one thing; the other fields keep their defaults."""

    flashes: tuple[Flash, ...] = ()
    turns: Flash | None = None
    """A colour that it takes and keeps."""
    moves: str | None = None
    """A direction."""
    dots: tuple[int, ...] = ()
    """At which frames a white dot appears at the upper edge."""
    flickers: Flash | None = None
    """A flash that comes in every second that it is there."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay of an object on the screen."""

    window: Window
    colour: str
    shape: str
    place: tuple[int, int]
    """Its position from the left and from the top, in thousandths of the room that it has."""
    deed: Deed

    @property
    def first(self) -> int:
        """Its first frame."""
        return -(-self.window.start_cs * FPS // 100)

    @property
    def frames(self) -> int:
        """The number of its frames."""
        return -(-self.window.end_cs * FPS // 100) - self.first

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    def doing(self, deed: Deed) -> Visit:
        """The same visit with another deed."""
        return replace(self, deed=deed)


@dataclass(frozen=True, slots=True)
class Sprite:
    """One object as it is drawn at one frame."""

    shape: str
    colour: str
    place: tuple[int, int]
    dots: int


@dataclass(frozen=True, slots=True)
class Script:
    """The script of one world."""

    seed: int
    duration_cs: int
    visits: tuple[Visit, ...]
    drifts: bool
    radius: int = RADIUS
    looks: int = 1
    """How often one must look for the question that takes the most looks: 2 in worlds with two places."""

    @property
    def duration_s(self) -> Fraction:
        return Fraction(self.duration_cs, 100)

    @property
    def is_study(self) -> bool:
        """The world was made for tiny students (by `study`)."""
        return self.radius == NEAR

    @property
    def frames(self) -> int:
        return -(-self.duration_cs * FPS // 100)

    def scene(self, frame_index: int) -> tuple[Sprite, ...]:
        """The objects on the background at a frame."""
        return tuple(
            sprite(visit, frame_index - visit.first) for visit in self.visits if 0 <= frame_index - visit.first < visit.frames
        )

    def replacing(self, old_visit: Visit, new_visit: Visit | None) -> Script:
        """The same world with one visit changed, or without it."""
        new_visits = (visit if visit != old_visit else new_visit for visit in self.visits)
        return replace(self, visits=tuple(visit for visit in new_visits if visit is not None))


def sprite(visit: Visit, age_frames: int) -> Sprite:
    """An object as it is drawn `age_frames` frames after it came."""
    deed, colour, (x_thousandths, y_thousandths) = visit.deed, visit.colour, visit.place
    if deed.turns is not None and age_frames >= deed.turns.first:
        colour = deed.turns.colour
    for flash in deed.flashes:
        if flash.first <= age_frames < flash.stop:
            colour = flash.colour
    if deed.flickers is not None and deed.flickers.first <= age_frames % FPS < deed.flickers.stop:
        colour = deed.flickers.colour
    if deed.moves is not None:
        # from one side of its room to the other, steadily
        direction_across, direction_down = DIRECTIONS[deed.moves]
        progress_thousandths = 1000 * age_frames // max(1, visit.frames - 1)
        x_thousandths = (
            x_thousandths
            if not direction_across
            else (progress_thousandths if direction_across > 0 else 1000 - progress_thousandths)
        )
        y_thousandths = (
            y_thousandths
            if not direction_down
            else (progress_thousandths if direction_down > 0 else 1000 - progress_thousandths)
        )
    return Sprite(visit.shape, colour, (x_thousandths, y_thousandths), sum(age_frames >= join_age for join_age in deed.dots))


def tells(script: Script, rivals: tuple[Script, ...], frame_indices: frozenset[int]) -> bool:
    """These frames tell a world from all its rivals: each rival looks different in one of them at least."""
    return all(
        any(script.scene(frame_index) != rival_script.scene(frame_index) for frame_index in frame_indices)
        for rival_script in rivals
    )
