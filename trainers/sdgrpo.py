"""Segment-decoupled GRPO: a student learns where to look from where it looked, and what to answer from what it answered.

For each prompt G rollouts are drawn from the policy at temperature T (practice.py). Each earns R_samp and R_reason
(rewards.py), which are normalised within the group, and each token carries the advantage A_t of its segment (advantages.py).
M_i are the tokens that the policy wrote in rollout i; what was injected is in no sum. With

    rho_t = pi(t) / pi_old(t)                 pi_old: the policy that the rollouts were drawn from
    KL_t  = pi_ref(t) / pi(t) - log(pi_ref(t) / pi(t)) - 1

what is maximised is

    J = mean_i 1/|M_i| sum_{t in M_i} [ min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t) - beta KL_t ]

Where the rollouts were drawn by an engine beside the trainer, the min is multiplied by w_t (correction.py).

All probabilities are of the tempered distribution with nothing banned from it, on both sides of the ratio. Before the first
of mu updates nothing has changed since the rollouts: pi_old is what that update's own forward finds, and costs nothing.
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
from typing import Any, Protocol, get_args

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainingArguments, set_seed

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler, Examples
from dmforge.generators.engines.contract import Engine
from dmforge.generators.engines.transformers import TransformersEngine
from dmforge.generators.rollout import Ending
from dmforge.generators.student.load import Student
from dmforge.trainers import checkpoints
from dmforge.trainers.advantages import WITHOUT_DENSITY
from dmforge.trainers.branches import Forward, Group, Learnt, cut, forward_of, log_probs
from dmforge.trainers.correction import ratios, truncated
from dmforge.trainers.feed import Rounds, alone
from dmforge.trainers.keeping import Keeping, arguments
from dmforge.trainers.learner import prepared, student_of
from dmforge.trainers.practice import Played, Prompt, Prompts, learnable, practise
from dmforge.trainers.sdgrpo_checks import opened, require_targets
from dmforge.trainers.sdgrpo_settings import ItselfSettings, PolicySettings, SdgrpoSettings
from dmforge.trainers.tally import Tally

SEGMENTS = ("sampling", "reasoning")
ENDINGS: tuple[str, ...] = get_args(Ending)
MEASURED = (
    "reward/sampling", "reward/reasoning", "iou", "density", "answer", "format", "looked", "fps", "visual_tokens",
    "no_signal", "no_target", "resampled", "holistic", "mismatch", "correction/mean", "correction/clipped",
    "seconds/sync", "seconds/rollout", "seconds/update",
    *(f"ending/{ending}" for ending in ENDINGS),
    *(f"{what}/{segment}" for what in ("tokens", "advantage", "entropy", "clipped", "kl") for segment in SEGMENTS),
)  # fmt: skip
PEAKS = ("correction/max",)
logger = logging.getLogger(__name__)


# the formulae


def objective(
    now: torch.Tensor, old: torch.Tensor, told: Learnt, policy: PolicySettings, corrected: torch.Tensor | None = None
) -> torch.Tensor:
    """The part of J that these tokens are, but for the KL. Weights hold 1/|M_i| and the mean; `corrected` is w_t."""
    ratio = torch.exp(now - old)
    clipped = ratio.clamp(1 - policy.epsilon, 1 + policy.epsilon)
    gain = torch.minimum(ratio * told.advantages, clipped * told.advantages)
    if corrected is not None:
        gain = gain * corrected
    return (told.weights * gain).sum()


def divergences(now: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """KL_t of each token: never negative, and its mean over what the policy draws is the KL."""
    return torch.exp(reference - now) - (reference - now) - 1


def is_clipped(now: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Tokens whose ratio has gone as far as it may in the direction that their advantage pulls: they teach nothing now."""
    ratio = torch.exp(now - old)
    return ((ratio > 1 + epsilon) & (advantages > 0)) | ((ratio < 1 - epsilon) & (advantages < 0))


# who writes the rollouts


class Writer(Engine, Protocol):
    """An engine that can be brought to the weights of the student as they are now. What one that runs beside the trainer draws
    with arithmetic of its own, `importance_cap` corrects."""

    def follow(self, student: Student) -> None:
        """Called before each round."""
        ...


class Myself(TransformersEngine):
    """The very model that is trained."""

    def follow(self, student: Student) -> None:
        assert student is self.student, "it follows itself"


def writer_of(student: Student, settings: SdgrpoSettings, local_rank: int) -> Writer:
    """The one that the settings name."""
    if isinstance(settings.engine, ItselfSettings):
        return Myself(student)
    from dmforge.generators.engines.following import FollowingEngine

    return FollowingEngine(settings.engine, student, first_gpu=local_rank * settings.engine.processes)


# the loop


@dataclass(slots=True)
class Round:
    """The rollouts of mu updates, cut into forwards, and what is remembered of each of their tokens."""

    forwards: list[Forward]
    old: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    corrected: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    reference: list[torch.Tensor] = field(default_factory=list[torch.Tensor])


class SdgrpoTrainer(Keeping):
    """Rolls out, compares, learns."""

    way = "SD-GRPO"

    def __init__(
        self,
        student: Student,
        settings: SdgrpoSettings,
        corpora: Sequence[Corpus],
        args: TrainingArguments,
        write_by: Callable[[Student], Writer] | None = None,
    ) -> None:
        self.settings, self.policy, self._cap = settings, settings.training, settings.importance_cap
        sampler = BatchSampler(
            corpora, seed=self.policy.seed, most_tokens=1 << 62, most_samples=settings.data.prompts,
            weights=[corpus.weight for corpus in settings.data.corpora], rank=args.process_index, ranks=args.world_size,
        )  # fmt: skip
        rounds = Repeated(sampler, self.policy.steps // self.policy.iterations, self.policy.iterations)
        # before anything is learnt or resumed: what it began with
        is_kept = self.policy.beta > 0 and settings.model.adapters is None
        self._frozen = copy.deepcopy(student.model).eval().requires_grad_(False).to(args.device) if is_kept else None
        super().__init__(student, settings, corpora, rounds, args)
        self.writer = write_by(student) if write_by else writer_of(student, settings, args.local_process_index)
        self.tally = Tally(MEASURED, PEAKS)
        self._round = Round([])
        self._has_said_why = False

    def get_train_dataloader(self) -> DataLoader[Any]:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        workers = self.settings.data.workers
        ahead: dict[str, Any] = {"prefetch_factor": 1, "worker_init_fn": alone} if workers else {}
        told: Any = Examples(self.corpora)
        return DataLoader(
            told, batch_sampler=self.rounds, collate_fn=Prompts(self.corpora[0].clips), num_workers=workers, **ahead
        )  # pyright: ignore[reportArgumentType]

    def batches_done(self) -> int:
        return self.state.global_step // self.policy.iterations

    # 1. rollouts, rewards, advantages

    def get_batch_samples(
        self, epoch_iterator: Iterator[list[Prompt]], num_batches: int, device: torch.device
    ) -> tuple[Any, Any]:
        """A round; the same one again until mu updates have been made from it."""
        if self.state.global_step % self.policy.iterations == 0:
            prompts = next(epoch_iterator)
            began = time.perf_counter()
            self.writer.follow(self.student)
            self.tally.add("seconds/sync", [time.perf_counter() - began])
            number = self.state.global_step // self.policy.iterations
            with self.accelerator.autocast():  # what is rolled out in this process is what is updated, to the precision
                played = practise(self.writer, [one for one in prompts if one.weight], number, self.settings)
            self._measure(played)
            self._round = self._cut(played, prompts[0])
            self.tally.add("seconds/rollout", [time.perf_counter() - began])
        return [self._round], None

    def _cut(self, played: Sequence[Played], spare: Prompt) -> Round:
        """Into forwards, of which each rank has as many as any other. Groups are whole in a rank; only counts are shared."""
        layout = self.student.layout
        groups = [learnable(one, layout, self.settings) for one in played]
        written = [rolled for one in played for rolled in one.rolled if rolled.written]
        tokens = sum(len(words.ids) for rolled in written for words in rolled.written)
        counted = torch.tensor([len(written), tokens], device=self.args.device)
        rollouts, tokens = self.accelerator.reduce(counted).tolist()  # pyright: ignore[reportAttributeAccessIssue]
        whole = max(1, tokens if self.policy.normalise == "batch" else rollouts)
        forwards = [forward_of([_divided(group, whole) for group in some]) for some in cut(groups, self.policy.most_tokens)]
        number = torch.tensor([len(forwards)], device=self.args.device)
        most = max(1, int(self.accelerator.gather(number).max()))  # pyright: ignore[reportAttributeAccessIssue]
        if len(forwards) < most:
            idle = forward_of([Group(layout.join(layout.stretches(spare.shown)), ())])
            forwards += [idle] * (most - len(forwards))
        return Round(forwards)

    # 2. the update

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of all that was rolled out. Ranks average their gradients, so each multiplies its part of J by
        how many they are; they wait for each other in the last backward only."""
        began = time.perf_counter()
        told: Round = inputs
        model.train()
        total = torch.zeros((), device=self.args.device)
        for number in range(len(told.forwards)):
            is_last = number == len(told.forwards) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(model):
                loss = -self._objective(model, told, number) * self.args.world_size
                self.accelerator.backward(loss)
            total += loss.detach()
        self.tally.add("seconds/update", [time.perf_counter() - began])
        return total

    def _objective(self, model: Any, told: Round, number: int) -> torch.Tensor:
        forward = told.forwards[number].to(self.args.device)
        learnt, temperature = forward.learnt, self.settings.rollout.temperature
        with self.accelerator.autocast():
            now, entropies = log_probs(model, forward, temperature)
        if number == len(told.old):  # the first of mu updates
            told.old.append(now.detach())
            self.tally.add("mismatch", (now.detach() - learnt.sampled).abs())
            if self._cap:
                told.corrected.append(self._correction(now.detach(), learnt))
            if self.policy.beta:
                with torch.no_grad(), self._reference() as reference, self.accelerator.autocast():
                    told.reference.append(log_probs(reference, forward, temperature)[0])
        found = objective(now, told.old[number], learnt, self.policy, told.corrected[number] if self._cap else None)
        self._by_segment("entropy", entropies, learnt)
        self._by_segment("clipped", is_clipped(now, told.old[number], learnt.advantages, self.policy.epsilon), learnt)
        self._by_segment("advantage", learnt.advantages.abs(), learnt)
        if self.policy.beta:
            apart = divergences(now, told.reference[number])
            self._by_segment("kl", apart.detach(), learnt)
            found = found - self.policy.beta * (learnt.weights * apart).sum()
        return found

    def _correction(self, old: torch.Tensor, learnt: Learnt) -> torch.Tensor:
        found = ratios(old, learnt.sampled)
        weights = truncated(found, self._cap)
        self.tally.add("correction/mean", weights)
        self.tally.add("correction/clipped", found > self._cap)
        self.tally.peak("correction/max", found)
        return weights

    def _reference(self) -> AbstractContextManager[Any]:
        """The policy that the training began with: a copy, or the student without its adapters."""
        return nullcontext(self._frozen) if self._frozen is not None else _without_adapters(self.student.model)

    # 3. what is said of it

    def _measure(self, played: Sequence[Played]) -> None:
        tally = self.tally
        for one in played:
            tally.add("no_signal", [not one.is_signal])
            tally.add("no_target", [not one.goal.has_target])
            tally.add("resampled", [one.attempts > 1])
            tally.add("holistic", [one.holistic])
            for earned, rolled in zip(one.rewards, one.rolled, strict=True):
                tally.add("reward/sampling", [earned.sampling])
                tally.add("reward/reasoning", [earned.reasoning])
                for name in ("iou", "density", "answer", "format"):
                    tally.add(name, [getattr(earned, name)])
                tally.add("looked", [bool(rolled.looks)])
                tally.add("fps", [float(look.fps) for look in rolled.looks])
                tally.add("visual_tokens", [rolled.visual_tokens])
                written = [len(words.ids) for words in rolled.written]
                tally.add("tokens/sampling", [sum(written if earned.case == "broken" else written[:1])])
                tally.add("tokens/reasoning", [0 if earned.case == "broken" else sum(written[1:])])
                for ending in ENDINGS:
                    tally.add(f"ending/{ending}", [rolled.ending == ending])
        if self.policy.holistic is None and not self._has_said_why and any(one.goal.fps is None for one in played):
            self._has_said_why = True
            self._say_why()

    def _say_why(self) -> None:
        told = (
            f"holistic is {WITHOUT_DENSITY} for samples whose density is not rewarded (only a teacher says it, there is none, "
            "or [rewards] fps is 0): what is decoupled could not learn it"
        )
        logger.warning(told)
        self.note({"note": told})

    def _by_segment(self, name: str, values: torch.Tensor, learnt: Learnt) -> None:
        for segment, own in zip(SEGMENTS, (~learnt.reasoning, learnt.reasoning), strict=True):
            self.tally.add(f"{name}/{segment}", values[own].cpu())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Beside what Hugging Face tells: means since the last line, over all ranks."""
        if "loss" in logs:
            told = self.tally.means(self.accelerator) | self.tally.peaks(self.accelerator)
            logs |= {name: float(f"{value:.6g}") for name, value in told.items()}
        super().log(logs, start_time)


class Repeated(Rounds):
    """Rounds of several updates each."""

    def __init__(self, sampler: BatchSampler, batches: int, updates: int) -> None:
        super().__init__(sampler, batches)
        self._updates = updates

    def __len__(self) -> int:
        """Hugging Face counts updates."""
        return super().__len__() * self._updates


def _divided(group: Group, whole: int) -> Group:
    """Weights that add up to 1 over an update."""
    return replace(group, branches=tuple(replace(one, weights=one.weights / whole) for one in group.branches))


@contextmanager
def _without_adapters(model: Any) -> Generator[Any]:
    with model.disable_adapter():
        yield model


@dataclass(frozen=True, slots=True)
class Practised:
    """What a training ends with."""

    checkpoint: Path
    steps: int
    metrics: dict[str, float]
    """The last line of the log."""
    seconds: float


def train(
    settings: SdgrpoSettings,
    callbacks: Sequence[TrainerCallback] = (),
    write_by: Callable[[Student], Writer] | None = None,
) -> Practised:
    """From where the last whole checkpoint stands to the last step. `callbacks` are Hugging Face's; `write_by` makes another
    writer than the settings name."""
    args = arguments(settings, logging_nan_inf_filter=False)
    corpora = opened(settings)
    if args.process_index == 0:
        if settings.data.verify:
            require_targets(settings, corpora)
        checkpoints.sweep(Path(settings.out))
    set_seed(settings.training.seed)
    student = prepared(student_of(settings.model, corpora, settings.training.seed), settings.model)
    trainer = SdgrpoTrainer(student, settings, corpora, args, write_by)
    began = time.perf_counter()
    try:
        checkpoint = trainer.to_the_end(callbacks)
    finally:
        trainer.writer.close()
    metrics = next(entry for entry in reversed(trainer.state.log_history) if "loss" in entry)
    return Practised(checkpoint, trainer.state.global_step, metrics, time.perf_counter() - began)
