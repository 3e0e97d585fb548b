"""A real browser, and the workspace whose report it shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.report import hostile
from tests.support.made_once import made_once

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "there is no chromium; on Debian: apt-get install -y chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; in CI its absence is a failure. It lives no longer than a module: playwright keeps an event loop running in
    this thread, where no other one can start."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(INSTALL)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> WorkspaceFolder:
    return WorkspaceFolder(made_once(tmp_path_factory, "hostile", hostile.build) / "ws")


@pytest.fixture
def workspace(built: WorkspaceFolder, tmp_path: Path) -> WorkspaceFolder:
    """A copy of the built workspace for one test."""
    return WorkspaceFolder(Path(shutil.copytree(built.root, tmp_path / "ws")))


@pytest.fixture(scope="session")
def shots(request: pytest.FixtureRequest) -> Path:
    """The folder for screenshots of pages; git ignores it."""
    folder = request.config.rootpath / ".screenshots"
    folder.mkdir(exist_ok=True)
    return folder
