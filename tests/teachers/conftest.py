"""A workspace of the demo's recipe in which all is done that costs nothing, and an oracle that bills."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
from tests.support.made_once import made_once
from tests.teachers.billed import CANARY, dmforge


@pytest.fixture(scope="module")
def demo_worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "accounts", lambda folder: make_worlds(folder, WorldSettings(videos=16)))


@pytest.fixture(scope="module")
def rendered(demo_worlds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the demo's recipe, run as far as nobody is asked."""

    def make(folder: Path) -> None:
        place = folder / "ws"
        dmforge("init", place, "--recipe", "demo")
        dmforge("ingest", demo_worlds / "videos", "-w", place)
        dmforge("import", "jsonl", demo_worlds / "tasks.jsonl", "-w", place)
        dmforge("run", "--until", "duplicates", "-w", place)

    return made_once(tmp_path_factory, "rendered", make) / "ws"


@pytest.fixture
def workspace(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "ws"))


@pytest.fixture
def oracle(demo_worlds: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with serving(demo_worlds, Behaviour(faults={"500": 0.05}), api_key=CANARY) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        yield url
