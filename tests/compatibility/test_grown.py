"""A dataclass in a column may grow: rows of parts of both ages are read together, keep their ids, and lack nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.lake.commits import CommitDraft, Lake
from dmforge.curation.lake.parts import read_part
from dmforge.curation.lake.recall import Recall
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from dmforge.schemas.columns import completed, from_arrow, to_arrow
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import digest, read_base32
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.records import Rollout, Sample, format_of
from dmforge.trainers.sdgrpo.rewards import reward_target_of
from dmforge.trainers.sdgrpo.sdgrpo_settings import RewardSettings
from tests.compatibility.test_59a9f4a import dmforge, unpack

NARROW = Look(Window(100, 300), Fraction(2), Box(120, 40, 560, 800), 96)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What 59a9f4a left behind, with one batch of rollouts as this version writes it: the first of them looks at a box."""
    root = unpack(tmp_path_factory.mktemp("both")) / "practice"
    dmforge("upgrade", "-w", root)
    lake = Lake(WorkspaceFolder(root))
    commit = min((commit for commit in lake.commits.values() if commit.stage == "replay"), key=lambda commit: commit.id)
    tables = {part.table: pa.concat_tables(read_part(lake.workspace.lake, part)) for part in commit.parts}
    rows = from_arrow(Rollout, tables["rollouts"])
    rows[0] = replace(rows[0], looks=(NARROW,), id=b"")
    made_from = tables["rollouts"].column("made_from")
    tables["rollouts"] = pa.Table.from_batches([to_arrow(Rollout, rows)]).append_column("made_from", made_from)
    lake.withdraw(commit)
    stage = next(stage for stage in read_recipe(root / "recipe.toml").stages if stage.name == "replay")
    draft = CommitDraft("batch", "replay", stage.variant, digest("batch", 1), commit.config)
    lake.publish(draft, {name: [table] for name, table in tables.items()})
    return root


def test_the_lake_has_structs_of_both_ages(both: Path) -> None:
    types = {str(pq.read_schema(path).field("looks").type) for path in (both / "lake/rollouts").glob("part-replay-*")}
    assert sorted("box" in text for text in types) == [False, True]


def test_rows_of_both_ages_are_read_together_and_keep_their_ids(both: Path) -> None:
    lake = Lake(WorkspaceFolder(both))
    rows = LakeView(lake, read_recipe(both / "recipe.toml").stages).all_rows(Rollout)
    assert [row.looks for row in rows if any(look.box for look in row.looks)] == [(NARROW,)]
    assert len(rows) > 50
    assert all(replace(row, id=b"").id == row.id for row in rows)
    recalled = [row for video in {row.video for row in rows} for row in Recall(lake, Rollout).of(video)]
    assert sorted(row.id for row in recalled) == sorted(row.id for row in rows)


def test_sql_sees_the_members_of_both(both: Path) -> None:
    sql = "SELECT count(*), count(looks[1].box), sum(looks[1].tokens), max(looks[1].box.x2) FROM rollouts WHERE mode = 'free'"
    ((rollouts, boxes, tokens, right),) = dmforge("audit", "--sql", sql, "-w", both)["rows"]
    assert rollouts == 48
    assert (boxes, tokens, right) == (1, 96, 560)


def test_why_names_rows_of_both(both: Path) -> None:
    ids = dmforge("audit", "--sql", "SELECT id FROM rollouts ORDER BY looks[1].box IS NULL LIMIT 2", "-w", both)["rows"]
    for (row_id,) in ids:
        assert dmforge("why", row_id, "-w", both)


def test_parts_of_both_are_joined_in_the_columns_of_today(both: Path, tmp_path: Path) -> None:
    root = shutil.copytree(both, tmp_path / "ws")
    lake = Lake(WorkspaceFolder(root))
    parts = [part for commit in lake.commits.values() for part in commit.of("rollouts")]
    joined = pa.concat_tables([table for part in parts for table in read_part(lake.workspace.lake, part)])
    assert len(from_arrow(Rollout, joined)) == sum(part.rows for part in parts)


def test_what_is_null_stays_null_where_its_members_cannot_be(tmp_path: Path) -> None:
    """A struct that is null, with members that may not be: of every age."""
    sample = Sample(b"v" * 16, "rl", b"t" * 16, None, None, None)
    table = pa.Table.from_batches([to_arrow(Sample, [sample, replace(sample, target=NARROW, id=b"")])])
    cells: list[Any] = table.column("target").to_pylist()
    old_type = pa.struct([field for field in table.schema.field("target").type if field.name not in ("box", "tokens")])
    old_cells = [None, {name: cells[1][name] for name in ("window", "fps")}]
    at = table.column_names.index("target")
    old = table.set_column(at, pa.field("target", old_type), pa.array(old_cells, old_type))
    assert [row.target for row in from_arrow(Sample, completed(Sample, old))] == [None, Look(NARROW.window, NARROW.fps)]
    assert completed(Sample, old).schema == table.schema
    assert completed(Sample, table) is table


def test_an_unboxed_look_is_digested_as_it_was() -> None:
    """Numbers of 59a9f4a: a sample whose target is a look keeps its id."""
    look = Look(Window(100, 300), Fraction(2))
    content = {
        "video": b"v" * 16, "corpus": "rl", "task": b"t" * 16, "candidate": None,
        "target": {"window": {"start_cs": 100, "end_cs": 300}, "fps": {"num": 2, "den": 1}}, "target_source": "gold",
    }  # fmt: skip
    rows = [Sample(b"v" * 16, "rl", b"t" * 16, None, target, "gold") for target in (look, NARROW, replace(NARROW, box=None))]
    assert rows[0].id == digest("sample", content)
    assert len({row.id for row in rows}) == 3
    assert format_of(Sample) == 3


@pytest.fixture(scope="module")
def boxed(both: Path) -> Path:
    """The same workspace, where the target of one sample has a box, packed anew."""
    root = shutil.copytree(both, both.with_name("boxed"))
    dmforge("run", "-w", root)
    lake = Lake(WorkspaceFolder(root))
    (commit,) = (commit for commit in lake.commits.values() if commit.stage == "select_rl")
    tables = {part.table: pa.concat_tables(read_part(lake.workspace.lake, part)) for part in commit.parts}
    rows = from_arrow(Sample, tables["samples"])
    assert len(rows) > 1
    rows[0] = replace(rows[0], target=NARROW_TARGET, id=b"")
    made_from = tables["samples"].column("made_from")
    tables["samples"] = pa.Table.from_batches([to_arrow(Sample, rows)]).append_column("made_from", made_from)
    lake.withdraw(commit)
    draft = CommitDraft("collective", "select_rl", read_base32(commit.variant), digest("batch", 2), commit.config)
    lake.publish(draft, {name: [table] for name, table in tables.items()})
    return root


NARROW_TARGET = replace(NARROW, tokens=None)


def test_a_corpus_with_a_box_says_so_and_has_the_number_that_older_versions_refuse(boxed: Path) -> None:
    before = {path.parent for path in boxed.glob("shards/rl/*/manifest.json")}
    assert {json.loads((folder / "manifest.json").read_text()).get("documents", 1) for folder in before} == {1}
    packed = dmforge("pack", "rl", "-w", boxed)
    assert "1 looks with a box are cut from renditions that are smaller than their 1 videos" in packed["remarks"][0]
    assert packed["remarks"] == dmforge("plan", "-w", boxed)["remarks"]
    folder = Path(packed["path"])
    assert folder not in before
    assert json.loads((folder / "manifest.json").read_text())["documents"] == 2
    assert dmforge("verify", folder)["ok"]
    samples = [sample for video in Corpus(folder).videos() for sample in video.samples]
    assert [sample.target for sample in samples if sample.target and sample.target.has_limits] == [NARROW_TARGET]
    names = {tuple(values) for video in Corpus(folder).videos() for values in json.loads(video.document)["samples"]}
    assert len(names) == 1  # readers take the schema from the first
    assert {"target_box", "target_tokens"} <= set(*names)


def test_what_has_no_place_for_a_box_refuses_it_by_name(boxed: Path, tmp_path: Path) -> None:
    dmforge("pack", "rl", "-w", boxed)
    for form, words in (("dynframe", "dynframe has no place for the box"), ("trl", "trl has no column for the box")):
        result = CliRunner().invoke(cli.app, ["export", "rl", "--to", form, "-w", str(boxed), "--out", str(tmp_path / form)])
        assert (result.exit_code, words in " ".join(result.output.split())) == (2, True), result.output
        assert not (tmp_path / form).exists()
    assert dmforge("export", "rl", "--to", "hf", "-w", boxed, "--out", tmp_path / "hf")["left_out"] == 0
    rows = pq.read_table(tmp_path / "hf/data/train-00000-of-00001.parquet").to_pylist()
    assert {row["target_box"] for row in rows} == {"", "120 40 560 800"}
    assert {piece["box"] for row in rows for piece in row["pieces"]} == {""}
    corpus = Corpus(Path(dmforge("pack", "rl", "-w", boxed)["path"]))
    (sample,) = (sample for video in corpus.videos() for sample in video.samples if sample.target and sample.target.box)
    with pytest.raises(InputError, match="rewards can't act on the box"):
        reward_target_of(sample, RewardSettings())
