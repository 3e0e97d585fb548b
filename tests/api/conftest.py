"""A finished workspace and a video: what the API is tried on."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import dmforge as dm
from tests.support.barcodes import Case, write

FIXTURE = Path(__file__).parents[1] / "compatibility/59a9f4a.tar.xz"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished workspace, `ws`, and a video, `clips/clip.mp4`."""
    folder = tmp_path_factory.mktemp("api")
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(folder, [member for member in tar if member.name.startswith("./demo/workspace")], filter="data")
    (folder / "demo/workspace").rename(folder / "ws")
    workspace = dm.Workspace(folder / "ws")
    workspace.upgrade()
    assert not workspace.run(progress=False).is_unfinished
    (folder / "clips").mkdir()
    write(Case("two seconds", file_name="clip.mp4"), folder / "clips")
    return folder


@pytest.fixture
def workspace(place: Path) -> dm.Workspace:
    return dm.Workspace(place / "ws")
