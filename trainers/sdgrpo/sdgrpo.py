"""Segment-decoupled GRPO: the student's looks learn from the rewards of looks, its answers from the rewards of answers.

For each prompt G rollouts are drawn from the policy at temperature T (rollouts.py). Each earns R_samp and R_reason
(rewards.py), which are normalised within the group, and each token carries the advantage A_t of its segment (advantages.py).
M_i are the tokens that the policy wrote in rollout i; what was injected is in no sum. With

    rho_t = pi(t) / pi_old(t)                 pi_old: the policy that the rollouts were drawn from
    KL_t  = pi_ref(t) / pi(t) - log(pi_ref(t) / pi(t)) - 1

what is maximised is

    J = mean_i 1/|M_i| sum_{t in M_i} [ min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t) - beta KL_t ]

Where the rollouts were drawn by an engine outside the trainer, the min is multiplied by w_t (importance_sampling.py).

All probabilities are of the tempered distribution with nothing banned from it, on both sides of the ratio. Before the first
of mu updates nothing has changed since the rollouts: pi_old is what that update's own forward computes, and costs nothing.
With holistic = 1 all this is GRPO, and gives the loss and the gradient of TRL's.

    dmforge train sdgrpo sdgrpo.toml                                               # one process
    torchrun --nproc-per-node 8 -m dmforge.cli train sdgrpo sdgrpo.toml             # eight GPUs, one process each
"""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments, set_seed

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset
from dmforge.generators.inference.rollout import Ending
from dmforge.generators.student.load_student import Student
from dmforge.trainers import checkpoints
from dmforge.trainers.base_trainer import ResumableTrainer, training_arguments
from dmforge.trainers.best_checkpoint import best_of
from dmforge.trainers.dataloading import RepeatedBatchSampler, use_one_thread
from dmforge.trainers.held_out import HeldOutEvaluation
from dmforge.trainers.metric_accumulator import MetricAccumulator
from dmforge.trainers.model_setup import make_student, prepare_student
from dmforge.trainers.sdgrpo.advantages import WITHOUT_DENSITY
from dmforge.trainers.sdgrpo.branches import (
    GroupedForward,
    PolicyTokens,
    PromptGroup,
    forward_of,
    log_probs,
    split_into_forwards,
)
from dmforge.trainers.sdgrpo.importance_sampling import importance_ratios, truncated_weights
from dmforge.trainers.sdgrpo.objective import divergences, is_clipped, objective
from dmforge.trainers.sdgrpo.rollout_writer import RolloutWriter, writer_of
from dmforge.trainers.sdgrpo.rollouts import PromptCollator, RolledOutGroup, RolloutPrompt, roll_out_round, training_group
from dmforge.trainers.sdgrpo.sdgrpo_checks import open_rl_corpora, require_rollout_room, require_targets
from dmforge.trainers.sdgrpo.sdgrpo_settings import InProcessSettings, SdgrpoSettings
from dmforge.trainers.training_result import TrainingResult

SEGMENTS = ("sampling", "reasoning")
ENDINGS: tuple[str, ...] = get_args(Ending)
MEASURED = (
    "reward/sampling", "reward/reasoning", "iou", "density", "answer", "format", "looked", "looks", "fps", "visual_tokens",
    "no_signal", "no_target", "resampled", "holistic", "mismatch", "correction/mean", "correction/clipped",
    "seconds/sync", "seconds/rollout", "seconds/update",
    *(f"ending/{ending}" for ending in ENDINGS),
    *(f"{metric}/{segment}" for metric in ("tokens", "advantage", "entropy", "clipped", "kl") for segment in SEGMENTS),
)  # fmt: skip
PEAKS = ("correction/max",)
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class UpdateRound:
    """The rollouts of mu updates, as forwards, with what is kept of each forward's tokens from the first update on."""

    forwards: list[GroupedForward]
    old_log_probs: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    correction_weights: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    reference_log_probs: list[torch.Tensor] = field(default_factory=list[torch.Tensor])


class SdgrpoTrainer(ResumableTrainer):
    """The trainer of SD-GRPO: rolls out, compares, learns."""

    method = "SD-GRPO"

    def __init__(
        self,
        student: Student,
        settings: SdgrpoSettings,
        corpora: Sequence[Corpus],
        args: TrainingArguments,
        make_writer: Callable[[Student], RolloutWriter] | None = None,
    ) -> None:
        self.settings, self.policy, self._importance_cap = settings, settings.training, settings.importance_cap
        sampler = BatchSampler(
            corpora, seed=self.policy.seed, max_tokens=1 << 62, max_samples=settings.data.prompts,
            weights=[corpus.weight for corpus in settings.data.corpora], rank=args.process_index, ranks=args.world_size,
        )  # fmt: skip
        round_sampler = RepeatedBatchSampler(sampler, self.policy.steps // self.policy.iterations, self.policy.iterations)
        # copied before anything is learnt or resumed: the KL is measured from the first checkpoint
        needs_reference_copy = self.policy.beta > 0 and settings.model.adapters is None
        reference_model = copy.deepcopy(student.model).eval().requires_grad_(False) if needs_reference_copy else None
        super().__init__(student, settings, corpora, round_sampler, args)
        self._reference_model = self.spread(reference_model) if needs_reference_copy else None
        self.writer = make_writer(student) if make_writer else writer_of(student, settings, args.local_process_index)
        self.tally = MetricAccumulator(MEASURED, PEAKS)
        self._round = UpdateRound([])
        self._has_logged_holistic = False

    def get_train_dataloader(self) -> DataLoader[Any]:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        workers = self.settings.data.workers
        worker_options: dict[str, Any] = {"prefetch_factor": 1, "worker_init_fn": use_one_thread} if workers else {}
        examples: Any = CorpusDataset(self.corpora)
        return DataLoader(
            examples,
            batch_sampler=self.rounds,
            collate_fn=PromptCollator(self.corpora[0].clips),
            num_workers=workers,
            **worker_options,
        )  # pyright: ignore[reportArgumentType]

    def may_stop(self, step: int) -> bool:
        return step % self.policy.iterations == 0  # rollouts are no part of a checkpoint

    def batches_done(self) -> int:
        return self.state.global_step // self.policy.iterations

    # 1. rollouts, rewards, advantages

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[RolloutPrompt]], num_batches: int, device: torch.device
    ) -> tuple[Any, Any]:
        """The current round; a new one is rolled out once mu updates have been made from the last."""
        if self.state.global_step % self.policy.iterations == 0:
            round_prompts = next(epoch_iterator)
            start_s = time.perf_counter()
            self.writer.follow(self.student)
            self.tally.add("seconds/sync", [time.perf_counter() - start_s])
            round_index = self.state.global_step // self.policy.iterations
            is_own_work = isinstance(self.settings.engine, InProcessSettings)  # for an engine beside nothing is gathered
            with self.rolling() if is_own_work else nullcontext():
                rolled_groups = roll_out_round(
                    self.writer, [prompt for prompt in round_prompts if prompt.weight], round_index, self.settings
                )
            self._add_metrics(rolled_groups)
            self._round = self._to_forwards(rolled_groups, round_prompts[0])
            self.tally.add("seconds/rollout", [time.perf_counter() - start_s])
        return [self._round], None

    def _to_forwards(self, rolled_groups: Sequence[RolledOutGroup], filler_prompt: RolloutPrompt) -> UpdateRound:
        """The forwards of a round, as many on each rank. A group stays on its rank; ranks only share counts."""
        layout = self.student.layout
        prompt_groups = [training_group(rolled_group, layout, self.settings) for rolled_group in rolled_groups]
        results_with_tokens = [
            rollout_result
            for rolled_group in rolled_groups
            for rollout_result in rolled_group.results
            if rollout_result.written
        ]
        token_count = sum(
            len(written_segment.ids) for rollout_result in results_with_tokens for written_segment in rollout_result.written
        )
        local_counts = torch.tensor([len(results_with_tokens), token_count], device=self.args.device)
        rollout_count, token_count = self.accelerator.reduce(local_counts).tolist()  # pyright: ignore[reportAttributeAccessIssue]
        weight_total = max(1, token_count if self.policy.normalise == "batch" else rollout_count)
        forwards = [
            forward_of([_with_divided_weights(prompt_group, weight_total) for prompt_group in forward_groups])
            for forward_groups in split_into_forwards(prompt_groups, self.policy.max_tokens)
        ]
        forward_count = torch.tensor([len(forwards)], device=self.args.device)
        max_forwards = max(1, int(self.accelerator.gather(forward_count).max()))  # pyright: ignore[reportAttributeAccessIssue]
        if len(forwards) < max_forwards:
            idle_forward = forward_of([PromptGroup(layout.join(layout.stretches(filler_prompt.pieces)), ())])
            forwards += [idle_forward] * (max_forwards - len(forwards))
        return UpdateRound(forwards)

    # 2. the update

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of the whole round. Ranks average their gradients, so each multiplies its part of J by their
        number; they wait for each other in the last backward only."""
        start_s = time.perf_counter()
        current_round: UpdateRound = inputs
        model.train()
        total_loss = torch.zeros((), device=self.args.device)
        for forward_index in range(len(current_round.forwards)):
            is_last = forward_index == len(current_round.forwards) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                forward_loss = -self._objective(model, current_round, forward_index) * self.args.world_size
                self.accelerator.backward(forward_loss)
            total_loss += forward_loss.detach()
        self.tally.add("seconds/update", [time.perf_counter() - start_s])
        return total_loss

    def _objective(self, model: Any, current_round: UpdateRound, forward_index: int) -> torch.Tensor:
        forward = current_round.forwards[forward_index].to(self.args.device)
        policy_tokens, temperature = forward.learnt, self.settings.rollout.temperature
        with self.accelerator.autocast():
            new_log_probs, entropies = log_probs(model, forward, temperature)
        if forward_index == len(current_round.old_log_probs):  # the first of mu updates
            current_round.old_log_probs.append(new_log_probs.detach())
            self.tally.add("mismatch", (new_log_probs.detach() - policy_tokens.sampled_log_probs).abs())
            if self._importance_cap:
                current_round.correction_weights.append(self._correction_weights(new_log_probs.detach(), policy_tokens))
            if self.policy.beta:
                with torch.no_grad(), self._reference_policy() as reference_model, self.accelerator.autocast():
                    current_round.reference_log_probs.append(log_probs(reference_model, forward, temperature)[0])
        total_objective = objective(
            new_log_probs,
            current_round.old_log_probs[forward_index],
            policy_tokens,
            self.policy,
            current_round.correction_weights[forward_index] if self._importance_cap else None,
        )
        self._add_by_segment("entropy", entropies, policy_tokens)
        self._add_by_segment(
            "clipped",
            is_clipped(
                new_log_probs, current_round.old_log_probs[forward_index], policy_tokens.advantages, self.policy.epsilon
            ),
            policy_tokens,
        )
        self._add_by_segment("advantage", policy_tokens.advantages.abs(), policy_tokens)
        if self.policy.beta:
            token_kl = divergences(new_log_probs, current_round.reference_log_probs[forward_index])
            self._add_by_segment("kl", token_kl.detach(), policy_tokens)
            total_objective = total_objective - self.policy.beta * (policy_tokens.weights * token_kl).sum()
        return total_objective

    def _correction_weights(self, old_log_probs: torch.Tensor, policy_tokens: PolicyTokens) -> torch.Tensor:
        token_ratios = importance_ratios(old_log_probs, policy_tokens.sampled_log_probs)
        truncated_ratios = truncated_weights(token_ratios, self._importance_cap)
        self.tally.add("correction/mean", truncated_ratios)
        self.tally.add("correction/clipped", token_ratios > self._importance_cap)
        self.tally.peak("correction/max", token_ratios)
        return truncated_ratios

    def _reference_policy(self) -> AbstractContextManager[Any]:
        """The policy that the training began with: a copy of the model, or the student without its adapters."""
        return (
            nullcontext(self._reference_model) if self._reference_model is not None else _without_adapters(self.student.model)
        )

    # 3. metrics

    def _add_metrics(self, rolled_groups: Sequence[RolledOutGroup]) -> None:
        metric_tally = self.tally
        for rolled_group in rolled_groups:
            metric_tally.add("no_signal", [not rolled_group.is_signal])
            metric_tally.add("no_target", [not rolled_group.reward_target.has_target])
            metric_tally.add("resampled", [rolled_group.attempts > 1])
            metric_tally.add("holistic", [rolled_group.holistic])
            for rollout_reward, rollout_result in zip(rolled_group.rewards, rolled_group.results, strict=True):
                metric_tally.add("reward/sampling", [rollout_reward.sampling])
                metric_tally.add("reward/reasoning", [rollout_reward.reasoning])
                for reward_name in ("iou", "density", "answer", "format"):
                    metric_tally.add(reward_name, [getattr(rollout_reward, reward_name)])
                metric_tally.add("looked", [bool(rollout_result.looks)])
                metric_tally.add("looks", [len(rollout_result.looks)])
                metric_tally.add("fps", [float(look.fps) for look in rollout_result.looks])
                metric_tally.add("visual_tokens", [rollout_result.visual_tokens])
                segment_tokens = [len(written_segment.ids) for written_segment in rollout_result.written]
                looks_end = len(segment_tokens) if rollout_reward.case == "broken" else max(1, len(rollout_reward.looks))
                metric_tally.add("tokens/sampling", [sum(segment_tokens[:looks_end])])
                metric_tally.add("tokens/reasoning", [sum(segment_tokens[looks_end:])])
                for ending in ENDINGS:
                    metric_tally.add(f"ending/{ending}", [rollout_result.ending == ending])
        if (
            self.policy.holistic is None
            and not self._has_logged_holistic
            and any(not rolled_group.reward_target.looks for rolled_group in rolled_groups)
        ):
            self._has_logged_holistic = True
            self._log_holistic_default()

    def _log_holistic_default(self) -> None:
        message = (
            f"holistic is {WITHOUT_DENSITY} for samples whose density is not rewarded (only a teacher says it, there is none, "
            "or [rewards] fps is 0): decoupled advantages could not learn it"
        )
        logger.warning(message)
        self.log_note({"note": message})

    def _add_by_segment(self, metric_name: str, values: torch.Tensor, policy_tokens: PolicyTokens) -> None:
        for segment_name, in_segment in zip(SEGMENTS, (~policy_tokens.reasoning, policy_tokens.reasoning), strict=True):
            self.tally.add(f"{metric_name}/{segment_name}", values[in_segment].cpu())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to Hugging Face's metrics the means since the last line, over all ranks."""
        if "loss" in logs:
            metrics = self.tally.means(self.accelerator) | self.tally.peaks(self.accelerator)
            logs |= {metric_name: float(f"{metric_value:.6g}") for metric_name, metric_value in metrics.items()}
        super().log(logs, start_time)


def _with_divided_weights(group: PromptGroup, weight_total: int) -> PromptGroup:
    """The group with weights that add up to 1 over an update."""
    return replace(group, branches=tuple(replace(branch, weights=branch.weights / weight_total) for branch in group.branches))


@contextmanager
def _without_adapters(model: Any) -> Generator[Any]:
    with model.disable_adapter():
        yield model


def train(
    settings: SdgrpoSettings,
    callbacks: Sequence[TrainerCallback] = (),
    make_writer: Callable[[Student], RolloutWriter] | None = None,
) -> TrainingResult:
    """Train from the last complete checkpoint to the last step. `callbacks` are Hugging Face's; `make_writer` makes another
    writer than the settings name."""
    args = training_arguments(settings, logging_nan_inf_filter=False)
    corpora = open_rl_corpora(settings)
    if args.process_index == 0:
        if settings.data.verify:
            require_targets(settings, corpora)
        checkpoints.sweep(Path(settings.out))
    set_seed(settings.training.seed)
    student = prepare_student(make_student(settings.model, corpora, settings.training.seed), settings.model)
    require_rollout_room(settings, corpora, student.vocabulary)
    trainer = SdgrpoTrainer(student, settings, corpora, args, make_writer)
    start_s = time.perf_counter()
    if settings.evaluation:
        callbacks = [HeldOutEvaluation(trainer, settings.evaluation), *callbacks]
    try:
        checkpoint = trainer.to_the_end(callbacks)
    finally:
        trainer.writer.close()
    last_loss_entry = next(entry for entry in reversed(trainer.state.log_history) if "loss" in entry)
    seconds = time.perf_counter() - start_s
    return TrainingResult(
        checkpoint, trainer.state.global_step, seconds, last_loss_entry, best_of(settings), trainer.stopped_by
    )
