"""Training by SFT: what is learnt, from which frames, by how many processes, and what a kill changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.load_student import load
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.schemas.errors import DmforgeError, InputError, LakeError
from dmforge.trainers.base_trainer import training_arguments
from dmforge.trainers.batches import NOTHING, ForwardBatch, logits_of, pack, pad, summed_loss
from dmforge.trainers.dataloading import KeptTranscripts, TrainingCollator
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft
from tests.student.students import frame_numbers, look, shown, speck, transcript
from tests.support import flicker
from tests.support.rank_processes import begin_ranks
from tests.training.conftest import write_settings

STUDENT = speck()


def laid(*told: tuple[int, int, int]) -> LaidOutTranscript:
    return STUDENT.layout.join(STUDENT.layout.transcript(shown(transcript(*(look(*one) for one in told)))))


SEVERAL = [laid((100, 300, 2)), laid(), laid((0, 500, 1), (200, 250, 4)), laid((700, 900, 3))]


def loss_and_gradients(batch: ForwardBatch, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model = speck().model.to(dtype)
    loss = summed_loss(logits_of(model, batch), batch)
    loss.backward()
    return loss.detach(), [weights.grad for weights in model.parameters() if weights.grad is not None]


def run(path: Path, way: str = "never", step: int = 0, ranks: int = 1) -> None:
    """All ranks of a training, to the end or to the kill."""
    children = begin_ranks("tests.training.child", [str(path), way, str(step)], ranks)
    ends = [(child.communicate(timeout=200)[1], child.returncode) for child in children]
    assert all(code == (0 if way == "never" else 9) for _, code in ends), ends[0][0].decode()[-3000:]


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# what is learnt


@pytest.mark.parametrize("arrange", [pack, lambda laids: pad(laids, 0)], ids=["packed", "padded"])
def test_what_is_learnt_is_what_the_policy_wrote_and_nothing_else(arrange: object) -> None:
    batch: ForwardBatch = arrange(SEVERAL)  # pyright: ignore
    assert batch.items == sum(one.trained.sum() for one in SEVERAL)
    told = torch.full(batch.input_ids.shape, NOTHING)
    told[:, batch.learnt_columns] = batch.targets
    written = [one.ids[1:][one.trained[1:]] for one in SEVERAL]
    assert told[told != NOTHING].tolist() == np.concatenate(written).tolist()
    # and it is learnt at the token before it
    following = torch.roll(batch.input_ids, -1, 1)
    assert (told[told != NOTHING] == following[told != NOTHING]).all()


def test_another_label_on_what_was_only_shown_changes_nothing() -> None:
    (one,) = SEVERAL[:1]
    batch = pack([one])
    labels = np.where(one.trained, one.ids, np.random.default_rng(0).integers(0, 300, len(one)))
    relabelled = torch.from_numpy(np.append(labels[1:], NOTHING))[batch.learnt_columns][None]
    logits = logits_of(STUDENT.model, batch)
    assert torch.equal(summed_loss(logits, batch), summed_loss(logits, replace(batch, targets=relabelled)))


def test_packed_is_padded_is_one_by_one() -> None:
    packed, gradients = loss_and_gradients(pack(SEVERAL))
    padded, others = loss_and_gradients(pad(SEVERAL, STUDENT.vocabulary.padding))
    alone = sum(loss_and_gradients(pack([one]))[0] for one in SEVERAL)
    assert abs(packed - padded) <= 1e-9 * packed
    assert abs(packed - alone) <= 1e-9 * packed
    assert len(gradients) > 10
    for first, second in zip(gradients, others, strict=True):
        assert torch.allclose(first, second, atol=1e-8)


def test_checkpointing_changes_no_gradient() -> None:
    _, gradients = loss_and_gradients(pack(SEVERAL))
    model = speck().model.double().train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    batch = pack(SEVERAL)
    summed_loss(logits_of(model, batch), batch).backward()
    others = [weights.grad for weights in model.parameters() if weights.grad is not None]
    assert all(torch.allclose(first, second, atol=1e-10) for first, second in zip(gradients, others, strict=True))


def test_turns_of_weight_0_teach_nothing() -> None:
    whole, _ = loss_and_gradients(pack(SEVERAL[:2]))
    filled, _ = loss_and_gradients(pack(SEVERAL[:3], [1, 1, 0]))
    assert abs(whole - filled) <= 1e-9 * whole
    idle, gradients = loss_and_gradients(pack(SEVERAL[:1], [0]))
    assert idle == 0
    assert all(not gradient.any() for gradient in gradients)


def test_the_frames_of_a_sample_reach_the_model(corpus: Path) -> None:
    packed = Corpus(str(corpus))
    student = make_tiny("speck", [piece.text for piece in packed[0].sample.transcript.pieces if piece.text])
    examples = packed.read(range(len(packed)))
    batch = TrainingCollator(student.layout, packed.clips, "packed", 1 << 20)([(example, 1) for example in examples])
    seen: list[list[int | None]] = []
    hook = student.model.model.visual.register_forward_pre_hook(
        lambda _, args, told: seen.extend(frame_numbers(args[0], told["grid_thw"])), with_kwargs=True
    )
    with torch.no_grad():
        logits_of(student.model, batch)
    hook.remove()
    expected: list[list[int | None]] = []
    for example in examples:
        video = example.video.as_record()
        for piece in example.sample.transcript.pieces:
            if piece.is_clip:
                plan = packed.clips.look(video, piece.look) if piece.look else packed.clips.coarse(video)
                numbers: list[int | None] = [int(time_s * 12) for time_s in plan.times_s]
                expected.append(numbers + numbers[-1:] * (len(numbers) % 2))
    assert seen == expected
    assert len(seen) == 2 * len(examples)


# in half precision


def learnt_in_half_precision(
    batch: ForwardBatch, weights: torch.dtype, checkpointing: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient, all weights in a row; float32 weights under autocast."""
    model = speck().model.to(weights).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.float32):
        logits = logits_of(model, batch)
    logits.retain_grad()
    loss = summed_loss(logits, batch)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[batch.targets != NOTHING].any(-1).all()
    assert not logits.grad[batch.targets == NOTHING].any()  # exactly: what was only shown teaches nothing in any precision
    return loss.detach(), torch.cat([weights.grad.double().flatten() for weights in model.parameters()])


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("arrange", [pack, lambda laids: pad(laids, 0)], ids=["packed", "padded"])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16], ids=["autocast", "bfloat16"])
def test_in_bfloat16_loss_and_gradients_are_those_of_float32_but_for_its_rounding(
    weights: torch.dtype, arrange: object, checkpointing: bool
) -> None:
    batch: ForwardBatch = arrange(SEVERAL[:2])  # pyright: ignore
    exact, gradients = loss_and_gradients(batch)
    loss, found = learnt_in_half_precision(batch, weights, checkpointing)
    expected = torch.cat([gradient.flatten() for gradient in gradients])
    assert loss.dtype == torch.float32
    assert 0 < abs(loss - exact) < 2e-3 * exact
    assert 0 < (found - expected).norm() < 0.03 * expected.norm()


FEW = {"training_bf16": "true", "training_steps": "2", "saving_save_every": "1"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few pixels, few words: half precision is slow on a CPU."""
    return flicker.cot(tmp_path_factory.mktemp("small") / "cot", 8, 2, flicker.EXACT)


@pytest.mark.slow
def test_in_bfloat16_a_resumed_training_ends_with_the_same_bits_and_two_processes_learn_what_one_does(
    small: Path, tmp_path: Path
) -> None:
    train(read_sft(write_settings(tmp_path / "out.toml", small, **FEW)))
    out, resumed = tmp_path / "out", tmp_path / "resumed"
    shutil.copytree(out, resumed, ignore=shutil.ignore_patterns("checkpoint-2"))
    train(read_sft(write_settings(tmp_path / "resumed.toml", small, "resumed", **FEW)))
    first, second = ((folder / "checkpoint-2/model.safetensors").read_bytes() for folder in (out, resumed))
    assert first == second
    assert {weights.dtype for weights in load_file(out / "checkpoint-2/model.safetensors").values()} == {torch.float32}
    run(write_settings(tmp_path / "two.toml", small, "two", **FEW), ranks=2)
    losses = [[entry["loss"] for entry in log_of(tmp_path / name) if "loss" in entry] for name in ("out", "two")]
    assert len(losses[0]) == 2
    assert np.allclose(losses[0], losses[1], rtol=3e-3)


def test_without_a_gpu_auto_computes_in_bfloat16_on_the_cpu(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "sft.toml", tmp_path, training_bf16="true", saving_device='"auto"')
    assert training_arguments(read_sft(path)).device.type == ("cuda" if torch.cuda.is_available() else "cpu")


# how it goes


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(settings: Path, corpus: Path) -> None:
    run(settings)
    whole = settings.parent / "out"
    broken = write_settings(settings.parent / "broken.toml", corpus, "broken")
    run(broken, "saving", 3)
    out = settings.parent / "broken"
    assert not list(out.glob("checkpoint-*"))
    assert (out / ".saving" / "checkpoint-3" / "model.safetensors").exists()
    run(broken, "after", 5)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-3"]
    run(broken)
    weights = [(folder / "checkpoint-6" / "model.safetensors").read_bytes() for folder in (whole, out)]
    assert weights[0] == weights[1]
    losses = [[(entry["step"], entry["loss"]) for entry in log_of(folder) if "loss" in entry] for folder in (whole, out)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6
    assert not (out / ".saving").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(settings: Path, corpus: Path) -> None:
    run(settings)
    two = write_settings(settings.parent / "two.toml", corpus, "two")
    run(two, ranks=2)
    losses = [[entry["loss"] for entry in log_of(settings.parent / out) if "loss" in entry] for out in ("out", "two")]
    assert len(losses[0]) == 6
    assert np.allclose(losses[0], losses[1], rtol=1e-5)


def test_an_update_is_the_same_however_it_is_cut(settings: Path, corpus: Path) -> None:
    train(read_sft(write_settings(settings, corpus, training_accumulation="2", training_steps="1", data_max_samples="3")))
    whole = settings.parent / "out" / "checkpoint-1"
    train(read_sft(write_settings(settings, corpus, "once", training_steps="1", data_max_samples="6")))
    once = settings.parent / "once" / "checkpoint-1"
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, once))
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


@pytest.mark.slow
def test_adafactor_learns_and_goes_on_to_the_same_bits(settings: Path, corpus: Path) -> None:
    whole, resumed = settings.parent / "out", settings.parent / "resumed"
    told = {"training_optimizer": '"adafactor"', "training_learning_rate": "1e-2"}
    train(read_sft(write_settings(settings, corpus, **told)))
    shutil.copytree(whole, resumed, ignore=shutil.ignore_patterns("checkpoint-6"))
    train(read_sft(write_settings(settings, corpus, "resumed", **told)))
    first, second = ((out / "checkpoint-6/model.safetensors").read_bytes() for out in (whole, resumed))
    assert first == second
    losses = [entry["loss"] for entry in log_of(whole) if "loss" in entry]
    assert losses[-1] < losses[0] - 1
    assert (whole / "checkpoint-6/optimizer.pt").stat().st_size < (whole / "checkpoint-6/model.safetensors").stat().st_size / 4


def test_a_training_shorter_than_a_line_of_its_log_has_one(settings: Path, corpus: Path) -> None:
    done = train(read_sft(write_settings(settings, corpus, training_steps="1", saving_log_every="5")))
    assert [entry["loss"] for entry in log_of(settings.parent / "out") if "loss" in entry] == [done.loss]


def test_a_checkpoint_is_a_student_and_says_what_made_it(settings: Path, corpus: Path) -> None:
    done = train(read_sft(settings))
    assert load(str(done.checkpoint)).vocabulary.without_tags() == []
    card = (done.checkpoint / "README.md").read_text()
    assert Corpus(str(corpus)).manifest.selection in card
    assert "| recipe | `" in card
    assert str(corpus) not in card
    assert {"tokens_per_s", "waiting", "loss"} <= log_of(settings.parent / "out")[0].keys()


def test_what_is_frozen_stays(settings: Path, corpus: Path) -> None:
    eyes = '["model.visual.*"]'
    before = train(read_sft(write_settings(settings, corpus, model_freeze=eyes, training_steps="1")))
    after = train(read_sft(write_settings(settings, corpus, "longer", model_freeze=eyes, training_steps="2")))
    first, second = (load_file(done.checkpoint / "model.safetensors") for done in (before, after))
    for name, weights in first.items():
        assert torch.equal(weights, second[name]) == name.startswith("model.visual."), name


# before the first step


def refused(path: Path, kind: type[DmforgeError] = InputError) -> str:
    with pytest.raises(kind) as told:
        train(read_sft(path))
    assert told.value.hint
    assert not (path.parent / "out").exists()
    return str(told.value)


def test_shards_that_were_changed_are_refused(settings: Path, corpus: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(corpus, tmp_path / "copied"))
    shard = bytearray((copied / "train-000000.tar").read_bytes())
    shard[len(shard) // 2] ^= 1
    (copied / "train-000000.tar").write_bytes(shard)
    assert "defects" in refused(write_settings(settings, copied), LakeError)


def test_other_frames_than_were_packed_are_refused(settings: Path) -> None:
    settings.write_text(settings.read_text() + '\n[data.clips]\ncoarse_fps = "1"\n')
    assert "other clips" in refused(settings)


def test_a_sample_over_the_budget_is_refused(settings: Path, corpus: Path) -> None:
    assert "over the budget of 100" in refused(write_settings(settings, corpus, data_max_tokens="100"))


def test_tasks_are_no_trajectories(settings: Path, tmp_path: Path) -> None:
    from dmforge.curation.shards.write import write_shards
    from tests.support.corpora import entry, publish

    shards, index = write_shards(tmp_path / "rl", [entry(0, 2, b"c", b"g", sparse=True)], 1 << 20)
    assert "holds tasks" in refused(write_settings(settings, publish(tmp_path / "rl", shards, index, "tasks")))


def test_a_checkpoint_without_the_tags_is_refused(settings: Path, corpus: Path, tmp_path: Path) -> None:
    student = speck()
    student.save(tmp_path / "plain")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = tmp_path / "plain" / name
        path.write_text(path.read_text().replace("<span>", "<else>"))
    told = write_settings(settings, corpus, model_from_config="", model_checkpoint='"./plain"')
    with pytest.raises(InputError, match="<span>"):
        train(read_sft(told))


def test_patterns_that_meet_no_weight_are_refused(settings: Path, corpus: Path) -> None:
    told = write_settings(settings, corpus, model_freeze='["visual.*"]')
    with pytest.raises(InputError, match="no weight"):
        train(read_sft(told))


def test_unknown_keys_are_refused(settings: Path, corpus: Path) -> None:
    with pytest.raises(InputError, match="stepps"):
        read_sft(write_settings(settings, corpus, training_stepps="3"))
    with pytest.raises(InputError, match="either checkpoint or from_config"):
        read_sft(write_settings(settings, corpus, model_from_config=""))


def test_the_command_line_trains_and_says_so_in_json(settings: Path) -> None:
    told = CliRunner().invoke(cli.app, ["train", "sft", str(settings), "--json"])
    assert told.exit_code == 0, told.output
    printed = json.loads(told.stdout)
    assert printed["metrics"]["steps"] == 6
    assert load(printed["checkpoint"]).vocabulary.without_tags() == []
    again = CliRunner().invoke(cli.app, ["train", "sft", str(settings), "--json"])
    assert json.loads(again.stdout)["checkpoint"] == printed["checkpoint"]
    assert CliRunner().invoke(cli.app, ["train", "sft", str(settings.parent / "none.toml")]).exit_code == 2
    assert CliRunner().invoke(cli.app, ["train", "by heart", str(settings)]).exit_code == 2


# what is not there


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"saving_report_to": '["wanbd"]'}, ("[saving] report_to", "'wanbd' is no tracker", "did you mean 'wandb'?")),
        ({"saving_report_to": '["comet_ml"]'}, ("[saving] report_to", "'comet_ml' is not installed", "pip install comet-ml")),
        ({"model_attention": '"flash_attention_2"'}, ("[model] attention", "needs a GPU", '"blocks" runs everywhere')),
        (
            {"model_attention": '"flash_attention_2"', "saving_device": '"auto"'},
            ("[model] attention", "the package flash-attn", "pip install flash-attn"),
        ),
        ({"training_deepspeed": '"zero3.json"'}, ("unknown key 'training.deepspeed'", "not supported", 'shard = "fsdp2"')),
    ],
)
def test_what_is_not_installed_or_not_supported_is_said_before_anything_is_opened(
    changes: dict[str, str], words: tuple[str, ...], tmp_path: Path
) -> None:
    write_settings(tmp_path / "sft.toml", tmp_path / "no such corpus", **changes)
    done = CliRunner().invoke(cli.app, ["train", "sft", str(tmp_path / "sft.toml")])
    assert done.exit_code == 2, done.output
    assert all(part in " ".join(done.output.split()) for part in words), done.output


def test_what_stays_decoded_is_what_would_be_decoded_again(corpus: Path) -> None:
    packed = Corpus(str(corpus))
    student = make_tiny("speck", [piece.text for piece in packed[0].sample.transcript.pieces if piece.text])
    examples = packed.read(range(len(packed)))
    fresh = TrainingCollator(student.layout, packed.clips, "packed", 1 << 20)
    sizes = [
        sum(getattr(fresh.lay_out(example), part.name).nbytes for part in fields(LaidOutTranscript)) for example in examples
    ]
    room = sizes[0] + sizes[1]  # for two of them
    keeping = replace(fresh, kept=KeptTranscripts(room))
    expected = [fresh.lay_out(example) for example in examples]
    for _ in range(2):
        for example, laid in zip(examples, expected, strict=True):
            again = keeping.lay_out(example)
            assert all(np.array_equal(getattr(again, part.name), getattr(laid, part.name)) for part in fields(laid))
    kept = [keeping.lay_out(example) is keeping.lay_out(example) for example in examples]
    assert kept[:2] == [True, True]
    assert sum(size for size, is_kept in zip(sizes, kept, strict=True) if is_kept) <= room


def test_a_checkpoint_beside_the_settings_is_a_folder_and_no_id(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "students" / "base").mkdir(parents=True)
    for named, expected in {
        "students/base": str(tmp_path / "students" / "base"),
        "./nothing": str(tmp_path / "nothing"),
        "Qwen/Qwen3-VL-4B-Instruct": "Qwen/Qwen3-VL-4B-Instruct",
    }.items():
        path = write_settings(tmp_path / "sft.toml", corpus, model_from_config="", model_checkpoint=f'"{named}"')
        assert read_sft(path).model.checkpoint == expected
