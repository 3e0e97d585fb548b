"""The names of the dialects, for those who only name one."""

from typing import Literal

DialectName = Literal["span", "tool", "grounding"]
