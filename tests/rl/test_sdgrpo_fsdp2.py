"""SD-GRPO by a student that is spread over ranks: the same rollouts, losses and weights as by one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rl.conftest import write_settings
from tests.rl.test_sdgrpo import begun, deterministic, ended, in_half_precision, log_of, weights_of

FSDP2 = {"training_shard": '"fsdp2"', "data_prompts": "3"}


@pytest.mark.slow
def test_a_sharded_student_practises_as_one_process_does_killed_and_by_more_ranks_than_before(
    practice: Path, checkpoint: Path, tmp_path: Path
) -> None:
    told = {"training_iterations": "2", "training_importance_cap": "2.0", "data_prompts": "3"}
    whole = begun(write_settings(tmp_path / "whole.toml", practice, checkpoint, "whole", **told))
    sharded = write_settings(tmp_path / "sharded.toml", practice, checkpoint, "sharded", **told | FSDP2)
    ended(begun(sharded, 3, ranks=2), 9)
    ended(whole)
    ended(begun(sharded, ranks=3))
    one, three = (deterministic(log_of(tmp_path / out)) for out in ("whole", "sharded"))
    assert [line["step"] for line in three] == [1, 2, 3, 4]
    for first, second in zip(one, three, strict=True):
        assert first.keys() == second.keys()
        assert all(np.isclose(first[name], second[name], rtol=1e-3, atol=1e-5) for name in first)
    weights, others = (weights_of(tmp_path / out, 4) for out in ("whole", "sharded"))
    assert all(np.allclose(weights[name], others[name], atol=1e-4) for name in weights)


@pytest.mark.slow
def test_in_bfloat16_it_draws_from_what_it_updates(practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    ended(begun(in_half_precision(tmp_path / "half.toml", practice, checkpoint, "half", **FSDP2), ranks=2))
    log = log_of(tmp_path / "half")
    assert [line["step"] for line in log] == [1, 2]
    assert 1e-5 < log[0]["mismatch"] < 5e-3
    assert log[0]["kl/sampling"] == 0 < log[1]["kl/sampling"]
