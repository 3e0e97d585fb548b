"""A question about a world with all that is known of it: its answer, the windows that show it, and what it takes to see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dmforge.generators.synthetic.worlds.script import FPS, Script, tells
from dmforge.schemas.frames import plan_coarse, plan_look
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.records import Needs, TaskKind

DENSITIES = tuple(map(Fraction, (1, 2, 3, 4, 6, 12)))
Shows = Callable[[frozenset[int]], bool]
"""Whether frames show the answer to a question: by the script, or by the pixels."""


@dataclass(frozen=True, slots=True)
class WorldQuestion:
    """A question about a world, with all that is known about its answer."""

    kind: TaskKind
    text: str
    options: tuple[str, ...]
    answer: str
    windows: tuple[Window, ...]
    """Where the answer shows. A `mcq` has windows, too; its task doesn't give them."""
    needs: Needs
    rivals: tuple[tuple[str, Script], ...]
    """Other answers, each with the world in which it is right. Frames that rule all of them out show the answer."""
    from_text: bool = False
    """The text alone has the answer: no video is needed."""
    places: int | None = None
    """At how many places one must look, in worlds that have two (0: the overview shows the answer); None in others."""

    @property
    def look(self) -> Window:
        """The window to look at: the first that will do, or one that spans all that are needed."""
        last_window = self.windows[-1] if self.needs == "all" else self.windows[0]
        return Window(self.windows[0].start_cs, last_window.end_cs)

    @property
    def look_windows(self) -> tuple[Window, ...]:
        """The windows of the looks that show the answer: a look at each place, where both of two are needed, or one look."""
        return self.windows if self.places == 2 else (self.look,)

    def told_by(self, script: Script, frame_indices: frozenset[int]) -> bool:
        """These frames show the answer."""
        return tells(script, tuple(rival_script for _, rival_script in self.rivals), frame_indices)

    def lowest_fps(self, script: Script) -> Fraction | None:
        """The lowest density at which looks at its windows show the answer; None where no video is needed."""
        if self.from_text:
            return None
        return lowest_density(script, self.look_windows, lambda frame_indices: self.told_by(script, frame_indices))

    def from_coarse(self, script: Script) -> bool:
        """The coarse clip alone shows the answer."""
        return not self.from_text and self.told_by(script, coarse_frames(script))


def coarse_frames(script: Script) -> frozenset[int]:
    """The frames of the coarse clip, by default: those on screen at its times."""
    return frozenset(int(time_s * FPS) for time_s in plan_coarse(script.duration_s).times_s)


def look_frames(script: Script, windows: Sequence[Window], fps: Fraction) -> frozenset[int]:
    """The frames that looks at the windows show, at one density."""
    plans = [plan_look(Look(window, fps), script.duration_s) for window in windows]
    return frozenset(frame_index for frame_plan in plans for frame_index in frame_plan.indices)


def lowest_density(script: Script, windows: Sequence[Window], shows: Shows) -> Fraction | None:
    """The lowest density at which looks at the windows show the answer; None where none does."""
    return next((fps for fps in DENSITIES if shows(look_frames(script, windows, fps))), None)


def density_of_each_look(script: Script, question: WorldQuestion, shows: Shows) -> tuple[Fraction | None, ...]:
    """In worlds with two places, the lowest density of each look that is needed, where the other look misses nothing."""
    windows = question.look_windows if question.places else ()
    densities: list[Fraction | None] = []
    for window in windows:
        other_frames = look_frames(script, [other for other in windows if other != window], DENSITIES[-1])
        densities.append(lowest_density(script, [window], lambda frames, others=other_frames: shows(frames | others)))
    return tuple(densities)


def places_needed(script: Script, question: WorldQuestion, shows: Shows) -> int:
    """At how many of the question's windows one must look, beside the overview."""
    if shows(coarse_frames(script)):
        return 0
    looks_at_one = (look_frames(script, [window], DENSITIES[-1]) for window in question.windows)
    return 1 if any(shows(coarse_frames(script) | frame_indices) for frame_indices in looks_at_one) else 2
