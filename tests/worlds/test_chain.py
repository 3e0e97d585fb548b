"""The first whole chain: what it prints stands in the lake, it ends the same everywhere, and it goes on after anything."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from chaos.kills import chaos
from chaos.subjects import CONCURRENCY, WholeChain
from chaos.undisturbed import outcome
from dmforge import cli
from dmforge.commands import intake
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from dmforge.schemas.grammar import Trajectory, parse
from dmforge.schemas.ids import show
from dmforge.schemas.scoring import matches

VIDEOS = 4
STAGES = [
    *("ingest", "import", "needs_audio", "duplicates", "annotate"),
    *("rules", "citations", "verify", "human", "select_cot", "pack"),
]


def dmforge(*words: str, umask: int, **environment: str) -> str:
    """What a process of its own prints."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "dmforge.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, umask=umask)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inside(*words: str, code: int = 0) -> Result:
    """The same command line in this process: for what needs no interpreter of its own."""
    told = CliRunner().invoke(cli.app, list(words))
    assert told.exit_code == code, told.output
    return told


def printed_json(*words: str) -> Any:
    return json.loads(inside(*words, "--json").stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished demo, and what it printed. In a plain environment."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    words = ("demo", "--size", "chain", "--out", str(folder), "--videos", str(VIDEOS))
    return folder, dmforge(*words, umask=0o022, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="0", COLUMNS="200")


@pytest.fixture
def workspace(demo: tuple[Path, str], tmp_path: Path) -> Path:
    """A finished workspace of one's own."""
    return Path(shutil.copytree(demo[0], tmp_path / "demo")) / "workspace"


def rows(workspace: Path, table: str, stage: str | None = None) -> list[dict[str, Any]]:
    """The rows of a table, read from the parts that commits name, with nothing of ours."""
    commits = [json.loads(path.read_bytes()) for path in (workspace / "lake/commits").glob("*/*.json")]
    gone = {name for commit in commits for name in commit["supersedes"]}
    found: list[dict[str, Any]] = []
    for commit in commits:
        if commit["id"] in gone or stage not in (None, commit["stage"]):
            continue
        for part in commit["parts"]:
            if part["table"] == table:
                found += pq.read_table(workspace / "lake" / table / part["name"]).to_pylist()
    return found


def members(workspace: Path) -> dict[str, bytes]:
    """Everything in the shards, by name."""
    found: dict[str, bytes] = {}
    for path in workspace.glob("shards/cot/*/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                assert member.name not in found
                found[member.name] = file.read()
    return found


def documents(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(data) for name, data in members(workspace).items() if name.endswith(".json")]


def recomputed_funnel(workspace: Path) -> list[tuple[str, str, str, int, int | None]]:
    """The funnel from the outcomes alone."""
    found: list[tuple[str, str, str, int, int | None]] = []
    for stage in STAGES:
        outcomes = rows(workspace, "outcomes", stage)
        found.append((stage, "inputs", "", len(outcomes), None))
        counts, made = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for row in outcomes:
            counts[row["status"], row["reason"]] += 1
            made[row["status"], row["reason"]] += row["rows"]
        ordered = sorted(counts, key=lambda key: (-counts[key], key))
        found += [(stage, *key, counts[key], made[key]) for key in ordered]
    return found


def test_every_number_that_is_printed_is_in_the_lake(demo: tuple[Path, str]) -> None:
    folder, printed = demo
    workspace = folder / "workspace"
    table, corpus, digest, *_ = re.split(r"\n\n(?=cot:)|\n\n(?=digest)", printed)
    stage = ""
    lines: list[tuple[str, str, str, int, int | None]] = []
    for line in table.splitlines()[1:]:
        if line.startswith("each of them: dmforge audit lost"):  # the command that lists what has a reason
            continue
        found = re.fullmatch(r"(\w*) +(inputs|made|rejected|quarantined) +(.*?) *(\d+) *(\d*) *", line)
        assert found, line
        stage = found[1] or stage
        lines.append((stage, found[2], found[3], int(found[4]), int(found[5]) if found[5] else None))
    assert lines == recomputed_funnel(workspace)
    samples, files = rows(workspace, "samples"), members(workspace)
    tars = list(workspace.glob("shards/cot/*/*.tar"))
    numbers = [
        len(samples),
        sum(name.endswith(".json") for name in files),
        len(tars),
        sum(path.stat().st_size for path in tars),
    ]
    assert [int(number) for number in re.findall(r"\d+", corpus.splitlines()[0])] == numbers
    assert corpus.splitlines()[1].strip() == str(tars[0].parent)
    assert digest.split()[1] == printed_json("digest", "-w", str(workspace))["digest"]
    known = {
        *re.findall(r"\d+", table + corpus),
        *re.findall(r"\d+", digest.splitlines()[0]),
        *re.findall(r"\d+", str(workspace)),
    }
    assert set(re.findall(r"\d+", printed)) <= known  # and nothing else was printed that could be a number


def test_the_numbers_add_up(demo: tuple[Path, str]) -> None:
    workspace = demo[0] / "workspace"
    funnel, made_rows = Counter[tuple[str, str]](), Counter[str]()
    for stage, status, _, inputs, made in recomputed_funnel(workspace):
        funnel[stage, status] += inputs
        made_rows[stage] += made or 0
    for stage in STAGES:
        assert funnel[stage, "inputs"] == funnel[stage, "made"] + funnel[stage, "rejected"] + funnel[stage, "quarantined"]
    assert funnel["ingest", "inputs"] == VIDEOS
    assert made_rows["ingest"] == 3 * VIDEOS  # each file gives a video, its fingerprint and where it comes from
    assert made_rows["import"] == funnel["annotate", "inputs"] == len((demo[0] / "worlds/tasks.jsonl").read_text().splitlines())
    assert made_rows["annotate"] == funnel["rules", "inputs"] == funnel["select_cot", "inputs"]
    assert made_rows["select_cot"] == funnel["pack", "inputs"] == made_rows["pack"]


@pytest.mark.slow
def test_the_same_in_another_folder_locale_zone_and_umask(demo: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "ein anderer Ordner, [mit] Ümlaut"
    elsewhere = {"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "99"}
    words = ("demo", "--size", "chain", "--out", str(folder), "--videos", str(VIDEOS), "--json")
    told = json.loads(dmforge(*words, umask=0o077, **elsewhere))
    assert outcome(folder / "workspace") == outcome(demo[0] / "workspace")
    assert told["digest"] in demo[1]
    assert (folder / "worlds/truth.jsonl").read_bytes() == (demo[0] / "worlds/truth.jsonl").read_bytes()
    assert [stage["name"] for stage in told["stages"]] == STAGES
    assert told["corpora"]["cot"]["samples"] == len(rows(folder / "workspace", "samples"))


def test_a_second_demo_changes_nothing_and_asks_nothing(demo: tuple[Path, str]) -> None:
    before, journal = outcome(demo[0] / "workspace"), (demo[0] / "workspace/journal/oracle/main.jsonl").read_bytes()
    assert inside("demo", "--size", "chain", "--out", str(demo[0]), "--videos", str(VIDEOS)).stdout.split() == demo[1].split()
    assert outcome(demo[0] / "workspace") == before
    assert (demo[0] / "workspace/journal/oracle/main.jsonl").read_bytes() == journal


@pytest.mark.slow
def test_the_chain_killed_a_dozen_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    # another seed every time: what fails is printed with the seed that repeats it
    tally = chaos(WholeChain(3, tmp_path), kills=12, seed=int.from_bytes(os.urandom(3), "big"))
    assert tally.kills == 12
    assert tally.max_twice_a_kill <= CONCURRENCY


def test_what_was_planted_was_found_and_only_that(demo: tuple[Path, str]) -> None:
    """Every rejected candidate has a reason that the truth knows: a planted defect, or an oracle that did not know."""
    workspace = demo[0] / "workspace"
    planted = [json.loads(line) for line in (demo[0] / "planted.jsonl").read_text().splitlines()]
    names = {row["id"]: row["source_id"] + ".mp4" for row in rows(workspace, "videos")}
    tasks = {row["id"]: row for row in rows(workspace, "tasks")}
    candidates = {row["id"]: row for row in rows(workspace, "candidates")}
    defects = {(line["video"], line["question"], line["attempt"]): line["defect"] for line in planted}
    kept = {row["candidate"] for row in rows(workspace, "samples")}
    guessed = {
        row["input"] for row in rows(workspace, "outcomes", "select_cot") if row["reason"] == "below threshold: unguessed"
    }
    caught = Counter[str]()
    for candidate in candidates.values():
        task = tasks[candidate["task"]]
        defect = defects.get((names[candidate["video"]], task["question"], candidate["attempt"]))
        if defect is not None:
            assert candidate["id"] not in kept, defect
            caught[defect] += 1
        if candidate["id"] not in kept and defect is None:  # who says that it guesses may be right by chance
            assert candidate["id"] in guessed or not is_right(candidate["answer"], task)
    assert caught


def is_right(answer: str, task: dict[str, Any]) -> bool:
    return matches(answer, task["answer"], tuple(task["options"]))


def test_what_is_kept_is_right_well_formed_and_about_its_own_video(demo: tuple[Path, str]) -> None:
    workspace = demo[0] / "workspace"
    tasks = {show("task", row["id"]): row for row in rows(workspace, "tasks")}
    videos = {show("video", row["id"]): row for row in rows(workspace, "videos")}
    files = members(workspace)
    for document in documents(workspace):
        key = document["video"].removeprefix("video_")
        assert document["video"] in videos
        for suffix in ("mp4", "coarse.mp4"):
            assert files[f"{key}.{suffix}"] == (workspace / "media" / key[:2] / f"{key}.{suffix}").read_bytes()
        for sample in document["samples"]:
            assert is_right(sample["answer"], tasks[sample["task"]])
            text = "".join(piece["text"] for piece in sample["pieces"] if piece["author"] == "policy")
            found = parse(text)
            assert isinstance(found, Trajectory)
            assert len(found.looks) == 1
            assert [piece["kind"] for piece in sample["pieces"]] == ["coarse", "text", "text", "look", "text"]


def test_documents_have_one_shape_without_holes(demo: tuple[Path, str]) -> None:
    """Readers take the schema from the first documents that they see: a field that is missing, null or empty there is lost."""

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shape(inner) for name, inner in value.items()}
        if isinstance(value, list):
            assert value
            (only,) = {json.dumps(shape(inner), sort_keys=True) for inner in value}
            return [only]
        assert value is not None
        return type(value).__name__

    assert len({json.dumps(shape(document), sort_keys=True) for document in documents(demo[0] / "workspace")}) == 1


def test_the_tars_are_read_by_webdataset(demo: tuple[Path, str]) -> None:
    import webdataset

    workspace = demo[0] / "workspace"
    (url,) = map(str, workspace.glob("shards/cot/*/*.tar"))
    read = {sample["__key__"]: sample for sample in webdataset.WebDataset(url, shardshuffle=False)}
    found = {f"{key}.{suffix}": sample[suffix] for key, sample in read.items() for suffix in ("mp4", "coarse.mp4", "json")}
    assert found == members(workspace)


def test_a_smaller_shard_size_cuts_more_shards_with_the_same_content(workspace: Path) -> None:
    before = members(workspace)
    recipe = workspace / "recipe.toml"
    shutil.rmtree(workspace / "shards")
    edit(recipe, "shard_mb = 256", "shard_mb = 1")
    plan = printed_json("plan", "-w", str(workspace))["stages"]
    assert {stage["name"]: stage["pending"] > 0 for stage in plan} == {name: name == "pack" for name in STAGES}
    inside("run", "-w", str(workspace))
    assert members(workspace) == before


def test_another_threshold_selects_and_packs_again_and_asks_nobody(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {path.name for path in workspace.glob("shards/cot/*/")}
    assert any(row["reason"].startswith("below") for row in rows(workspace, "outcomes", "select_cot"))
    pattern = r"\[stages.select_cot.min_score\].*\n([a-z_]+ = [0-9.]+.*\n)+"
    thresholds = re.search(pattern, (workspace / "recipe.toml").read_text())
    assert thresholds is not None
    edit(workspace / "recipe.toml", thresholds[0], re.sub(r"= [0-9.]+", "= 0.0", thresholds[0]))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    inside("run", "-w", str(workspace))
    new = {path.name for path in workspace.glob("shards/cot/*/")} - old
    assert {(workspace / "shards/cot/current").read_text().strip()} == new
    edit(workspace / "recipe.toml", re.sub(r"= [0-9.]+", "= 0.0", thresholds[0]), thresholds[0])
    inside("run", "-w", str(workspace))
    assert {(workspace / "shards/cot/current").read_text().strip()} == old
    audit = printed_json("audit", "funnel", "-w", str(workspace))
    assert audit["columns"] == ["stage", "status", "reason", "inputs", "rows"]
    assert [tuple(row) for row in audit["rows"] if row[0] == "pack"] == recomputed_funnel_of_pack(workspace, old)


def recomputed_funnel_of_pack(workspace: Path, selections: set[str]) -> list[tuple[str, str, str, int, int | None]]:
    packed = [row for row in rows(workspace, "packed") if row["selection"] in selections]
    return [("pack", "inputs", "", len(packed), None), ("pack", "made", "", len(packed), len(packed))]


@pytest.mark.slow
def test_more_worlds_leave_what_is_done_as_it_is(workspace: Path) -> None:
    journal = (workspace / "journal/oracle/main.jsonl").read_bytes()
    inside("demo", "--size", "chain", "--out", str(workspace.parent), "--videos", str(VIDEOS + 2))
    assert (workspace / "journal/oracle/main.jsonl").read_bytes().startswith(journal)
    assert len(rows(workspace, "videos")) == VIDEOS + 2


def test_a_forgotten_video_leaves_the_shards_too(workspace: Path) -> None:
    video = next(iter(document["video"] for document in documents(workspace)))
    removed = printed_json("forget", video, "-w", str(workspace), "--reason", "asked")["removed"]
    assert removed["selections"] == 1
    assert removed["media_files"] == 3
    assert not list(workspace.glob("shards/cot/*"))
    inside("run", "-w", str(workspace))
    left = documents(workspace)
    assert left
    assert video not in [document["video"] for document in left]
    worlds = workspace.parent / "worlds"  # bringing it again is no error, and brings nothing
    assert printed_json("ingest", "-w", str(workspace), str(worlds / "videos"))["known"] == VIDEOS
    brought = printed_json("import", "jsonl", "-w", str(workspace), str(worlds / "tasks.jsonl"))
    assert brought["rejected"] == {}
    assert len(documents(workspace)) == len(left)
    key = video.removeprefix("video_").encode()
    assert not [
        path
        for path in workspace.rglob("*")
        if path.is_file() and path.suffix in (".tar", ".jsonl") and path.parent.name != "inputs" and key in path.read_bytes()
    ]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# by hand, and with bad inputs


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    make_worlds(folder, WorldSettings(videos=3))
    return folder


def begun(tmp_path: Path) -> str:
    inside("init", str(tmp_path / "ws"), "--recipe", "demo")
    return str(tmp_path / "ws")


def test_by_hand_it_counts_what_was_brought(worlds: Path, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    bad = tmp_path / "videos"
    shutil.copytree(worlds / "videos", bad)
    (bad / "empty.mp4").write_bytes(b"")
    (bad / "text.mp4").write_text("no video at all")
    (bad / "notes.txt").write_text("not looked at")
    (bad / "copy of world.mp4").write_bytes((bad / "world-000000.mp4").read_bytes())
    told = printed_json("ingest", "-w", ws, str(bad), "--source", "s", "--licence", "CC0-1.0")
    assert told == {"ingested": 3, "known": 0, "quarantined": 2}
    again = printed_json("ingest", "-w", ws, str(bad))
    assert again == {"ingested": 0, "known": 5, "quarantined": 2}
    assert {(row["source"], row["licence"]) for row in rows(Path(ws), "videos")} == {("s", "CC0-1.0")}
    lines = (worlds / "tasks.jsonl").read_text().splitlines()
    wrong = [
        {**json.loads(lines[0]), "windows": [[5, 3]]},
        {**json.loads(lines[0]), "kind": "mcq", "options": ["x", "y"], "answer": "z"},
        {**json.loads(lines[0]), "kind": "grounding", "windows": []},
        {**json.loads(lines[0]), "kind": "riddle"},
    ]
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join([*lines, lines[0] + " ", *map(json.dumps, wrong)]) + "\n")
    told = printed_json("import", "jsonl", str(file), "-w", ws)
    assert told["tasks"] == len(lines)
    assert told["identical"] == 1
    assert told["rejected"] == {
        "answer not among the options": 1, "no window": 1, RIDDLE: 1, "window ends before it begins": 1,
    }  # fmt: skip
    detail = next(row["detail"] for row in rows(Path(ws), "outcomes", "import") if row["reason"] == RIDDLE)
    assert detail == f"tasks.jsonl:{len(lines) + 5}: world-000000.mp4"


RIDDLE = "not a task: kind is none of grounding, mcq, grounded_mcq, open"


def test_a_changed_file_and_a_missing_one_wait_for_an_intact_copy(worlds: Path, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    videos = Path(shutil.copytree(worlds / "videos", tmp_path / "videos"))
    recipe = Path(ws) / "recipe.toml"
    edit(recipe, "[stages.ingest] ", "[stages.ingest]\nworkers = 1 ")
    inside("ingest", "-w", ws, str(videos / "world-000000.mp4"))
    listed = Path(ws) / "inputs/videos.jsonl"
    for name in ("world-000001.mp4", "world-000002.mp4"):
        line = json.loads(listed.read_text().splitlines()[0])
        data = (videos / name).read_bytes()
        line |= {"sha256": hashlib.sha256(data).hexdigest(), "path": str(videos / name), "source_id": name[:-4]}
        del line["seal"]
        listed.write_text(listed.read_text() + json.dumps(line) + "\n")
    (videos / "world-000001.mp4").write_bytes(b"changed")
    (videos / "world-000002.mp4").rename(tmp_path / "elsewhere.mp4")
    done = inside("run", "-w", ws, "--until", "ingest", code=1)
    assert "world-000002.mp4 is not there" in done.stderr
    assert "world-000001.mp4 holds other bytes now" in done.stderr
    assert (
        printed_json("ingest", "-w", ws, str(tmp_path / "elsewhere.mp4"), str(worlds / "videos/world-000001.mp4"))["known"] == 2
    )
    assert len(rows(Path(ws), "videos")) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "no/such/folder"], "no such file or folder"),
        (["import", "jsonl", "no-such.jsonl"], "no such file"),
        (["import", "csv", "x.csv"], "there is no format 'csv'"),
        (["audit", "funel"], "did you mean 'funnel'"),
    ],
)
def test_nonsense_is_refused_with_the_mend(words: list[str], said: str, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    before = sorted(Path(ws).rglob("*"))
    done = inside(*words, "-w", ws, code=2)
    assert said in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in Path(ws).rglob("*") if path not in before and "inputs" in path.parts]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"video": "world-000000.mp4"', "tasks.jsonl:1"),
        (b"\xff\xfe", "its first bytes say UTF-16"),
        (b'{"video": "stranger.mp4", "kind": "open"}', "no 'question' in the first record"),
        (b'["video"]', "tasks.jsonl"),
    ],
)
def test_an_annotation_file_that_is_none_names_the_line(line: bytes, said: str, worlds: Path, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    (tmp_path / "tasks.jsonl").write_bytes(line + b"\n")
    done = inside("import", "jsonl", str(tmp_path / "tasks.jsonl"), "-w", ws, code=2)
    assert said in done.stderr
    assert not list(Path(ws).glob("inputs/annotations/*"))
    good = str(worlds / "tasks.jsonl")
    inside("import", "jsonl", good, str(tmp_path / "tasks.jsonl"), "-w", ws, code=2)  # all of them, or none
    assert not list(Path(ws).glob("inputs/annotations/*"))


def test_without_an_endpoint_it_says_which_setting_is_missing(
    worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = begun(tmp_path)
    inside("ingest", "-w", ws, str(worlds / "videos"))
    inside("import", "jsonl", "-w", ws, str(worlds / "tasks.jsonl"))
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    done = inside("run", "-w", ws, code=2)
    assert "OPENAI_BASE_URL" in done.stderr


def test_a_key_stands_nowhere(worlds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "sk-canary-0123456789"
    ws = begun(tmp_path)
    inside("ingest", "-w", ws, str(worlds / "videos"))
    inside("import", "jsonl", "-w", ws, str(worlds / "tasks.jsonl"))
    with serving(worlds, Behaviour(), api_key="another") as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", canary)
        done = inside("run", "-w", ws, code=1)
    assert "the teacher refuses with 401" in done.stderr
    assert canary not in done.stderr + done.stdout
    assert not [path for path in Path(ws).rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]


def test_a_demo_leaves_other_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    done = inside("demo", "--size", "chain", "--out", str(tmp_path), code=2)
    assert "something else than a demo" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_videos_of_one_name_are_told_apart_by_their_ids(worlds: Path, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    inside("ingest", "-w", ws, str(worlds / "videos"))
    inside("import", "jsonl", "-w", ws, str(worlds / "tasks.jsonl"))
    (tmp_path / "other").mkdir()
    shutil.copy(worlds / "videos/world-000001.mp4", tmp_path / "other/world-000002.mp4")
    data = (worlds / "videos/world-000001.mp4").read_bytes()
    (tmp_path / "other/world-000000.mp4").write_bytes(data + b"\0" * 8)
    assert printed_json("ingest", "-w", ws, str(tmp_path / "other"))["ingested"] == 1  # what was imported stays as it was
    lines = (worlds / "tasks.jsonl").read_text().splitlines()
    file = tmp_path / "more.jsonl"
    file.write_text(json.dumps({**json.loads(lines[0]), "question": "What else?"}))
    told = json.loads(inside("import", "jsonl", str(file), "-w", ws, "--json", code=1).stdout)
    assert told["rejected"] == {"several files of this name": 1}
    video = show("video", hashlib.sha256(data).digest()[:16])
    file.write_text(json.dumps({**json.loads(lines[0]), "question": "What else?", "video": video}))
    assert printed_json("import", "jsonl", str(file), "-w", ws)["tasks"] == 1


@pytest.mark.slow
def test_a_full_disk_is_not_the_videos_fault(worlds: Path, tmp_path: Path) -> None:
    ws = begun(tmp_path)
    command = f"ulimit -f 8; exec {sys.executable} -m dmforge.cli ingest -w {ws} {worlds}/videos"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "the disk refused" in done.stderr
    assert printed_json("ingest", "-w", ws, str(worlds / "videos")) == {"ingested": 0, "known": 3, "quarantined": 0}
    assert len(rows(Path(ws), "videos")) == 3


def test_what_a_kill_left_of_shards_goes_with_the_next_run(workspace: Path) -> None:
    left = next(workspace.glob("shards/cot/*/")).with_suffix(".writing")
    left.mkdir()
    (left / "train-000000.tar").write_bytes(b"half")
    inside("run", "-w", str(workspace))
    assert not left.exists()


def test_a_rendition_that_was_damaged_is_not_packed(workspace: Path) -> None:
    grid = next(path for path in workspace.glob("media/*/*.mp4") if "coarse" not in path.name)
    grid.write_bytes(b"damaged!")
    shutil.rmtree(workspace / "lake/commits/pack")
    told = inside("run", "-w", str(workspace), code=1)
    assert f"{grid}: the rendition is not what its receipt says" in told.stderr.replace("\n", "")


def test_other_clips_than_the_media_were_made_for_are_refused_before_anything_is_done(workspace: Path) -> None:
    before = outcome(workspace)
    edit(workspace / "recipe.toml", "look_tokens = 8192", "look_tokens = 4096")
    told = inside("run", "-w", str(workspace), code=2).stderr
    assert "made with other clips: look_tokens" in told
    assert "hint: put the old values back" in told
    edit(workspace / "recipe.toml", "look_tokens = 4096", "look_tokens = 8192")
    inside("run", "-w", str(workspace))
    assert outcome(workspace) == before


def shards_of(workspace: Path) -> dict[str, bytes]:
    return {str(path.relative_to(workspace)): path.read_bytes() for path in workspace.glob("shards/*/*/*")}


def test_packed_twice_is_packed_alike(workspace: Path) -> None:
    before = shards_of(workspace)
    assert {Path(name).name for name in before} >= {"README.md", "croissant.json", "index.parquet", "manifest.json"}
    shutil.rmtree(workspace / "lake/commits/pack")
    shutil.rmtree(workspace / "shards")
    time.sleep(1.1)  # another second, so another time wherever one would be written
    told = printed_json("pack", "cot", "-w", str(workspace))
    assert shards_of(workspace) == before
    found = printed_json("verify", told["path"])
    assert found == {"ok": True, "defects": [], **{name: told[name] for name in ("shards", "samples", "bytes")}}
    (card,) = [data.decode() for name, data in before.items() if name.endswith("README.md")]
    assert "| dmforge-worlds | CC0-1.0 |" in card
    assert f"{told['samples']} samples about" in card
    assert "Partial" not in card


def test_an_unfinished_selection_is_packed_on_demand_only_and_its_card_says_so(worlds: Path, workspace: Path) -> None:
    whole = shards_of(workspace)
    intake.add_annotations(WorkspaceFolder(workspace), "test", "jsonl", [another_question(worlds, workspace)])
    told = inside("pack", "cot", "-w", str(workspace), code=2).stderr.replace("\n", " ")
    assert "the selection is not finished: 1 of import are pending" in told
    assert "--partial" in told
    partial = printed_json("pack", "cot", "--partial", "-w", str(workspace))
    assert partial["partial"]
    assert "**Partial: " in Path(partial["path"], "README.md").read_text()
    assert whole.items() <= shards_of(workspace).items()
    assert "no corpus 'rl'" in inside("pack", "rl", "--partial", "-w", str(workspace), code=2).stderr.replace("there is ", "")


def another_question(worlds: Path, folder: Path) -> Path:
    first = json.loads((worlds / "tasks.jsonl").read_text().splitlines()[0])
    path = folder.parent / "another.jsonl"
    path.write_text(json.dumps({**first, "question": "What is it all about?", "kind": "open", "options": [], "answer": "x"}))
    return path


def test_a_corpus_is_exported(workspace: Path, tmp_path: Path) -> None:
    told = printed_json("export", "cot", "--to", "dynframe", "--out", str(tmp_path / "out"), "-w", str(workspace))
    assert told["samples"] == len(json.loads((tmp_path / "out/cot.json").read_text()))
    assert told["left_out"] == 0
    assert "there is something here" in inside(
        "export", "cot", "--to", "hf", "--out", str(tmp_path / "out"), "-w", str(workspace), code=2
    ).stderr.replace("\n", " ")


def test_what_was_exported_for_the_hub_is_imported_as_the_same_tasks(workspace: Path, tmp_path: Path) -> None:
    inside("export", "cot", "--to", "hf", "--out", str(tmp_path / "out"), "-w", str(workspace))
    before = {row["id"] for row in rows(workspace, "tasks")}
    told = printed_json("import", "hf", str(tmp_path / "out" / "metadata.parquet"), "-w", str(workspace))
    assert told["rejected"] == {}
    assert told["tasks"] + told["identical"] == len(rows(workspace, "samples"))
    assert {row["id"] for row in rows(workspace, "tasks")} == before


@pytest.mark.parametrize("broken", [False, True])
def test_a_takedown_takes_exports_and_what_cannot_say_what_it_holds(workspace: Path, broken: bool) -> None:
    inside("export", "cot", "--to", "dynframe", "-w", str(workspace))
    (folder,) = workspace.glob("shards/cot/*/")
    (exported,) = workspace.glob("exports/dynframe/cot/*")
    interrupted = workspace / "exports" / "swift" / "cot" / f"{exported.name}.writing"
    shutil.copytree(exported, interrupted)
    if broken:
        (folder / "index.parquet").unlink()
    video = show("video", rows(workspace, "samples")[0]["video"])
    inside("forget", video, "--reason", "the owner asked", "-w", str(workspace))
    assert not folder.exists()
    assert not exported.exists()
    assert not interrupted.exists()


def test_one_worker_makes_the_same_shards_as_two(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shards_of(workspace)
    for folder in ("lake", "media", "shards"):
        shutil.rmtree(workspace / folder)
    edit(workspace / "recipe.toml", "[stages.ingest] ", "[stages.ingest]\nworkers = 1 ")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")  # all answers stand in the journal
    inside("run", "-w", str(workspace))
    assert shards_of(workspace) == before
