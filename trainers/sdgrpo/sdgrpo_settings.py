"""The settings of a training by SD-GRPO: one TOML file, every key documented where it is declared.

There is no top-p, no top-k and no repetition penalty: a ratio of probabilities means something only if tokens were sampled from
the distribution that is trained.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from dmforge.generators.inference.engines.engine_settings import VllmSettings
from dmforge.schemas.config import Config, Formerly, Later, Operational
from dmforge.trainers.training_settings import (
    LearningSettings,
    ReadingSettings,
    SettingsSource,
    TrainingSettings,
    read_settings,
)

LookCredit = Literal["to_go", "set", "marginal"]
AdvantageScale = Literal["own", "set"]
DEFAULT_IMPORTANCE_CAP = 2.0
"""The default of `importance_cap` where vLLM writes the rollouts."""


class PromptSettings(ReadingSettings):
    """The tasks of the training."""

    prompts: PositiveInt = 16
    """Prompts of a round, over all ranks; each is rolled out `group` times."""


class RolloutSettings(Config):
    """How rollouts are drawn, and what each may cost."""

    group: Annotated[int, Field(ge=2)] = 8
    """G: rollouts of a prompt, which are compared with each other."""
    max_looks: Later[PositiveInt] = 1
    """N: the most looks of a rollout."""
    temperature: PositiveFloat = 0.7
    """Temperature of the distribution that is sampled from, and trained."""
    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 512
    """The most tokens that the policy may write."""
    max_visual_tokens: Annotated[PositiveInt, Formerly("most_visual_tokens")] = 1 << 20
    """The most visual tokens of all clips that it is shown, the coarse one included."""
    resample: NonNegativeInt = 0
    """How many more times a group is rolled out in which no rollout did better than the others."""
    max_rows: Annotated[Operational[PositiveInt], Formerly("at_once")] = 16
    """Groups that are rolled out in one batch."""


class RewardSettings(Config):
    """What is rewarded: R_samp = iou * IoU + fps * density, and R_reason = answer + format * (well-formed, with a look)."""

    iou: NonNegativeFloat = 1.0
    """Weight of the overlap of the looks with the target's windows."""
    fps: NonNegativeFloat = 0.5
    """Weight of how near the densities are to their targets."""
    format: NonNegativeFloat = 0.2
    """Weight of being well-formed."""
    token_cost: Later[NonNegativeFloat] = 0.0
    """What a look costs whose clip has as many visual tokens as `look_tokens` of the clips; one with fewer costs less."""
    max_fps: Annotated[Fraction, Field(gt=0)] = Fraction(6)
    """The recipe's largest density: a density that is off by this much earns nothing."""
    padding: NonNegativeFloat = 0.0
    """p_max. For grounding, each bound of gold may be moved out by at most this share of gold's length, to the look's best
    advantage. 0 is the paper's way; with more, a look that leaves room around gold earns as much as gold itself."""
    teacher_densities: bool = False
    """Also reward nearness to densities that only a teacher gave."""


class PolicySettings(LearningSettings):
    """The learning of SD-GRPO."""

    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "constant_with_warmup"
    """What the learning rate does once it is at its highest."""
    iterations: PositiveInt = 1
    """mu: updates from the same rollouts."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """How far a ratio may be from 1 before it is clipped."""
    beta: NonNegativeFloat = 0.02
    """Weight of the KL divergence from the checkpoint that the training began with; 0 keeps no copy of it."""
    holistic: Annotated[float, Field(ge=0, le=1)] | None = None
    """How much of every token's advantage is that of the whole trajectory: 0 is decoupled, 1 plain GRPO. By default 0 for
    samples whose density is rewarded and .5 for others: decoupled advantages can't learn a density that nothing rewards."""
    looks: Later[LookCredit] = "to_go"
    """What each of several looks learns from. `to_go`: what was still to come of the overlap, and came. `marginal`: what it
    added itself. `set`: what came of all of them."""
    scale: Later[AdvantageScale] = "own"
    """By what the advantages of a look are divided: the spread of its `own` rewards, or of those of the whole `set`. With
    `set` a look that hardly matters is not blown up."""
    normalise: Literal["rollout", "segment", "batch"] = "rollout"
    """Where all tokens have the same weight: within each rollout, each of its segments, or the whole update."""
    max_tokens: Annotated[PositiveInt, Formerly("most_tokens")] = 32_768
    """The most tokens of one forward, on each rank: an update has as many forwards as it needs."""
    importance_cap: NonNegativeFloat | None = None
    """The cap of importance sampling weights, for rollouts of an engine with other arithmetic: a token is weighted by the
    trainer's probability over the engine's, up to this, which is at least 1. 0 switches it off. By default 2 where vLLM writes
    the rollouts, and 0 where the student does."""

    @model_validator(mode="after")
    def _require_cap_of_1(self) -> Self:
        if 0 < (self.importance_cap or 0) < 1:
            raise ValueError("importance_cap must be 0 or at least 1: less would cut what trainer and engine agree on")
        return self

    @model_validator(mode="after")
    def _require_whole_rounds(self) -> Self:
        if self.steps % self.iterations:
            raise ValueError(f"steps = {self.steps} must be a multiple of iterations = {self.iterations}")
        return self


class InProcessSettings(Config):
    """The student that is trained writes its rollouts itself, by the engine in this process."""

    kind: Literal["transformers"] = "transformers"
    """The engine in this process: no weights are copied, and no importance sampling is needed."""


class ColocatedSettings(VllmSettings):
    """vLLM writes the rollouts, in processes beside the trainer, which take the student's weights before each round."""

    processes: Operational[PositiveInt] = 1
    """vLLM processes of each rank. Those of the first rank take the first GPUs, and so on: one a rank shares its GPU."""
    gpu_memory_utilization: Annotated[Operational[Annotated[float, Field(gt=0, le=1)]], Formerly("memory_share")] = 0.3
    """The share of a GPU's memory for weights and cache. The trainer needs the rest."""


WriterSettings = Annotated[InProcessSettings | ColocatedSettings, Field(discriminator="kind")]
"""`kind` says which: transformers, vllm."""


class SdgrpoSettings(TrainingSettings):
    """The settings of a training by SD-GRPO."""

    name: str = "sdgrpo"
    """The model's name in its card."""
    data: PromptSettings
    """`[data]`"""
    rollout: RolloutSettings = Field(default_factory=RolloutSettings)
    """`[rollout]`"""
    engine: WriterSettings = Field(default_factory=InProcessSettings)
    """`[engine]`: who writes the rollouts"""
    rewards: RewardSettings = Field(default_factory=RewardSettings)
    """`[rewards]`"""
    training: PolicySettings
    """`[training]`"""

    @property
    def importance_cap(self) -> float:
        """The cap of importance sampling weights; 0 where there are none."""
        if self.training.importance_cap is not None:
            return self.training.importance_cap
        return DEFAULT_IMPORTANCE_CAP if isinstance(self.engine, ColocatedSettings) else 0.0

    @model_validator(mode="after")
    def _require_resumable(self) -> Self:
        if self.saving.save_every % self.training.iterations:
            raise ValueError("save_every must be a multiple of iterations: rollouts are no part of a checkpoint")
        if self.model.adapters and self.model.adapters.dropout:
            raise ValueError("adapters must have dropout = 0: a policy that drops is not the one that was rolled out")
        if self.model.attention != "blocks":
            raise ValueError("attention must be blocks: rollouts of a group share their prompt in one row")
        return self


def read_sdgrpo(source: SettingsSource) -> SdgrpoSettings:
    """The settings of a training by SD-GRPO."""
    return read_settings(SdgrpoSettings, source)
