"""The interface of a dialect: one written form of trajectories, with its parser and its renderer.

`parse` is total on any string, and the exact inverse of `render` on what the dialect can say. What it can't say is refused by
`render` and `transcribe` with the dialect's name and the value: nothing is ever rounded to what it could say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dmforge.schemas.defects import Defect
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look
from dmforge.schemas.transcript import Piece, Transcript

ResponseRole = Literal["", "tool", "user"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One written form. Its text is all that stands behind the prompt, without the clips: `Transcript.trajectory_text`."""

    name: DialectName
    look_tag: str
    """The name of the tag in which a look stands."""
    parse: Callable[[str, int], Trajectory | tuple[Defect, ...]]
    """The trajectory of a text with at most so many looks, or why it isn't one, with offsets in that text."""
    transcribe: Callable[[tuple[Piece, ...], Trajectory], Transcript]
    """The transcript of a policy that wrote this after the prompt: who wrote which piece, with each clip in its place."""
    looks_so_far: Callable[[str], tuple[Look, ...] | None]
    """All looks of a text that breaks off where a runtime has to answer; None where no trajectory can come of it any more."""
    answered: Callable[[tuple[Look, ...]], list[Piece]]
    """The runtime's pieces that answer the looks of a turn: their clips, and the text around them."""
    turn_end: str = ""
    """What a policy writes behind the looks of a turn to end it; empty where a look doesn't end the turn."""
    response_role: ResponseRole = ""
    """Who answers such a turn, in the words of chat templates; empty where a look doesn't end the turn."""
    tools: tuple[str, ...] = ()
    """The functions that a prompt tells of, each as JSON with its schema; none where looks are no calls of functions."""

    def render(self, trajectory: Trajectory) -> str:
        """The text that parses to this trajectory."""
        return self.transcribe((), trajectory).trajectory_text

    def asking(self, thought: str, look: Look) -> str:
        """What a policy that thinks this and looks there has written when the runtime answers."""
        return self.transcribe((), Trajectory((thought, ""), (look,), "-")).pieces[0].text or ""
