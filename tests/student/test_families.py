"""A student of every family is one like any other: its tokens, its kept caches and states, its packed rows, its folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.student.families import FAMILIES, MIXTURE, is_turned
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.patchify import normalised
from dmforge.generators.student.token_layout import LaidOutTranscript
from dmforge.generators.student.weights import LiveCheckpoint
from dmforge.schemas.errors import InputError
from dmforge.trainers.batches import logits_of, pack, pad, summed_loss
from tests.student.small_families import mixture, small
from tests.student.students import Barcodes, logits_of_all, look, shown, transcript

TRANSCRIPTS = (transcript(look(100, 300), look(500, 900, 1)), transcript(), transcript(look(0, 400, 3), thought="No. " * 9))


@pytest.fixture(scope="module", params=list(FAMILIES))
def student(request: pytest.FixtureRequest) -> Student:
    return small(request.param)


def laid_out(student: Student) -> list[LaidOutTranscript]:
    return [student.layout.join(student.layout.transcript(shown(told))) for told in TRANSCRIPTS]


def test_positions_are_those_of_its_own_class(student: Student) -> None:
    for laid in laid_out(student):
        ids = torch.from_numpy(laid.ids)[None]
        kinds = (ids == student.vocabulary.video_pad).int() * 2
        grids = torch.from_numpy(laid.grids).clone()
        theirs, _ = student.model.model.get_rope_index(ids, mm_token_type_ids=kinds, video_grid_thw=grids)
        assert np.array_equal(laid.positions, theirs[:, 0].numpy())


def test_a_kept_cache_gives_the_logits_of_the_whole_context(student: Student) -> None:
    rows = [shown(told, Barcodes()) for told in TRANSCRIPTS]
    conversation = TransformersEngine(student).converse([Sampling()] * len(rows))
    at = [0] * len(rows)
    while left := [row for row, told in enumerate(rows) if at[row] < len(told)]:
        logits_by_row = conversation.put({row: rows[row][at[row] : at[row] + 2] for row in left})
        for row in left:
            at[row] = min(at[row] + 2, len(rows[row]))
            stretches = student.layout.stretches(rows[row][: at[row]])
            expected = logits_of_all(student, student.layout.join(stretches))[-1]
            assert float((logits_by_row[row] - expected).abs().max()) < 1e-4


def test_packed_and_padded_are_one_by_one_and_as_its_own_class_has_it(student: Student, tmp_path: Path) -> None:
    laids = laid_out(student)
    batches = [[pack(laids)], [pad(laids, student.vocabulary.padding)], [pack([laid]) for laid in laids]]
    student.save(tmp_path / "student")
    plain = FAMILIES[student.model.config.model_type].from_pretrained(tmp_path / "student")
    expected = sum(float(summed_loss(logits_of(plain, batch), batch).detach()) for batch in batches[-1])
    gradients: list[torch.Tensor] = []
    for some in batches:
        student.model.zero_grad()
        loss = torch.stack([summed_loss(logits_of(student.model, batch), batch) for batch in some]).sum()
        loss.backward()
        assert float(loss) == pytest.approx(expected, rel=1e-5)
        gradients.append(torch.cat([weights.grad.flatten() for weights in student.model.parameters()]))
    assert all(float((one - gradients[-1]).norm() / gradients[-1].norm()) < 1e-4 for one in gradients[:-1])


@pytest.mark.parametrize("with_rest", [False, True])
def test_branches_of_a_row_see_what_they_share(student: Student, with_rest: bool) -> None:
    laids = laid_out(student)
    shared = len(student.layout.join(student.layout.stretches(shown(TRANSCRIPTS[0])[:2])))
    coarse = int(laids[0].grids[0].prod())
    starts = [0 if with_rest else shared, shared, shared]
    prompt = [] if with_rest else [(laids[0], 0, shared)]
    parts = [*prompt, *((laid, start, len(laid)) for laid, start in zip(laids, starts, strict=True))]
    columns = [torch.arange(first, end) for _, first, end in parts]
    text = np.concatenate([np.arange(first, end) for _, first, end in parts])[None]
    seen = np.concatenate([laid.positions[:, first:end] for laid, first, end in parts], 1)
    whole = student.model(
        input_ids=torch.from_numpy(np.concatenate([laid.ids[first:end] for laid, first, end in parts]))[None],
        position_ids=torch.from_numpy(np.concatenate([text, seen]))[:, None],
        pixel_values_videos=normalised(torch.from_numpy(
            np.concatenate([laids[0].patches[:coarse], *(laid.patches[coarse:] for laid in laids)])
        )),
        video_grid_thw=torch.from_numpy(np.concatenate([laids[0].grids[:1], *(laid.grids[1:] for laid in laids)])),
        use_cache=False,
    ).logits[0]  # fmt: skip
    by_part = dict(zip(map(str, range(len(parts))), whole.split([len(some) for some in columns]), strict=True))
    for number, laid in enumerate(laids, start=len(prompt)):
        alone = logits_of_all(student, laid)
        _, first, end = parts[number]
        assert torch.allclose(by_part[str(number)], alone[first:end], atol=1e-4)


def test_a_row_keeps_its_state_when_others_rest_and_when_it_is_repeated(student: Student) -> None:
    told = shown(TRANSCRIPTS[0], Barcodes())
    conversation = TransformersEngine(student).converse([Sampling()] * 3)
    conversation.put({0: told[:2], 1: told[:2]})  # the very same prompt: one goes through the model
    conversation.put({2: told[:2]})
    for row, texts in ((2, told[2:3]), (0, told[2:4]), (2, told[3:4]), (1, told[2:4])):
        logits = conversation.put({row: texts})[row]
    expected = logits_of_all(student, student.layout.join(student.layout.stretches(told[:4])))[-1]
    assert torch.allclose(logits, expected, atol=1e-4)
    rows = conversation.put(dict.fromkeys((2, 0, 1), told[4:5]))
    expected = logits_of_all(student, student.layout.join(student.layout.stretches(told[:5])))[-1]
    assert all(torch.allclose(rows[row], expected, atol=1e-4) for row in rows)


def test_its_folder_is_what_others_load_and_so_is_what_engines_follow(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "mixture")
    live = LiveCheckpoint(student, torch.float32)
    live.renew(student)
    weights = student.model.state_dict()
    for folder in (tmp_path / "mixture", live.path):
        for model in (load(str(folder)).model, AutoModelForImageTextToText.from_pretrained(folder)):
            others = model.state_dict()
            assert type(model) is type(student.model)
            assert all(torch.equal(weights[name], others[name]) for name in weights)
    live.close()


def test_a_mixture_is_read_as_it_is_published_and_as_trainings_save_it(tmp_path: Path) -> None:
    student = mixture()
    student.save(tmp_path / "saved")
    published = Path(shutil.copytree(tmp_path / "saved", tmp_path / "published"))
    weights = load_file(published / "model.safetensors")
    turned = {name: weight.transpose(1, 2).contiguous() if ".experts." in name else weight for name, weight in weights.items()}
    save_file(turned, published / "model.safetensors", {"format": "pt"})
    assert (is_turned(str(tmp_path / "saved")), is_turned(str(published)), is_turned("nowhere")) == (True, False, False)
    for folder in ("saved", "published"):
        others = load(str(tmp_path / folder)).model.state_dict()
        assert all(torch.equal(weight, others[name]) for name, weight in student.model.state_dict().items())


def test_a_family_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    small(MIXTURE).save(tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(config.read_text().replace('"qwen3_vl_moe"', '"qwen2_vl"'))
    with pytest.raises(InputError, match="qwen2_vl"):
        load(str(tmp_path / "other"))
