"""The rows of tables that stand beside those of the lake in audits, as far as no module of their own makes them."""

from __future__ import annotations

from dataclasses import dataclass

from dmforge.schemas.ids import Id
from dmforge.schemas.units import Count, Index, Share


@dataclass(frozen=True, slots=True)
class StageStanding:
    """A stage of the recipe, and where it stands."""

    position: Index
    """Its place in the recipe."""
    stage: str
    """Its name."""
    inputs: Count
    """All that it has to work on, settled or not."""
    pending: Count
    """Those of them without an outcome."""


@dataclass(frozen=True, slots=True)
class BroughtVideo:
    """A video on the list of those that were brought, also one of which no video was made."""

    video: Id
    """The id that its file has, whatever became of it."""
    name: str
    """The name that it has where it comes from."""
    path: str
    """Where its file lies."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs, as the recipe says."""

    model: str
    """By the name that its endpoint knows."""
    input_usd: float
    """For a million tokens of questions."""
    output_usd: float
    """For a million tokens of answers."""
    batch_share: Share
    """The share of that which answers in batches cost."""
