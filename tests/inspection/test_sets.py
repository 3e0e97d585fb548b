"""Sets as others publish them: files and folders, trajectories, videos beside them or missing, and nonsense."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dmforge as dm
from dmforge import cli
from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from dmforge.filters.inspection.set_files import open_set
from dmforge.filters.rules.lint import lint
from tests.inspection.rows import counts, inspect, sound, written
from tests.judging import hand
from tests.support import corpora, flicker
from tests.support.barcodes import Case, write

TRAIN = [sound(number) for number in range(6)]


def test_the_document_has_the_keys_that_are_promised(tmp_path: Path) -> None:
    document = inspect(written(tmp_path / "a.jsonl", *TRAIN, TRAIN[0]))
    assert document["records"] == 7
    (finding,) = document["findings"]
    assert {"check", "count", "share", "examples"} <= set(finding)
    assert set(finding["examples"][0]) == {"file", "row", "what"}
    assert dm.inspect(tmp_path / "a.jsonl").as_json() == document


def test_trajectories_are_held_against_the_rules_of_lint(tmp_path: Path) -> None:
    rows = [json.loads(line)["row"] for line in hand.FILE.read_text().splitlines()]
    path = tmp_path / "cot.json"
    path.write_text(json.dumps(rows))
    document = inspect(path)
    assert document["records"] == 80
    faulty = {(defect.rule, defect.record) for defect in lint(path).defects}
    by_rule = Counter(rule for rule, _ in faulty)
    told = counts(document)
    for rule in ("grammar", "density", "length", "repetition", "language", "own_span", "cited_inside"):
        assert told.get(rule, 0) == by_rule[rule], rule


SLOW = [pytest.param(shape, marks=pytest.mark.slow) for shape in ("swift", "messages", "trl", "verl")]


@pytest.mark.parametrize("shape", ["shards", "llamafactory", "hf", *SLOW])
def test_shards_and_exports_are_sets_too(shape: str, tmp_path: Path) -> None:
    folder = flicker.cot(tmp_path / "shards", 6, 2, flicker.BIASED)
    by_rule = Counter(rule for rule, _ in {(defect.rule, defect.record) for defect in lint(Path(folder)).defects})
    if shape != "shards":
        export(Corpus(folder), shape, tmp_path / shape)
    document = inspect(tmp_path / shape)
    assert document["records"] == 6
    assert {name: count for name, count in counts(document).items() if name in by_rule} == by_rule
    assert "video_missing" not in counts(document)
    assert shape in ("shards", "trl") or {"video_missing", "video_unreadable"} <= set(document["sound"])


def test_tasks_of_shards_are_read_with_their_target(tmp_path: Path) -> None:
    document = inspect(corpora.corpus(tmp_path / "shards", 3, 2))
    assert document["records"] == 6
    assert document["files"][0]["format"] == "export"


def test_videos_are_looked_for_and_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "videos"
    folder.mkdir(parents=True)
    write(Case("v0"), folder)
    write(Case("v1"), folder)
    (folder / "v2.mp4").write_bytes(b"no video")
    (folder / "other").mkdir()
    (folder / "other" / "v1.mp4").write_bytes(b"another one")
    inside, outside = TRAIN[0] | {"windows": [[0.5, 2.0]]}, TRAIN[0] | {"windows": [[20, 25]], "question": "When does it rain?"}
    rows = [inside, outside, TRAIN[1], TRAIN[2], *TRAIN[3:], TRAIN[3] | {"question": "Why is there snow?"}]
    path, listed = written(tmp_path / "set" / "a.jsonl", *rows), tmp_path / "missing.jsonl"
    for words in ((path, "--videos", folder), (path.parent,)):
        document = inspect(*words, "--missing", listed)
        assert counts(document) == {"window_outside": 1, "video_missing": 5, "video_unreadable": 1}
        missing = next(finding for finding in document["findings"] if finding["check"] == "video_missing")
        assert missing["reasons"] == {"missing file": 4, "several files of this name": 1}
        lines = [json.loads(line) for line in listed.read_text().splitlines()]
        assert lines[0] == {"namespace": "unknown", "id": "v3", "names": ["v3.mp4"], "questions": 2}
        assert [line["id"] for line in lines] == ["v3", "v4", "v5"]
    # without any video, all of them are to be fetched
    inspect(written(tmp_path / "b.jsonl", *rows), "--missing", listed)
    assert len(listed.read_text().splitlines()) == 6


def test_videos_lie_in_a_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", *TRAIN)
    for words in (["inspect", path], ["import", "jsonl", path, "--dry-run"]):
        done = CliRunner().invoke(cli.app, [*map(str, words), "--videos", str(path)])
        assert (done.exit_code, "no folder" in done.output) == (2, True), done.output


def test_the_files_that_go_with_annotations_are_read_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "charades_sta_train.txt").write_text("AB1CD 1.0 9.0##it runs\nAB1CE 1.0 3.0##it sits\n")
    (folder / "lengths.csv").write_text("id,length\nAB1CD,5.0\nAB1CE,5.0\n")
    (folder / "README.md").write_text("# A set")
    (folder / "settings.json").write_text('{"a": 1}')
    document = inspect(folder)
    assert (document["records"], counts(document)) == (2, {"window_outside": 1})
    assert list(document["left_aside"]) == ["settings.json"]


def test_the_file_that_lacks_is_named(tmp_path: Path) -> None:
    head = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
    (tmp_path / "val.csv").write_text(f"{head}\n1,1,1,1,why,b,0,CW,a,b,c,d,e\n")
    assert "hint: give gsub_*.json too" in inspect(tmp_path / "val.csv", code=2)
    (tmp_path / "gsub_val.json").write_text('{"1": {"location": {"0": [[1, 2]]}, "duration": 9}}')
    assert "hint: give gsub_val.json too" in inspect(tmp_path / "val.csv", code=2)
    assert inspect(tmp_path / "val.csv", tmp_path / "gsub_val.json")["findings"] == []


DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut.json": (b'{"s1": {"fps": 10, "sentences": [1, 2', "not JSON: expecting ',' delimiter at column 38"),
    "lines.json": (b'{\n "a": 1,\n "b" 2\n}', "not JSON: expecting ':' delimiter at column 6 (line 3)"),
    "latin.json": (b'{"a": "\xff"}', "not UTF-8: invalid start byte (byte 7)"),
    "twice.json": (b'{"a": 1, "a": 2}', "the key 'a' stands twice in one object, with different values"),
    "deep.json": (b'{"a":' * 100_000, "JSON that is nested too deeply, or has a number without end"),
    "empty.json": (b"", "the file is empty"),
    "nul.jsonl": (b"{\0", "NUL bytes, which no text in UTF-8 has (line 1)"),
    "none.json": (b"[]", "there is nothing in this file"),
    "cut.parquet": (b"PAR1 and no more", "not Parquet"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_called_damaged(name: str, tmp_path: Path) -> None:
    content, reason = DAMAGED[name]
    (tmp_path / name).write_bytes(content)
    assert f"{name}: {reason}" in inspect(tmp_path / name, code=2)
    assert f"{name}: {reason}" in inspect(tmp_path, code=2)


def test_what_is_left_aside_says_why(tmp_path: Path) -> None:
    written(tmp_path / "a.jsonl", *TRAIN)
    for name, (content, _) in DAMAGED.items():
        (tmp_path / name).write_bytes(content)
    left_aside = inspect(tmp_path)["left_aside"]
    assert {name for name, (_, reason) in DAMAGED.items() if left_aside[name].startswith(reason)} == set(DAMAGED)
    output = CliRunner().invoke(cli.app, ["inspect", str(tmp_path)]).output
    assert "left aside: cut.json (not JSON: expecting ',' delimiter at column 38), cut.parquet (not Parquet" in output


def test_a_format_that_is_named_hides_no_damage(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes(DAMAGED["lines.json"][0])
    assert DAMAGED["lines.json"][1] in inspect(tmp_path / "cut.json", "--format", "tacos", code=2)


def test_of_a_cut_shard_the_place_is_said(tmp_path: Path) -> None:
    corpora.corpus(tmp_path / "shards", 3, 2)
    (shard,) = (tmp_path / "shards").glob("*.tar")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) * 2 // 3])
    assert re.search(r"\.tar: cut off: the file ends within a member \(.+ at \d+\)", inspect(tmp_path / "shards", code=2))


NONSENSE = {
    "binary": random.Random(1).randbytes(3000), "empty": b"", "null": b"null", "numbers": b"1\n2\n", "deep": b"[" * 100_000,
    "another": b'{"a": 1}\n', "half of UTF-16": "{}".encode("utf-16")[:-1], "a list of nothing": b"[]",
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet", ".tar", ".csv"])
@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_with_its_place(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"nonsense{suffix}"
    path.write_bytes(NONSENSE[name])
    output = inspect(path, code=2).replace("\n", "")
    assert "hint:" in output
    assert path.name in output


def test_where_nothing_can_be_read_it_is_said(tmp_path: Path) -> None:
    assert "no such file" in inspect(tmp_path / "missing.jsonl", code=2)
    assert "no annotations" in inspect(tmp_path, code=2)
    path = written(tmp_path / "a.jsonl", *TRAIN)
    assert "no row can be read" in inspect(path, "--format", "video_r1", code=2)
    assert "--format" in inspect(path, "--format", "nothing", code=2)
    benchmark = tmp_path / "b.json"
    benchmark.write_text("[1, 2]")
    assert "no benchmark" in inspect(path, "--benchmark", benchmark, code=2)


def test_nothing_is_written_into_a_workspace(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["init", str(tmp_path / "ws"), "--recipe", "demo"])
    assert done.exit_code == 0
    path = written(tmp_path / "a.jsonl", *TRAIN)
    for option in ("--html", "--missing"):
        assert "belongs to a workspace" in inspect(path, option, tmp_path / "ws" / "lake" / "x.html", code=2).replace("\n", "")


@pytest.mark.real_data
def test_the_format_of_a_real_file_is_told_by_its_keys(real_data: Path) -> None:
    other_names = {"time_r1_xiaomi": "time_r1"}
    for folder in sorted((real_data / "annotations").iterdir()):
        files = open_set([folder]).files
        assert {file.format_name for file in files} == {other_names.get(folder.name, folder.name)}


@pytest.mark.real_data
def test_dynframes_own_rows_as_a_set(real_data: Path) -> None:
    document = inspect(real_data / "annotations/dynframe", "--benchmark", real_data / "benchmark_ids")
    assert (document["records"], document["lost"]["left"]) == (6, 3)
    assert counts(document) == {"frames": 1, "cited_stamps": 2, "cited_inside": 2, "own_span": 3}
