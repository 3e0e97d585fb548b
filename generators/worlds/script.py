"""A world's script says what stands where at every frame; pictures, questions and truth are all derived from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from dmforge.schemas.frames import GRID_FPS
from dmforge.schemas.looks import Window

FPS = GRID_FPS
"""Worlds are rendered on the grid: the frame that a look asks for is a frame that was drawn."""

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
"""The shorter side of a picture is so many units long; sizes of objects are given in them."""
RADIUS, NEAR = 14, 24
"""Of an object, and of one that is seen from near."""


@dataclass(frozen=True, slots=True)
class Flash:
    """For some frames, counted from the object's first one, it shows another colour."""

    colour: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Deed:
    """What an object does while it is there. It does one thing; the other fields stay as they are."""

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
    """Where it stands, in thousandths of the room it has, from the left and from the top."""
    deed: Deed

    @property
    def first(self) -> int:
        """Its first frame."""
        return -(-self.window.start_cs * FPS // 100)

    @property
    def frames(self) -> int:
        """How many frames it is there."""
        return -(-self.window.end_cs * FPS // 100) - self.first

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    def doing(self, deed: Deed) -> Visit:
        """The same stay with something else done."""
        return replace(self, deed=deed)


@dataclass(frozen=True, slots=True)
class Sprite:
    """What is drawn at one frame."""

    shape: str
    colour: str
    place: tuple[int, int]
    dots: int


@dataclass(frozen=True, slots=True)
class Script:
    """A whole world."""

    seed: int
    duration_cs: int
    visits: tuple[Visit, ...]
    drifts: bool
    radius: int = RADIUS

    @property
    def duration_s(self) -> Fraction:
        return Fraction(self.duration_cs, 100)

    @property
    def is_study(self) -> bool:
        """Whether it was made so that tiny students learn from it."""
        return self.radius == NEAR

    @property
    def frames(self) -> int:
        return -(-self.duration_cs * FPS // 100)

    def scene(self, frame: int) -> tuple[Sprite, ...]:
        """Everything that stands on the background at a frame."""
        return tuple(sprite(visit, frame - visit.first) for visit in self.visits if 0 <= frame - visit.first < visit.frames)

    def replacing(self, old: Visit, new: Visit | None) -> Script:
        """The same world with one visit changed, or without it."""
        visits = (visit if visit != old else new for visit in self.visits)
        return replace(self, visits=tuple(visit for visit in visits if visit is not None))


def sprite(visit: Visit, age: int) -> Sprite:
    """An object `age` frames after it came."""
    deed, colour, (x, y) = visit.deed, visit.colour, visit.place
    if deed.turns is not None and age >= deed.turns.first:
        colour = deed.turns.colour
    for flash in deed.flashes:
        if flash.first <= age < flash.stop:
            colour = flash.colour
    if deed.flickers is not None and deed.flickers.first <= age % FPS < deed.flickers.stop:
        colour = deed.flickers.colour
    if deed.moves is not None:
        # from one side of its room to the other, steadily
        across, down = DIRECTIONS[deed.moves]
        way = 1000 * age // max(1, visit.frames - 1)
        x = x if not across else (way if across > 0 else 1000 - way)
        y = y if not down else (way if down > 0 else 1000 - way)
    return Sprite(visit.shape, colour, (x, y), sum(age >= joins for joins in deed.dots))


def tells(script: Script, rivals: tuple[Script, ...], frames: frozenset[int]) -> bool:
    """Whether these frames tell a world from all its rivals: one that looks the same in each of them may be the truth."""
    return all(any(script.scene(frame) != rival.scene(frame) for frame in frames) for rival in rivals)
