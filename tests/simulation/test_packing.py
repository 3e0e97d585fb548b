"""Shards on a disk that forgets: a selection is packed, one of its videos is taken down, what is left is packed; and at any
call of that the process is killed, or the power cut.

Whoever looks sees whole folders or none, a takedown that was acknowledged stays done, and in the end the bytes are those of an
undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from dmforge.curation.io.atomic import TEMPORARY, make_folder, write_bytes
from dmforge.curation.shards import folders
from dmforge.curation.shards.stores import CURRENT
from dmforge.curation.shards.write import write_shards
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.ids import digest
from tests.simulation.cut_off import CutOffWork, Kind, Mishap, mishaps
from tests.simulation.scheduler import BrokenPromise
from tests.support.corpora import entries, publish

VIDEOS, SHARD_BYTES = 3, 4000
FORGOTTEN = digest("video", VIDEOS - 1)
"""The video that is taken down."""
ALL, LEFT = "all", "left"
"""The selections before and after."""
KINDS: tuple[Kind, ...] = ("kill", "power cut")


class Packing(CutOffWork):
    """A workspace whose shards are packed, taken down in part, and packed again."""

    def __init__(self, root: Path, mishap: Mishap | None = None) -> None:
        self.workspace, self._is_forgotten = WorkspaceFolder(root), False
        (root / "shards").mkdir(parents=True)
        for name in (ALL, ALL + TEMPORARY):  # an export of it, and one that was interrupted
            (root / "exports/swift/cot" / name).mkdir(parents=True)
            (root / "exports/swift/cot" / name / "train.jsonl").write_text("shown\n")
        super().__init__(root, "packing", mishap)

    def check(self) -> None:
        """Hold what lies there against what is promised."""
        corpus = self.workspace.shards / "cot"
        for folder in corpus.glob("*/"):
            if not folder.name.endswith(TEMPORARY) and not _is_whole(folder):
                raise BrokenPromise(f"half of a folder is seen: {sorted(path.name for path in folder.iterdir())}")
        current = corpus / CURRENT
        if current.exists() and not (corpus / current.read_text().strip()).is_dir():
            raise BrokenPromise(f"`current` names what isn't there: {current.read_text()!r}")
        holding = (place for room in ("shards", "exports") for place in (self.workspace.root / room).glob(f"**/{ALL}*"))
        if self._is_forgotten and (left := sorted(holding)):
            raise BrokenPromise(f"a takedown was acknowledged, and these have its video: {left}")

    def work(self) -> None:
        """What a run, a takedown and another run do with shards."""
        folders.sweep(self.workspace)
        takedown = self.workspace.inputs / "forgotten.jsonl"
        if not takedown.exists():
            self._pack(ALL, VIDEOS)
            make_folder(takedown.parent)
            write_bytes(takedown, b"{}\n")
        if not self._is_forgotten:
            folders.remove_with(self.workspace, [FORGOTTEN])
            self._is_forgotten = True
        self._pack(LEFT, VIDEOS - 1)

    def _pack(self, selection: str, videos: int) -> None:
        folder, commit = self.workspace.shards / "cot" / selection, self.workspace.commits / "pack" / f"{selection}.json"
        if not commit.exists():
            with folders.published(folder) as unfinished:
                shards, index = write_shards(unfinished, entries(videos, 2, (700, 900)), SHARD_BYTES)
                publish(unfinished, shards, index, selection)
            make_folder(commit.parent)
            write_bytes(commit, b"{}")
        folders.write_current(folder)


def _is_whole(folder: Path) -> bool:
    manifest = folder / folders.MANIFEST
    if not manifest.is_file():
        return False
    content = json.loads(manifest.read_bytes())
    files = {shard["name"]: shard["sha256"] for shard in content["shards"]} | content["files"]
    return all(
        (folder / name).is_file() and hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        for name, sha256 in files.items()
    )


def undisturbed(folder: Path) -> tuple[dict[str, bytes], int]:
    """The files of a run that nothing befalls, and how many calls it makes."""
    packing = Packing(folder / "undisturbed")
    return packing.run(), packing.scheduler.steps


def befall_all(folder: Path, stride: int) -> int:
    """Try mishaps at every so many calls; how many were tried."""
    expected, steps = undisturbed(folder)
    assert f"shards/cot/{LEFT}/{folders.MANIFEST}" in expected
    assert not any(f"/{ALL}" in name for name in expected if not name.startswith("lake/"))
    tried = list(mishaps(steps, stride, KINDS))
    for number, mishap in enumerate(tried):
        files = Packing(folder / str(number), mishap).run()
        assert files.keys() == expected.keys(), mishap
        assert files == expected, mishap
    return len(tried)


def test_packing_and_a_takedown_that_are_cut_off_end_with_the_same_bytes(tmp_path: Path) -> None:
    assert befall_all(tmp_path, stride=29) > 10


@pytest.mark.slow
def test_cut_off_at_every_call_they_end_with_the_same_bytes(tmp_path: Path) -> None:
    assert befall_all(tmp_path, stride=1) > 200
