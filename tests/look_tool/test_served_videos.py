"""What an agent is shown over MCP: videos of the folders that were named, by their names, and nothing else of the machine."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest

from dmforge.commands import run
from dmforge.commands.mcp_server import MAX_NAMES, call, serve, served_tools
from dmforge.commands.served_videos import ServedFolders
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.video.frame_preview import CLIPS
from dmforge.curation.video.jpeg import to_jpeg
from dmforge.generators.file_footage import FileFootage
from dmforge.generators.look_tool.crop_video import crop_video
from dmforge.generators.rendition_footage import footage_of
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window
from tests.support import flicker
from tests.support.barcodes import CASES, write

CASE = next(case for case in CASES if case.name == "a very long GOP")
LOOK = Look(Window(300, 550), Fraction(2))
ASKED: dict[str, Any] = {"start_time": 3, "end_time": 5.5, "fps": 2}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos beside files that are nobody's business."""
    folder = tmp_path_factory.mktemp("machine")
    films = folder / "films"
    (films / "deep").mkdir(parents=True)
    write(CASE, films / "deep").rename(films / "deep" / "one.mp4")
    write(CASE, folder).rename(folder / "secret.mp4")
    (films / "notes.txt").write_text("private")
    (films / "broken.mp4").write_text("private")
    (films / "out.mp4").symlink_to(folder / "secret.mp4")
    (films / "outside").symlink_to(folder)
    (films / "in.mp4").symlink_to(films / "deep" / "one.mp4")
    return films


@pytest.fixture(scope="module")
def served(films: Path) -> ServedFolders:
    return ServedFolders([films], CLIPS)


def words(reply: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in reply["content"] if part["type"] == "text")


def images(reply: dict[str, Any]) -> list[bytes]:
    return [b64decode(part["data"]) for part in reply["content"] if part["type"] == "image"]


def refused(served: ServedFolders, **arguments: Any) -> str:
    reply = call(served, "crop_video", arguments)
    assert reply["isError"]
    assert len(reply["content"]) == 1
    return words(reply)


def test_names_are_those_of_videos_inside_the_folder(served: ServedFolders) -> None:
    names = words(call(served, "list_videos", {})).splitlines()
    assert sorted(names) == ["films/broken.mp4", "films/deep/one.mp4", "films/in.mp4"]
    assert words(call(served, "list_videos", {"containing": "deep"})) == "films/deep/one.mp4"
    assert words(call(served, "list_videos", {"containing": "nowhere"})) == "there are none"


@pytest.mark.parametrize("name", ["films/deep/one.mp4", "films/in.mp4", "films/deep/../in.mp4"])
def test_a_look_is_frames_under_their_times(name: str, films: Path, served: ServedFolders) -> None:
    reply = call(served, "crop_video", {"video": name, **ASKED})
    clip = FileFootage(films / "deep" / "one.mp4").look(LOOK)
    assert "isError" not in reply
    assert images(reply) == to_jpeg(clip.frames)
    stamps = [f"<{float(time_s):.1f} seconds>" for time_s in clip.times_s]
    assert words(reply).splitlines() == [f"{name}, 20.00 s long: 5 frames of 128 x 96, each under its time.", *stamps]
    assert [part["type"] for part in reply["content"]] == ["text", *["text", "image"] * 5]


@pytest.mark.parametrize(
    "name",
    [
        "films/out.mp4", "films/outside/secret.mp4", "films/../secret.mp4", "../secret.mp4", "secret.mp4", "/etc/passwd",
        "films//etc/passwd", "films/notes.txt", "films/deep", "films/", "films", "", "films/\0.mp4", "films/\ud800.mp4",
        "films/" + "x" * 5000 + ".mp4", "file:///etc/passwd", "films/missing.mp4", "other/one.mp4",
    ],
)  # fmt: skip
def test_no_name_leads_anywhere_else_and_all_are_told_the_same(name: str, served: ServedFolders) -> None:
    assert refused(served, video=name, **ASKED) == "there is no video of this name\n  hint: take a name from list_videos"


def test_no_reply_says_where_files_lie(films: Path, served: ServedFolders) -> None:
    told = [
        refused(served, video="films/broken.mp4", **ASKED),
        refused(served, video="films/in.mp4", **{**ASKED, "start_time": 30, "end_time": 31}),
        refused(served, video="films/in.mp4", **{**ASKED, "fps": {}}),
        refused(served, video=["films/in.mp4"], **ASKED),
        refused(served, **ASKED),
        words(call(served, "read_file", {"path": "/etc/passwd"})),
        words(call(served, "list_videos", {"containing": 3})),
    ]
    assert not [text for text in told if str(films.parent) in text or "Traceback" in text]
    assert [text.splitlines()[0] for text in told] == [
        "not a video: invalid data found when processing input",
        "window 30.00 - 31.00 begins after the video ends at 20.00 s",
        'crop_video: fps: frames per second above 0 are needed, like 2, 0.5 or "1/3", not {}',
        "crop_video: video: the name of a video is needed",
        "crop_video: video: the name of a video is needed",
        "there is no such tool",
        "list_videos: containing: a text is needed",
    ]


def test_budgets_of_files_are_those_that_the_server_was_started_with(films: Path) -> None:
    served = ServedFolders([films], CLIPS.model_copy(update={"look_frames": 4, "look_tokens": 12}))
    reply = call(served, "crop_video", {"video": "films/in.mp4", "start_time": 0, "end_time": 20, "fps": 12})
    assert len(images(reply)) <= 4
    assert "frames of 96 x 64" in words(reply)


def test_videos_of_shards_are_shown_as_a_student_is_shown_them(tmp_path: Path) -> None:
    folder = flicker.cot(tmp_path / "cot", 3, 1)
    served, corpus = ServedFolders([folder], CLIPS), Corpus(folder)
    keys = [video.key for video in corpus.videos()]
    assert words(call(served, "list_videos", {})).splitlines() == [f"{folder.name}/{key}" for key in keys]
    reply = call(served, "crop_video", {"video": f"{folder.name}/{keys[0]}", **ASKED})
    assert images(reply) == to_jpeg(footage_of(corpus[0], corpus.clips).look(LOOK).frames)
    assert refused(served, video=f"{folder.name}/{keys[0]}.mp4", **ASKED).startswith("there is no video")


def test_videos_of_a_workspace_go_by_their_ids(films: Path, tmp_path: Path) -> None:
    run.init(tmp_path / "ws", "dm-cot")
    command = [sys.executable, "-m", "dmforge.cli", "ingest", str(films / "deep"), "-w", str(tmp_path / "ws")]
    subprocess.run(command, check=True, capture_output=True)
    served = ServedFolders([tmp_path / "ws"], CLIPS)
    (name,) = words(call(served, "list_videos", {})).splitlines()
    assert name.startswith("ws/video_")
    assert len(images(call(served, "crop_video", {"video": name, **ASKED}))) == 5


def test_of_more_names_than_one_reads_the_number_is_told(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MAX_NAMES + 7):
        (folder / f"{number}.mp4").touch()
    listed = words(call(ServedFolders([folder], CLIPS), "list_videos", {})).splitlines()
    assert len(listed) == MAX_NAMES + 1
    assert listed[-1] == "and 7 more: name a text that they contain"


def test_folders_that_are_none_or_share_a_name_are_refused(films: Path, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    with pytest.raises(InputError, match="two folders are called 'films'"):
        ServedFolders([films, tmp_path / "films"], CLIPS)
    command = [sys.executable, "-m", "dmforge.commands.mcp_server", str(tmp_path / "missing")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no such folder" in done.stderr
    done = subprocess.run([*command[:-1], str(films), "--look-frames", "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "look_frames" in done.stderr


def test_the_function_has_the_arguments_that_students_are_told_of_and_a_name() -> None:
    crop, listing = served_tools()
    assert list(crop["inputSchema"]["properties"]) == ["video", "start_time", "end_time", "fps", "box", "max_tokens"]
    assert crop["inputSchema"]["required"] == ["video", "start_time", "end_time", "fps"]
    assert listing["name"] == "list_videos"


def test_arguments_that_are_none_and_quotas_are_refused_in_words_for_who_calls(films: Path) -> None:
    source = FileFootage(films / "deep" / "one.mp4")
    for arguments in (None, "text", [1]):
        with pytest.raises(InputError, match=r"^crop_video: an object of arguments is needed, not "):
            crop_video(source, cast("dict[str, object]", arguments))
    with pytest.raises(InputError, match=r"^crop_video: max_tokens: a quota of 1 tokens"):
        crop_video(source, {"start_time": 0, "end_time": 1, "fps": 2, "max_tokens": 1})


def test_fewer_frames_than_were_asked_for_are_said_to_be_fewer(served: ServedFolders) -> None:
    for fps, is_fewer in ((1000, True), (2, False)):
        reply = call(served, "crop_video", {"video": "films/deep/one.mp4", "start_time": 0, "end_time": 3, "fps": fps})
        assert ("not 1000: more are not shown" in reply["content"][0]["text"]) == is_fewer


def test_an_empty_folder_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no videos in these folders"):
        serve(ServedFolders([tmp_path], Clips()))
