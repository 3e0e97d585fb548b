"""Students of every family are trained by SFT, spread over ranks, with adapters, and by SD-GRPO, as a dense Qwen3-VL is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.families import DELTA, DELTA_MIXTURE, MIXTURE
from dmforge.generators.student.load_student import load
from dmforge.trainers import sft
from dmforge.trainers.sdgrpo.sdgrpo import train
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from dmforge.trainers.training_settings import read_sft
from tests.rl.conftest import write_settings
from tests.rl.test_sdgrpo import ended, log_of
from tests.student.small_families import small
from tests.support.rank_processes import begin_ranks
from tests.training import conftest as training
from tests.training.test_until import repeating

pytestmark = pytest.mark.slow
STEPS = {"training_steps": "16", "training_learning_rate": "1e-2", "saving_save_every": "16", "saving_log_every": "1"}


@pytest.fixture(scope="module", params=[MIXTURE, DELTA, DELTA_MIXTURE])
def base(request: pytest.FixtureRequest, trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "base"
    pieces = [piece for example in Corpus(str(trajectories)).read(range(24)) for piece in example.sample.transcript.pieces]
    small(request.param, [piece.text for piece in pieces if piece.text]).save(folder)
    return folder


def imitation(folder: Path, base: Path, trajectories: Path, out: str, **changes: str) -> Path:
    told = {"model_from_config": "", "model_checkpoint": f'"{base}"', **STEPS, **changes}
    return training.write_settings(folder / f"{out}.toml", trajectories, out, **told)


def test_it_imitates_and_practises(base: Path, trajectories: Path, practice: Path, tmp_path: Path) -> None:
    result = sft.train(read_sft(imitation(tmp_path, base, trajectories, "alone")))
    losses = [line["loss"] for line in log_of(tmp_path / "alone")]
    assert losses[-1] < 0.6 * losses[0]
    practised = write_settings(tmp_path / "rl.toml", practice, result.checkpoint, "rl", training_steps="2")
    train(read_sdgrpo(practised))
    log = log_of(tmp_path / "rl")
    assert len(log) == 2
    assert log[0]["mismatch"] < 1e-5  # what rollouts were drawn from is what the update computes
    before, after = (load_file(folder / "model.safetensors") for folder in (result.checkpoint, tmp_path / "rl/checkpoint-2"))
    assert before.keys() == after.keys()


def test_adapters_lie_beside_its_attention_and_are_merged(base: Path, trajectories: Path, tmp_path: Path) -> None:
    result = sft.train(read_sft(imitation(tmp_path, base, trajectories, "adapted", model_adapters="{ rank = 4 }")))
    merged, before = load(str(result.checkpoint)).model.state_dict(), load(str(base)).model.state_dict()
    changed = {name for name in before if not np.array_equal(merged[name], before[name])}
    assert any("self_attn" in name for name in changed)
    assert any("linear_attn.in_proj_qkv" in name for name in changed) == any("linear_attn" in name for name in before)
    assert not any(".experts." in name for name in changed)


@pytest.mark.parametrize("text_alone", [False, True])
def test_spread_over_ranks_it_learns_the_same(base: Path, trajectories: Path, tmp_path: Path, text_alone: bool) -> None:
    """Also where no batch shows a clip: then the eye's weights are gathered all the same."""
    corpus = repeating(tmp_path, 1, 64) if text_alone else trajectories
    steps = {"training_steps": "4", "saving_save_every": "4"}
    sft.train(read_sft(imitation(tmp_path, base, corpus, "alone", **steps)))
    spread = imitation(tmp_path, base, corpus, "spread", training_shard='"fsdp2"', **steps)
    ended(begin_ranks("tests.training.child", [str(spread), "never", "0"], 2))
    losses = [[line["loss"] for line in log_of(tmp_path / out)] for out in ("alone", "spread")]
    assert np.allclose(*losses, rtol=1e-3)
