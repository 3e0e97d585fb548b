"""A full disk, a read-only folder, a file-size limit: a clear error, nothing lost, and the same command goes on afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.foundation.lakes import fingerprint, run, write_recipe

NAMESPACE = ["unshare", "-rm"]


def in_namespace(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script where mounting is allowed and seen by nobody else."""
    environment = os.environ | {"PYTHON": sys.executable} | variables
    return subprocess.run([*NAMESPACE, "sh", "-c", script], capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def mounts() -> None:
    """Real mounts, where the machine allows them."""
    tried = in_namespace("mount -t tmpfs -o size=64k none /mnt")
    if tried.returncode:
        pytest.skip(f"mounting in a namespace isn't allowed here: {tried.stderr.strip()}")


@pytest.mark.slow
@pytest.mark.usefixtures("mounts")
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    small, calm = tmp_path / "small", tmp_path / "calm"
    small.mkdir()
    write_recipe(calm, tasks=1000, batch=50)
    run(calm)
    script = """
        mount -t tmpfs -o size=250k none "$SMALL" && cp "$CALM/recipe.toml" "$SMALL" || exit 99
        "$PYTHON" -m dmforge.cli run -w "$SMALL" && exit 98
        test $? = 1 || exit 97
        find "$SMALL" -name '*.writing' | grep . && exit 96
        mount -o remount,size=20m "$SMALL"
        "$PYTHON" -m dmforge.cli run -w "$SMALL" || exit 95
        cp -r "$SMALL/lake" "$RESULT"
    """
    result = tmp_path / "result"
    result.mkdir()
    done = in_namespace(script, SMALL=str(small), CALM=str(calm), RESULT=str(result))
    assert done.returncode == 0, done.stderr
    assert "no space left on device" in done.stderr
    assert "free some space and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert fingerprint(result) == fingerprint(calm)


@pytest.mark.slow
@pytest.mark.usefixtures("mounts")
def test_a_read_only_workspace_can_be_looked_at_and_says_why_it_cannot_be_run(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    write_recipe(root, tasks=40)
    run(root, until="score")
    script = """
        mount --bind "$ROOT" "$ROOT" && mount -o remount,ro,bind "$ROOT" || exit 99
        "$PYTHON" -m dmforge.cli status -w "$ROOT" || exit 98
        "$PYTHON" -m dmforge.cli digest -w "$ROOT" || exit 97
        "$PYTHON" -m dmforge.cli run -w "$ROOT"
    """
    done = in_namespace(script, ROOT=str(root))
    assert done.returncode == 1, done.stderr
    assert "read-only file system" in done.stderr
    assert "make the folder writable" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_file_size_limit_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    calm, limited = tmp_path / "calm", tmp_path / "limited"
    for root in (calm, limited):
        write_recipe(root, tasks=400, batch=200)
    run(calm)
    command = [sys.executable, "-m", "dmforge.cli", "run", "-w", str(limited)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=60)
    assert done.returncode == 1
    assert "file too large" in done.stderr
    assert "ulimit -f" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(limited.rglob("*.writing"))
    run(limited)
    assert fingerprint(limited) == fingerprint(calm)


@pytest.mark.slow
@pytest.mark.usefixtures("mounts")
def test_a_disk_that_is_full_of_checkpoints_is_said_whoever_writes_them(tmp_path: Path) -> None:
    program = """
        import os
        from pathlib import Path
        import torch
        from safetensors.torch import save_file
        from dmforge.schemas.errors import LakeError
        from dmforge.trainers.disk_errors import refusals
        place, w = Path(os.environ["SMALL"]) / "weights", torch.zeros(1 << 20)
        for save in (torch.save, save_file):
            try:
                with refusals(place.parent):
                    save({"w": w}, place)
            except LakeError as error:
                print(error)
    """
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=2m none "$SMALL" || exit 99; "$PYTHON" -c "$PROGRAM"'
    done = in_namespace(script, SMALL=str(small), PROGRAM=textwrap.dedent(program))
    assert done.stdout.count(f"{small}: the disk refused: no space left on device\n  hint: free some space") == 2, done.stderr


@pytest.mark.usefixtures("mounts")
def test_who_waits_for_an_answer_is_told_of_a_scratch_folder_that_is_full(tmp_path: Path) -> None:
    program = """
        import asyncio, os
        from pathlib import Path
        from dmforge.curation.lake import journal_index
        from dmforge.curation.lake.journal import Journal
        from dmforge.curation.workspace_folder import WorkspaceFolder
        from dmforge.schemas.errors import LakeError
        from dmforge.schemas.ids import digest
        journal_index.CACHE_KB = 16
        async def ask():
            return {"text": "yes"}
        async def answered(journal):
            told = []
            for first in range(0, 6000, 1000):  # and those who ask later, too
                numbers = range(first, first + 1000)
                asked = [journal.answer(digest("question", n), digest("video", n), ask) for n in numbers]
                told.append([one for one in await asyncio.gather(*asked, return_exceptions=True) if isinstance(one, LakeError)])
            return told
        told = asyncio.run(answered(Journal(WorkspaceFolder(Path(os.environ["ROOT"])), "model")))
        print(next(one for some in told for one in some), len(told[-1]))
    """
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=100k none "$SMALL" || exit 99; TMPDIR="$SMALL" timeout 60 "$PYTHON" -c "$PROGRAM"'
    done = in_namespace(script, SMALL=str(small), ROOT=str(tmp_path / "ws"), PROGRAM=textwrap.dedent(program))
    assert done.returncode == 0, done.stderr
    assert f"{small}: the disk refused: database or disk is full" in done.stdout
    assert done.stdout.split()[-1] == "1000"


@pytest.mark.usefixtures("mounts")
def test_a_scratch_folder_that_is_full_is_said(tmp_path: Path) -> None:
    program = """
        import pyarrow as pa
        from dmforge.curation.lake.spool import Spool
        from dmforge.curation.lake.journal_index import JournalIndex, Place
        from dmforge.schemas.errors import LakeError
        def spool():
            with Spool() as spool:
                spool.add("numbers", pa.table({"number": list(range(1 << 20))}))
        for fill in (spool, lambda: JournalIndex(Place(f"{n:064x}", offset=n) for n in range(200_000))):
            try:
                fill()
            except LakeError as error:
                print(error)
    """
    script = 'mount -t tmpfs -o size=1m none "$SMALL" || exit 99; TMPDIR="$SMALL" "$PYTHON" -c "$PROGRAM"'
    done = in_namespace(script, SMALL=str(tmp_path), PROGRAM=textwrap.dedent(program))
    assert done.stdout.count(f"{tmp_path}: the disk refused: ") == 2, done.stderr + done.stdout


@pytest.mark.slow
def test_half_a_selection_is_not_left_on_a_disk_that_is_full(tmp_path: Path) -> None:
    program = """
        import io, os, resource
        from pathlib import Path
        from rich.console import Console
        from tests.support.invented import chain
        from dmforge.curation.engine.executors.local_executor import LocalExecutor
        from dmforge.curation.lake.commits import Lake
        from dmforge.curation.engine.driver import Driver
        from dmforge.curation.workspace_folder import WorkspaceFolder
        from dmforge.schemas.errors import LakeError
        workspace, stages = WorkspaceFolder(Path(os.environ["ROOT"])), chain(200)
        def run(some):
            list(Driver(Lake(workspace), stages, LocalExecutor(), Console(file=io.StringIO())).run(some))
        def found():
            print(sorted(path.suffix for path in workspace.shards.glob("cot/*/")), file=told)
        told, unlimited = io.StringIO(), resource.RLIM_INFINITY
        with workspace.held("test"):
            run(stages[:-1])
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited))
            try:
                run(stages)
            except LakeError as error:
                print(error, file=told)
            resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
            found()
            run(stages)
            found()
        print(told.getvalue(), end="")
    """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True,
                          env={**os.environ, "ROOT": str(tmp_path / "ws")}, timeout=60)  # fmt: skip
    assert not told.returncode, told.stderr
    error, *_, limited, done = told.stdout.splitlines()
    assert "file too large" in error, told.stderr
    assert (limited, done) == ("[]", "['']")
