"""Whatever is given as annotations: exit 2, the file and the place are named, and nothing is written."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli, pipeline
from dmforge.curation.sources import files
from dmforge.curation.sources.formats import FORMATS

GOOD = '{"video": "a.mp4", "kind": "open", "question": "What?", "answer": "it"}\n'
NONSENSE: dict[str, Callable[[], bytes]] = {
    "binary": lambda: random.Random(1).randbytes(5000),
    "empty": lambda: b"",
    "blank": lambda: b"\n\n \n",
    "truncated JSON": lambda: b'[{"video": "a.mp4", "kind": ',
    "truncated line": lambda: (GOOD + GOOD[:30]).encode(),
    "deep nesting": lambda: b"[" * 200_000 + b"]" * 200_000,
    "wrong encoding": lambda: GOOD.replace("What", "Wörter").encode("utf-16"),
    "Latin-1": lambda: GOOD.replace("What", "Wörter").encode("latin-1"),
    "another format": lambda: b"AB1CD 1.0 2.0##it runs\n",
    "numbers": lambda: b"1\n2\n3\n",
    "null": lambda: b"null",
    "a number without end": lambda: b'{"video": "a", "kind": "open", "question": "q", "windows": [[0, ' + b"9" * 5000 + b"]]}",
    "NUL": lambda: GOOD.encode().replace(b"What", b"Wh\0t"),
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("form", ["jsonl", "activitynet_captions", "nextqa", "charades_sta", "hf"])
def test_nonsense_is_refused(name: str, form: str, tmp_path: Path) -> None:
    content = NONSENSE[name]()
    if (name, form) == ("another format", "charades_sta"):
        content = GOOD.encode()
    workspace, file = tmp_path / "ws", tmp_path / "file.json"
    file.write_bytes(content)
    pipeline.init(workspace, "demo")
    before = sorted(workspace.rglob("*"))
    for more in ([], ["--dry-run"]):
        done = CliRunner().invoke(cli.app, ["import", form, str(file), "-w", str(workspace), *more])
        told = done.stderr.replace("\n", "")
        assert done.exit_code == 2, done.output
        assert "file.json" in told
        assert "mend:" in told
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
    pipeline.init(workspace, "demo")
    done = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "-w", str(workspace)])
    assert "rejected: 1 question longer than 10,000 characters: shorten it, as in long.jsonl:1: a.mp4" in done.stdout
    assert sum(path.stat().st_size for path in workspace.rglob("*") if path.is_file()) < 100_000


def test_what_an_export_must_give_back_has_a_bound_too(tmp_path: Path) -> None:
    file = tmp_path / "rl.jsonl"
    row = {"prompt": "x" * 9_000 + "textual query: it\n" + "x" * 60_000, "video": "a.mp4", "answer": "0 - 1", "fps": 2,
           "gt_span_start": 0, "gt_span_end": 1}  # fmt: skip
    file.write_text(json.dumps(row) + "\n")
    done = CliRunner().invoke(cli.app, ["import", "dynframe", str(file), "--dry-run"])
    assert "rejected: 1 extras longer than 50,000 characters: shorten it, as in rl.jsonl:1: a.mp4" in done.stdout
