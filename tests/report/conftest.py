"""A real browser, and the workspace that is looked at with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from dmforge.curation.workspace import Workspace
from tests.report import hostile

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "there is no chromium; on Debian: apt-get install -y chromium"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; where the environment says CI, doing without it is a failure. No longer than a module: what drives it keeps an
    event loop running in this thread, and whoever else wants one is refused."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(INSTALL)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=found, args=flags)
        yield running
        running.close()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return hostile.build(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    """One of one's own."""
    return Workspace(Path(shutil.copytree(built.root, tmp_path / "ws")))


@pytest.fixture(scope="session")
def shots(request: pytest.FixtureRequest) -> Path:
    """Where pictures of pages are left to be looked at; git ignores it."""
    folder = request.config.rootpath / ".screenshots"
    folder.mkdir(exist_ok=True)
    return folder
