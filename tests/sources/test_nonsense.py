"""Whatever is given as annotations: exit 2, the file and the place are named, and nothing is written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import run
from dmforge.curation.sources import annotation_files as files
from dmforge.curation.sources.formats import FORMATS

GOOD = '{"video": "a.mp4", "kind": "open", "question": "What?", "answer": "it"}\n'
NONSENSE: dict[str, Callable[[], bytes]] = {
    "binary": lambda: random.Random(1).randbytes(5000),
    "empty": lambda: b"",
    "blank": lambda: b"\n\n \n",
    "truncated JSON": lambda: b'[{"video": "a.mp4", "kind": ',
    "truncated line": lambda: (GOOD + GOOD[:30]).encode(),
    "deep nesting": lambda: b"[" * 200_000 + b"]" * 200_000,
    "UTF-16 without its mark": lambda: GOOD.replace("What", "Wörter").encode("utf-16-le"),
    "half of UTF-16": lambda: GOOD.encode("utf-16")[:-1],
    "Latin-1": lambda: GOOD.replace("What", "Wörter").encode("latin-1"),
    "another format": lambda: b"AB1CD 1.0 2.0##it runs\n",
    "numbers": lambda: b"1\n2\n3\n",
    "null": lambda: b"null",
    "a number without end": lambda: b'{"video": "a", "kind": "open", "question": "q", "windows": [[0, ' + b"9" * 5000 + b"]]}",
    "NUL": lambda: GOOD.encode().replace(b"What", b"Wh\0t"),
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize(
    "form", ["jsonl", "activitynet_captions", "nextqa", "charades_sta", "hf", "messages", "verl", "timelens"]
)
def test_nonsense_is_refused(name: str, form: str, tmp_path: Path) -> None:
    content = NONSENSE[name]()
    if (name, form) == ("another format", "charades_sta"):
        content = GOOD.encode()
    workspace, file = tmp_path / "ws", tmp_path / "file.json"
    file.write_bytes(content)
    run.init(workspace, "demo")
    before = sorted(workspace.rglob("*"))
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(cli.app, ["import", form, str(file), "-w", str(workspace), *more])
        told = done.stderr.replace("\n", "")
        assert done.exit_code == 2, done.output
        assert "file.json" in told
        assert "hint:" in told
        assert "Traceback" not in told
    assert [
        path for path in sorted(workspace.rglob("*")) if "inputs" in path.parts and path not in before and path.is_file()
    ] == []


def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 1000)
    file = tmp_path / "long.jsonl"
    file.write_text(GOOD + json.dumps({"video": "a.mp4", "kind": "open", "question": "x" * 5000}) + "\n")
    done = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "--dry-run"])
    assert done.exit_code == 2
    assert "long.jsonl:2" in done.stderr.replace("\n", "")


def test_the_list_of_formats_names_them_all() -> None:
    done = CliRunner().invoke(cli.app, ["import", "--list", "--json"])
    assert {one["format"] for one in json.loads(done.stdout)} == set(FORMATS)
    assert {one["format"] for one in json.loads(done.stdout) if one["role"] == "benchmark"} == {
        "videomme", "mlvu", "lvbench", "cgbench", "ids",
    }  # fmt: skip


def test_what_is_wanted_is_said() -> None:
    done = CliRunner().invoke(cli.app, ["import"])
    assert done.exit_code == 2
    assert "--list" in done.stderr


LONG: dict[str, dict[str, object]] = {
    "question": {"question": "What? " * 2_000},
    "answer": {"answer": "it " * 8_000},
    "option": {"kind": "mcq", "options": ["it", "x" * 2_001]},
    "video name": {"video": "v" * 1_001},
}


@pytest.mark.parametrize("field", LONG)
def test_a_text_that_is_too_long_is_refused_by_file_row_and_field(field: str, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(GOOD + json.dumps(json.loads(GOOD) | LONG[field]) + "\n")
    done = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "--dry-run"])
    assert "1 tasks, 0 identical, 1 rejected" in done.stdout
    assert f"rejected: 1 {field} longer than " in done.stdout
    assert "shorten it, as in long.jsonl:2: " in done.stdout


def test_a_text_that_is_too_long_is_not_written_into_the_workspace(tmp_path: Path) -> None:
    workspace, file = tmp_path / "ws", tmp_path / "long.jsonl"
    file.write_text(json.dumps(json.loads(GOOD) | {"question": "x" * 100_000}) + "\n")
    run.init(workspace, "demo")
    done = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "-w", str(workspace)])
    assert done.exit_code == 1
    assert "rejected: 1 question longer than 10,000 characters: shorten it, as in long.jsonl:1: a.mp4" in done.stdout
    assert sum(path.stat().st_size for path in workspace.rglob("*") if path.is_file()) < 100_000


def test_what_an_export_must_give_back_has_a_bound_too(tmp_path: Path) -> None:
    file = tmp_path / "rl.jsonl"
    row = {"prompt": "x" * 9_000 + "textual query: it\n" + "x" * 60_000, "video": "a.mp4", "answer": "0 - 1", "fps": 2,
           "gt_span_start": 0, "gt_span_end": 1}  # fmt: skip
    file.write_text(json.dumps(row) + "\n")
    done = CliRunner().invoke(cli.app, ["import", "dynframe", str(file), "--dry-run"])
    assert "rejected: 1 extras longer than 50,000 characters: shorten it, as in rl.jsonl:1: a.mp4" in done.stdout


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("layout", ["lines", "document", "csv", "text"])
def test_a_file_is_read_in_the_unicode_that_its_first_bytes_say(encoding: str, layout: str, tmp_path: Path) -> None:
    question = GOOD.replace("What", "W\u00f6rter\u2028?")
    columns, row = "video,question,answer,qid,a0,a1,a2,a3,a4", "1,W\u00f6rter?,0,1,a,b,c,d,e"
    form, content = {
        "lines": ("jsonl", question * 2), "document": ("jsonl", json.dumps([json.loads(question)], indent=1)),
        "csv": ("nextqa", f"{columns}\r\n{row}\r\n"), "text": ("charades_sta", "AB1CD 1.0 2.0##W\u00f6rter\n"),
    }[layout]  # fmt: skip
    file = tmp_path / "file.txt"
    file.write_bytes(content.encode(encoding))
    done = CliRunner().invoke(cli.app, ["import", form, str(file), "--dry-run"])
    assert done.stdout.startswith("1 tasks"), done.output


def test_lengths_from_a_spreadsheet_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("AB1CD 1.0 5.5##it runs\n")
    (tmp_path / "lengths.csv").write_bytes("id,length\r\nAB1CD,5.0\r\n".encode("utf-16"))
    files = [str(tmp_path / name) for name in ("train.txt", "lengths.csv")]
    assert "flagged: 1 clamped end" in CliRunner().invoke(cli.app, ["import", "charades_sta", *files, "--dry-run"]).stdout


def refusal(file: Path, form: str, *more: Path) -> str:
    done = CliRunner().invoke(cli.app, ["import", form, str(file), *map(str, more), "--dry-run"])
    assert done.exit_code == 2, done.output
    assert not any(word in done.stderr for word in ("Error", "attribute", "Traceback"))
    return done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("first", "kind"), [("[1]", "a list"), ('"x"', "a text"), ("1", "a number"), ("true", "true or false"), ("null", "null")]
)
def test_a_first_record_of_another_type_is_said_with_its_place(first: str, kind: str, tmp_path: Path) -> None:
    lines = [f"{first}\n{GOOD}"] if first != "[1]" else []  # which would begin a document
    for number, content in enumerate((f"[{first}, {GOOD}]", *lines)):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(content)
        assert f"{file}:1: not jsonl: the first record is {kind}, and an object is wanted" in refusal(file, "jsonl")


def test_a_first_record_with_a_field_of_another_type_is_said_without_pythons_words(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    for windows, said in (("7", "a field is of another kind"), ('[["x", 2]]', "'x'")):
        file.write_text(GOOD.replace('"open"', f'"open", "windows": {windows}'))
        assert said in refusal(file, "jsonl")
    lengths = tmp_path / "lengths.csv"
    lengths.write_text("vid,length\nAB1CD,5.0\n")
    file.write_text("AB1CD 1.0 2.0##it runs\n")
    assert f"{lengths}: charades_sta can't read it beside its annotations: no 'id'" in refusal(file, "charades_sta", lengths)


COIN = '{"database": {"x": {"duration": 9, "recipe_type": 1, "annotation": [{"label": "a", "label": "b", "segment": [1, 2]}]}}}'
TWICE = {
    "a line": ("jsonl", GOOD + GOOD.replace('"What?"', '"What?", "question": "Who?"'), ":2: the key 'question' stands twice"),
    "a record": ("jsonl", f'[{GOOD}, {{"a": {{"b": 1, "b": 2}}}}]', ": record 2 > a: the key 'b' stands twice"),
    "the document": ("activitynet_captions", '{"v_x":\n {"duration": 1},\n "v_x": {"duration": 2}}', ", line 3: the key 'v_x'"),
    "deep inside": ("coin", COIN, ": database > x > annotation > record 1: the key 'label' stands twice"),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_key_that_stands_twice_is_said_with_its_place(name: str, tmp_path: Path) -> None:
    form, content, said = TWICE[name]
    file = tmp_path / "a.json"
    file.write_text(content)
    assert f"{file}{said}" in refusal(file, form)


def test_a_key_that_says_the_same_twice_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(GOOD.replace('"What?"', '"What?", "question": "What?"'))
    assert "1 tasks" in CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "--dry-run"]).stdout
