"""A dataclass in a column may grow: rows of parts of both ages are read together, keep their ids, and lack nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
from dmforge.schemas.columns import completed, from_arrow, plain, to_arrow
from dmforge.schemas.errors import InputError
from dmforge.schemas.evaluated_sample import EvaluatedSample, HeldSample
from dmforge.schemas.ids import digest, read_base32
from dmforge.schemas.looks import Box, Look, Window
from dmforge.schemas.records import Rollout, Sample, Target, Video, format_of
from dmforge.trainers.sdgrpo.rewards import reward_target_of
from dmforge.trainers.sdgrpo.sdgrpo_settings import RewardSettings
from tests.compatibility.test_59a9f4a import dmforge, unpack
from tests.judging.lakes import judged

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


def test_an_evaluation_without_what_is_told_of_several_looks_is_read_and_keeps_its_id() -> None:
    """Rows of number 3, as an evaluation of one look also writes them today."""
    row = EvaluatedSample(
        b"v" * 16, b"s" * 16, b"t" * 16, b"m" * 16, "checkpoint-1", "answered", NARROW, NARROW, 1.0, 0.0, "A", 1.0, 0.0, 48,
        further_looks=(NARROW,),
    )  # fmt: skip
    later_columns = ["needed_looks", "iou_set", "held_rollouts"]
    table = pa.Table.from_batches([to_arrow(EvaluatedSample, [row])])
    assert from_arrow(EvaluatedSample, completed(EvaluatedSample, table.drop_columns(later_columns))) == [row]
    assert completed(EvaluatedSample, table.drop_columns(later_columns)).schema == table.schema
    content = plain(row, frozenset({"id", "further_targets", *later_columns}))
    assert row.id == digest("evaluated", content)
    held = HeldSample(0, "no_look", (), 0.0, "B", 0.0, 40)
    told = [replace(row, id=b"", **changes) for changes in ({"needed_looks": 0}, {"iou_set": 0.0}, {"held_rollouts": (held,)})]
    assert len({row.id, *(one.id for one in told)}) == 4
    assert from_arrow(EvaluatedSample, to_arrow(EvaluatedSample, told)) == told
    assert format_of(EvaluatedSample) == 4


@pytest.fixture(scope="module")
def boxed(both: Path) -> Path:
    """The same workspace, where the target of one sample has a box, packed anew."""
    root = shutil.copytree(both, both.with_name("boxed"))
    dmforge("run", "-w", root)
    change_sample(root, target=NARROW_TARGET)
    return root


def change_sample(root: Path, **changes: Any) -> Sample:
    """Another row in place of the first sample, published as this version does; the row."""
    lake = Lake(WorkspaceFolder(root))
    (commit,) = (commit for commit in lake.commits.values() if commit.stage == "select_rl")
    tables = {part.table: pa.concat_tables(read_part(lake.workspace.lake, part)) for part in commit.parts}
    rows = from_arrow(Sample, tables["samples"])
    assert len(rows) > 1
    rows[0] = replace(rows[0], **changes, id=b"")
    made_from = tables["samples"].column("made_from")
    tables["samples"] = pa.Table.from_batches([to_arrow(Sample, rows)]).append_column("made_from", made_from)
    lake.withdraw(commit)
    draft = CommitDraft("collective", "select_rl", read_base32(commit.variant), digest("batch", 2), commit.config)
    lake.publish(draft, {name: [table] for name, table in tables.items()})
    return rows[0]


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
    rows = pq.read_table(tmp_path / "hf/metadata.parquet").to_pylist()
    assert {row["target_box"] for row in rows} == {"", "120 40 560 800"}
    assert {piece["box"] for row in rows for piece in row["pieces"]} == {""}
    corpus = Corpus(Path(dmforge("pack", "rl", "-w", boxed)["path"]))
    (sample,) = (sample for video in corpus.videos() for sample in video.samples if sample.target and sample.target.box)
    with pytest.raises(InputError, match="rewards can't act on the box"):
        reward_target_of(sample, RewardSettings())


FIRST, SECOND = Look(Window(100, 300), Fraction(2)), Look(Window(400, 500), Fraction(1, 2))


@pytest.fixture(scope="module")
def aimed_twice(both: Path) -> tuple[Path, Sample]:
    """The same workspace, where the target of one sample is two looks, packed anew; and that sample."""
    root = shutil.copytree(both, both.with_name("twice"))
    dmforge("run", "-w", root)
    sample = change_sample(root, target=FIRST, further_targets=(SECOND,))
    dmforge("pack", "rl", "-w", root)
    return root, sample


def test_a_sample_with_further_looks_stands_among_those_without(aimed_twice: tuple[Path, Sample]) -> None:
    root, sample = aimed_twice
    rows = LakeView(Lake(WorkspaceFolder(root)), read_recipe(root / "recipe.toml").stages).all_rows(Sample)
    assert [row for row in rows if row.further_targets] == [sample]
    assert sample.target_looks == (FIRST, SECOND)
    assert len(rows) > 1
    assert all(replace(row, id=b"").id == row.id for row in rows)
    sql = "SELECT sum(len(further_targets)), max(further_targets[1].window.end_cs), count(*) FROM samples WHERE corpus = 'rl'"
    ((further, end_cs, samples),) = dmforge("audit", "--sql", sql, "-w", root)["rows"]
    assert (further, end_cs, samples) == (1, 500, len(rows))


def test_targets_in_parts_of_three_ages_are_read_together(tmp_path: Path) -> None:
    """As the first format, the second and this one wrote them, of a video each."""
    targets: list[Target] = []
    videos: list[Video] = []
    for number, look in enumerate((FIRST, NARROW, FIRST)):
        videos.append(Video(hashlib.sha256(bytes([number])).hexdigest(), 1000, 64, 64, Fraction(12), "h264", 0, 1))
        further_looks = (SECOND, NARROW) if number == 2 else ()
        targets.append(Target(videos[-1].id, digest("task", number), look, "replay", further_looks=further_looks))
    (stage,) = judged(tmp_path, [*videos, *targets]).stages
    lake = Lake(WorkspaceFolder(tmp_path))
    (commit,) = (commit for commit in lake.commits.values() if commit.kind == "batch")
    lake.withdraw(commit)
    tables = {part.table: pa.concat_tables(read_part(lake.workspace.lake, part)) for part in commit.parts}
    for number, video in enumerate(videos):
        of_one = {
            name: table.filter(pc.equal(table.column("id" if name == "videos" else "video"), pa.scalar(video.id)))
            for name, table in tables.items()
        }
        of_one["targets"] = (of_format_1, of_format_2, pa.table)[number](of_one["targets"])
        draft = CommitDraft("batch", stage.name, read_base32(commit.variant), digest("batch", number), commit.config)
        lake.publish(draft, {name: [table] for name, table in of_one.items()})
    parts = [part for commit in Lake(WorkspaceFolder(tmp_path)).commits.values() for part in commit.of("targets")]
    stored = [pq.read_schema(part.path(lake.workspace.lake)) for part in parts]
    assert sorted(("further_looks" in part.names, "box" in str(part.field("look").type)) for part in stored) == [
        (False, False), (False, True), (True, True),
    ]  # fmt: skip
    view = LakeView(Lake(WorkspaceFolder(tmp_path)), [stage])
    assert sorted(view.all_rows(Target), key=str) == sorted(targets, key=str)
    sql = "SELECT count(*), sum(len(further_looks)), count(look.box) FROM targets"
    assert view.connection.execute(sql).fetchall() == [(3, 2, 1)]
    joined = pa.concat_tables([table for part in parts for table in read_part(lake.workspace.lake, part)])
    assert sorted(from_arrow(Target, joined), key=str) == sorted(targets, key=str)


def of_format_2(table: pa.Table) -> pa.Table:
    return table.drop_columns(["further_looks"])


def of_format_1(table: pa.Table) -> pa.Table:
    old_type = pa.struct([field for field in table.schema.field("look").type if field.name not in ("box", "tokens")])
    cells: list[Any] = [{name: cell[name] for name in ("window", "fps")} for cell in table.column("look").to_pylist()]
    at = table.column_names.index("look")
    return of_format_2(table.set_column(at, pa.field("look", old_type, nullable=False), pa.array(cells, old_type)))


def test_why_tells_every_look_of_a_target(aimed_twice: tuple[Path, Sample]) -> None:
    root, sample = aimed_twice
    printed = CliRunner().invoke(cli.app, ["why", str(sample), "-w", str(root)]).output
    assert "  target: 1.00 - 3.00 at 2 fps\n  further_targets: 4.00 - 5.00 at 0.5 fps\n" in printed


def test_a_corpus_with_a_set_has_the_number_that_older_versions_refuse(aimed_twice: tuple[Path, Sample]) -> None:
    root, sample = aimed_twice
    folder = Path(dmforge("pack", "rl", "-w", root)["path"])
    assert json.loads((folder / "manifest.json").read_text())["documents"] == 3
    assert dmforge("verify", folder)["ok"]
    (packed,) = (one for video in Corpus(folder).videos() for one in video.samples if one.further_targets)
    assert (packed.id, packed.target_looks) == (str(sample), sample.target_looks)
    rewarded = reward_target_of(packed, RewardSettings())
    assert (rewarded.windows, rewarded.needs) == ((FIRST.window, SECOND.window), "all")
    names = {tuple(values) for video in Corpus(folder).videos() for values in json.loads(video.document)["samples"]}
    assert len(names) == 1
    assert "target_box" not in names.pop()
    assert dmforge("lint", folder, code=1)["records"] == len(Corpus(folder))


def test_a_box_behind_the_first_look_is_a_box(aimed_twice: tuple[Path, Sample]) -> None:
    root = shutil.copytree(aimed_twice[0], aimed_twice[0].with_name("twice_boxed"))
    change_sample(root, target=FIRST, further_targets=(NARROW_TARGET,))
    folder = Path(dmforge("pack", "rl", "-w", root)["path"])
    (packed,) = (one for video in Corpus(folder).videos() for one in video.samples if one.further_targets)
    assert packed.target_looks == (FIRST, NARROW_TARGET)
    texts = {one["target_box"] for video in Corpus(folder).videos() for one in json.loads(video.document)["samples"]}
    assert texts == {"", ", 120 40 560 800"}
    out = root.parent / "boxed_exports"
    dmforge("export", "rl", "--to", "hf", "-w", root, "--out", out / "hf")
    rows = pq.read_table(out / "hf/metadata.parquet").to_pylist()
    assert {row["target_box"] for row in rows} == texts
    for form, words in (("dynframe", "dynframe has no place for the box"), ("trl", "trl has no column for the box")):
        result = CliRunner().invoke(cli.app, ["export", "rl", "--to", form, "-w", str(root), "--out", str(out / form)])
        assert (result.exit_code, words in " ".join(result.output.split())) == (2, True), result.output
