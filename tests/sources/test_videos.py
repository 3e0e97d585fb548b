"""Files that are brought: one that can't be taken in takes down itself only, and what lies beside videos is counted."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.sources import videos
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.workspace_folder import WorkspaceFolder
from tests.support.barcodes import Case, write

RECIPE = 'name = "test"\n[clips]\ncoarse_frames = 8\n[bring]\nvideos = ["../films"]\n[stages.ingest]\n'
NO_UTF8 = b"b\xff.mp4"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two videos, a copy of one, one whose name is not UTF-8, subtitles."""
    (tmp_path / "ws/inputs").mkdir(parents=True)
    (tmp_path / "ws/recipe.toml").write_text(RECIPE)
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("a", "c", "named")):
        write(Case(name, width=64, height=64, times_s=tuple(Fraction(n, 4) for n in range(8)), first=number), folder)
    os.rename(bytes(folder / "named.mp4"), os.fsencode(folder) + b"/" + NO_UTF8)
    (folder / "copy of a.mp4").write_bytes((folder / "a.mp4").read_bytes())
    for name in ("a.srt", "c.en.vtt", "c.vtt", ".hidden"):
        (folder / name).write_text("subtitles")
    return folder


def dmforge(*words: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def test_a_name_that_is_no_text_is_quarantined_and_the_other_videos_come_in(films: Path) -> None:
    place = films.parent / "ws"
    out, said = dmforge("ingest", films, "-w", place)
    assert out == "2 ingested, 0 known, 1 quarantined\n"
    assert f"quarantined: its name is not UTF-8, as in {films}/b\\udcff.mp4: rename it, and ingest it again" in said
    os.rename(os.fsencode(films) + b"/" + NO_UTF8, bytes(films / "b.mp4"))
    out, _ = dmforge("ingest", films, "-w", place)
    assert out == "0 ingested, 3 known, 0 quarantined\n"
    out, _ = dmforge("status", "-w", place)
    assert out.splitlines()[1].split() == ["ingest", "0", "3", "0", "0"]


def test_bytes_that_have_a_good_name_too_keep_it(films: Path) -> None:
    (films / "good.mp4").write_bytes((films / os.fsdecode(NO_UTF8)).read_bytes())
    place = WorkspaceFolder(films.parent / "ws")
    for brought in ([str(films)], [str(films / os.fsdecode(NO_UTF8))], [str(films / "good.mp4")]):
        videos.register(place, brought, SourceInfo())
        assert sorted(video.source_id for video in videos.listed(place).values()) == ["a", "c", "good"]
        assert all(Path(video.path).name != os.fsdecode(NO_UTF8) for video in videos.listed(place).values())


def test_what_a_recipe_leaves_out_of_its_folders_is_counted_and_said(films: Path) -> None:
    place = films.parent / "ws"
    _, said = dmforge("run", "-w", place)
    assert "[bring]: 1 files are copies of others" in said
    assert "[bring]: 3 files are left out, they are not called like videos: 2 .vtt, 1 .srt" in said
    _, said = dmforge("run", "-w", place)
    assert "[bring]" not in said


def test_a_file_that_cannot_be_read_stops_no_other(films: Path) -> None:
    (films / "memory.mp4").symlink_to("/proc/self/mem")  # the disk refuses its first byte
    out, said = dmforge("ingest", films, "-w", films.parent / "ws", code=1)
    assert out == "2 ingested, 0 known, 1 quarantined\n"
    assert "can't be read, the other files are taken in: the disk refused: " in said
