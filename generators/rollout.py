"""The trajectory, once, over any engine: decode to `</fps>`, cut the clip, inject it, decode on.

Each row goes on until it looks or ends. Whether those that look wait for each other is the engine's to say: one that keeps
its caches here puts their clips through the model together, one that serves goes on with each as it comes. Whatever a policy
writes there is an outcome, and never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dmforge.generators.engines.contract import Engine, Failed, Sampling, Written
from dmforge.generators.footage import Clip, Footage, Shown, show
from dmforge.schemas.errors import DmforgeError
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.looks import Look, print_density, print_span
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece, Transcript

Ending = Literal["answered", "no_look", "malformed_look", "window_outside", "over_budget", "malformed", "cut_off"]
"""`answered`: well-formed, with a look. `no_look`: well-formed without one. `malformed_look`: nothing can be cut by what it
wrote. `window_outside`: the window begins after the end of the video. `over_budget`: the clip would cost too much.
`malformed`: it ended its turn, but with something else than a trajectory. `cut_off`: it had no tokens left."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trajectory may cost."""

    most_looks: int = 1
    most_visual_tokens: int = 1 << 20
    """Of all clips that are shown, the coarse one included."""


@dataclass(frozen=True, slots=True)
class Quest:
    """What one row is to do: go on behind a prompt, or behind a look that is forced on it."""

    prompt: tuple[Shown, ...]
    """Several rollouts that are given the very same tuple share its way through the model."""
    footage: Footage
    sampling: Sampling = field(default_factory=Sampling)
    forced: Look | None = None
    thought: str = ""
    """What is thought before a look that is forced."""
    opening: str = ""
    """What is written for it before it goes on, instead of a look."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What came of it."""

    transcript: Transcript
    ending: Ending
    trajectory: Trajectory | None
    """If it is well-formed."""
    looks: tuple[Look, ...]
    """Those whose clips were shown."""
    written: tuple[Written, ...]
    """What the policy wrote, token by token: one a piece of the transcript that is the policy's."""
    visual_tokens: int

    @property
    def answer(self) -> str:
        return self.trajectory.answer if self.trajectory else ""


class Unrolled(DmforgeError):
    """The engine died over some quests each time that it met them. What became of all the others is in `rolled`."""

    def __init__(self, failed: Mapping[int, Failed], rolled: Mapping[int, Rolled]) -> None:
        first = next(iter(failed.values()))
        mend = "leave these out, or give the engine more memory: fewer rows, less context"
        super().__init__(f"the engine died over {len(failed)} of {len(failed) + len(rolled)} rows: {first.detail}", mend=mend)
        self.failed, self.rolled = failed, rolled


@dataclass(slots=True)
class _Row:
    quest: Quest
    pieces: list[Piece]
    visual_tokens: int
    looks: list[Look] = field(default_factory=list[Look])
    written: list[Written] = field(default_factory=list[Written])
    ending: Ending | None = None
    failed: Failed | None = None

    @property
    def text(self) -> str:
        return Transcript(tuple(self.pieces)).trajectory_text


def roll(engine: Engine, quests: Sequence[Quest], limits: Limits | None = None) -> list[Rolled]:
    """All of them to their ends, side by side. Raises `Unrolled` if the engine died over some of them."""
    limits = limits or Limits()
    rows = [_begun(quest) for quest in quests]
    conversation = engine.converse([quest.sampling for quest in quests])
    added, at_work = _openings(rows, limits), set[int]()
    while added or at_work:
        at_work |= added.keys()
        may_look = {number for number in added if len(rows[number].looks) < limits.most_looks}
        met = conversation.go_on(added, may_look)
        at_work -= met.keys()
        added = _met(rows, met, limits)
    failed = {number: row.failed for number, row in enumerate(rows) if row.failed}
    if failed:
        raise Unrolled(failed, {n: _ended(row, limits) for n, row in enumerate(rows) if n not in failed})
    return [_ended(row, limits) for row in rows]


def prompt_of(pieces: Sequence[Piece], footage: Footage) -> tuple[Shown, ...]:
    """A prompt with its frames, to be shared by all quests about it."""
    return show(pieces, footage)


def _begun(quest: Quest) -> _Row:
    pieces = [shown.piece for shown in quest.prompt]
    return _Row(quest, pieces, sum(shown.clip.tokens for shown in quest.prompt if shown.clip))


def _openings(rows: Sequence[_Row], limits: Limits) -> dict[int, Sequence[Shown]]:
    """What each row begins with."""
    added: dict[int, Sequence[Shown]] = {}
    for number, row in enumerate(rows):
        if row.visual_tokens > limits.most_visual_tokens:
            row.ending = "over_budget"
        elif row.quest.opening:
            row.pieces.append(Piece("runtime", row.quest.opening))
            added[number] = (*row.quest.prompt, Shown(row.pieces[-1]))
        elif row.quest.forced is None:
            added[number] = row.quest.prompt
        else:
            row.pieces.append(Piece("runtime", _command(row.quest.thought, row.quest.forced)))
            clip = _cut(row, row.quest.forced, limits)
            if clip is not None:
                added[number] = (*row.quest.prompt, Shown(row.pieces[-2]), clip)
    return added


def _met(rows: Sequence[_Row], written: Mapping[int, Written | Failed], limits: Limits) -> dict[int, Sequence[Shown]]:
    """What was written is taken down, and answered where it asks for frames."""
    added: dict[int, Sequence[Shown]] = {}
    for number, words in written.items():
        row = rows[number]
        if isinstance(words, Failed):
            row.failed = words
            continue
        row.written.append(words)
        row.pieces.append(Piece("policy", words.text))
        if words.stop == "length":
            row.ending = "cut_off"
        elif words.stop == "look":
            look = look_of(row.text, len(row.looks) + 1)
            if look is None:
                row.ending = "malformed_look"
                continue
            clip = _cut(row, look, limits)
            if clip is not None:
                added[number] = (clip,)
    return added


def look_of(text: str, number: int = 1) -> Look | None:
    """The look that a text ends with, if what was written so far can still become a trajectory."""
    ended = f"{text}{CLOSE['think']}{OPEN['answer']}-{CLOSE['answer']}"
    found = parse(ended, max_looks=number)
    return found.looks[-1] if isinstance(found, Trajectory) and len(found.looks) == number else None


def _cut(row: _Row, look: Look, limits: Limits) -> Shown | None:
    """The clip of a look, behind its row; or how the row ends without."""
    try:
        clip: Clip = row.quest.footage.look(look)
    except NoFrames:
        row.ending = "window_outside"
        return None
    if row.visual_tokens + clip.tokens > limits.most_visual_tokens:
        row.ending = "over_budget"
        return None
    row.visual_tokens += clip.tokens
    row.looks.append(look)
    row.pieces.append(Piece("runtime", look=look))
    return Shown(row.pieces[-1], clip)


def _command(thought: str, look: Look) -> str:
    """A look that was not chosen."""
    span, fps = print_span(look.window), print_density(look.fps)
    return f"{OPEN['think']}{thought}{OPEN['span']}{span}{CLOSE['span']}{OPEN['fps']}{fps}{CLOSE['fps']}"


def _ended(row: _Row, limits: Limits) -> Rolled:
    found = parse(row.text, limits.most_looks) if row.ending is None else ()
    trajectory = found if isinstance(found, Trajectory) else None
    ending = row.ending or ("malformed" if trajectory is None else "answered" if trajectory.looks else "no_look")
    return Rolled(Transcript(tuple(row.pieces)), ending, trajectory, tuple(row.looks), tuple(row.written), row.visual_tokens)
