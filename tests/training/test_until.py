"""A training may end by a score: on samples that it doesn't learn from, with a checkpoint, and once for all."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from dmforge.curation.packing.drawn_videos import trajectory_sample
from dmforge.curation.shards.document import ShardSample
from dmforge.generators.student.load_student import load
from dmforge.generators.synthetic.lessons.lesson_corpora import pack_captions, pack_tasks
from dmforge.generators.synthetic.lessons.world_packing import pack_texts
from dmforge.generators.synthetic.worlds.script import Script
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Task
from dmforge.schemas.transcript import Piece, Transcript
from dmforge.trainers.sft import train
from dmforge.trainers.training_settings import read_sft
from tests.training.test_sft import run

CLIPS = Clips(coarse_fps=Fraction(1), coarse_frames=64, coarse_tokens=10, look_tokens=32)
WORDS = ("one", "two", "three", "four")


def repeating(folder: Path, seed: int, worlds: int = 256, words: tuple[str, ...] = WORDS) -> Path:
    """A lesson of text alone: to say a word again."""

    def samples_of(script: Script, video_id: Id) -> list[ShardSample]:
        word = words[script.seed % len(words)]
        answer = Piece("policy", f"</think><answer>{word}</answer>")
        transcript = Transcript((Piece("prompt", f"Say {word}."), Piece("runtime", f"<think>{script.seed % 100}"), answer))
        return [
            trajectory_sample(
                Task(video_id, "open", f"Say {word}, number {script.seed}.", (), word, (), "any"), transcript, "tests"
            )
        ]

    return pack_texts(folder / f"repeating-{seed}", WorldSettings(videos=worlds, seed=seed), CLIPS, samples_of)


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "out": str(folder / "out"), "model": {"from_config": "speck"},
        "data": {"corpora": [{"place": str(repeating(folder, 1))}], "max_tokens": 2_000, "max_samples": 16, "workers": 0},
        "training": {"steps": 300, "learning_rate": 4e-3, "warmup_steps": 10, "schedule": "constant_with_warmup"},
        "saving": {"device": "cpu", "save_every": 1_000, "log_every": 50},
        "until": {"corpus": str(repeating(folder, 2, 32)), "exact": 0.95, "every": 10},
    }  # fmt: skip
    return values | changes


def scores(out: Path) -> dict[int, float]:
    entries = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return {entry["step"]: entry["exact"] for entry in entries if "exact" in entry}


def test_it_ends_with_a_checkpoint_once_the_score_is_reached_and_not_before(tmp_path: Path) -> None:
    result = train(read_sft(settings(tmp_path)))
    measured = scores(tmp_path / "out")
    assert [*measured] == list(range(10, result.steps + 1, 10))
    assert all(score < 0.95 for step, score in measured.items() if step < result.steps)
    assert measured[result.steps] == result.log["exact"] >= 0.95
    assert result.steps < 300
    assert result.checkpoint.name == f"checkpoint-{result.steps}"
    # it is finished: the same command trains no further, and says the same
    written = {path: path.read_bytes() for path in result.checkpoint.iterdir()}
    again = train(read_sft(settings(tmp_path)))
    assert (again.steps, again.checkpoint, again.log) == (result.steps, result.checkpoint, result.log)
    assert f"{measured[result.steps]:.1%} of the held-out samples known" in "".join(map(str, again.blocks()))
    assert {path: path.read_bytes() for path in result.checkpoint.iterdir()} == written


def test_measuring_teaches_nothing(tmp_path: Path) -> None:
    short = {"training": settings(tmp_path)["training"] | {"steps": 20}}
    watched = train(read_sft(settings(tmp_path, **short, out=str(tmp_path / "watched"))))
    unwatched = train(read_sft(settings(tmp_path, **short, out=str(tmp_path / "unwatched"), until=None)))
    one, two = (load_file(result.checkpoint / "model.safetensors") for result in (watched, unwatched))
    assert one.keys() == two.keys()
    assert all(one[name].equal(two[name]) for name in one)


def test_without_the_score_it_takes_all_of_its_steps(tmp_path: Path) -> None:
    hard = settings(tmp_path)
    hard["training"]["steps"] = 12
    assert train(read_sft(hard)).steps == 12
    assert scores(tmp_path / "out")[10] < 0.95


def test_the_card_names_the_selection_that_was_measured_and_no_path(tmp_path: Path) -> None:
    values = settings(tmp_path)
    values["training"]["steps"] = 1
    values["model"]["vocabulary"] = [str(repeating(tmp_path, 2, 32))]
    card = (train(read_sft(values)).checkpoint / "README.md").read_text()
    selection = json.loads((tmp_path / "repeating-2" / "manifest.json").read_text())["selection"]
    assert card.count(selection) == 2
    assert str(tmp_path) not in card


def test_a_vocabulary_has_the_words_of_all_lessons(tmp_path: Path) -> None:
    other = repeating(tmp_path, 3, words=("elephants", "rhinoceros"))

    def tokens_of_a_word(vocabulary: list[str]) -> int:
        values = settings(tmp_path, out=str(tmp_path / f"out-{len(vocabulary)}"))
        values["training"]["steps"], values["model"]["vocabulary"] = 1, vocabulary
        return len(load(str(train(read_sft(values)).checkpoint)).vocabulary.encode("elephants"))

    assert tokens_of_a_word([str(repeating(tmp_path, 1)), str(other)]) < tokens_of_a_word([])


@pytest.mark.slow
@pytest.mark.parametrize("training", [{}, {"bf16": True}], ids=["float32", "bfloat16"])
def test_two_ranks_end_together_and_where_one_alone_would(training: dict[str, Any], tmp_path: Path) -> None:
    ends: dict[int, dict[int, float]] = {}
    for ranks in (1, 2):
        values = settings(tmp_path, out=str(tmp_path / f"out-{ranks}"))
        values["training"] |= training
        path = tmp_path / f"{ranks}.toml"
        path.write_text(as_toml(values))
        run(path, ranks=ranks)
        ends[ranks] = scores(tmp_path / f"out-{ranks}")
        last = max(ends[ranks])
        assert ends[ranks][last] >= 0.95
        assert last < 300
        assert [folder.name for folder in (tmp_path / f"out-{ranks}").glob("checkpoint-*")] == [f"checkpoint-{last}"]
    assert abs(max(ends[1]) - max(ends[2])) <= 10


def as_toml(values: dict[str, Any]) -> str:
    tables = {name: table for name, table in values.items() if isinstance(table, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if name not in tables]
    for name, table in tables.items():
        place = table.get("corpora", [{}])[0].get("place")
        written = {key: json.dumps(value) for key, value in table.items()}
        if place:
            written["corpora"] = f"[{{ place = {json.dumps(place)} }}]"
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in written.items())]
    return "\n".join(lines)


def test_what_is_not_to_be_written_or_is_cut_otherwise_is_no_measure(tmp_path: Path) -> None:
    worlds = WorldSettings(videos=2, study=True, looks=2)
    tasks = pack_tasks(tmp_path / "tasks", worlds, CLIPS)
    with pytest.raises(InputError, match="holds tasks, not trajectories"):
        train(read_sft(settings(tmp_path, until={"corpus": str(tasks)})))
    otherwise = pack_captions(tmp_path / "otherwise", worlds, CLIPS.model_copy(update={"look_frames": 32}))
    with pytest.raises(InputError, match="other clips"):
        train(read_sft(settings(tmp_path, until={"corpus": str(otherwise)})))


def test_nonsense_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exact"):
        read_sft(settings(tmp_path, until={"corpus": "somewhere", "exact": 1.5}))
    with pytest.raises(InputError, match="nowhere"):
        train(read_sft(settings(tmp_path, until={"corpus": str(tmp_path / "nowhere")})))
    with pytest.raises(InputError, match="vocabulary"):
        read_sft(settings(tmp_path, model={"checkpoint": "./some", "vocabulary": ["./other"]}))
