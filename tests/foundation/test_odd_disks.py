"""Disks with habits: of each, a run says what is wrong in clear words and loses nothing, or does its work as on any other.

A small library stands before libc in the process of a real run: its calls fail as those of such a disk do.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.foundation.lakes import fingerprint, run, write_recipe

SOURCE = Path(__file__).parents[1] / "support/odd_disk.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands before libc."""
    path = tmp_path_factory.mktemp("odd") / "odd_disk.so"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an ordinary disk ends with."""
    root = tmp_path_factory.mktemp("calm")
    write_recipe(root, tasks=40)
    run(root)
    return fingerprint(root)


def on_odd_disk(library: Path, root: Path, *words: str, **habits: object) -> subprocess.CompletedProcess[str]:
    """A command on a workspace that lies on a disk with habits."""
    preloaded = {
        "LD_PRELOAD": str(library),
        "ODD_ROOT": str(root),
        **{f"ODD_{name}": str(value) for name, value in habits.items()},
    }
    command = [sys.executable, "-m", "dmforge.cli", *words, "-w", str(root)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | preloaded, timeout=100)


def test_a_disk_that_cannot_sync_folders_is_worked_on_as_any_other(library: Path, calm: dict[str, str], tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    done = on_odd_disk(library, tmp_path, "run", CALL="fsync_folder", ERRNO=errno.EINVAL)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path) == calm


def test_a_disk_without_hard_links_is_worked_on_as_any_other(library: Path, calm: dict[str, str], tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    done = on_odd_disk(library, tmp_path, "run", CALL="link", ERRNO=errno.EPERM)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path) == calm


def test_a_disk_without_modes_holds_a_journal(library: Path, tmp_path: Path) -> None:
    program = """
        import asyncio, os
        from pathlib import Path
        from dmforge.curation.lake.journal import Journal
        from dmforge.curation.workspace_folder import WorkspaceFolder
        from dmforge.schemas.ids import digest
        async def ask():
            return {"content": "yes"}
        async def answered(journal):
            return await journal.answer(digest("ask", 1), digest("video", 1), ask)
        print(asyncio.run(answered(Journal(WorkspaceFolder(Path(os.environ["ODD_ROOT"])), "m"))))
    """
    habits = {"LD_PRELOAD": str(library), "ODD_ROOT": str(tmp_path), "ODD_CALL": "fchmod", "ODD_ERRNO": str(errno.EPERM)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | habits, timeout=60)
    assert done.stdout == "{'content': 'yes'}\n", done.stderr


@pytest.mark.slow
def test_a_disk_that_ignores_case_is_worked_on_as_any_other(library: Path, calm: dict[str, str], tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=40)
    done = on_odd_disk(library, tmp_path, "run", FOLDS=1)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path) == calm


HABITS = [
    ("flock", errno.ENOLCK, 0, "the file system gives no locks", "mount this one with them"),
    ("write", errno.EDQUOT, 20, "disk quota exceeded", "raise the quota"),
    ("write", errno.EIO, 20, "input/output error", "the disk or its server fails"),
    ("fsync", errno.EIO, 4, "input/output error", "the disk or its server fails"),
    ("rename", errno.ESTALE, 4, "stale file handle", "mount the share again"),
    ("open", errno.ESTALE, 30, "stale file handle", "mount the share again"),
    ("read", errno.EIO, 30, "input/output error", "the disk or its server fails"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "code", "after", "reason", "hint"), HABITS)
def test_a_disk_that_fails_is_said_and_nothing_is_lost(
    call: str, code: int, after: int, reason: str, hint: str, library: Path, calm: dict[str, str], tmp_path: Path
) -> None:
    write_recipe(tmp_path, tasks=40)
    done = on_odd_disk(library, tmp_path, "run", CALL=call, ERRNO=code, AFTER=after)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert reason in done.stderr.lower()
    assert hint in " ".join(done.stderr.split())
    run(tmp_path)
    assert fingerprint(tmp_path) == calm


@pytest.mark.slow
@pytest.mark.parametrize("command", [("status",), ("digest",), ("verify",), ("audit", "funnel")])
def test_whoever_looks_at_a_disk_that_cannot_be_read_is_told_so(
    command: tuple[str, ...], library: Path, tmp_path: Path
) -> None:
    write_recipe(tmp_path, tasks=40)
    run(tmp_path)
    for call, code in (("open", errno.ESTALE), ("read", errno.EIO)):
        done = on_odd_disk(library, tmp_path, *command, CALL=call, ERRNO=code, AFTER=6)
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
        assert os.strerror(code).lower() in (done.stderr + done.stdout).lower()
