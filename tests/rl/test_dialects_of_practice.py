"""SD-GRPO and evaluation of a student that calls a function to look: looks of one turn are one, and no tags are needed."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dmforge import cli
from dmforge.generators.footage import CachedFootage
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutLimits, RolloutRequest, RolloutResult, prompt_of, roll
from dmforge.generators.student.load_student import load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.clips import Clips
from dmforge.schemas.dialects.known_dialects import TOOL
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.transcript import COARSE
from dmforge.trainers.sdgrpo import sdgrpo
from dmforge.trainers.sdgrpo.branches import forward_of, log_probs
from dmforge.trainers.sdgrpo.rollouts import RolloutPrompt, score_group, training_group
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from tests.rl.conftest import imitating, write_settings
from tests.rl.rounds import groups_of, played
from tests.rl.test_sdgrpo import log_of
from tests.student.students import QUESTION, TEXTS, Barcodes, look
from tests.student.test_rollout import dictated
from tests.support.corpora import sample
from tests.support.made_once import made_once

SAID = {"model_dialect": '"tool"', "rollout_max_tokens": "160", "rollout_group": "6"}
FIRST, SECOND = look(100, 300), look(600, 800, 4)
AIM = replace(sample(0, 0), target=FIRST, further_targets=(SECOND,), target_source="gold")


@pytest.fixture(scope="module")
def caller(trajectories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that calls its function about as often as not, and knows no tags."""
    folder = made_once(tmp_path_factory, "caller", lambda folder: imitating(trajectories, folder / "checkpoint-0", "tool", 8))
    return folder / "checkpoint-0"


def test_looks_of_one_turn_are_one_segment_with_the_reward_of_both(tmp_path: Path) -> None:
    student, footage = make_tiny("speck", TEXTS, dialect="tool"), CachedFootage(Barcodes())
    written = [
        Trajectory(("Two places.", "Blue."), (FIRST, SECOND), "it turns", turns=(2,)),
        Trajectory(("Here.", "There.", "Blue."), (FIRST, SECOND), "it turns"),
        Trajectory(("Here.", "Blue."), (FIRST,), "blue"),
    ]
    pieces, results = prompt_of((COARSE, QUESTION), footage), list[RolloutResult]()
    for trajectory in written:
        with dictated(TOOL.transcribe((), trajectory).policy_text + "<|im_end|>", student):
            request = RolloutRequest(pieces, footage, Sampling(max_tokens=600))
            results += roll(TransformersEngine(student), [request], RolloutLimits(max_looks=2))
    settings = read_sdgrpo(
        write_settings(
            tmp_path / "rl.toml", tmp_path, tmp_path, **SAID, rollout_max_looks="2", training_holistic="0.0",
            rewards_token_cost="0.5",
        )
    )  # fmt: skip
    group = score_group(RolloutPrompt(AIM, pieces, footage, 1, Clips()), results, 1, settings)
    together, one_by_one, once = group.rewards
    assert [len(reward.looks) for reward in group.rewards] == [1, 2, 1]
    assert [reward.iou for reward in group.rewards] == [1.0, 1.0, 0.5]
    assert together.sampling == one_by_one.sampling  # the same looks, at the same cost
    assert together.looks[0].cost == pytest.approx(sum(look_reward.cost for look_reward in one_by_one.looks))
    assert once.looks[0].cost == one_by_one.looks[0].cost
    texts = []
    for branch in training_group(group, student.layout, settings).branches:
        ids = branch.sequence.ids[branch.sequence.trained]
        starts = [0, *(np.flatnonzero(np.diff(branch.advantages)) + 1).tolist(), len(ids)]
        texts.append([student.vocabulary.decode(ids[start:stop].tolist()) for start, stop in pairwise(starts)])
        assert branch.reasoning.sum() == len(student.vocabulary.encode(texts[-1][-1]))
    for transcript, shown in zip(map(TOOL.transcribe, ((), (), ()), written), texts, strict=True):
        turns = [piece.text for piece in transcript.pieces if piece.author == "policy"]
        assert shown == [*turns[:-1], f"{turns[-1]}<|im_end|>"]


@pytest.mark.slow
def test_what_calls_were_sampled_with_is_what_the_update_sees(caller: Path, practice: Path, tmp_path: Path) -> None:
    settings = read_sdgrpo(write_settings(tmp_path / "rl.toml", practice, caller, **SAID))
    student = load(str(caller), dialect="tool")
    rounds = played(student, practice, settings)
    assert any(result.ending == "answered" for one in rounds for result in one.results)
    forward = forward_of([one for one in groups_of(rounds, student, settings) if one.branches])
    with torch.no_grad():
        now, _ = log_probs(student.model, forward, settings.rollout.temperature)
    torch.testing.assert_close(now, forward.learnt.sampled_log_probs, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_student_of_calls_practises_and_is_evaluated(
    caller: Path, practice: Path, trajectories: Path, tmp_path: Path
) -> None:
    changes = SAID | {"training_steps": "2", "data_prompts": "2"}
    settings = read_sdgrpo(write_settings(tmp_path / "rl.toml", practice, caller, **changes))
    sdgrpo.train(settings)
    lines = log_of(tmp_path / "out")
    assert [line["step"] for line in lines] == [1, 2]
    assert all(line["mismatch"] < 1e-5 and 0 < line["looked"] <= 1 for line in lines)
    path = tmp_path / "evaluate.toml"
    roll_settings = "[roll]\nmax_tokens = 160\n"
    path.write_text(
        f'checkpoint = "{caller}"\ncorpora = ["{trajectories}"]\nmax_samples = 6\ndevice = "cpu"\n'
        f'dialect = "tool"\nout = "{tmp_path / "figures"}"\n{roll_settings}'
    )
    evaluated = CliRunner().invoke(cli.app, ["evaluate", str(path), "--json"])
    assert evaluated.exit_code == 0, evaluated.output
    figures = json.loads(evaluated.stdout)["metrics"]
    rows = [json.loads(line) for line in (tmp_path / "figures" / "rows.jsonl").read_text().splitlines()]
    looked = [row for row in rows if row["window_cs"]]
    assert looked
    assert all('"name": "crop_video"' in row["text"] for row in looked)
    assert figures["format"] == pytest.approx(sum(row["ending"] == "answered" for row in rows) / len(rows))
    assert figures["baselines"]["uniform_frames"]["accuracy"] == pytest.approx(
        sum(row["uniform_frames"] for row in rows) / len(rows)
    )
    path.write_text(path.read_text().replace("[roll]", "[roll]\nheld_to = [0]"))
    refused = CliRunner().invoke(cli.app, ["evaluate", str(path)])
    assert refused.exit_code == 2
    assert "held_to" in refused.stderr


@pytest.mark.slow
def test_a_turn_needs_its_room_in_a_forward(caller: Path, practice: Path, tmp_path: Path) -> None:
    """A rollout that would just fit doesn't, with its function in front and a turn around each clip."""
    settings = read_sdgrpo(write_settings(tmp_path / "rl.toml", practice, caller, **SAID, training_max_tokens="1200"))
    with pytest.raises(InputError, match=r"a rollout may have \d+ tokens, and a forward 1200"):
        sdgrpo.train(settings)
