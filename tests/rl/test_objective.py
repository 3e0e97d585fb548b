"""One update looked at closely: the shared prompt changes nothing, injected tokens stand in no sum, segments don't mix, and
plain GRPO is TRL's."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dmforge.generators.inference.retrace import retrace
from dmforge.generators.student.load_student import Student, load
from dmforge.trainers.batches import logits_of, pack
from dmforge.trainers.sdgrpo.branches import GroupedForward, PromptGroup, forward_of, log_probs, split_into_forwards
from dmforge.trainers.sdgrpo.importance_sampling import importance_ratios, truncated_weights
from dmforge.trainers.sdgrpo.objective import divergences, objective
from dmforge.trainers.sdgrpo.rewards import LookReward
from dmforge.trainers.sdgrpo.rollouts import RolledOutGroup, score_group
from dmforge.trainers.sdgrpo.sdgrpo_settings import DEFAULT_IMPORTANCE_CAP, SdgrpoSettings, read_sdgrpo
from tests.rl.conftest import write_settings
from tests.rl.rounds import branches_of, groups_of, played

T = 1.3


@pytest.fixture(scope="module")
def told(practice: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SdgrpoSettings:
    path = tmp_path_factory.mktemp("told") / "rl.toml"
    changed = {"rollout_temperature": str(T), "rollout_group": "6", "data_prompts": "3", "training_holistic": "0.0"}
    return read_sdgrpo(write_settings(path, practice, checkpoint, **changed))


@pytest.fixture(scope="module")
def student(checkpoint: Path) -> Student:
    return load(str(checkpoint))


@pytest.fixture(scope="module")
def rounds(student: Student, practice: Path, told: SdgrpoSettings) -> list[RolledOutGroup]:
    """With rollouts that looked and answered, and others."""
    found = played(student, practice, told)
    endings = {rolled.ending for one in found for rolled in one.results}
    assert "answered" in endings
    assert len(endings) > 1
    return found


@pytest.fixture
def exact(checkpoint: Path) -> Student:
    """The student in double precision."""
    found = load(str(checkpoint))
    found.model.double()
    return found


def gradients(student: Student, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    student.model.zero_grad()
    loss.backward()
    return {name: weights.grad.clone() for name, weights in student.model.named_parameters() if weights.grad is not None}


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], relative: float) -> None:
    whole = torch.cat([expected[name].flatten() for name in expected]).norm()
    apart = torch.cat([(found[name] - expected[name]).flatten() for name in expected]).norm()
    assert float(whole) > 1e-3
    assert float(apart / whole) < relative


def alone(rounds: list[RolledOutGroup], student: Student) -> Iterator[tuple[torch.Tensor, int]]:
    """Log-probabilities of each rollout that wrote something, by a forward of its own; and how long its prompt is."""
    for one in rounds:
        prompt = len(student.layout.join(student.layout.stretches(one.prompt.pieces)))
        for rolled in one.results:
            laid = retrace(rolled, one.prompt.footage, student.layout)
            batch = replace(pack([laid]), learnt_columns=torch.arange(len(laid) - 1))
            whole = torch.log_softmax(logits_of(student.model, batch)[0] / T, -1)
            yield whole.gather(1, torch.from_numpy(laid.ids[1:])[:, None])[:, 0], prompt


# the shared prompt


def test_a_shared_prompt_is_the_same_as_a_prompt_for_each(
    exact: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    groups = groups_of(rounds, exact, told)
    forward = forward_of(groups)
    assert len(forward.batch.input_ids[0]) < sum(
        len(retrace(r, o.prompt.footage, exact.layout)) for o in rounds for r in o.results
    )
    shared = log_probs(exact.model, forward, T)[0]
    laids = [retrace(rolled, one.prompt.footage, exact.layout) for one in rounds for rolled in one.results]
    assert forward.batch.input_ids.shape[1] < 0.7 * sum(map(len, laids))
    trained = [laid.trained[1:] for laid in laids]
    whole = [row[torch.from_numpy(mask)] for (row, _), mask in zip(alone(rounds, exact), trained, strict=True)]
    single = torch.cat(whole)
    assert torch.allclose(shared, single, atol=1e-10)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=len(single)))
    assert_close(gradients(exact, (shared * weights).sum()), gradients(exact, (single * weights).sum()), 1e-6)


@pytest.mark.parametrize("most", [1, 150, 400])
def test_an_update_is_the_same_however_it_is_cut(
    most: int, exact: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    groups = groups_of(rounds, exact, told)
    parts = [forward_of(some) for some in split_into_forwards(groups, most)]
    assert len(parts) > 1

    def loss(forward: GroupedForward) -> torch.Tensor:
        now = log_probs(exact.model, forward, T)[0]
        return objective(now, now.detach(), forward.learnt, told.training)

    assert_close(gradients(exact, sum(map(loss, parts), torch.zeros(()))), gradients(exact, loss(forward_of(groups))), 1e-6)


# what it was sampled with


def test_the_trainers_log_probabilities_are_those_of_the_rollout(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    forward = forward_of(groups_of(rounds, student, told))
    found = log_probs(student.model, forward, T)[0].detach()
    assert len(found) > 100
    assert float((found - forward.learnt.sampled_log_probs).abs().max()) <= 1e-5
    other = log_probs(student.model, forward, 1.0)[0].detach()
    assert float((other - forward.learnt.sampled_log_probs).abs().max()) > 0.05


@contextmanager
def blind(student: Student) -> Generator[None]:
    """Pixels don't arrive."""
    hook = student.model.model.visual.register_forward_pre_hook(
        lambda _, args, more: ((args[0] * 0, *args[1:]), more), with_kwargs=True
    )
    try:
        yield
    finally:
        hook.remove()


def test_missing_pixels_are_seen_in_the_log_probabilities(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    forward = forward_of(groups_of(rounds, student, told))
    with blind(student):
        found = log_probs(student.model, forward, T)[0].detach()
    assert float((found - forward.learnt.sampled_log_probs).abs().max()) > 1e-3


# what is learnt, and what is not


def test_what_is_learnt_is_what_the_policy_wrote_and_no_injected_token(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    groups = groups_of(rounds, student, told)
    learnt = forward_of(groups).learnt
    written = [id for one in rounds for rolled in one.results for words in rolled.written for id in words.ids]
    assert learnt.tokens.tolist() == written
    injected = sum(int((~branch.sequence.trained).sum()) for branch in branches_of(groups))
    assert injected > 50
    assert float(learnt.weights.sum()) == pytest.approx(len(branches_of(groups)), rel=1e-5)


def test_other_labels_on_injected_tokens_change_nothing(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    """Their inputs are what later tokens see; as something to be predicted they don't exist. So relabelling what each of them
    was predicted from leaves the loss as it is, to the bit."""
    groups = groups_of(rounds, student, told)
    forward = forward_of(groups)
    logits = logits_of(student.model, forward.batch)[0].detach()
    injected = ~np.isin(np.arange(forward.batch.input_ids.shape[1] - 1), forward.batch.learnt_columns.numpy())
    assert injected.sum() > 50  # columns from which only prompts or injected tokens follow: no logits are computed there
    assert len(logits) == len(forward.batch.learnt_columns) <= len(forward.learnt.tokens)


def segment_gradients(
    rounds: list[RolledOutGroup], student: Student, told: SdgrpoSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the objective pulls at each token with, by segment."""
    forward = forward_of(groups_of(rounds, student, told))
    now = forward.learnt.sampled_log_probs.clone().requires_grad_(True)
    objective(now, now.detach(), forward.learnt, told.training).backward()
    assert now.grad is not None
    return now.grad[~forward.learnt.reasoning], now.grad[forward.learnt.reasoning]


def with_rewards(one: RolledOutGroup, told: SdgrpoSettings, change: Callable[[Any, int], Any]) -> RolledOutGroup:
    """The same rollouts, otherwise rewarded."""
    from dmforge.trainers.sdgrpo.advantages import advantages

    rewards = tuple(change(earned, at) for at, earned in enumerate(one.rewards))
    return replace(one, rewards=rewards, advantages=tuple(advantages(rewards, told.training.holistic or 0.0, has_target=True)))


def only_looks(one: RolledOutGroup, told: SdgrpoSettings) -> RolledOutGroup:
    """Without rollouts that never looked: those carry the mean of both by design."""
    kept = [rolled for rolled in one.results if rolled.ending != "no_look"]
    return score_group(one.prompt, kept, 1, told)


def test_decoupled_each_reward_moves_its_own_segment_and_no_other(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    looked = [only_looks(one, told) for one in rounds]
    sampling, reasoning = segment_gradients(looked, student, told)
    answered = [with_rewards(one, told, lambda r, at: replace(r, reasoning=r.reasoning + 0.3 * at)) for one in looked]
    found = segment_gradients(answered, student, told)
    assert torch.equal(found[0], sampling)
    assert not torch.equal(found[1], reasoning)

    def elsewhere(r: Any, at: int) -> Any:
        return replace(r, sampling=r.sampling + 0.3 * at, looks=(LookReward(r.iou + 0.3 * at, r.density),)) if r.looks else r

    moved = [with_rewards(one, told, elsewhere) for one in looked]
    found = segment_gradients(moved, student, told)
    assert not torch.equal(found[0], sampling)
    assert torch.equal(found[1], reasoning)
    coupled = told.model_copy(update={"training": told.training.model_copy(update={"holistic": 1.0})})
    before, after = (
        segment_gradients([with_rewards(one, coupled, lambda r, at: r) for one in some], student, coupled)
        for some in (looked, answered)
    )
    assert not torch.equal(before[0], after[0])


@pytest.mark.parametrize("normalise", ["rollout", "segment", "batch"])
def test_how_tokens_weigh(normalise: str, student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings) -> None:
    training = told.training.model_copy(update={"normalise": normalise})
    branches = branches_of(groups_of(rounds, student, told.model_copy(update={"training": training})))
    both = next(branch for branch in branches if branch.reasoning.any())
    shares = [float(both.weights[mask].sum()) for mask in (~both.reasoning, both.reasoning)]
    sizes = [int((~both.reasoning).sum()), int(both.reasoning.sum())]
    expected = {"rollout": [size / sum(sizes) for size in sizes], "segment": [0.5, 0.5], "batch": list(map(float, sizes))}
    assert shares == pytest.approx(expected[normalise], rel=1e-5)


def test_without_kl_what_has_no_advantage_is_left_out_and_changes_nothing(
    exact: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    assert told.training.beta > 0

    def worthless(r: Any, at: int) -> Any:
        return replace(r, sampling=0.0, reasoning=0.5, looks=(LookReward(0.0, 0.0),) * len(r.looks))

    flat = [with_rewards(rounds[0], told, worthless), *rounds[1:]]
    bare = told.model_copy(update={"training": told.training.model_copy(update={"beta": 0.0})})
    kept, left = (groups_of(flat, exact, settings) for settings in (told, bare))
    assert len(branches_of(left)) < len(branches_of(kept))

    def pulled(groups: list[PromptGroup]) -> dict[str, torch.Tensor]:
        forward = forward_of([group for group in groups if group.branches])
        now = log_probs(exact.model, forward, T)[0]
        return gradients(exact, objective(now, now.detach(), forward.learnt, bare.training))

    assert_close(pulled(left), pulled(kept), 1e-6)


# who drew it


def test_where_engine_and_trainer_agree_correction_changes_no_bit(
    student: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    forward = forward_of(groups_of(rounds, student, told))

    def pulled(drawn: torch.Tensor | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        now = log_probs(student.model, forward, T)[0]
        old = now.detach()
        corrected = None if drawn is None else truncated_weights(importance_ratios(old, drawn), DEFAULT_IMPORTANCE_CAP)
        loss = -objective(now, old, forward.learnt, told.training, corrected)
        return loss.detach(), gradients(student, loss)

    plain, its_gradients = pulled(None)
    drawn = log_probs(student.model, forward, T)[0].detach()
    agreed, corrected = pulled(drawn)
    assert torch.equal(plain, agreed)
    assert all(torch.equal(its_gradients[name], corrected[name]) for name in its_gradients)
    apart, _ = pulled(drawn - 0.1)
    assert not torch.equal(plain, apart)


def test_a_token_weighs_as_much_more_as_the_trainer_finds_it_likelier_up_to_the_cap() -> None:
    old, drawn = torch.tensor([0.5, 0.2, 0.9, 0.3]).log(), torch.tensor([0.5, 0.4, 0.3, 0.2]).log()
    found = importance_ratios(old, drawn)
    assert found.tolist() == pytest.approx([1.0, 0.5, 3.0, 1.5])
    assert found[0] == 1
    assert truncated_weights(found, 2.0).tolist() == pytest.approx([1.0, 0.5, 2.0, 1.5])


def test_weighed_by_it_means_over_what_an_engine_draws_are_means_over_the_policy() -> None:
    policy, engine = (torch.softmax(torch.randn(50, generator=torch.Generator().manual_seed(at)), 0) for at in (1, 2))
    gains = torch.randn(50, generator=torch.Generator().manual_seed(3))
    weighed = importance_ratios(policy.log(), engine.log())
    expected = float((policy * gains).sum())
    assert float((engine * weighed * gains).sum()) == pytest.approx(expected, rel=1e-4)
    assert float((engine * gains).sum()) != pytest.approx(expected, rel=0.1)


# in half precision


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16], ids=["autocast", "bfloat16"])
def test_in_bfloat16_loss_and_gradients_are_those_of_float32_but_for_its_rounding(
    weights: torch.dtype,
    checkpointing: bool,
    checkpoint: Path,
    student: Student,
    rounds: list[RolledOutGroup],
    told: SdgrpoSettings,
) -> None:
    forward = forward_of(groups_of(rounds[:1], student, told))
    half = load(str(checkpoint), weights)
    if checkpointing:
        half.model.gradient_checkpointing_enable({"use_reentrant": False})
        half.model.train()

    def learnt(student: Student, rounded: bool) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded and weights == torch.float32):
            now = log_probs(student.model, forward, T)[0]
        gain = objective(now, now.detach(), forward.learnt, told.training)
        return now.detach(), gain.detach(), gradients(student, gain)

    (exact, gain, its_gradients), (rounded, other, found) = learnt(student, False), learnt(half, True)
    assert rounded.dtype == torch.float32
    assert 1e-5 < float((rounded - exact).abs().mean()) < 0.01
    assert torch.equal(gain, other)  # the ratio of a policy to itself is 1 in any precision
    assert_close(found, its_gradients, 0.05)


# TRL as an oracle


def trls_loss(
    rounds: list[RolledOutGroup], student: Student, told: SdgrpoSettings, drift: Callable[[int], Any], cap: float
) -> torch.Tensor:
    """By TRL's own code, from rows that go through the model one by one. Rewards are normalised as TRL does it."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from accelerate import Accelerator
    from trl import GRPOTrainer
    from trl.trainer.utils import nanstd

    rows = list(alone(rounds, student))
    laids = [retrace(rolled, one.prompt.footage, student.layout) for one in rounds for rolled in one.results]
    longest = max(len(row) - prompt + 1 for row, prompt in rows)

    def filled(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(values, (0, longest - len(values)))

    logps = torch.stack([filled(row[prompt - 1 :]) for row, prompt in rows])
    ones = torch.stack([filled(torch.ones(len(row) - prompt + 1)) for row, prompt in rows]).long()
    mask = torch.stack(
        [filled(torch.from_numpy(laid.trained[prompt:]).long()) for laid, (_, prompt) in zip(laids, rows, strict=True)]
    )
    old, reference = logps.detach().clone(), logps.detach().clone()
    old[mask.bool()] -= drift(1)
    reference[mask.bool()] -= drift(2)
    weighed = torch.ones_like(logps)
    weighed[mask.bool()] = torch.exp(drift(3)).clamp(max=cap)  # of old over what an engine of its own had drawn from
    rewards = torch.tensor([[r.sampling + r.reasoning for r in one.rewards] for one in rounds], dtype=torch.float64)
    std = nanstd(rewards, dim=1)[:, None]
    inputs = {
        "prompt_ids": torch.zeros(len(rows), 1, dtype=torch.long), "prompt_mask": torch.ones(len(rows), 1, dtype=torch.long),
        "completion_ids": torch.zeros_like(mask), "completion_mask": ones, "tool_mask": mask,
        "advantages": ((rewards - rewards.mean(1, keepdim=True)) / (std + 1e-4)).flatten(),
        "old_per_token_logps": old, "ref_per_token_logps": reference, "importance_sampling_ratio": weighed,
    }  # fmt: skip
    policy = told.training
    args = SimpleNamespace(delta=None, use_bias_correction_kl=False, report_to=[], steps_per_generation=1)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, logps.detach(), None), aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=policy.beta,
        epsilon_low=policy.epsilon, epsilon_high=policy.epsilon, loss_type="grpo", use_vllm=cap > 0, args=args,
        vllm_importance_sampling_correction=cap > 0, model=SimpleNamespace(training=True), _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1, accelerator=Accelerator(cpu=True), _metrics={"train": defaultdict(list)},
    )  # fmt: skip
    oracle: Any = GRPOTrainer._compute_loss
    return oracle(trainer, student.model, inputs)


@pytest.mark.parametrize(("beta", "cap"), [(0.0, 0.0), (0.02, 0.0), (0.02, 1.5)])
def test_with_holistic_1_it_is_trls_grpo(
    beta: float, cap: float, exact: Student, rounds: list[RolledOutGroup], told: SdgrpoSettings
) -> None:
    training = told.training.model_copy(update={"holistic": 1.0, "beta": beta})
    settings = told.model_copy(update={"training": training})
    plain = [score_group(one.prompt, one.results, 1, settings) for one in rounds]
    every = groups_of(plain, exact, told)  # with a KL nothing is left out, and TRL leaves nothing out
    forward = forward_of(every)
    drawn = len(forward.learnt.tokens)

    def drift(seed: int) -> torch.Tensor:
        """Between a policy and the one before: enough to be clipped here and there."""
        return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.4, drawn))

    now = log_probs(exact.model, forward, T)[0]
    learnt = replace(forward.learnt, weights=forward.learnt.weights / len(branches_of(every)))
    old = now.detach() - drift(1)
    corrected = truncated_weights(importance_ratios(old, old - drift(3)), cap) if cap else None
    ours = -objective(now, old, learnt, training, corrected)
    if beta:
        ours = ours + beta * (learnt.weights * divergences(now, now.detach() - drift(2))).sum()
    found = gradients(exact, ours)
    trls = trls_loss(plain, exact, settings, drift, cap)
    assert ours.item() == pytest.approx(trls.item(), rel=1e-5)
    assert_close(found, gradients(exact, trls), 1e-5)
