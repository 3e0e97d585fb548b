"""Every command is given nonsense of many kinds: it names what is wrong and a way out. It neither breaks nor claims success."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from tests.compatibility.test_59a9f4a import unpack

pytestmark = pytest.mark.slow

LONG = "x" * 5_000
PATHS = {
    "nothing": "",
    "nowhere": "nowhere/at/all",
    "too long a name": LONG,
    "bytes that no text has": "\udcff",
    "a device": "/dev/null",
    "an address of no kind": "gopher://example.invalid/x",
    "a wildcard": "*",
    "no user's home": "~nobody-here",
}
NUMBERS = {
    "no number": "x",
    "below zero": "-1",
    "none at all": "nan",
    "without end": "inf",
    "too large": "1e400",
    "huge": "9" * 30,
    "nothing as a number": "",
}
TEXTS = {
    "nothing as a name": "",
    "a name without end": LONG,
    "SQL": "'; DROP TABLE tasks; --",
    "an escape": "\x1b[31mred",
    "a way out": "../../etc/passwd",
    "half a letter": "\ud800",
    "braces": "%s{0}{x!r}",
}


def _utf16(path: Path) -> None:
    path.write_bytes('{"video": "x"}\n'.encode("utf-16"))


FILES: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda path: path.write_bytes(b""),
    "random bytes": lambda path: path.write_bytes(random.Random(0).randbytes(5_000)),
    "UTF-16": _utf16,
    "brackets without end": lambda path: path.write_text("[" * 200_000),
    "a number": lambda path: path.write_text("3"),
    "an empty list": lambda path: path.write_text("[]"),
    "half a Parquet file": lambda path: path.write_bytes(b"PAR1" + bytes(100)),
    "half a tar": lambda path: path.write_bytes(b"a.json" + bytes(94) + b"0000644\0" + bytes(300)),
    "a film that is none": lambda path: path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(2_000)),
    "settings of another program": lambda path: path.write_text("[deepspeed]\nstage = 3\n"),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a pipe": lambda path: os.mkfifo(path),
}
HOPELESS: dict[str, Callable[[Path], object]] = {
    "a workspace that is not there": lambda root: None,
    "a folder with nothing in it": lambda root: root.mkdir(),
    "a workspace that is a file": lambda root: root.write_text("x"),
    "a workspace that links to itself": lambda root: root.symlink_to(root),
    "a recipe of random bytes": lambda root: _recipe(root, random.Random(1).randbytes(900)),
    "a recipe without stages": lambda root: _recipe(root, b'name = "x"\n'),
    "a recipe with a stage of no kind": lambda root: _recipe(root, b'name = "x"\n[stages.dance]\n'),
    "a recipe that is a folder": lambda root: (root / "recipe.toml").mkdir(parents=True),
    "a workspace of the future": lambda root: (_recipe(root, RECIPE), (root / "format.json").write_text('{"format": 99}')),
}
DAMAGED = {
    "a commit of random bytes": "lake/commits/ingest/aaaa.json",
    "a journal of random bytes": "journal/oracle/main.jsonl",
    "a list of videos of random bytes": "inputs/videos.jsonl",
    "takedowns of random bytes": "inputs/forgotten.jsonl",
    "a record of a run of random bytes": "runs/aaaa.json",
    "clips of random bytes": "media/clips.json",
}
RECIPE = b'name = "x"\n[stages.ingest]\n'
ON_WORKSPACES = (
    "plan",
    "run",
    "select cot --dry-run",
    "select cot",
    "pack cot",
    "export cot --to trl",
    "status",
    "digest",
    "forget --source x --reason y",
    "upgrade",
    "audit funnel",
    "audit --sql 'SELECT 1'",
    "report {out}",
    "why task_",
    "review cot --as me",
)
ON_FILES = (
    "probe",
    "frames --coarse",
    "lint",
    "ingest -w {ws}",
    "import jsonl -w {ws}",
    "import hf --dry-run",
    "import charades_sta --dry-run",
    "train sft",
    "train sdgrpo",
    "evaluate",
    "verify",
    "upgrade",
    "audit difference -w {ws} --with",
    "audit likeness -w {ws} --with",
    "audit changes -w {ws} --with",
    "oracle",
    "merge -w {ws}",
)
WITH_NUMBERS = (
    "run -w {ws} --videos",
    "run -w {ws} --budget",
    "run -w {ws} --world-size 2 --rank",
    "worlds {out} --videos",
    "worlds {out} --level",
    "worlds {out} --longest",
    "worlds {out} --seed",
    "oracle {ws} --port",
    "oracle {ws} --unknown",
    "frames {clip} --span 0 1 --fps",
    "audit --sql 'SELECT 1' -w {ws} --seconds",
    "audit --sql 'SELECT 1' -w {ws} --memory-mb",
    "review cot --as me -w {ws} --sample",
    "review cot --as me -w {ws} --port",
    "demo --out {out} --videos",
)
HARMLESS: dict[str, set[str]] = {
    "probe": {*PATHS, *FILES},  # says of each file why it can't be used
    "init --recipe demo": {*PATHS} - {"too long a name"},  # folders may be called so
    "run -w {ws} --budget": {"huge", "without end", "too large"},  # nothing is spent
    "run -w {ws} --videos": {"huge"},
    "report -w {ws}": {*PATHS} - {"too long a name", "a device", "nothing"},
    "export cot -w {ws} --to trl --out": {*PATHS} - {"too long a name", "a device", "nothing"},
    "audit -w {ws}": {"nothing as a name"},  # lists the questions
    "audit funnel -w {ws} --format": {"nothing as a name"},
}
"""What may succeed."""
WITH_TEXTS = (
    "init {out} --recipe",
    "run -w {ws} --until",
    "run -w {ws} --executor",
    "select -w {ws}",
    "select cot -w {ws} --where",
    "pack -w {ws}",
    "export -w {ws} --to trl",
    "export cot -w {ws} --to",
    "import",
    "audit -w {ws}",
    "audit -w {ws} --sql",
    "audit funnel -w {ws} --format",
    "why -w {ws}",
    "forget -w {ws} --reason y",
    "review cot -w {ws} --as",
    "train {clip}",
    "frames {clip} --coarse --backend",
    "demo --size",
    "oracle {ws} --defect",
    "oracle {ws} --fault",
)
WITH_PATHS = (
    "init --recipe demo",
    "plan -w",
    "audit funnel -w {ws} --out",
    "report -w {ws}",
    "probe",
    "ingest -w {ws}",
    "merge -w {ws}",
    "verify",
    "lint",
    "export cot -w {ws} --to trl --out",
    "train sft",
    "evaluate",
    "oracle",
    "import jsonl -w {ws}",
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that has all it needs."""
    root = unpack(tmp_path_factory.mktemp("sound")) / "cot"
    assert CliRunner().invoke(cli.app, ["upgrade", "-w", str(root)]).exit_code == 0
    return root


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No endpoint, and a folder of its own to stand in."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.chdir(tmp_path)


def faults_of(command: str, nonsense: str, sound: Path, out: Path, may_succeed: bool = False) -> str:
    """What is wrong with what a command makes of nonsense; empty where nothing is."""
    clip = next((sound / "media").glob("*/*.mp4"))
    words = [word.format(ws=sound, out=out / "out", clip=clip) for word in split(command)]
    result = CliRunner().invoke(cli.app, [*words, nonsense] if nonsense != NOWHERE else words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return "".join(traceback.format_exception(result.exception)[-3:])
    if result.exit_code == 0:
        return "" if may_succeed else f"exit 0: {result.output[:300]}"
    if result.exit_code not in (1, 2):
        return f"exit {result.exit_code}: {result.output[:300]}"
    output = " ".join(result.output.split())
    if "Traceback" in output or not any(mark in output for mark in ("hint:", "hint:", "Try 'dmforge", "Try 'root")):
        return f"names no way out: {result.output[:300]}"
    return ""


NOWHERE = "\0"
"""Where nonsense is already in the command."""


def split(command: str) -> list[str]:
    import shlex

    return shlex.split(command)


def _recipe(root: Path, content: bytes) -> None:
    root.mkdir()
    (root / "recipe.toml").write_bytes(content)


def of_texts(texts: dict[str, str], command: str, sound: Path, out: Path) -> dict[str, str]:
    harmless = HARMLESS.get(command, set())
    return {
        kind: faults_of(command, text, sound, out / str(nth), kind in harmless)
        for nth, (kind, text) in enumerate(texts.items())
    }


def collected(faults: dict[str, str]) -> None:
    assert not {kind: fault for kind, fault in faults.items() if fault}


@pytest.mark.parametrize("command", ON_WORKSPACES)
def test_a_workspace_that_is_none_is_refused(command: str, sound: Path, tmp_path: Path) -> None:
    faults = dict[str, str]()
    for number, (kind, make) in enumerate(HOPELESS.items()):
        root = tmp_path / str(number)
        make(root)
        # of a recipe an upgrade reads the keys; whether there are such stages is for those to say who run them
        may_succeed = command == "upgrade" and "stage" in kind
        faults[kind] = faults_of(f"{command} -w {root}", NOWHERE, sound, tmp_path / f"out-{number}", may_succeed)
    collected(faults)


@pytest.mark.parametrize("command", ON_WORKSPACES)
def test_a_damaged_workspace_is_named_or_does_no_harm(command: str, sound: Path, tmp_path: Path) -> None:
    faults = dict[str, str]()
    if command.startswith("review"):  # serves until it is stopped where nothing keeps it from it
        return
    for number, (kind, place) in enumerate(DAMAGED.items()):
        root = shutil.copytree(sound, tmp_path / str(number))
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(random.Random(number).randbytes(300) + b"\n")
        faults[kind] = faults_of(f"{command} -w {root}", NOWHERE, sound, tmp_path / f"out-{number}", may_succeed=True)
    collected(faults)


@pytest.mark.parametrize("command", ON_FILES)
def test_a_file_that_is_none_is_refused(command: str, sound: Path, tmp_path: Path) -> None:
    faults = dict[str, str]()
    for number, (kind, make) in enumerate(FILES.items()):
        path = tmp_path / f"nonsense-{number}.jsonl"
        make(path)
        faults[kind] = faults_of(command, str(path), sound, tmp_path, kind in HARMLESS.get(command, ()))
    collected(faults)


@pytest.mark.parametrize("command", WITH_NUMBERS)
def test_a_number_that_is_none_is_refused(command: str, sound: Path, tmp_path: Path) -> None:
    collected(of_texts(NUMBERS, command, sound, tmp_path))


@pytest.mark.parametrize("command", WITH_TEXTS)
def test_a_name_that_is_none_is_refused(command: str, sound: Path, tmp_path: Path) -> None:
    collected(of_texts(TEXTS, command, sound, tmp_path))


@pytest.mark.parametrize("command", WITH_PATHS)
def test_a_path_that_is_none_is_refused(command: str, sound: Path, tmp_path: Path) -> None:
    collected(of_texts(PATHS, command, sound, tmp_path))


ENVIRONMENTS: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "a home that is not there": {"HOME": "/nowhere/at/all"},
    "no place for temporary files": {"TMPDIR": "/nowhere/at/all"},
    "an endpoint of no kind": {"OPENAI_BASE_URL": "gopher://::::"},
    "a key of two lines": {"OPENAI_API_KEY": "a\nb"},
    "a language without letters": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "a terminal without columns": {"COLUMNS": "0", "TERM": "dumb"},
    "threads without number": {"OMP_NUM_THREADS": "many"},
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_an_odd_environment_breaks_nothing(kind: str, sound: Path, tmp_path: Path) -> None:
    root = shutil.copytree(sound, tmp_path / "ws")
    shutil.rmtree(root / "lake/commits/annotate")  # so that there is something to do, and to ask
    changes = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"} | ENVIRONMENTS[kind]
    environment = {name: value for name, value in (dict(os.environ) | changes).items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-m", "dmforge.cli", "run", "-w", str(root)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1, 2)
    assert "Traceback" not in done.stderr, done.stderr[-2_000:]
    assert done.returncode == 0 or "hint:" in done.stderr or "hint:" in done.stderr, done.stderr
