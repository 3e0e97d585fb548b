"""What a trajectory may cost where a checkpoint is measured by greedy rollouts."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from dmforge.schemas.config import Config, Formerly, Later
from dmforge.schemas.errors import InputError


class RollLimits(Config):
    """What a trajectory may cost."""

    max_looks: Annotated[PositiveInt, Formerly("most_looks")] = 1
    """The most looks that are answered with frames."""
    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 512
    """The most tokens that the policy may write."""
    max_visual_tokens: Annotated[PositiveInt, Formerly("most_visual_tokens")] = 1 << 20
    """The most visual tokens of all clips that it is shown, the coarse one included."""


class RollSettings(RollLimits):
    """What a trajectory may cost, and to how many looks the same policy is held besides."""

    held_to: Later[tuple[NonNegativeInt, ...]] = ()
    """Numbers of looks, as [0, 1, 2]: the same policy is also rolled out held to at most so many, for its accuracy against the
    visual tokens that it was shown. Held to 0 it answers straight away; one that would look once more has to answer."""

    @model_validator(mode="after")
    def _refuse_impossible_holds(self) -> Self:
        if len(set(self.held_to)) < len(self.held_to):
            raise InputError(f"{list(self.held_to)} has a number twice", where="held_to", hint="say each number once")
        if max(self.held_to, default=0) > self.max_looks:
            message = f"a policy that makes at most {self.max_looks} looks can't be held to {max(self.held_to)}"
            raise InputError(message, where="held_to", hint="raise max_looks, or hold it to fewer")
        return self

    @property
    def measures_several_looks(self) -> bool:
        """Whether figures tell looks made from looks needed: with one look there are only those of before."""
        return self.max_looks > 1 or bool(self.held_to)
