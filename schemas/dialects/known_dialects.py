"""All dialects, by name."""

from __future__ import annotations

from typing import Final

from dmforge.schemas import grammar
from dmforge.schemas.dialects.dialect import Dialect, DialectName
from dmforge.schemas.dialects.grounding_dialect import GROUNDING
from dmforge.schemas.dialects.tool_dialect import TOOL

SPAN: Final = Dialect("span", "span", grammar.parse, grammar.transcribe)
"""`<span>12.00 - 20.00</span><fps>2</fps>` inside one thought: the dialect of DynFrame."""
DIALECTS: Final[dict[DialectName, Dialect]] = {dialect.name: dialect for dialect in (SPAN, TOOL, GROUNDING)}
