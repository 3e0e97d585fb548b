"""Other trainers' shapes: what they say is what was packed, and the clips that they name hold the frames that are meant."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from dmforge.curation.exports import export
from dmforge.curation.exports.export_part import clipped
from dmforge.curation.exports.known_formats import FORMATS
from dmforge.curation.exports.read_back import read_written
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.video.timeline import read_timeline
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.dialects.known_dialects import DIALECTS
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window
from tests.support.barcodes import CASES
from tests.support.corpora import filmed

CASE = next(case for case in CASES if case.name == "a very long GOP")
LOOK = Look(Window(300, 550), Fraction(2))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One video of 20 s whose frames say which they are, with a trajectory and a task."""
    return Corpus(str(filmed(tmp_path_factory.mktemp("corpus"), CASE, LOOK)))


def assert_is_the_look(path: Path) -> None:
    times = [Fraction(3) + Fraction(number, 2) for number in range(5)]
    assert shown_in(path) == [(float(time_s), CASE.on_screen(time_s)) for time_s in times]


def assert_is_coarse(path: Path) -> None:
    times = [Fraction(number, 2) for number in range(40)]
    assert shown_in(path) == [(float(time_s), CASE.on_screen(time_s)) for time_s in times]


def shown_in(path: Path) -> list[tuple[float, int]]:
    """Each frame of a file: its time, and which frame of the video it is."""
    with av.open(str(path), "r") as container:
        return [
            (round(float(frame.pts * frame.time_base), 6), read_timecode(frame.to_ndarray(format="rgb24")))  # pyright: ignore
            for frame in container.decode(video=0)
        ]


def exported(corpus: Corpus, to: str, folder: Path, left_out: int = 0) -> Path:
    done = export(corpus, to, folder / to)
    assert (done.samples, done.left_out) == (2 - left_out, left_out)
    return folder / to


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_dynframe(corpus: Corpus, tmp_path: Path) -> None:
    folder = exported(corpus, "dynframe", tmp_path)
    (row,) = read(folder / "cot.json")
    human, gpt = row["conversations"]
    assert human == {"from": "human", "value": "<video>\nWhat happens in 7?"}
    assert gpt["value"] == (
        "<think>Let me look.<span>1.00 - 3.50</span><fps>2</fps><video>\nIt turns.</think><answer>it turns</answer>"
    )
    assert (row["index"], row["gemini_suggested_fps"], row["original_fps"]) == (0, 2, 2)
    task = json.loads((folder / "cot.jsonl").read_text())
    assert task == {
        "prompt": "<video>\nWhat happens in 7?", "video": row["video"][0], "answer": "3.00 - 5.50", "fps": 2,
        "gt_span_start": 3.0, "gt_span_end": 5.5,
    }  # fmt: skip
    info = read(folder / "dataset_info.json")
    assert {name: told["file_name"] for name, told in info.items()} == {"cot": "cot.json", "cot_rl": "cot.jsonl"}
    video = read_timeline(folder / row["video"][0])
    assert len(video.pts) == 240


def test_verl_has_the_grid_of_tasks_alone(corpus: Corpus) -> None:
    for number, has_grid in ((0, False), (1, True)):
        sample, video = corpus[number].sample, corpus.video(0)
        (row,) = FORMATS["verl"].rows(made := clipped(sample, video, corpus.clips, FORMATS["verl"]), DIALECTS["tool"])
        assert bool(made.grid_path) == has_grid == (f"videos/{video.key}.mp4" in json.dumps(row))


def test_llamafactory(corpus: Corpus, tmp_path: Path) -> None:
    folder = exported(corpus, "llamafactory", tmp_path, left_out=1)
    (row,) = read(folder / "cot.json")
    text = "".join(message["content"] for message in row["messages"])
    assert text.count("<video>") == len(row["videos"]) == 2
    assert_is_coarse(folder / row["videos"][0])
    assert_is_the_look(folder / row["videos"][1])
    told = read(folder / "dataset_info.json")["cot"]
    assert set(told["columns"].values()) == {"messages", "videos"} <= row.keys()


def test_trl(corpus: Corpus, tmp_path: Path) -> None:
    import datasets
    from trl.data_utils import is_conversational

    folder = exported(corpus, "trl", tmp_path)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    trajectory, task = rows
    assert all(map(is_conversational, rows))
    kinds = [part["type"] for message in (*trajectory["prompt"], *trajectory["completion"]) for part in message["content"]]
    assert kinds.count("video") == len(trajectory["videos"]) == 2
    assert_is_the_look(folder / trajectory["videos"][1])
    assert "completion" not in task
    assert (task["solution"], task["target_window"], task["target_fps"]) == ("3.00 - 5.50", [3.0, 5.5], 2.0)
    assert len(datasets.load_dataset("json", data_files=str(folder / "train.jsonl"), split="train")) == 2


def test_hf(corpus: Corpus, tmp_path: Path) -> None:
    import datasets

    folder = exported(corpus, "hf", tmp_path)
    rows: list[Any] = list(datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")))
    assert [row["id"] for row in rows] == [corpus[number].sample.id for number in range(2)]
    assert rows[0]["options"] == list(corpus[0].sample.options)
    assert rows[1]["target_window"] == "3.00 - 5.50"
    trajectory, task = rows
    assert (len(trajectory["looks"]), task["looks"]) == (1, [])
    shown = trajectory["looks"][0].get_frames_in_range(0, 5)
    assert [read_timecode(frame.permute(1, 2, 0).numpy()) for frame in shown.data] == [
        CASE.on_screen(Fraction(3) + Fraction(number, 2)) for number in range(5)
    ]
    assert shown.pts_seconds.tolist() == trajectory["clips"][1]["frame_times_s"]
    assert trajectory["grid"].metadata.num_frames == 240


@pytest.fixture(scope="module")
def aimed_twice(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same, where the task's target is two looks."""
    return Corpus(str(filmed(tmp_path_factory.mktemp("twice"), CASE, LOOK, LATER)))


LATER = Look(Window(700, 900), Fraction(1, 2))


def test_trl_has_every_look_of_a_set_in_columns_of_one_type(aimed_twice: Corpus, tmp_path: Path) -> None:
    import datasets

    folder = exported(aimed_twice, "trl", tmp_path)
    rows = list(datasets.load_dataset("json", data_files=str(folder / "train.jsonl"), split="train"))
    assert [(row["target_window"], row["target_fps"]) for row in rows] == [  # pyright: ignore
        ([[1.0, 3.5]], [2.0]),
        ([[3.0, 5.5], [7.0, 9.0]], [2.0, 0.5]),
    ]


def test_hf_has_every_look_of_a_set(aimed_twice: Corpus, tmp_path: Path) -> None:
    import datasets

    folder = exported(aimed_twice, "hf", tmp_path)
    rows: list[Any] = list(datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")))
    assert [(row["target_window"], row["target_fps"]) for row in rows] == [
        ("1.00 - 3.50", "2"),
        ("3.00 - 5.50, 7.00 - 9.00", "2, 0.5"),
    ]


def test_what_has_one_window_a_row_refuses_a_set_by_name(aimed_twice: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dynframe has one window and one density a row, and this target has 2 looks"):
        export(aimed_twice, "dynframe", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    exported(aimed_twice, "llamafactory", tmp_path, left_out=1)  # it has no targets


def test_a_notebook_shows_every_look_of_a_set(aimed_twice: Corpus) -> None:
    card = aimed_twice[1]._repr_html_()
    assert "target: 3.00 - 5.50 s, 2 fps<br>target: 7.00 - 9.00 s, 0.5 fps" in card


@pytest.mark.parametrize("form", ["shards", "trl", "hf"])
def test_a_set_is_read_back_as_it_was(form: str, aimed_twice: Corpus, corpus: Corpus, tmp_path: Path) -> None:
    expected = {aimed_twice: ((3.0, 5.5, 2.0), (7.0, 9.0, 0.5)), corpus: ((3.0, 5.5, 2.0),)}
    for number, (packed, targets) in enumerate(expected.items()):
        path = Path(packed.place) if form == "shards" else exported(packed, form, tmp_path / str(number))
        file = {"trl": path / "train.jsonl", "hf": path / "metadata.parquet"}.get(form, path)
        assert [record.targets for record in read_written(file)] == [(), targets]


def test_nothing_is_written_over(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "dynframe").mkdir()
    with pytest.raises(InputError, match="something here already"):
        export(corpus, "dynframe", tmp_path / "dynframe")
    with pytest.raises(InputError, match="dynframe"):
        export(corpus, "dynafram", tmp_path / "x")
    assert not (tmp_path / "x").exists()
