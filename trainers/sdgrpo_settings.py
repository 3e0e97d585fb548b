"""What a training by SD-GRPO is told: one TOML file, every key documented where it is declared.

There is no top-p, no top-k and no repetition penalty: a ratio of probabilities means something only if what was sampled from
is the distribution that is trained.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.schemas.config import Config, Operational
from dmforge.trainers.settings import LearningSettings, ReadingSettings, TrainingSettings, read_settings


class PromptSettings(ReadingSettings):
    """What is practised on."""

    prompts: PositiveInt = 16
    """Of a round, over all ranks; each is rolled out `group` times."""


class RolloutSettings(Config):
    """What a policy may do before it is rewarded."""

    group: Annotated[int, Field(ge=2)] = 8
    """G: rollouts of a prompt, which are measured against each other."""
    temperature: PositiveFloat = 0.7
    """Of the distribution that is sampled from, and trained."""
    most_tokens: PositiveInt = 512
    """That the policy may write."""
    most_visual_tokens: PositiveInt = 1 << 20
    """Of all clips that it is shown, the coarse one included."""
    resample: NonNegativeInt = 0
    """How many more times a group is rolled out in which nobody did better than the others."""
    at_once: Operational[PositiveInt] = 16
    """Groups that are rolled out side by side."""


class RewardSettings(Config):
    """What is rewarded: R_samp = iou * IoU + fps * density, and R_reason = answer + format * (well-formed, with a look)."""

    iou: NonNegativeFloat = 1.0
    """Weight of the overlap of the look with where it should have looked."""
    fps: NonNegativeFloat = 0.5
    """Weight of how near the density is to its target."""
    format: NonNegativeFloat = 0.2
    """Weight of the form."""
    max_fps: Annotated[Fraction, Field(gt=0)] = Fraction(6)
    """The recipe's largest density: one that is so far off is worth nothing."""
    padding: NonNegativeFloat = 0.0
    """p_max. For grounding each bound of gold may lie further out by this share of its length at most, as it suits the look
    best. 0 is the paper's way; more, and a look that is the answer earns no more than one that leaves room around it."""
    teacher_densities: bool = False
    """Reward nearness to densities that only a teacher says are right, too."""


class PolicySettings(LearningSettings):
    """How it learns."""

    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "constant_with_warmup"
    """What the learning rate does once it is at its highest."""
    iterations: PositiveInt = 1
    """mu: updates from the same rollouts."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """How far a ratio may go before it is clipped."""
    beta: NonNegativeFloat = 0.02
    """Weight of the KL from the checkpoint that the training began with; 0 keeps no copy of it."""
    holistic: Annotated[float, Field(ge=0, le=1)] | None = None
    """How much of every token's advantage is that of the whole trajectory: 0 is decoupled, 1 plain GRPO. By default 0 for
    samples whose density is rewarded and .5 for others: what is decoupled can't learn a density that nothing rewards."""
    normalise: Literal["rollout", "segment", "batch"] = "rollout"
    """Tokens weigh alike within each rollout, within each segment of it, or over the whole update."""
    most_tokens: PositiveInt = 32_768
    """Of one forward of an update, in each rank: it is cut into as many as it needs."""
    importance_cap: NonNegativeFloat = 0.0
    """Where rollouts come from an engine with other arithmetic: each token weighs as much more as the trainer finds it
    likelier than the engine did, up to this. 0 leaves that out."""

    @model_validator(mode="after")
    def _whole_rounds(self) -> Self:
        if self.steps % self.iterations:
            raise ValueError(f"steps = {self.steps} must be a multiple of iterations = {self.iterations}")
        return self


class SdgrpoSettings(TrainingSettings):
    """A training by SD-GRPO."""

    name: str = "sdgrpo"
    """What the model is called in its card."""
    data: PromptSettings
    """`[data]`"""
    rollout: RolloutSettings = Field(default_factory=RolloutSettings)
    """`[rollout]`"""
    rewards: RewardSettings = Field(default_factory=RewardSettings)
    """`[rewards]`"""
    training: PolicySettings
    """`[training]`"""

    @model_validator(mode="after")
    def _can_go_on(self) -> Self:
        if self.saving.save_every % self.training.iterations:
            raise ValueError("save_every must be a multiple of iterations: rollouts are no part of a checkpoint")
        if self.model.adapters and self.model.adapters.dropout:
            raise ValueError("adapters must have dropout = 0: a policy that drops is not the one that was rolled out")
        if self.model.attention != "blocks":
            raise ValueError("attention must be blocks: rollouts of a group share their prompt in one row")
        return self


def read_sdgrpo(path: Path) -> SdgrpoSettings:
    """The settings of a file."""
    return read_settings(SdgrpoSettings, path)
