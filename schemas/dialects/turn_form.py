"""The shape of dialects whose looks end a turn: what the policy writes in each, and what the runtime answers with.

    think, calls, end of the turn | the answer of the runtime, with the clips | think, ... | think, answer

Everything but the thoughts, the arguments of calls and the answer is fixed, so that what is parsed prints back to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dmforge.schemas.defects import Rule
from dmforge.schemas.dialects.dialect import ResponseRole
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.grammar import Trajectory, unsayable
from dmforge.schemas.looks import Look
from dmforge.schemas.tags import CLOSE, OPEN, TAG_NAMES
from dmforge.schemas.transcript import Piece, Transcript

TURN_END: Final = "<|im_end|>"
"""Ends every turn. A policy writes it itself behind its calls, as it does behind its answer, so it is trained on it."""
_CHAT_MARKS: Final = r"<\|im_(?:start|end)\|>|<\|endoftext\|>"


@dataclass(frozen=True, slots=True)
class TurnForm:
    """The fixed texts of one such dialect."""

    name: DialectName
    look_tag: str
    other_tags: tuple[str, ...]
    """Further tags that no thought and no answer may hold."""
    inside: str
    """The white space that stands inside `<think>` and inside a call, at both ends."""
    after_think: str
    """The white space that stands behind `</think>`; what stands there besides is the trajectory's gap."""
    between_calls: str
    """What stands between two calls of a turn; empty where a turn may have only one."""
    response: tuple[str, str, str]
    """What the runtime writes before the clips of a turn, between two of them, and behind them."""
    response_role: ResponseRole
    """Whose turn that is in the words of chat templates, which write the same around it."""
    print_look: Callable[[Look], str]
    """The content of a call; raises where the dialect can't say the look."""
    read_look: Callable[[str], Look | tuple[Rule, str]]
    """The look that such a content says, or the rule that it breaks with what was expected instead."""
    tools: tuple[str, ...] = ()
    """The functions that are called, each as JSON with its schema."""

    def marks(self) -> re.Pattern[str]:
        """Finds all that no thought and no answer may hold, in linear time."""
        tag_names = "|".join((*TAG_NAMES, self.look_tag, *self.other_tags))
        return re.compile(f"</?(?:{tag_names})>|{_CHAT_MARKS}")

    def call(self, look: Look) -> str:
        """A call as the policy writes it."""
        return f"<{self.look_tag}>{self.inside}{self.print_look(look)}{self.inside}</{self.look_tag}>"

    def think(self, thought: str) -> str:
        """A thought as the policy writes it."""
        return f"{OPEN['think']}{self.inside}{thought}{self.inside}{CLOSE['think']}{self.after_think}"

    def response_text(self, clip_count: int) -> str:
        """What the runtime answers so many calls with, without its clips."""
        before, between, behind = self.response
        return before + between * (clip_count - 1) + behind

    def transcribe(self, prompt: tuple[Piece, ...], trajectory: Trajectory) -> Transcript:
        """The transcript of a policy that wrote this after the prompt; what the form can't say is refused."""
        self._refuse_marks(trajectory)
        pieces = list(prompt)
        for thought, looks in zip(trajectory.thoughts, trajectory.looks_by_turn(), strict=False):  # the last has no look
            if len(looks) > 1 and not self.between_calls:
                raise unsayable(self.name, f"{len(looks)} looks in one turn", "say it in `tool`, or leave the sample out")
            calls = self.between_calls.join(map(self.call, looks))
            pieces += [Piece("policy", f"{self.think(thought)}{calls}{TURN_END}"), *self.answered(looks)]
        answer = f"{OPEN['answer']}{trajectory.answer}{CLOSE['answer']}"
        return Transcript((*pieces, Piece("policy", f"{self.think(trajectory.thoughts[-1])}{trajectory.gap}{answer}")))

    def answered(self, looks: tuple[Look, ...]) -> list[Piece]:
        """The runtime's pieces behind a turn that asked for these looks."""
        before, between, behind = self.response
        pieces = [Piece("runtime", before)]
        for look in looks:
            pieces += [Piece("runtime", look=look), Piece("runtime", between)]
        return [*pieces[:-1], Piece("runtime", behind)]

    def _refuse_marks(self, trajectory: Trajectory) -> None:
        marks = self.marks()
        for text in (*trajectory.thoughts, trajectory.answer):
            match = marks.search(text)
            if match is not None:
                raise unsayable(self.name, f"a thought or an answer that holds {match.group()}", "leave the sample out")
