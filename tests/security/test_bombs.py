"""A few bytes that stand for millions: refused before they are unpacked, in the memory that there is."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.io import toml
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import MANIFEST
from dmforge.curation.shards.index import INDEX, SCHEMA
from dmforge.curation.shards.integrity import verify
from dmforge.schemas.errors import InputError, LakeError
from tests.support.corpora import corpus

ROOM = 2 << 30
"""Bytes that a command may hold: with what it imports, ten times what it needs."""


def bounded(*words: object) -> subprocess.CompletedProcess[str]:
    """A command in a process that the kernel bounds."""
    return subprocess.run(
        [sys.executable, "-m", "dmforge.cli", *map(str, words)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (ROOM, ROOM)),
    )  # fmt: skip


def word_in_every_row(column: str) -> pa.Table:
    """4 MB of one letter, a million times."""
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["a" * (4 << 20)]))
    others = {name: pa.array(["a"] * 1_000_000) for name in ("kind", "question", "gold", "needs") if name != column}
    return pa.table({column: words, **others})


@pytest.mark.slow
def test_a_word_that_stands_a_million_times_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.parquet"
    pq.write_table(word_in_every_row("video"), file, compression="zstd")
    assert file.stat().st_size < 100_000
    for words in (["import", "hf", file, "--dry-run"], ["lint", file]):
        done = bounded(*words)
        assert done.returncode == 2, done.stderr[-500:]
        assert "unpack to more than" in done.stderr


def test_rows_without_end_are_not_counted(tmp_path: Path) -> None:
    file = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"video": pa.nulls(20_000_000, pa.int8())}), file, row_group_size=20_000_000)
    done = CliRunner().invoke(cli.app, ["import", "hf", str(file), "--dry-run"])
    assert done.exit_code == 2
    assert "rows in" in done.output


def resealed(folder: Path, index: bytes | None = None, **other: Any) -> Path:
    """A folder that agrees with itself about its digests."""
    told = json.loads((folder / MANIFEST).read_bytes()) | other
    told.pop("sha256")
    if index is not None:
        (folder / INDEX).write_bytes(index)
        told["files"] = {INDEX: hashlib.sha256(index).hexdigest()}
    seal = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({**told, "sha256": seal}))
    return folder


def index_with(folder: Path, **columns: Any) -> bytes:
    rows = pq.read_table(folder / INDEX).to_pylist()
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row | columns for row in rows], SCHEMA), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "columns",
    [{"json_size": 1 << 60}, {"json_offset": -5}, {"coarse_offset": None}, {"visual_tokens": [1 << 60]}, {"samples": None}],
)
def test_an_index_that_says_nonsense_is_refused(columns: dict[str, Any], tmp_path: Path) -> None:
    folder = corpus(tmp_path, 2, 1, (100, 100))
    resealed(folder, index_with(folder, **columns))
    assert any("the index says" in defect.reason for defect in verify(str(folder)).defects)
    if columns != {"samples": None}:  # which no reader asks for
        with pytest.raises(InputError, match="the index says"):
            Corpus(str(folder))


@pytest.mark.parametrize(
    "other",
    [
        {"files": ["index.parquet"]}, {"files": {}}, {"files": {"../x": "0"}}, {"shards": {"a": 1}}, {"clips": [1]},
        {"corpus": 5}, {"partial": "no"}, {"more": 1},
        {"shards": [{"name": "a.tar", "sha256": "", "bytes": "9", "videos": 1, "samples": 1}]},
    ],
)  # fmt: skip
def test_a_manifest_that_is_sealed_and_nonsense_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    folder = resealed(corpus(tmp_path, 2, 1, (100, 100)), **other)
    assert [defect.shard for defect in verify(str(folder)).defects] == [MANIFEST]
    with pytest.raises(LakeError, match="no manifest"):
        Corpus(str(folder))


@pytest.mark.parametrize(
    "content",
    [
        "name = " + "[\n" * 100_000, "name = " + "9" * 5_000, "a" + ".a" * 20_000 + " = 1", "x" * (2 << 20), "\udcff",
        "[a]\n" * 2, "name = {" + "a = {" * 3_000,
    ],
    ids=["nested", "a number without end", "dots", "long", "not UTF-8", "twice", "tables"],
)  # fmt: skip
def test_toml_that_is_none_is_one_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    for words in (["plan", "-w", str(tmp_path)], ["train", "sft", str(file)], ["evaluate", str(file)]):
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 2, (words, done.output[-300:])
        assert "TOML" in done.output


def test_the_lines_of_our_own_recipes_are_far_from_the_bound() -> None:
    from dmforge.recipe import RECIPES

    assert all(10 * len(line) < toml.MAX_LINE for path in RECIPES.glob("*.toml") for line in path.read_bytes().split(b"\n"))


def test_packed_annotations_are_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(gzip.compress(b'{"video": "a", "kind": "open", "question": "q"}\n' * 100_000))
    done = CliRunner().invoke(cli.app, ["import", "jsonl", str(file), "--dry-run"])
    assert done.exit_code == 2
    assert "rows.jsonl" in done.output.replace("\n", "")


@pytest.mark.parametrize("field", ["video", "question", "answer", "options"])
@pytest.mark.parametrize("value", [5, None, [1], {"a": 1}, "\ud800"])
def test_a_record_whose_text_is_none_is_rejected_by_itself(field: str, value: Any, tmp_path: Path) -> None:
    good = {"videoID": "abc", "question_id": "1-1", "question": "Which?", "options": ["A. p.", "B. q."], "answer": "A"}
    name = "videoID" if field == "video" else field
    bad = good | {name: ["A. p.", value] if field == "options" else value}
    (tmp_path / "rows.json").write_text(json.dumps([good, bad]))
    done = CliRunner().invoke(cli.app, ["import", "videomme", str(tmp_path / "rows.json"), "--dry-run", "--json"])
    assert done.exit_code == 0, done.output[-300:]
    (reason,) = json.loads(done.stdout)["rejected"]
    assert reason in {f"malformed row: {word!r} is not as videomme has it" for word in (field, name)}
