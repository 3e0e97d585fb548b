"""dmforge's own formats, by their names; docs/formats.md describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dmforge.curation.exports.dynframe import DYNFRAME
from dmforge.curation.exports.easyr1 import EASYR1
from dmforge.curation.exports.hf import HF
from dmforge.curation.exports.llamafactory import LLAMAFACTORY
from dmforge.curation.exports.openai_messages import MESSAGES
from dmforge.curation.exports.row_format import RowFormat
from dmforge.curation.exports.swift import SWIFT
from dmforge.curation.exports.trl import TRL
from dmforge.curation.exports.verl import VERL

FORMATS: Final[Mapping[str, RowFormat]] = {
    "dynframe": DYNFRAME,
    "llamafactory": LLAMAFACTORY,
    "trl": TRL,
    "hf": HF,
    "messages": MESSAGES,
    "swift": SWIFT,
    "verl": VERL,
    "easyr1": EASYR1,
}
