"""One round of reinforcement: prompts are rolled out G times each, rewarded and compared. No model is changed here.

Each rollout has its own random stream, whose seed is a digest of the training's seed, round, task, index and attempt. So a
round is the same on any rank, in any batch, before or after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.shards.document import ShardSample
from dmforge.curation.shards.examples import Example
from dmforge.generators.footage import CachedFootage, PromptPiece
from dmforge.generators.inference.engines.engine import Engine, Sampling
from dmforge.generators.inference.retrace import log_probs, retrace_behind
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.rendition_footage import footage_of
from dmforge.generators.student.token_layout import TokenLayout
from dmforge.schemas.clips import Clips
from dmforge.schemas.ids import digest
from dmforge.trainers.sdgrpo.advantages import Advantage, CreditRules, advantages, holistic_share
from dmforge.trainers.sdgrpo.branches import Continuation, PromptGroup
from dmforge.trainers.sdgrpo.rewards import Reward, RewardTarget, reward, reward_target_of
from dmforge.trainers.sdgrpo.sdgrpo_settings import SdgrpoSettings


@dataclass(frozen=True, slots=True)
class RolloutPrompt:
    """A task with its coarse clip, which was decoded in a worker."""

    sample: ShardSample
    pieces: tuple[PromptPiece, ...]
    footage: CachedFootage
    weight: int
    """0 for a filler that only keeps the ranks in step."""
    clips: Clips


@dataclass(frozen=True)
class PromptCollator:
    """The collate function of a DataLoader of prompts."""

    clips: Clips

    def __call__(self, examples: Sequence[tuple[Example, int]]) -> list[RolloutPrompt]:
        return [self._prompt(example, sample_weight) for example, sample_weight in examples]

    def _prompt(self, example: Example, sample_weight: int) -> RolloutPrompt:
        footage = CachedFootage(footage_of(example, self.clips), None)
        pieces = prompt_of(example.sample.transcript.pieces, footage)
        return RolloutPrompt(example.sample, pieces, footage, sample_weight, self.clips)


@dataclass(frozen=True, slots=True)
class RolledOutGroup:
    """A prompt with the rollouts of its group, their rewards and advantages."""

    prompt: RolloutPrompt
    reward_target: RewardTarget
    results: tuple[RolloutResult, ...]
    rewards: tuple[Reward, ...]
    advantages: tuple[Advantage, ...]
    holistic: float
    attempts: int

    @property
    def is_signal(self) -> bool:
        """Whether some rollout did better than the others."""
        return any(advantage.is_signal for advantage in self.advantages)


def roll_out_round(
    engine: Engine, prompts: Sequence[RolloutPrompt], round_index: int, settings: SdgrpoSettings
) -> list[RolledOutGroup]:
    """Roll out the prompts of a round; a group without signal is rolled out again, as often as the settings say."""
    group_by_prompt: dict[int, RolledOutGroup] = {}
    pending_prompts = list(range(len(prompts)))
    for attempt_index in range(settings.rollout.resample + 1):
        for batch_start in range(0, len(pending_prompts), settings.rollout.max_rows):
            prompt_batch = pending_prompts[batch_start : batch_start + settings.rollout.max_rows]
            group_by_prompt |= zip(
                prompt_batch,
                _roll_out_groups(
                    engine, [prompts[prompt_index] for prompt_index in prompt_batch], round_index, attempt_index, settings
                ),
                strict=True,
            )
        pending_prompts = [prompt_index for prompt_index in pending_prompts if not group_by_prompt[prompt_index].is_signal]
    return [group_by_prompt[prompt_index] for prompt_index in range(len(prompts))]


def _roll_out_groups(
    engine: Engine, prompts: Sequence[RolloutPrompt], round_index: int, attempt_index: int, settings: SdgrpoSettings
) -> Iterable[RolledOutGroup]:
    rollout_settings = settings.rollout
    requests = [
        RolloutRequest(
            prompt.pieces, prompt.footage, Sampling(rollout_settings.temperature, rollout_seed, rollout_settings.max_tokens)
        )
        for prompt in prompts
        for rollout_seed in rollout_seeds(
            settings.training.seed, round_index, prompt.sample.id, attempt_index, rollout_settings.group
        )
    ]
    results = roll(engine, requests, RolloutLimits(rollout_settings.max_looks, rollout_settings.max_visual_tokens))
    for prompt_index, prompt in enumerate(prompts):
        yield score_group(
            prompt,
            results[prompt_index * rollout_settings.group : (prompt_index + 1) * rollout_settings.group],
            attempt_index + 1,
            settings,
        )


def rollout_seeds(seed: int, round_index: int, sample_id: str, attempt_index: int, group_size: int) -> list[int]:
    """The seeds of a group's rollouts."""
    seed_digests = (
        digest("practice", [seed, round_index, sample_id, rollout_index, attempt_index]) for rollout_index in range(group_size)
    )
    return [int.from_bytes(digest_bytes[:8], "big") for digest_bytes in seed_digests]


def score_group(
    prompt: RolloutPrompt, results: Sequence[RolloutResult], attempt_count: int, settings: SdgrpoSettings
) -> RolledOutGroup:
    """A prompt's rollouts with their rewards and advantages."""
    reward_target = reward_target_of(prompt.sample, settings.rewards)
    rewards = [
        reward(
            reward_target,
            rollout_result.ending,
            rollout_result.trajectory,
            settings.rewards,
            [look_tokens / prompt.clips.look_tokens for look_tokens in rollout_result.look_tokens],
        )
        for rollout_result in results
    ]
    holistic_weight = holistic_share(settings.training.holistic, density_counts=bool(reward_target.looks))
    group_advantages = advantages(
        rewards, holistic_weight, has_target=reward_target.has_target, rules=credit_rules_of(settings)
    )
    return RolledOutGroup(
        prompt, reward_target, tuple(results), tuple(rewards), tuple(group_advantages), holistic_weight, attempt_count
    )


def training_group(rolled_group: RolledOutGroup, layout: TokenLayout, settings: SdgrpoSettings) -> PromptGroup:
    """The rollouts of a group as an update takes them, without those that can't change the model. Token weights are those
    within a rollout, not yet divided by the number of rollouts, or tokens, of the update."""
    laid_out_prompt = layout.join(layout.stretches(rolled_group.prompt.pieces))
    group_branches: list[Continuation] = []
    for rollout_result, rollout_reward, advantage in zip(
        rolled_group.results, rolled_group.rewards, rolled_group.advantages, strict=True
    ):
        if not rollout_result.written or not (advantage.is_signal or settings.training.beta):
            continue
        segments = segments_of(rollout_result, rollout_reward)
        group_branches.append(
            Continuation(
                retrace_behind(laid_out_prompt, rollout_result, rolled_group.prompt.footage, layout),
                log_probs(rollout_result),
                np.array(advantage.segments, np.float32)[segments],
                token_weights(segments, settings.training.normalise),
                segments == max(1, len(rollout_reward.looks)),
            )
        )
    return PromptGroup(laid_out_prompt, tuple(group_branches))


def segments_of(result: RolloutResult, rollout_reward: Reward) -> NDArray[np.int64]:
    """Of each token that the policy wrote, its segment: how many clips stand before it. Broken rollouts have one segment."""
    token_counts = [len(generated_text.kept_ids) for generated_text in result.written]
    segments = np.repeat(np.arange(len(token_counts)), token_counts)
    return np.zeros_like(segments) if rollout_reward.case == "broken" else segments


def token_weights(segments: NDArray[np.int64], normalisation: str) -> NDArray[np.float32]:
    """The weights of a rollout's tokens: 1/|M_i| each; or 1/|M_seg| in each segment, divided by their number; or 1, to be
    divided by all tokens of an update."""
    if normalisation == "batch":
        return np.ones(len(segments), np.float32)
    if normalisation == "rollout":
        return np.full(len(segments), 1 / len(segments), np.float32)
    segment_sizes = np.bincount(segments)
    return (1 / ((segment_sizes > 0).sum() * segment_sizes[segments])).astype(np.float32)


def credit_rules_of(settings: SdgrpoSettings) -> CreditRules:
    policy = settings.training
    return CreditRules(settings.rollout.max_looks, policy.looks, policy.scale, settings.rewards)
