"""Numbers whose unit their name doesn't say: `width: Pixels`. Other units are the last word of a name, `duration_cs`."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number, as people say it."""

    text: str


Pixels = Annotated[int, Unit("pixels")]
Degrees = Annotated[int, Unit("degrees")]
PerMille = Annotated[int, Unit("per mille of that side")]
GridFrame = Annotated[int, Unit("frames of the grid, from 0")]
Patch = Annotated[int, Unit("patches, from 0")]
Hash = Annotated[int, Unit("64 bits")]
Tokens = Annotated[int, Unit("tokens")]
FormatNumber = Annotated[int, Unit("format of the table")]
Count = Annotated[int, Unit("count")]
Index = Annotated[int, Unit("from 0")]
Share = Annotated[float, Unit("from 0 to 1")]
Score = Annotated[float, Unit("as its filter says")]
FpsError = Annotated[float, Unit("frames a second")]

UNIT_OF_WORD: Mapping[str, str] = types.MappingProxyType({
    "cs": "hundredths of a second", "s": "seconds", "seconds": "seconds", "fps": "frames a second", "bytes": "bytes",
    "tokens": "tokens", "usd": "US dollars",
})  # fmt: skip
"""The unit of a number by the last word of its name."""


def unit_of(name: str, annotation: Any) -> str:
    """The unit of a number with this name and annotation, extras included; empty where nothing says it."""
    unit = next((extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Unit)), None)
    return unit.text if unit is not None else UNIT_OF_WORD.get(name.rpartition("_")[2], "")
