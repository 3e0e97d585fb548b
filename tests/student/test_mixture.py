"""A student whose layers are mixtures of experts is one like any other: its tokens, its kept caches, its folders."""

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
from dmforge.generators.student.families import is_turned
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.weights import LiveCheckpoint
from dmforge.schemas.errors import InputError
from dmforge.trainers.batches import logits_of, pack, summed_loss
from tests.student.mixture import mixture
from tests.student.students import Barcodes, logits_of_all, look, shown, transcript

TRANSCRIPTS = (transcript(look(100, 300), look(500, 900, 1)), transcript(), transcript(look(0, 400, 3), thought="No. " * 9))


@pytest.fixture(scope="module")
def student() -> Student:
    return mixture()


def test_positions_are_those_of_its_own_class(student: Student) -> None:
    for told in TRANSCRIPTS:
        laid = student.layout.join(student.layout.transcript(shown(told)))
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


def test_packed_is_one_by_one(student: Student) -> None:
    laids = [student.layout.join(student.layout.transcript(shown(told))) for told in TRANSCRIPTS]
    together = summed_loss(logits_of(student.model, pack(laids)), pack(laids))
    alone = sum(summed_loss(logits_of(student.model, pack([laid])), pack([laid])) for laid in laids)
    assert torch.isclose(together, torch.as_tensor(alone), rtol=1e-5)


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


def test_a_mixture_is_read_as_it_is_published_and_as_trainings_save_it(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "saved")
    published = Path(shutil.copytree(tmp_path / "saved", tmp_path / "published"))
    weights = load_file(published / "model.safetensors")
    turned = {name: weight.transpose(1, 2).contiguous() if ".experts." in name else weight for name, weight in weights.items()}
    save_file(turned, published / "model.safetensors", {"format": "pt"})
    assert (is_turned(str(tmp_path / "saved")), is_turned(str(published)), is_turned("nowhere")) == (True, False, False)
    for folder in ("saved", "published"):
        others = load(str(tmp_path / folder)).model.state_dict()
        assert all(torch.equal(weight, others[name]) for name, weight in student.model.state_dict().items())


def test_a_family_that_nobody_knows_is_refused(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(config.read_text().replace('"qwen3_vl_moe"', '"qwen2_vl"'))
    with pytest.raises(InputError, match="qwen2_vl"):
        load(str(tmp_path / "other"))
