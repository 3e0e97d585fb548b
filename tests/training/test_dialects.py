"""SFT in other dialects: the same record, said as the student will write it; what can't be said is refused before it begins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import pytest

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.sampler import BatchSampler
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.named_student import StudentConfig, open_engine
from dmforge.generators.student.load_student import load
from dmforge.generators.student.tiny import make_tiny
from dmforge.schemas.dialects.grounding_dialect import GROUNDING
from dmforge.schemas.dialects.known_dialects import SPAN, TOOL
from dmforge.schemas.dialects.tool_list import tool_list
from dmforge.schemas.dialects.translation import say_in
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece, Transcript
from dmforge.trainers.dataloading import TrainingCollator
from dmforge.trainers.model_setup import make_student
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import ModelSettings, read_sft
from tests.training.conftest import write_settings


def test_what_is_learnt_in_tool_are_the_calls_and_the_ends_of_turns(corpus: Path) -> None:
    packed = Corpus(str(corpus))
    samples = [packed[number].sample for number in range(len(packed))]
    said = [say_in("tool", sample.transcript, sample.id) for sample in samples]
    student = make_tiny("speck", [piece.text for transcript in said for piece in transcript.pieces if piece.text])
    collate = TrainingCollator(student.layout, packed.clips, "packed", 1 << 20, "tool")
    for number, (sample, transcript) in enumerate(zip(samples, said, strict=True)):
        trajectory = SPAN.parse(sample.transcript.trajectory_text, 8)
        assert isinstance(trajectory, Trajectory)
        assert TOOL.parse(transcript.trajectory_text, 8) == trajectory
        laid_out = collate.lay_out(packed[number])
        trained_text = student.vocabulary.decode(laid_out.ids[laid_out.trained].tolist())
        assert trained_text == transcript.policy_text + "<|im_end|>"
        assert laid_out.reasoning.sum() < laid_out.trained.sum()


def test_a_training_in_tool_comes_to_its_end(corpus: Path, tmp_path: Path) -> None:
    path = write_settings(tmp_path / "sft.toml", corpus, model_dialect='"tool"', training_steps="2", saving_save_every="2")
    done = train(read_sft(path))
    assert done.checkpoint.name == "checkpoint-2"
    told = StudentConfig(checkpoint=str(done.checkpoint), dialect="tool", device="cpu")
    students = [
        load(told.checkpoint, dialect="tool"),
        make_student(ModelSettings(checkpoint=told.checkpoint, dialect="tool"), [], 0),
        cast("TransformersEngine", open_engine(told)).student,
    ]
    assert all(tool_list(TOOL.tools) in student.vocabulary.frame[0] for student in students)


def test_what_tells_of_functions_has_its_room_in_a_batch(corpus: Path, tmp_path: Path) -> None:
    """Samples that would just fit into a batch don't, with the function before each: that is said before the first step."""
    packed = Corpus(str(corpus))
    costliest = int(packed.costs.max())
    path = write_settings(tmp_path / "sft.toml", corpus, model_dialect='"tool"', data_max_tokens=str(costliest + 1))
    settings = read_sft(path)
    function_tokens = make_student(settings.model, [packed], settings.training.seed).vocabulary.function_tokens
    message = f"a sample of {costliest + function_tokens} tokens is over the budget of {costliest + 1}"
    with pytest.raises(InputError, match=message):
        train(settings)
    plain, told = (BatchSampler([packed], seed=0, max_tokens=4 * costliest, added_tokens=added) for added in (0, costliest))
    assert max(map(len, plain)) > 2 >= max(map(len, told))


def test_sft_shows_the_function_before_each_question(corpus: Path) -> None:
    packed = Corpus(str(corpus))
    transcript = say_in("tool", packed[0].sample.transcript, "")
    student = make_tiny("speck", [piece.text for piece in transcript.pieces if piece.text], dialect="tool")
    laid_out = TrainingCollator(student.layout, packed.clips, "packed", 1 << 20, "tool").lay_out(packed[0])
    text = student.vocabulary.decode(laid_out.ids.tolist())
    assert text.startswith(f"<|im_start|>system\n{tool_list(TOOL.tools)}<|im_end|>\n<|im_start|>user\n<")
    assert student.vocabulary.decode(laid_out.ids[laid_out.trained].tolist()) == transcript.policy_text + "<|im_end|>"


def test_what_grounding_cant_say_is_refused_with_its_sample_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    path = write_settings(tmp_path / "sft.toml", corpus, model_dialect='"grounding"')
    with pytest.raises(InputError, match="can't be said in the dialect `grounding`") as refused:
        train(read_sft(path))
    assert "sample_" in refused.value.where


def test_what_was_written_as_calls_is_said_as_spans_where_spans_can_say_it() -> None:
    look, fine = Look(Window(100, 300), Fraction(2)), Look(Window(100, 300), Fraction(2), tokens=6144)
    said = Trajectory(("It may be there.", "It is."), (look,), "red")
    prompt = (COARSE, Piece("prompt", "Which?"))
    assert say_in("span", TOOL.transcribe(prompt, said), "x") == SPAN.transcribe(prompt, said)
    assert say_in("tool", TOOL.transcribe(prompt, said), "x") == TOOL.transcribe(prompt, said)
    quota, together = replace(said, looks=(fine,)), replace(said, looks=(look, look), turns=(2,))
    assert say_in("tool", GROUNDING.transcribe(prompt, quota), "x") == TOOL.transcribe(prompt, quota)
    assert say_in("tool", Transcript(prompt), "x") == Transcript(prompt)  # a task: nobody has written yet
    for transcript, value in (
        (GROUNDING.transcribe(prompt, quota), "a quota of 6144 tokens"),
        (TOOL.transcribe(prompt, together), "2 looks in one turn"),
        (Transcript((*prompt, Piece("policy", "Hm."))), "the trajectory is malformed"),
    ):
        dialect = "grounding" if value.startswith("the") else "span"
        with pytest.raises(InputError, match=value) as refused:
            say_in(dialect, transcript, "a.tar: x")
        assert refused.value.where == "a.tar: x"


def test_who_knows_one_dialect_refuses_the_others_by_name() -> None:
    with pytest.raises(InputError, match="the dialect `grounding` is not measured yet"):
        StudentConfig(dialect="grounding").require_span()
    assert StudentConfig(dialect="span").semantic() == StudentConfig().semantic() == {"weights": "float32"}
    assert StudentConfig(dialect="tool").semantic() == {"weights": "float32", "dialect": "tool"}
