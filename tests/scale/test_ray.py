"""Runs on Ray. What needs a cluster is in on_a_cluster.py; `python -m chaos.clusters --chain 8` runs the whole chain."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.clusters import LOOPBACK, apart
from dmforge.cli import app
from dmforge.curation.engine.executors.ray.payloads import RemoteStage
from dmforge.curation.engine.rehearsal import RehearsalScore, ScoreConfig
from dmforge.schemas.errors import DmforgeError
from tests.foundation.lakes import write_recipe

HERE = Path(__file__).parent


@pytest.mark.slow
def test_on_a_cluster() -> None:
    command = apart()
    if command is None:
        pytest.skip("no network namespace can be made here, and Ray listens on every address that a machine has")
    inside = f"{sys.executable} -m pytest -x -p no:xdist {HERE / 'on_a_cluster.py'}"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    done = subprocess.run(
        [*command, LOOPBACK + inside], capture_output=True, text=True, env=os.environ | quiet, cwd=HERE.parents[1]
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_worker_whose_results_would_differ_is_refused(tmp_path: Path) -> None:
    write_recipe(tmp_path)
    stage = RehearsalScore(ScoreConfig())
    work = RemoteStage(stage, str(tmp_path), stage.variant)
    assert work.workspace().root == tmp_path
    with pytest.raises(DmforgeError, match=r"av .*, not 0\.1"):
        replace(work, installed=dict(work.installed) | {"av": "0.1"}).workspace()
    with pytest.raises(DmforgeError, match="another 'score'"):
        replace(work, variant=b"other").workspace()


@pytest.mark.slow
def test_a_run_that_does_not_ask_for_it_imports_no_ray(tmp_path: Path) -> None:
    write_recipe(tmp_path, tasks=10)
    code = "import sys\nfrom dmforge.cli import app\ntry:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
    code += "assert 'pyarrow' in sys.modules and 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, "run", "-w", str(tmp_path)], check=True, capture_output=True)


@pytest.mark.parametrize("told", [("--address", "127.0.0.1:1"), ("--executor", "ray", "--rank", "0", "--world-size", "2")])
def test_what_makes_no_cluster_is_refused(tmp_path: Path, told: tuple[str, ...]) -> None:
    write_recipe(tmp_path)
    done = CliRunner().invoke(app, ["run", "-w", str(tmp_path), *told])
    assert done.exit_code == 2
    assert told[0] in done.stderr
