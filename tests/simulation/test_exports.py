"""Exports on a disk that forgets: at any call the process is killed, the power cut, or refused by the disk, and begun anew.

Whoever looks sees a whole export or none, a part that was reported is not written again, and in the end the bytes are those of
an undisturbed export.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dmforge.curation.exports import export
from dmforge.curation.exports.export_place import SEAL, LocalPlace
from dmforge.curation.io.atomic import TEMPORARY
from dmforge.curation.io.checksums import CHECKSUMS
from dmforge.curation.shards.corpus import Corpus
from dmforge.schemas.errors import InputError
from tests.simulation.cut_off import CutOffWork, Kind, Mishap, mishaps
from tests.simulation.scheduler import BrokenPromise
from tests.support import corpora

TO = "dynframe"
"""Its clips are renditions as they are: these need not be videos."""
VIDEOS = 18
"""Three parts."""
KINDS: tuple[Kind, ...] = ("kill", "power cut", "eio", "short", "full")


class Exporting(CutOffWork):
    """A corpus is exported."""

    refused = 0

    def __init__(self, root: Path, corpus: Corpus, mishap: Mishap | None = None, seed: int = 0) -> None:
        root.mkdir()
        self._corpus, self._place, self._reported, self._is_finishing = corpus, LocalPlace(root / "out"), 0, False
        super().__init__(root, f"exporting {seed}", mishap)

    def work(self) -> None:
        reported = self._reported
        try:
            export(self._corpus, TO, self._place.folder, report=lambda written, parts: self._report(reported, written, parts))
        except InputError:  # there is something, or another is writing
            self.refused += 1

    def check(self) -> None:
        """Hold what lies there against what is promised."""
        self._is_finishing |= (self._place.unfinished / CHECKSUMS).exists()
        if self._place.folder.exists() and not _is_whole(self._place.folder):
            raise BrokenPromise(f"half of an export is seen: {sorted(path.name for path in self._place.folder.rglob('*'))}")

    def _report(self, reported: int, written: int, parts: int) -> None:
        if reported + parts > -(-VIDEOS // 8) and not self._is_finishing:
            raise BrokenPromise(f"{reported} parts had been reported, and {parts} are written again")
        self._reported = reported + written


def _is_whole(folder: Path) -> bool:
    """Whether it has what its checksums list, byte for byte, and nothing else."""
    if not (folder / CHECKSUMS).is_file():
        return False
    lines = (line.split("  ", 1) for line in (folder / CHECKSUMS).read_text().splitlines())
    sha256_by_name = {name: sha256 for sha256, name in lines}
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return (
        SEAL in files
        and files.keys() == {CHECKSUMS, *sha256_by_name}
        and all(hashlib.sha256(files[name].read_bytes()).hexdigest() == sha256 for name, sha256 in sha256_by_name.items())
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(str(corpora.corpus(tmp_path_factory.mktemp("corpus"), VIDEOS, 2, (400, 700))))


def befall_all(folder: Path, corpus: Corpus, stride: int) -> int:
    """Try mishaps at every so many calls; how many were tried."""
    undisturbed = Exporting(folder / "undisturbed", corpus)
    expected = undisturbed.run()
    assert f"out/{SEAL}" in expected
    assert not any(TEMPORARY in name for name in expected)
    tried = list(mishaps(undisturbed.scheduler.steps, stride, KINDS))
    for number, mishap in enumerate(tried):
        files = Exporting(folder / str(number), corpus, mishap).run()
        assert files.keys() == expected.keys(), mishap
        assert files == expected, mishap
    return len(tried)


def test_an_export_that_is_cut_off_ends_with_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    assert befall_all(tmp_path, corpus, stride=53) > 20


def test_of_several_exports_into_one_place_one_is_written(corpus: Corpus, tmp_path: Path) -> None:
    expected, refused = Exporting(tmp_path / "alone", corpus).run(), 0
    for seed in range(4):
        exporting = Exporting(tmp_path / str(seed), corpus, seed=seed)
        assert exporting.run(processes=3) == expected, seed
        refused += exporting.refused
    assert refused == 8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cut_off_at_every_call_it_ends_with_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    assert befall_all(tmp_path, corpus, stride=1) > 1000
