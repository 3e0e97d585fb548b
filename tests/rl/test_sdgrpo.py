"""Training by SD-GRPO: what processes and kills change, who writes the rollouts, what is logged, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import set_seed
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.load_student import Student, load
from dmforge.schemas.errors import InputError
from dmforge.trainers.base_trainer import training_arguments
from dmforge.trainers.sdgrpo.sdgrpo import MEASURED, SEGMENTS, SdgrpoTrainer, train
from dmforge.trainers.sdgrpo.sdgrpo_checks import open_rl_corpora
from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo
from tests.rl.conftest import write_settings
from tests.sources.test_corpora import TIMES, dmforge, prompts, workspace
from tests.support import flicker
from tests.support.barcodes import Case, write
from tests.support.rank_processes import begin_ranks

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[bytes]


def begun(path: Path, dies_at: int = 0, ranks: int = 1) -> list[Process]:
    """The processes of a training."""
    return begin_ranks("tests.rl.child", [str(path), str(dies_at)], ranks)


def ended(processes: list[Process], code: int = 0) -> None:
    for process in processes:
        told = process.communicate(timeout=200)[1].decode()
        assert process.returncode == code, told[-3000:]


def log_of(out: Path) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()) if "loss" in line]


def deterministic(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """But for the clock, and for what Hugging Face makes of a number of epochs."""
    return [{name: line[name] for name in line if name != "epoch" and not name.startswith("seconds/")} for line in lines]


def weights_of(out: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(out / f"checkpoint-{step}" / "model.safetensors")


# processes and kills


@pytest.fixture(scope="module")
def trained(practice: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training three times, at once: left alone, killed between two updates of a round, and by two processes. A fourth
    time by two in half precision. Three prompts, so one of the two has less to do."""
    folder = tmp_path_factory.mktemp("trained")
    told = {"data_prompts": "3", "training_iterations": "2", "training_importance_cap": "2.0"}
    paths = [write_settings(folder / f"{out}.toml", practice, checkpoint, out, **told) for out in ("whole", "killed", "two")]
    half = begun(in_half_precision(folder / "half.toml", practice, checkpoint, "half", data_prompts="3"), ranks=2)
    whole, killed, two = begun(paths[0]), begun(paths[1], 3), begun(paths[2], ranks=2)
    ended(killed, 9)
    assert [path.name for path in (folder / "killed").glob("checkpoint-*")] == ["checkpoint-2"]
    assert len(log_of(folder / "killed")) == 3
    again = begun(paths[1])
    for processes in (whole, two, half, again):
        ended(processes)
    return folder


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(trained: Path) -> None:
    first, second = ((trained / out / "checkpoint-4/model.safetensors").read_bytes() for out in ("whole", "killed"))
    assert first == second
    before, after = (deterministic(log_of(trained / out)) for out in ("whole", "killed"))
    assert before == after
    assert [line["step"] for line in after] == [1, 2, 3, 4]


@pytest.mark.slow
def test_two_processes_learn_what_one_does(trained: Path) -> None:
    one, two = (deterministic(log_of(trained / out)) for out in ("whole", "two"))
    assert max(abs(line["loss"]) for line in one) > 1e-3
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name in first:
            assert np.isclose(first[name], second[name], rtol=1e-3, atol=1e-5), name
    first, second = (weights_of(trained / out, 4) for out in ("whole", "two"))
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


@pytest.mark.slow
def test_two_processes_learn_in_bfloat16(trained: Path, checkpoint: Path) -> None:
    log = log_of(trained / "half")
    assert [line["step"] for line in log] == [1, 2]
    assert 1e-5 < log[0]["mismatch"] < 5e-3
    assert log[0]["kl/sampling"] == 0 < log[1]["kl/sampling"]
    before, after = load_file(checkpoint / "model.safetensors"), weights_of(trained / "half", 2)
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_rollouts_are_used_mu_times_and_clipped_the_second_time(trained: Path) -> None:
    log = log_of(trained / "whole")
    assert ["iou" in line for line in log] == [True, False, True, False]
    assert ["correction/max" in line for line in log] == [True, False, True, False]
    assert all(line["clipped/sampling"] == 0 for line in log[::2])
    assert any(line["clipped/sampling"] > 0 or line["clipped/reasoning"] > 0 for line in log[1::2])


def test_prompts_that_another_process_reads_teach_the_same(practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    for out, workers in (("here", "0"), ("apart", "1")):
        told = {"data_workers": workers, "training_steps": "2", "data_prompts": "2"}
        train(read_sdgrpo(write_settings(tmp_path / f"{out}.toml", practice, checkpoint, out, **told)))
    here, apart = (deterministic(log_of(tmp_path / out)) for out in ("here", "apart"))
    assert here == apart


# what it was sampled with, and what it began with


def assembled(path: Path) -> SdgrpoTrainer:
    """A trainer before its first step."""
    told = read_sdgrpo(path)
    set_seed(0)
    Path(told.out).mkdir()
    return SdgrpoTrainer(load(told.model.checkpoint), told, open_rl_corpora(told), training_arguments(told))


def sees_nothing(tower: torch.nn.Module, args: tuple[Any, ...], told: dict[str, Any]) -> Any:
    return (args[0] * 0, *args[1:]), told


def sees_nothing_in_training(tower: torch.nn.Module, args: tuple[Any, ...], told: dict[str, Any]) -> Any:
    return sees_nothing(tower, args, told) if tower.training else None


@pytest.mark.slow
@pytest.mark.parametrize("blind", ["nobody", "policy", "reference"])
def test_policy_and_reference_see_what_the_rollout_saw(blind: str, practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    """At the first update all three are the same model: a pass without pixels would be another one."""
    trainer = assembled(write_settings(tmp_path / "rl.toml", practice, checkpoint, training_steps="1", saving_save_every="9"))
    if blind == "policy":
        eyes = trainer.student.model.model.visual
        eyes.register_forward_pre_hook(sees_nothing_in_training, with_kwargs=True)
    elif blind == "reference":
        assert trainer._reference_model is not None
        trainer._reference_model.model.visual.register_forward_pre_hook(sees_nothing, with_kwargs=True)
    trainer.to_the_end([])
    (line,) = log_of(tmp_path / "out")
    assert line["tokens/reasoning"] > 1
    assert (line["mismatch"] > 1e-3) == (blind == "policy")
    assert (max(line[f"kl/{segment}"] for segment in SEGMENTS) > 1e-6) == (blind != "nobody")
    if blind == "nobody":
        assert line["mismatch"] < 1e-6


def test_adapters_learn_and_their_reference_is_the_student_without_them(
    practice: Path, checkpoint: Path, tmp_path: Path
) -> None:
    path = write_settings(tmp_path / "rl.toml", practice, checkpoint, training_learning_rate="0.05", training_steps="2")
    path.write_text(path.read_text() + "\n[model.adapters]\nrank = 4\n")
    done = train(read_sdgrpo(path))
    first, second = log_of(tmp_path / "out")
    assert first["kl/sampling"] == 0
    assert second["kl/sampling"] > 1e-4
    assert (done.checkpoint / "adapter_model.safetensors").exists()


# in half precision


def in_half_precision(path: Path, practice: Path, checkpoint: Path, out: str = "out", **changes: str) -> Path:
    told = {"data_prompts": "2", "training_bf16": "true", "training_steps": "2", "saving_save_every": "1", **changes}
    return write_settings(path, practice, checkpoint, out, **told)


def test_in_bfloat16_rollouts_are_those_of_the_update_and_a_resumed_training_ends_with_the_same_bits(
    practice: Path, checkpoint: Path, tmp_path: Path
) -> None:
    train(read_sdgrpo(in_half_precision(tmp_path / "whole.toml", practice, checkpoint, "whole")))
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed", ignore=shutil.ignore_patterns("checkpoint-2"))
    train(read_sdgrpo(in_half_precision(tmp_path / "resumed.toml", practice, checkpoint, "resumed")))
    first, second = ((tmp_path / out / "checkpoint-2/model.safetensors").read_bytes() for out in ("whole", "resumed"))
    assert first == second
    whole, resumed = (deterministic(log_of(tmp_path / out)) for out in ("whole", "resumed"))
    assert whole == resumed
    assert 1e-5 < whole[0]["mismatch"] < 5e-3
    assert whole[0]["kl/sampling"] == 0 < whole[1]["kl/sampling"]
    assert {weights.dtype for weights in weights_of(tmp_path / "whole", 2).values()} == {torch.float32}


def test_adapters_beside_weights_in_bfloat16_learn_with_checkpointing_and_a_reference(
    practice: Path, checkpoint: Path, tmp_path: Path
) -> None:
    told = {"model_weights": '"bfloat16"', "model_adapters": "{ rank = 4 }", "training_gradient_checkpointing": "true"}
    path = in_half_precision(tmp_path / "rl.toml", practice, checkpoint, training_learning_rate="0.01", **told)
    done = train(read_sdgrpo(path))
    first, second = log_of(tmp_path / "out")
    assert first["kl/sampling"] == 0 < second["kl/sampling"]
    assert 1e-5 < first["mismatch"] < 5e-3
    adapters = load_file(done.checkpoint / "adapter_model.safetensors")
    assert {weights.dtype for weights in adapters.values()} == {torch.float32}
    assert any(bool(weights.any()) for name, weights in adapters.items() if "lora_B" in name)


def test_the_precision_is_that_of_the_settings_whatever_a_launcher_says(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert training_arguments(read_sdgrpo(settings)).mixed_precision == "no"


# who writes the rollouts


class Beside(TransformersEngine):
    """An engine with weights of its own, which it is given before each round."""

    def __init__(self, student: Student) -> None:
        super().__init__(load(student.where))

    def follow(self, student: Student) -> None:
        self.student.model.load_state_dict(student.model.state_dict())


class Stale(Beside):
    """One that nobody brings up to date."""

    def follow(self, student: Student) -> None:
        del student


@pytest.mark.slow
def test_an_engine_beside_the_trainer_writes_the_same_if_it_follows(practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    logs: dict[str, list[dict[str, Any]]] = {}
    for name, cap in (("myself", "0"), ("beside", "0"), ("stale", "0"), ("corrected", "2.0")):
        path = write_settings(
            tmp_path / f"{name}.toml", practice, checkpoint, name, training_steps="2", training_importance_cap=cap
        )
        writer = {"myself": None, "beside": Beside}.get(name, Stale)
        train(read_sdgrpo(path), **({"make_writer": writer} if writer else {}))
        logs[name] = deterministic(log_of(tmp_path / name))
    assert logs["myself"] == logs["beside"]
    assert logs["stale"][1]["mismatch"] > 1e-3 > logs["beside"][1]["mismatch"]
    assert logs["stale"][0]["loss"] == logs["myself"][0]["loss"]
    assert logs["corrected"][0]["correction/mean"] == pytest.approx(1, abs=1e-5)
    assert logs["corrected"][1]["correction/max"] > 1 > logs["corrected"][1]["correction/clipped"]
    assert not any(name.startswith("correction") for line in logs["stale"] for name in line)
    stale, corrected = (weights_of(tmp_path / name, 2) for name in ("stale", "corrected"))
    assert any(not torch.equal(stale[name], corrected[name]) for name in stale)


@pytest.mark.slow
def test_groups_without_signal_are_rolled_out_again(practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Only rare right answers are rewarded, so most groups have none."""
    told = {"rewards_iou": "0.0", "rewards_fps": "0.0", "rewards_format": "0.0", "training_steps": "1", "training_beta": "0.0"}
    for out, times in (("once", "0"), ("again", "3")):
        path = write_settings(tmp_path / f"{out}.toml", practice, checkpoint, out, rollout_resample=times, **told)
        train(read_sdgrpo(path))
    (once,), (again,) = (log_of(tmp_path / out) for out in ("once", "again"))
    assert once["resampled"] == 0 < again["resampled"] == once["no_signal"]
    assert again["no_signal"] < once["no_signal"]
    notes = [line["note"] for line in map(json.loads, (tmp_path / "once/log.jsonl").read_text().splitlines()) if "note" in line]
    assert len(notes) == 1
    assert once["holistic"] == 0.5
    assert "density is not rewarded" in notes[0]


# from the lake, by the command line


@pytest.mark.slow
def test_published_tasks_are_imported_packed_and_practised_on(checkpoint: Path, tmp_path: Path) -> None:
    place, videos = workspace(tmp_path, "select_rl", "pack"), tmp_path / "videos"
    videos.mkdir()
    lines = prompts()
    for number, line in enumerate(lines):
        write(Case(Path(line["video"]).stem, width=64, height=64, times_s=TIMES, first=1000 * number), videos)
    (tmp_path / "rl.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dmforge("import", "dynframe", tmp_path / "rl.jsonl", "--videos", videos, "-w", place)
    dmforge("run", "-w", place)
    (corpus,) = (place / "shards" / "rl").glob("*/")
    path = write_settings(
        tmp_path / "rl.toml", corpus, checkpoint, data_prompts="2", rollout_group="2", rollout_max_tokens="24",
        training_steps="1", data_verify="true",
    )  # fmt: skip
    told = CliRunner().invoke(cli.app, ["train", "sdgrpo", str(path), "--json"])
    assert told.exit_code == 0, told.output
    printed = json.loads(told.stdout)
    assert printed["metrics"]["steps"] == 1
    assert {"loss", "seconds", "looked", "no_signal", *MEASURED[:7]} <= printed["metrics"].keys()
    assert printed["metrics"]["holistic"] == 0.5  # only the file's author vouches for the density
    card = (Path(printed["checkpoint"]) / "README.md").read_text()
    assert "1 steps of SD-GRPO" in card
    assert Corpus(str(corpus)).manifest.selection in card
    assert load(printed["checkpoint"]).vocabulary.without_tags() == []


# before the first step


def refused(path: Path) -> str:
    with pytest.raises(InputError) as told:
        train(read_sdgrpo(path))
    assert told.value.hint
    assert not (path.parent / "out").exists()
    return str(told.value)


def test_what_can_not_end_well_is_refused(settings: Path, trajectories: Path, practice: Path, checkpoint: Path) -> None:
    def changed(**changes: str) -> Path:
        return write_settings(settings, practice, checkpoint, **changes)

    assert "holds trajectories" in refused(write_settings(settings, trajectories, checkpoint))
    assert "a rollout may have" in refused(changed(training_max_tokens="100"))
    assert "over the budget of 3" in refused(changed(rollout_max_visual_tokens="3", data_verify="true"))
    assert "steps = 5 must be a multiple" in refused(changed(training_steps="5", training_iterations="2"))
    assert "save_every must be a multiple" in refused(changed(saving_save_every="3", training_iterations="2"))
    assert "top_p" in refused(changed(rollout_top_p="0.9"))
    assert "importance_cap must be 0 or at least 1" in refused(changed(training_importance_cap="0.5"))
    settings.write_text(changed().read_text() + '\n[data.clips]\ncoarse_fps = "2"\n')
    assert "other clips" in refused(settings)
    settings.write_text(changed().read_text() + "\n[model.adapters]\ndropout = 0.1\n")
    assert "dropout" in refused(settings)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_that_is_not_there_is_refused(settings: Path, practice: Path, checkpoint: Path) -> None:
    path = write_settings(settings, practice, checkpoint, engine_kind='"vllm"')
    assert "vllm is not installed" in refused(path)
    told = CliRunner().invoke(cli.app, ["train", "sdgrpo", str(path)])
    assert told.exit_code == 2 or isinstance(told.exception, InputError)


def test_shards_without_targets_are_refused(settings: Path, checkpoint: Path, tmp_path: Path) -> None:
    nowhere = flicker.rl(tmp_path / "nowhere", 2, 5, aimed=False)
    assert "no sample has a target" in refused(write_settings(settings, nowhere, checkpoint, data_verify="true"))


def test_a_checkpoint_without_the_tags_is_refused(settings: Path, practice: Path, checkpoint: Path, tmp_path: Path) -> None:
    load(str(checkpoint)).save(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "plain" / name
        path.write_text(path.read_text().replace("<span>", "<else>"))
    with pytest.raises(InputError, match="<span>"):
        train(read_sdgrpo(write_settings(settings, practice, Path("./plain"), model_checkpoint='"./plain"')))
