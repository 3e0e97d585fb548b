"""All dialects, by name."""

from __future__ import annotations

from typing import Final

from dmforge.schemas import grammar
from dmforge.schemas.dialects.dialect import Dialect
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.dialects.grounding_dialect import GROUNDING
from dmforge.schemas.dialects.tool_dialect import TOOL
from dmforge.schemas.looks import Look
from dmforge.schemas.tags import CLOSE, OPEN
from dmforge.schemas.transcript import Piece


def _looks_so_far(text: str) -> tuple[Look, ...] | None:
    trajectory = grammar.parse(f"{text}{CLOSE['think']}{OPEN['answer']}-{CLOSE['answer']}", len(text))
    return trajectory.looks if isinstance(trajectory, grammar.Trajectory) else None


def _answered(looks: tuple[Look, ...]) -> list[Piece]:
    return [Piece("runtime", look=look) for look in looks]


SPAN: Final = Dialect("span", "span", grammar.parse, grammar.transcribe, _looks_so_far, _answered)
"""`<span>12.00 - 20.00</span><fps>2</fps>` inside one thought: the dialect of DynFrame."""
DIALECTS: Final[dict[DialectName, Dialect]] = {dialect.name: dialect for dialect in (SPAN, TOOL, GROUNDING)}


def dialect_of(text: str) -> Dialect:
    """The dialect of a trajectory's text: that of its first turn that ends with a look, else `span`."""
    dialect_by_position = {
        position: dialect
        for dialect in DIALECTS.values()
        if dialect.turn_end and (position := text.find(f"</{dialect.look_tag}>{dialect.turn_end}")) >= 0
    }
    return dialect_by_position[min(dialect_by_position)] if dialect_by_position else SPAN
