"""40 samples, exported and loaded by the code of those who train on them: what they would learn, and under which stamps."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.student.load_student import load_vocabulary
from dmforge.generators.student.tiny import make_tiny
from dmforge.generators.student.vocabulary import Vocabulary
from dmforge.schemas.dialects.translation import say_in
from tests.support import flicker
from tests.support.tables import show
from tests.trainers import readers
from tests.trainers.readers import TrainedRow

SAMPLES = 40
STAMP = re.compile(r"<([0-9.]+) seconds>")
TABLE: list[list[object]] = []


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(flicker.cot(tmp_path_factory.mktemp("corpus") / "cot", SAMPLES, 3))


@pytest.fixture(scope="module")
def student(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student") / "checkpoint-0"
    transcripts = [say_in("tool", example.sample.transcript, "") for example in corpus]
    texts = [piece.text for transcript in transcripts for piece in transcript.pieces if piece.text]
    make_tiny("speck", texts, dialect="tool").save(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    columns = ["trainer", "samples", "labels", "of them injected", "clips", "frames", "of ours", "stamps", "equal to ours"]
    show(f"{SAMPLES} samples in other trainers' readers", "make test-trainers", columns, TABLE)


def learnt(
    rows: list[TrainedRow], corpus: Corpus, clips: list[list[dict[str, Any]]], vocabulary: Vocabulary, name: str
) -> None:
    """Labels are the policy's words and nothing else; the row of the table says what becomes of frames and stamps."""
    assert len(rows) == len(corpus) == SAMPLES
    labels, injected, frames, our_frames, stamps, equal_stamps = 0, 0, 0, 0, 0, 0
    vision = set(vocabulary.vision.tolist())
    for row, example, listed in zip(rows, corpus, clips, strict=True):
        trained_text = vocabulary.decode(row.labels).replace("<|im_end|>\n", "<|im_end|>")
        assert trained_text == say_in("tool", example.sample.transcript, "").policy_text + "<|im_end|>"
        labels += len(row.labels)
        injected += sum(label in vision for label in row.labels)
        assert len(row.frames) == len(listed)
        frames += sum(row.frames)
        our_frames += sum(2 * len(clip["stamps_s"]) for clip in listed)
        shown = [float(text) for text in STAMP.findall(vocabulary.decode(row.ids))]
        ours = [stamp_s for clip in listed for stamp_s in clip["stamps_s"]]
        stamps += len(shown)
        equal_stamps += sum(one == other for one, other in zip(shown, ours, strict=False))
    TABLE.append([name, len(rows), labels, injected, sum(map(len, clips)), frames, our_frames, stamps, equal_stamps])
    assert injected == 0


def clips_in(path: Path) -> list[list[dict[str, Any]]]:
    """Of each row what it says of its clips."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [row["extra_info"]["clips"] for row in pq.read_table(path).to_pylist()]
    rows = json.loads(path.read_text()) if path.suffix == ".json" else map(json.loads, path.read_text().splitlines())
    return [row["clips"] for row in rows]


FILES = {"llamafactory": "cot.json", "swift": "trajectories.jsonl", "verl": "sft.parquet"}
READERS: dict[str, Callable[[Path, Path, Path], Iterator[TrainedRow]]] = {
    "llamafactory": readers.llamafactory, "swift": readers.swift, "verl": readers.verl,
}  # fmt: skip
PACKAGES = {"llamafactory": "llamafactory", "swift": "ms_swift", "verl": "verl"}


@pytest.mark.parametrize("form", ["swift", "verl", "llamafactory"])
def test_nothing_injected_is_trained_on(form: str, corpus: Corpus, student: Path, tmp_path: Path) -> None:
    named_main = os.environ.get("LLAMAFACTORY", "")
    if form == "llamafactory" and named_main:
        sys.path.insert(0, str(Path(named_main, "src")))
    folder = tmp_path / form
    export(corpus, form, folder, "tool")
    rows = READERS[form](folder, student, tmp_path / "out")
    name = f"{form} {version(PACKAGES[form])}"
    if form == "llamafactory" and not named_main:  # its latest release looks for frames by the number of the message
        with pytest.raises(IndexError):
            list(rows)
        TABLE.append([f"{name}: ends in an IndexError", *[""] * 8])
        return
    name = f"{form}, its main" if form == "llamafactory" else name
    learnt(list(rows), corpus, clips_in(folder / FILES[form]), load_vocabulary(str(student), "tool"), name)


def test_prompts_for_rl_are_read_by_verl(student: Path, tmp_path: Path) -> None:
    tasks = Corpus(flicker.rl(tmp_path / "rl", 8, 4))
    export(tasks, "verl", tmp_path / "verl")
    rows = readers.verl_prompts(tmp_path / "verl", student)
    assert len(rows) == 8
    for row, example in zip(rows, tasks, strict=True):
        assert row["reward_model"]["ground_truth"] == example.sample.gold
        assert [part["type"] for part in row["raw_prompt"][0]["content"]] == ["video", "text"]
        assert row["raw_prompt"][0]["content"][1]["text"] == example.sample.question
        told = row["tools_kwargs"]["crop_video"]["create_kwargs"]
        (target,) = example.sample.target_looks
        assert told["target_windows"] == [[float(target.window.start_s), float(target.window.end_s)]]


def test_trl_shows_sft_no_pixel_and_grpo_the_prompt_alone(corpus: Corpus, student: Path, tmp_path: Path) -> None:
    """What the README of the export says of it."""
    import datasets
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # pyright: ignore

    from dmforge.generators.student.load_student import load

    export(corpus, "trl", tmp_path / "trl", "tool")
    dataset = datasets.load_dataset("json", data_files=str(tmp_path / "trl" / "train.jsonl"), split="train")
    settings = SFTConfig(str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False, max_length=None)
    trainer = SFTTrainer(
        load(str(student), dialect="tool").model, settings, train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(str(student)),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    assert "input_ids" in batch
    assert not any("pixel" in key or "video" in key for key in batch)
    readme = (tmp_path / "trl" / "README.md").read_text()
    assert "SFTTrainer reads no `videos`" in readme
