"""Files into the lake: every shape in its own killable process, from here or from elsewhere, the good in and the bad named."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.commands import intake
from dmforge.curation.io.locations import sha256_of
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.video.ingest import Ingest, IngestConfig
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from tests.support.barcodes import CASES, Case, write
from tests.support.films import SEEDS_FROM, write_film
from tests.video.test_conformance import REASONS

WALL_S = 10
"""A good or bad file of the suite may take so long, and not more, whatever it does."""


def dmforge(*words: object, code: int = 0) -> Any:
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.output


def workspace(folder: Path, recipe: str = "") -> Path:
    (folder / "ws/inputs").mkdir(parents=True)
    (folder / "ws/recipe.toml").write_text(recipe or 'name = "videos"\n[stages.ingest]\n')
    return folder / "ws"


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    stages = read_recipe(place / "recipe.toml").stages
    return LakeView(Lake(WorkspaceFolder(place)), stages).connection.execute(sql).fetchall()


def test_every_shape_of_file_is_ingested_or_quarantined_within_its_deadline(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for case in CASES:
        write(case, videos)
    place = workspace(
        tmp_path, f'name = "videos"\n[stages.ingest]\nwall_timeout_s = {WALL_S}\nhang_timeout_s = {WALL_S}\ncpu_s = {WALL_S}\n'
    )
    told = dmforge("ingest", *sorted(videos.iterdir()), "-w", place, "--json")
    good = {sha256_of(videos / case.path_name) for case in CASES if not case.bad}  # some have the same bytes: ingested once
    assert (told["ingested"], told["quarantined"]) == (len(good), sum(case.bad for case in CASES))
    reasons = rows(place, "SELECT DISTINCT reason FROM outcomes WHERE status = 'quarantined'")
    assert {reason for (reason,) in reasons} <= REASONS
    assert {sha256 for (sha256,) in rows(place, "SELECT sha256 FROM videos")} == good


class Server(http.server.ThreadingHTTPServer):
    """A folder on the web, that can be shut."""

    shut = False


class Folder(http.server.SimpleHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_GET(self) -> None:
        if self.server.shut:
            self.send_error(503)
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path / "web"
    folder.mkdir()
    server = Server(("127.0.0.1", 0), partial(Folder, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, folder
    server.shutdown()
    server.server_close()


def test_an_address_gives_the_same_lake_as_a_folder(server: tuple[Server, Path], tmp_path: Path) -> None:
    web, folder = server
    for case in (Case("one"), Case("a twin", first=100), Case("broken", mend=lambda data: data[:500], bad=True)):
        write(case, folder)
    (folder / "readme.txt").write_text("no video")
    here, there = workspace(tmp_path / "here"), workspace(tmp_path / "there")
    address = f"http://127.0.0.1:{web.server_port}/"
    assert dmforge("ingest", folder, "-w", here, "--json") == dmforge("ingest", address, "-w", there, "--json")
    assert dmforge("digest", "-w", here) == dmforge("digest", "-w", there)
    assert rows(there, "SELECT source_id FROM videos ORDER BY 1") == [("a twin",), ("one",)]
    assert list((there / "runs").glob("copies/*")) == []
    again = dmforge("ingest", f"{address}one.mp4", "-w", there, "--json")
    assert again == {"ingested": 0, "known": 1, "quarantined": 0}


def test_what_a_server_does_not_give_now_stays_pending(server: tuple[Server, Path], tmp_path: Path) -> None:
    web, folder = server
    write(Case("one"), folder)
    place = workspace(tmp_path, 'name = "videos"\n[clips]\ncoarse_frames = 8\n[stages.ingest]\n')
    dmforge("ingest", f"http://127.0.0.1:{web.server_port}/one.mp4", "-w", place)
    for part in (place / "lake/commits/ingest").iterdir():
        part.unlink()
    web.shut = True
    assert "can't be read" in dmforge("run", "-w", place, code=1)
    web.shut = False
    dmforge("run", "-w", place)
    assert rows(place, "SELECT count(*) FROM videos") == [(1,)]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:{port}/none.mp4", "can't be read"),
        ("http://127.0.0.1:9/none.mp4", "can't be read"),
        ("http://me:secret@127.0.0.1:{port}/one.mp4", "an address with a key"),
        ("https://127.0.0.1/one.mp4?signature=secret", "an address with a key"),
        ("nonsense://one.mp4", "can't be read"),
        ("s3://bucket/one.mp4", "needs a package"),
    ],
)
def test_addresses_that_cannot_be_used(server: tuple[Server, Path], tmp_path: Path, address: str, said: str) -> None:
    place = workspace(tmp_path)
    told = dmforge("ingest", address.format(port=server[0].server_port), "-w", place, code=2)
    assert said in told
    assert "hint" in told
    assert "secret" not in told
    assert not (place / "inputs/videos.jsonl").exists()


def test_an_intact_copy_mends_what_is_gone_or_was_changed(tmp_path: Path) -> None:
    path = write(Case("one"), tmp_path)
    place, copy = workspace(tmp_path), tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    (place / "recipe.toml").write_text('name = "videos"\n[stages.ingest]\n')
    intake.add_videos(WorkspaceFolder(place), "test", [str(path)], SourceInfo())
    path.write_bytes(b"overwritten")
    assert "other bytes now" in dmforge("run", "-w", place, code=1)
    assert dmforge("ingest", copy, "-w", place, "--json")["known"] == 1
    assert rows(place, "SELECT count(*) FROM videos") == [(1,)]


def test_what_was_read_before_an_error_is_kept(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    dmforge("ingest", write(Case("one"), tmp_path), tmp_path / "none.mp4", "-w", place, code=2)
    assert len((place / "inputs/videos.jsonl").read_text().splitlines()) == 1


def test_the_questions_about_a_video_that_is_given_another_chance_get_it_too(tmp_path: Path) -> None:
    """A machine short of memory ends processes: whose video was quarantined for it must not lose its tasks for good."""
    recipe = 'name = "videos"\n[stages.ingest]\nmemory_mb = {}\n[stages.import]\n'
    video = write(next(case for case in CASES if not case.bad), tmp_path)
    asked = {"video": video.name, "kind": "open", "question": "What is shown?", "answer": "a code", "windows": []}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(asked) + "\n")
    place = workspace(tmp_path, recipe.format(1))
    dmforge("ingest", video, "-w", place, code=1)
    dmforge("import", "jsonl", tmp_path / "tasks.jsonl", "-w", place, code=1)
    ended = "SELECT stage, status FROM outcomes ORDER BY 1"
    assert rows(place, ended) == [("import", "quarantined"), ("ingest", "quarantined")]
    (place / "recipe.toml").write_text(recipe.format(2048))
    dmforge("run", "--retry-quarantined", "-w", place)
    assert rows(place, ended) == [("import", "made"), ("ingest", "made")]
    assert rows(place, "SELECT question FROM tasks") == [("What is shown?",)]


def test_a_recipe_says_how_short_and_how_small_is_too_little(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    sizes = {"good": (36, 64), "short": (12, 64), "small": (36, 32)}
    for number, (name, (frames, side_px)) in enumerate(sizes.items()):
        write_film(films / f"{name}.mp4", [(SEEDS_FROM + number, 0, frames)], side_px, side_px)
    place = workspace(tmp_path, 'name = "videos"\n[stages.ingest]\nshortest_s = 3\nmin_side_px = 64\n')
    counts = dmforge("ingest", films, "-w", place, "--json")
    assert (counts["ingested"], counts["quarantined"]) == (1, 2)
    reasons = rows(place, "SELECT reason, detail FROM outcomes WHERE status = 'quarantined' ORDER BY 1")
    assert reasons == [("too short", "less than 3 s"), ("too small", "32 x 32: less than 64 pixels")]
    assert Ingest(IngestConfig(shortest_s=0, min_side_px=0)).variant == Ingest(IngestConfig()).variant
    assert Ingest(IngestConfig(shortest_s=1)).variant != Ingest(IngestConfig()).variant
