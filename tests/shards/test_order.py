"""Each sample exactly once an epoch, the same global batches for any number of ranks, and going on costs nothing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmforge.curation.shards import order
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.order import Bijection, CorpusMix, EpochPlan, Numbers, deal
from dmforge.curation.shards.sampler import BatchSampler, CorpusDataset
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest
from tests.support.corpora import corpus

SHARES = [(1, 0), (3, 2), (4, 2), (2, 1)]


def costs_of(table: Numbers) -> order.Costs:
    return lambda numbers: table[numbers]


@given(st.integers(1, 3000), st.integers(0, 10**9))
def test_a_bijection_is_one(size: int, seed: int) -> None:
    found = Bijection(size, digest("test", seed))(np.arange(size))
    assert sorted(found.tolist()) == list(range(size))


def test_orders_are_unlike_each_other() -> None:
    mix = CorpusMix((1000,), (1.0,), 1)
    first, second = (mix.at(epoch, np.arange(1000)) for epoch in (0, 1))
    other = CorpusMix((1000,), (1.0,), 2).at(0, np.arange(1000))
    for one, two in ((first, second), (first, other), (first, np.arange(1000))):
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.1
        assert (one == two).sum() < 10


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400), st.integers(1, 3000), st.integers(1, 40), st.integers(1, 6), st.integers(0, 5), st.integers(0, 10**6)
)
def test_every_sample_once_and_every_rank_in_step(
    size: int, max_tokens: int, max_samples: int, ranks: int, epoch: int, seed: int
) -> None:
    costs = costs_of(np.random.default_rng(seed).integers(1, 1000, size))
    plan = EpochPlan(CorpusMix((size,), (1.0,), seed), costs, epoch, max_tokens, max_samples)
    seen: Counter[int] = Counter()
    for step in range(len(plan)):
        batch = plan.batch(step)
        assert len(batch) == 1 or costs(batch).sum() <= max_tokens
        assert 1 <= len(batch) <= max_samples
        hands = deal(batch, costs, ranks)
        assert len({len(hand) for hand in hands}) == 1
        dealt = [turn.number for hand in hands for turn in hand if turn.weight]
        assert sorted(dealt) == sorted(batch.tolist())
        seen.update(dealt)
    assert seen == dict.fromkeys(range(size), 1)


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    mix, costs = CorpusMix((5000,), (1.0,), 3), costs_of(np.random.default_rng(3).integers(1, 1000, 5000))
    whole = _batches(mix, costs)
    monkeypatch.setattr(order, "CHUNK_POSITIONS", 64)
    assert _batches(mix, costs) == whole
    assert len(whole) > 300
    greedy, held = 1, 0
    for cost in costs(mix.at(0, np.arange(5000))).tolist():
        greedy, held = (greedy + 1, cost) if held + cost > 4000 else (greedy, held + cost)
    assert abs(len(whole) - greedy) < 0.05 * greedy  # but for the 16 samples that a batch may have


def _batches(mix: CorpusMix, costs: order.Costs) -> list[list[int]]:
    plan = EpochPlan(mix, costs, 0, 4000, 16)
    return [plan.batch(step).tolist() for step in range(len(plan))]


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.25, 0.5, 1.0, 1.7, 3.0])), min_size=1, max_size=3))
def test_weights_hold_and_no_sample_is_favoured(corpora: list[tuple[int, float]]) -> None:
    mix = CorpusMix(tuple(size for size, _ in corpora), tuple(weight for _, weight in corpora), 5)
    seen: Counter[int] = Counter()
    epochs = 8
    for epoch in range(epochs):
        drawn = mix.at(epoch, np.arange(len(mix)))
        seen.update(drawn.tolist())
    first = 0
    for (size, _), share in zip(corpora, mix.shares, strict=True):
        times = [seen[number] for number in range(first, first + size)]
        assert sum(times) == epochs * share
        assert max(times) - min(times) <= 1
        first += size


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """One in 7 uneven shards, and a smaller one."""
    large = Corpus(str(corpus(tmp_path_factory.mktemp("large"), 37, 3, (3000, 5000), 100_000)))
    assert len(large.manifest.shards) == 7
    assert len({shard.samples for shard in large.manifest.shards}) > 1
    return [large, Corpus(str(corpus(tmp_path_factory.mktemp("small"), 8, 2, first=1000)))]


def sampler(corpora: list[Corpus], rank: int = 0, ranks: int = 1) -> BatchSampler:
    return BatchSampler(corpora, seed=11, max_tokens=7000, weights=[1.0, 2.0][: len(corpora)], rank=rank, ranks=ranks)


def seen_by(corpora: list[Corpus], rank: int, ranks: int, workers: int) -> list[list[tuple[str, int]]]:
    """What a rank is given by a real DataLoader, step by step."""
    import torch.utils.data

    loader = torch.utils.data.DataLoader(
        CorpusDataset(corpora), batch_sampler=sampler(corpora, rank, ranks), num_workers=workers, collate_fn=list
    )
    return [[(example.sample.id, weight) for example, weight in batch] for batch in loader]


@pytest.mark.parametrize("mixed", [False, True], ids=["one corpus", "a mix"])
def test_ranks_and_workers_give_the_same_global_batches(corpora: list[Corpus], mixed: bool) -> None:
    corpora = corpora[: 2 if mixed else 1]
    plan = sampler(corpora).plan
    examples = CorpusDataset(corpora)
    ids = [examples[order.TrainingTurn(number)][0].sample.id for number in range(len(examples))]
    wanted = [sorted(ids[number] for number in plan.batch(step)) for step in range(len(plan))]
    for ranks, workers in SHARES:
        ranked = [seen_by(corpora, rank, ranks, workers) for rank in range(ranks)]
        assert {len(steps) for steps in ranked} == {len(plan)}
        for step, batch in enumerate(wanted):
            told = [pair for steps in ranked for pair in steps[step]]
            assert sorted(id for id, weight in told if weight) == batch
            assert len({len(steps[step]) for steps in ranked}) == 1
    once = Counter(id for batch in wanted for id in batch)
    assert set(once.values()) == ({1, 2} if mixed else {1})
    assert len(once) == len(ids)


def test_ranks_may_change_in_the_middle_of_an_epoch(corpora: list[Corpus]) -> None:
    steady = [sorted(turn.number for turn in batch) for batch in sampler(corpora)]
    length = len(steady)
    state = sampler(corpora).state(0)
    found: list[list[int]] = []
    for ranks, (begin, end) in zip((3, 4, 2), pairwise((0, length // 3, 2 * length // 3, length)), strict=True):
        assert state["step"] == begin
        hands = [sampler(corpora, rank, ranks) for rank in range(ranks)]
        for hand in hands:
            hand.resume(state)
        steps = [list(hand) for hand in hands]
        found += [sorted(turn.number for own in steps for turn in own[step] if turn.weight) for step in range(end - begin)]
        state = hands[0].state(end)
    assert found == steady


def test_epochs_follow_each_other_and_a_state_finds_its_own(corpora: list[Corpus]) -> None:
    whole = sampler(corpora)
    epochs: list[list[list[order.TrainingTurn]]] = []
    for epoch in range(3):
        whole.set_epoch(epoch)
        epochs.append(list(whole))
    later = sampler(corpora)
    later.resume({"seed": 11, "epoch": 2, "step": 4, "selections": [c.manifest.selection for c in corpora]})
    assert list(later) == epochs[2][4:]
    assert list(later) == epochs[2]  # once more, from the beginning


def test_another_trainings_state_is_refused(corpora: list[Corpus]) -> None:
    state = sampler(corpora).state(3)
    for changed in ({"seed": 12}, {"selections": ["other"]}):
        with pytest.raises(InputError, match="another training"):
            sampler(corpora).resume(state | changed)


def test_no_torch_is_needed_to_read(tmp_path: Path) -> None:
    folder = corpus(tmp_path, 3)
    code = f"""
import sys
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler
corpus = Corpus({str(folder)!r})
assert corpus[0].grid and list(BatchSampler([corpus], seed=1, max_tokens=9999))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
