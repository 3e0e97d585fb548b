"""What a training by SD-GRPO is told: one TOML file, every key documented where it is declared.

There is no top-p, no top-k and no repetition penalty: a ratio of probabilities means something only if what was sampled from
is the distribution that is trained.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.generators.engines.settings import VllmSettings
from dmforge.schemas.config import Config, Operational
from dmforge.trainers.settings import LearningSettings, ReadingSettings, TrainingSettings, read_settings

CAP = 2.0
"""`importance_cap` where vLLM writes the rollouts and nothing else is asked for."""


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
    importance_cap: NonNegativeFloat | None = None
    """Where rollouts come from an engine with other arithmetic: each token weighs as much more or less as the trainer finds it
    likelier than the engine did, up to this, which is at least 1. 0 leaves that out. By default 2 where vLLM writes rollouts,
    and 0 where the student does it itself."""

    @model_validator(mode="after")
    def _cap_of_agreement(self) -> Self:
        if 0 < (self.importance_cap or 0) < 1:
            raise ValueError("importance_cap must be 0 or at least 1: less would cut what trainer and engine agree on")
        return self

    @model_validator(mode="after")
    def _whole_rounds(self) -> Self:
        if self.steps % self.iterations:
            raise ValueError(f"steps = {self.steps} must be a multiple of iterations = {self.iterations}")
        return self


class ItselfSettings(Config):
    """The student that is trained writes its rollouts itself, by the engine in this process."""

    kind: Literal["transformers"] = "transformers"
    """Nothing is copied, and nothing has to be corrected."""


class BesideSettings(VllmSettings):
    """vLLM writes the rollouts, in processes beside the trainer, which take the student's weights before each round."""

    processes: Operational[PositiveInt] = 1
    """Of each rank. Those of the first rank take the first GPUs, and so on: with one a rank, each shares that rank's GPU."""
    memory_share: Operational[Annotated[float, Field(gt=0, le=1)]] = 0.3
    """Of a GPU's memory, for weights and cache. The trainer needs the rest."""


WriterSettings = Annotated[ItselfSettings | BesideSettings, Field(discriminator="kind")]
"""`kind` says which: transformers, vllm."""


class SdgrpoSettings(TrainingSettings):
    """A training by SD-GRPO."""

    name: str = "sdgrpo"
    """What the model is called in its card."""
    data: PromptSettings
    """`[data]`"""
    rollout: RolloutSettings = Field(default_factory=RolloutSettings)
    """`[rollout]`"""
    engine: WriterSettings = Field(default_factory=ItselfSettings)
    """`[engine]`: who writes the rollouts"""
    rewards: RewardSettings = Field(default_factory=RewardSettings)
    """`[rewards]`"""
    training: PolicySettings
    """`[training]`"""

    @property
    def importance_cap(self) -> float:
        """0 where nothing is corrected."""
        if self.training.importance_cap is not None:
            return self.training.importance_cap
        return CAP if isinstance(self.engine, BesideSettings) else 0.0

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
