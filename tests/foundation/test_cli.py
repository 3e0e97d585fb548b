"""The command line as a person or a script meets it: real processes, exit codes, JSON keys, messages."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dmforge import cli
from dmforge.schemas.ids import show
from tests.foundation.lakes import fingerprint, logical, run, view, write_recipe
from tests.support.memory import tree

DMFORGE = [sys.executable, "-m", "dmforge.cli"]


def dmforge(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*DMFORGE, *map(str, words)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def inside(*words: str | Path, code: int = 0) -> Result:
    """The same command line in this process: for what needs no interpreter of its own."""
    told = CliRunner().invoke(cli.app, list(map(str, words)))
    assert told.exit_code == code, told.output
    return told


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_recipe(tmp_path / "ws", tasks=60)
    return tmp_path / "ws"


def test_a_newcomers_first_commands(tmp_path: Path) -> None:
    root = tmp_path / "new"
    assert "ready" in inside("init", root, "--recipe", "trial").stdout
    assert "count" in inside("plan", "-w", root).stdout
    ran = dmforge("run", "-w", root, "--until", "count", "--videos", "30")
    assert "quarantined" in ran.stdout
    assert inside("status", "-w", root).stdout.splitlines()[0] == ran.stdout.splitlines()[0]


def test_json_keys_are_a_contract(root: Path) -> None:
    plan = json.loads(inside("plan", "-w", root, "--json").stdout)
    ran = json.loads(inside("run", "-w", root, "--json").stdout)
    status = json.loads(inside("status", "-w", root, "--json").stdout)
    digest = json.loads(inside("digest", "-w", root, "--json").stdout)
    for document in (plan, ran, status):
        assert {"stages", "cost"} <= document.keys()
        assert [stage["name"] for stage in document["stages"]] == ["count", "score", "keep"]
        for stage in document["stages"]:
            assert {"name", "pending", "made", "rejected", "quarantined"} <= stage.keys()
    assert status["stages"][0] == {"name": "count", "pending": 0, "made": 54, "rejected": 6, "quarantined": 0}
    assert digest["columns"] == ["table", "rows", "sha256"]
    assert [row[:2] for row in digest["rows"] if row[0] in ("tasks", "outcomes")] == [["tasks", 54], ["outcomes", 168]]
    assert digest["digest"] == logical(root)


def test_a_pilot_is_reused_by_the_whole_run(root: Path, tmp_path: Path) -> None:
    pilot = json.loads(inside("run", "-w", root, "--videos", "2", "--json").stdout)
    assert pilot["stages"][0]["made"] + pilot["stages"][0]["rejected"] == 16
    assert json.loads(inside("status", "-w", root, "--json").stdout)["stages"][0]["pending"] == 44
    run(root)
    write_recipe(tmp_path / "whole", tasks=60)
    run(tmp_path / "whole")
    assert logical(root) == logical(tmp_path / "whole")


def test_a_run_says_who_what_when_and_with_what(root: Path) -> None:
    dmforge("run", "-w", root, "--until", "count")
    record = json.loads(next((root / "runs").glob("*.json")).read_text())
    assert record["state"] == "done"
    assert record["recipe"]["stages"]["count"]["tasks"] == 60
    assert record["recipe"]["stages"]["count"]["memory_mb"] == 2048  # defaults are frozen in, too
    assert record["command"].startswith("dmforge run -w")
    assert record["packages"]["duckdb"]
    assert [(stage["name"], stage["made"]) for stage in record["stages"]] == [("count", 54)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan"], "no workspace here"),
        (["plan", "-w", "/nowhere"], "/nowhere: no workspace here"),
        (["run", "-w", "{root}", "--until", "scor"], "did you mean 'score'?"),
        (["run", "-w", "{root}", "--videos", "0"], "--videos"),
        (["run", "-w", "{root}", "--nonsense"], "--nonsense"),
        (["init", "{root}", "--recipe", "trial"], "there is a workspace here already"),
        (["init", "{root}/x", "--recipe", "trail"], "did you mean 'trial'?"),
        (["forget", "-w", "{root}", "--reason", "r"], "give either a video or --source"),
        (["forget", "-w", "{root}", "--reason", "r", "rubb!sh"], "is not an id"),
        (["forget", "-w", "{root}", "--reason", "r", "task_" + "a" * 26], "is the id of a task"),
        (["forget", "-w", "{root}", "video_" + "a" * 26], "--reason"),
        (["fly"], "fly"),
    ],
)
def test_wrong_usage_exits_2_and_says_how_to_mend_it(
    root: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    before = sorted(path for path in root.parent.rglob("*"))
    told = inside(*(word.format(root=root) for word in words), code=2)
    assert message in " ".join(told.stderr.replace("│", " ").split())
    assert sorted(path for path in root.parent.rglob("*") if path.name not in ("runs", "lock")) == before


def test_a_second_run_says_who_holds_the_workspace(root: Path) -> None:
    (root / "recipe.toml").write_text((root / "recipe.toml").read_text().replace("workers = 2", "workers = 2\nwork_ms = 200"))
    with subprocess.Popen([*DMFORGE, "run", "-w", str(root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        _until(lambda: any((root / "runs").glob("*.json")))
        message = dmforge("run", "-w", root, code=2).stderr
        assert f"process {first.pid} of " in message
        assert "dmforge run -w" in message
        inside("status", "-w", root)  # looking is always allowed
        first.kill()


def test_ctrl_c_leaves_cleanly_and_the_same_command_goes_on(root: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path / "calm", tasks=60, batch=4)
    run(tmp_path / "calm")
    write_recipe(root, tasks=60, batch=4)
    recipe = root / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("workers = 2", "workers = 2\nwork_ms = 400"))
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background may have been told not to
    with subprocess.Popen(
        [*DMFORGE, "run", "-w", str(root)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        _until(lambda: any((root / "lake/commits/count").glob("*.json")))
        members = tree(process.pid)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr.strip() == "interrupted: run the same command again to go on"
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members))
    assert json.loads(next((root / "runs").glob("*.json")).read_text())["state"] == "interrupted"
    recipe.write_text(recipe.read_text().replace("work_ms = 400", "work_ms = 0"))
    run(root)
    assert fingerprint(root) == fingerprint(tmp_path / "calm")


def test_what_stays_pending_exits_1_and_says_why(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    root.mkdir()
    url = "http://127.0.0.1:9"  # nobody listens there
    (root / "recipe.toml").write_text(
        f'name = "x"\n[stages.count]\ntasks = 12\nreject_every = 0\n[stages.inquire]\nurl = "{url}"\n[stages.keep]'
    )
    done = inside("run", "-w", root, "--json", code=1)
    stages = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    assert (stages["count"]["made"], stages["inquire"]["pending"], stages["keep"]["pending"]) == (12, 12, 12)
    assert "inquire: 12 pending: ConnectError from the server" in done.stderr
    assert "keep: 12 pending: waits for 12 inputs of earlier stages" in done.stderr
    assert json.loads(next((root / "runs").glob("*.json")).read_text())["state"] == "unfinished"


def test_a_forgotten_video_is_gone_for_good(root: Path, tmp_path: Path) -> None:
    run(root)
    video = view(root).connection.execute("SELECT video FROM tasks ORDER BY 1 LIMIT 1").fetchall()[0][0]
    media = root / "media" / "ab" / f"{show('video', video).removeprefix('video_')}.mp4"
    media.parent.mkdir(parents=True)
    media.touch()
    removed = json.loads(inside("forget", "-w", root, show("video", video), "--reason", "the owner asked", "--json").stdout)[
        "removed"
    ]
    assert removed["videos"] == 1
    assert removed["media_files"] == 1
    assert removed["rows"] > 20
    assert not media.exists()
    assert not any(video in path.read_bytes() for path in (root / "lake").rglob("*.parquet"))
    assert "the owner asked" in (root / "inputs/forgotten.jsonl").read_text()
    assert run(root)["count"].tally.made < 54
    never = tmp_path / "never"
    write_recipe(never, tasks=60)
    (never / "inputs").mkdir()
    (never / "inputs/forgotten.jsonl").write_bytes((root / "inputs/forgotten.jsonl").read_bytes())
    run(never)
    assert logical(root) == logical(never)


def test_a_takedown_list_with_nonsense_is_refused(root: Path) -> None:
    (root / "inputs").mkdir()
    (root / "inputs/forgotten.jsonl").write_text('{"video": "video_x"}\n')
    assert "forgotten.jsonl:1" in inside("run", "-w", root, code=2).stderr


def test_a_terminal_sees_a_bar_with_rate_and_time_left(root: Path) -> None:
    recipe = root / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("workers = 2", "workers = 2\nwork_ms = 20"))
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(
        [*DMFORGE, "run", "-w", str(root)], stderr=slave, stdout=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(slave)
        seen = b""
        while process.poll() is None or select.select([master], [], [], 0.1)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
    assert process.returncode == 0
    assert b"/60" in seen
    assert b"/s" in seen
    assert b"0:0" in seen


def test_a_log_sees_a_plain_line_now_and_then() -> None:
    import io

    from rich.console import Console

    from dmforge.curation.engine import progress

    text = io.StringIO()
    with progress.StageProgress(Console(file=text), "decode", 100) as shown:
        shown.advance(10)
        assert text.getvalue() == ""
        shown._next_line_s = 0.0
        shown.advance(10)
        shown.advance(10)
    assert text.getvalue().startswith("decode: 20 of 100, ")
    assert len(text.getvalue().splitlines()) == 1


def test_parts_of_one_long_input_are_seen_before_it_is_done() -> None:
    import io

    from rich.console import Console

    from dmforge.curation.engine import progress

    text = io.StringIO()
    with progress.StageProgress(Console(file=text), "segments", 2) as shown:
        shown.count_part()
        shown._next_line_s = 0.0
        shown.count_part()
        shown._next_line_s = 0.0
        shown.advance(1)
    first, second = text.getvalue().splitlines()
    assert first == "segments: 0 of 2, 2 parts"
    assert second.startswith("segments: 1 of 2, 2 parts, ")


def _until(happens: object, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not happens():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
