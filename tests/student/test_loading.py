"""Checkpoints: ordinary folders in, ordinary folders out, and what can't be a student is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer, BertConfig

from dmforge.generators.student.load_student import load
from dmforge.generators.student.tag_tokens import MEANING, add_tags
from dmforge.generators.student.tiny import SHAPES, make_config, make_tiny, make_tokenizer
from dmforge.generators.student.vocabulary import TAGS, VISION, Vocabulary
from dmforge.schemas.errors import InputError
from tests.student.students import TEXTS, Barcodes, logits_of_all, look, shown, speck, transcript


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    speck().save(tmp_path / "speck")
    return tmp_path / "speck"


@pytest.fixture
def untaught(tmp_path: Path) -> Path:
    """A checkpoint as Qwen publishes them: it knows two of the tags, and has rows to spare."""
    from transformers import Qwen3VLForConditionalGeneration

    tokenizer = make_tokenizer(TEXTS)
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=False)
    model = Qwen3VLForConditionalGeneration(make_config(SHAPES["speck"], Vocabulary(tokenizer, "untaught")))
    folder = tmp_path / "untaught"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_saved_student_is_the_same_student(checkpoint: Path) -> None:
    before, after = speck(), load(str(checkpoint))
    told = shown(transcript(look(100, 300)))
    laid = [student.layout.join(student.layout.transcript(told)) for student in (before, after)]
    assert (laid[0].ids == laid[1].ids).all()
    assert torch.equal(logits_of_all(before, laid[0]), logits_of_all(after, laid[1]))


def test_a_saved_student_is_an_ordinary_hugging_face_folder(checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    assert all(len(tokenizer.encode(tag, add_special_tokens=False)) == 1 for tag in TAGS)
    assert model.config.video_token_id == tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert not list(checkpoint.glob("*.bin"))
    told = json.loads((checkpoint / "video_preprocessor_config.json").read_text())
    assert (told["patch_size"], told["merge_size"], told["temporal_patch_size"]) == (16, 2, 2)


def test_without_the_tags_it_is_refused(untaught: Path) -> None:
    with pytest.raises(InputError, match="<span>") as told:
        load(str(untaught))
    assert "add_tags" in told.value.hint


def test_tags_are_added_with_rows_of_the_words_that_describe_them(untaught: Path) -> None:
    student = load(str(untaught), add_missing_tags=True)
    assert student.vocabulary.without_tags() == []
    plain = AutoModelForImageTextToText.from_pretrained(untaught).get_input_embeddings().weight
    rows = student.model.get_input_embeddings().weight
    for tag in TAGS[2:]:
        words = Vocabulary(AutoTokenizer.from_pretrained(untaught), "").encode(MEANING[tag])
        assert torch.allclose(rows[student.vocabulary.id(tag)], plain[words].mean(0))
    kept = student.vocabulary.id("<think>")
    assert torch.equal(rows[kept], plain[kept])


def test_embeddings_grow_where_there_is_no_room_and_both_tables_are_told() -> None:
    from transformers import Qwen3VLForConditionalGeneration

    vocabulary = Vocabulary(make_tokenizer(TEXTS), "full")
    config = make_config(SHAPES["speck"], vocabulary)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    config.text_config.vocab_size = len(vocabulary)
    model = Qwen3VLForConditionalGeneration(config)
    add_tags(model, vocabulary)
    size = model.get_input_embeddings().weight.shape[0]
    assert size >= len(vocabulary)
    assert size % 64 == 0
    assert model.get_output_embeddings().weight.shape[0] == size == model.config.text_config.vocab_size
    words = vocabulary.encode(MEANING["<span>"])
    for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        assert torch.allclose(table[vocabulary.id("<span>")], table[words].mean(0), atol=1e-7)


def test_what_is_no_qwen3_vl_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="bert"):
        load(str(tmp_path))
    with pytest.raises(InputError, match="no such folder"):
        load(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="no such folder"):  # no id on the Hub: those have an owner
        load("student")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="no checkpoint"):
        load(str(tmp_path))


def test_other_patches_than_ours_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "video_preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"patch_size": 14}))
    with pytest.raises(InputError, match="patch_size is 14"):
        load(str(checkpoint))


def test_files_about_pixels_travel_on(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "preprocessor_config.json").write_text(
        '{"image_processor_type": "Qwen2VLImageProcessorFast", "patch_size": 16}'
    )
    load(str(checkpoint)).save(tmp_path / "again")
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        assert (tmp_path / "again" / name).read_text() == (checkpoint / name).read_text()


def test_a_template_that_thinks_for_the_policy_is_cut_short() -> None:
    vocabulary = speck().vocabulary
    vocabulary.tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    assert vocabulary.frame[1].endswith("<|im_start|>assistant\n")


def test_a_tokenizer_without_vision_tokens_is_no_students(checkpoint: Path) -> None:
    told = (checkpoint / "tokenizer.json").read_text()
    (checkpoint / "tokenizer.json").write_text(told.replace(VISION[2], "<|elsewhere|>"))
    path = checkpoint / "tokenizer_config.json"
    path.write_text(path.read_text().replace(VISION[2], "<|elsewhere|>"))
    with pytest.raises(InputError, match=r"doesn't know <\|video_pad\|>"):
        load(str(checkpoint))


def test_students_from_scratch_have_names_and_are_the_same_every_time() -> None:
    torch.manual_seed(1)
    first = make_tiny("speck", TEXTS).model.state_dict()
    torch.manual_seed(2)
    second = make_tiny("speck", TEXTS).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(
        not torch.equal(first[name], weights) for name, weights in make_tiny("speck", TEXTS, 1).model.state_dict().items()
    )
    with pytest.raises(InputError, match="huge"):
        make_tiny("huge", TEXTS)


def test_what_footage_shows_is_what_its_frames_say() -> None:
    clip = Barcodes().look(look(100, 300))
    assert len(clip.times_s) == 4
    assert clip.tokens == 2 * 6
