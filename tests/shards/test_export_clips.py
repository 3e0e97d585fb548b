"""Exported clips keep the clock: each frame of each file is the frame of its listed time, whoever reads it back."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.exports import export
from dmforge.curation.exports.conversation_turns import assistant_turns
from dmforge.curation.exports.known_formats import FORMATS
from dmforge.curation.shards.corpus import Corpus
from dmforge.generators.synthetic.worlds.rasterize import read_timecode
from dmforge.schemas.dialects.known_dialects import DIALECTS, SPAN
from dmforge.schemas.errors import InputError
from dmforge.schemas.grammar import Trajectory
from dmforge.schemas.looks import Look, Window
from dmforge.schemas.transcript import COARSE, Piece
from tests.support import flicker
from tests.support.barcodes import CASES
from tests.support.corpora import filmed

CASE = next(case for case in CASES if case.name == "a very long GOP")
LOOKS = (
    Look(Window(300, 550), Fraction(2)),
    Look(Window(1001, 1225), Fraction(5)),  # a density that doesn't divide the grid, a start between two of its times
    Look(Window(0, 1900), Fraction(1, 3)),
    Look(Window(1204, 1206), Fraction(2)),  # between two times of the grid: one frame, twice
)
SAID = Trajectory(("A.", "B.", "C.", "D.", "It turns."), LOOKS, "it turns")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One video of 20 s whose frames say which they are, with a trajectory of four looks and a task."""
    transcript = SPAN.transcribe((COARSE, Piece("prompt", "What happens in 7?")), SAID)
    return Corpus(str(filmed(tmp_path_factory.mktemp("corpus"), CASE, LOOKS[0], transcripts=[transcript])))


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of an export, in whichever files."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".jsonl":
            yield from map(json.loads, path.read_text().splitlines())
        elif path.suffix == ".parquet":
            yield from pq.read_table(path).to_pylist()
        elif path.suffix == ".json" and path.name not in ("dataset_info.json", "export.json"):
            yield from json.loads(path.read_text())


@pytest.mark.parametrize("form", ["llamafactory", "trl", "hf", "messages", "swift", "verl", "easyr1"])
def test_every_frame_of_every_clip_is_that_of_its_listed_time(form: str, corpus: Corpus, tmp_path: Path) -> None:
    export(corpus, form, tmp_path / form)
    frames, files = 0, set[str]()
    for row in rows_of(tmp_path / form):
        clips = row["clips"] if "clips" in row else row["extra_info"]["clips"]
        for clip in clips:
            files.add(clip["path"])
            with av.open(str(tmp_path / form / clip["path"]), "r") as container:
                stream = container.streams.video[0]
                shown = list(container.decode(stream))
                assert stream.duration is not None
                assert stream.time_base is not None
                length_s = clip["frame_times_s"][-1] - clip["start_s"] + 1 / clip["fps"]
                assert float(stream.duration * stream.time_base) == pytest.approx(length_s, abs=1e-3)
            times_s = [float(frame.pts * frame.time_base) for frame in shown]  # pyright: ignore
            assert times_s == pytest.approx(clip["frame_times_s"], abs=2e-5)
            numbers = [read_timecode(frame.to_ndarray(format="rgb24")) for frame in shown]
            assert numbers == [CASE.on_screen(Fraction(time_s).limit_denominator(12)) for time_s in clip["frame_times_s"]]
            assert clip["start_s"] == clip["frame_times_s"][0]
            frames += len(shown)
    assert frames >= (40 if form == "easyr1" else 40 + 5 + 11 + 6 + 2)
    cut = {path.name for path in (tmp_path / form / "videos").iterdir()}
    assert cut - {Path(name).name for name in files} <= {path for path in cut if "." not in path.removesuffix(".mp4")}


def test_the_stamps_are_those_under_which_a_student_is_shown_the_frames(corpus: Corpus, tmp_path: Path) -> None:
    from dmforge.generators.footage import show
    from dmforge.generators.rendition_footage import footage_of
    from dmforge.generators.student.token_layout import printed

    export(corpus, "trl", tmp_path / "trl")
    row = next(rows_of(tmp_path / "trl"))
    shown = [
        piece.clip for piece in show(corpus[0].sample.transcript.pieces, footage_of(corpus[0], corpus.clips)) if piece.clip
    ]
    for clip, listed in zip(shown, row["clips"], strict=True):
        stamps = [f"<{stamp_s:.1f} seconds>" for stamp_s in listed["stamps_s"]]
        assert re.findall(r"<[0-9.]+ seconds>", printed(clip)) == stamps


def test_nobody_learns_to_write_a_look_that_shows_nothing_of_what_is_to_be_seen(corpus: Corpus, tmp_path: Path) -> None:
    """Gold is 1.00 - 3.50 and 4.00 - 5.00; the second and the fourth look lie elsewhere. What is unknown is no miss."""
    export(corpus, "swift", tmp_path / "swift")
    task, trajectory = rows_of(tmp_path / "swift")
    by_turn = [message["loss"] for message in trajectory["messages"] if message["role"] == "assistant"]
    assert by_turn == [True, False, True, False, True]
    assert not any(
        "loss" in message for message in (*task["messages"], *trajectory["messages"]) if message["role"] != "assistant"
    )
    (first, *_) = assistant_turns(corpus[0].sample, DIALECTS["tool"])
    assert not first.misses(())


# processes, kills, places


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 videos with a trajectory each: six parts."""
    return flicker.cot(tmp_path_factory.mktemp("many") / "cot", 48, 3)


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_two_processes_write_what_one_does(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = export(Corpus(many), "swift", tmp_path / "several")
    assert (done.samples, done.left_out) == (48, 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    export(Corpus(many), "swift", tmp_path / "one")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "several")
    assert not list(tmp_path.glob("*.writing"))


def test_an_address_takes_what_a_folder_takes_and_is_finished_by_its_last_file(many: Path, tmp_path: Path) -> None:
    export(Corpus(many), "verl", tmp_path / "folder")
    address = (tmp_path / "address").as_uri()
    told = CliRunner().invoke(cli.app, ["export", many.as_uri(), "--to", "verl", "--out", address, "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {**json.loads(told.stdout), "samples": 48, "left_out": 0, "path": address}
    in_folder = bytes_of(tmp_path / "folder")
    del in_folder["checksums.sha256"]  # of a folder in a workspace, which `verify -w` walks
    assert bytes_of(tmp_path / "address") == in_folder
    again = CliRunner().invoke(cli.app, ["export", str(many), "--to", "verl", "--out", address])
    assert again.exit_code == 2
    assert "there is an export here already" in again.stderr
    (tmp_path / "elses").mkdir()
    (tmp_path / "elses" / "a.txt").write_text("mine")
    with pytest.raises(InputError, match="something here already"):
        export(Corpus(many), "verl", (tmp_path / "elses").as_uri())
    assert (tmp_path / "elses" / "a.txt").read_text() == "mine"


def test_a_long_export_says_how_far_it_is(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmforge.commands.pack_corpus.LINE_EVERY_S", 0.0)
    told = CliRunner().invoke(cli.app, ["export", str(many), "--to", "easyr1", "--out", str(tmp_path / "x")])
    assert told.exit_code == 0
    assert re.findall(r"export: (\d) of 6 parts, 0 min \d\d s left", told.stderr) == ["1", "2", "3", "4", "5"]


def test_what_another_export_has_left_unfinished_is_not_gone_on_with(many: Path, corpus: Corpus, tmp_path: Path) -> None:
    unfinished = tmp_path / "out.writing"
    (unfinished / "parts").mkdir(parents=True)
    (unfinished / "parts" / "export.json").write_text('{"format": "hf"}')
    (unfinished / "parts" / "000000.jsonl").write_text('{"rows": {"trajectories": 1}, "left_out": 0, "sizes": {}}\n')
    (unfinished / "old.mp4").write_bytes(b"x")
    export(corpus, "swift", tmp_path / "out")
    assert "old.mp4" not in bytes_of(tmp_path / "out")
    assert len(list(rows_of(tmp_path / "out"))) == 2


def test_what_a_format_refuses_leaves_nothing_whoever_met_it(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's error is that of its sample."""

    def refuse(corpus: Corpus, folder: Path) -> None:
        with pytest.raises(InputError, match="can't be said in the dialect `grounding`") as refused:
            export(corpus, "swift", folder, "grounding")
        assert refused.value.where.startswith("sample_")
        assert not folder.exists()
        assert not folder.with_name("x.writing").exists()

    refuse(Corpus(many), tmp_path / "x")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    refuse(Corpus(many), tmp_path / "x")


def test_who_exports_where_another_export_is_writing_is_refused(many: Path, tmp_path: Path) -> None:
    from dmforge.curation.exports.export_place import export_place

    told = {"format": "swift"}
    with export_place(str(tmp_path / "x")).held(told):
        with pytest.raises(InputError, match="another export is writing here"):
            export(Corpus(many), "swift", tmp_path / "x")
        assert (tmp_path / "x.writing" / "parts" / "export.json").exists()


@pytest.mark.slow
def test_killed_ten_times_it_has_the_same_bytes(tmp_path: Path) -> None:
    """Early, between parts, and late; the processes that it had started end with it."""
    many = flicker.cot(tmp_path / "cot", 200, 3)
    export(Corpus(many), "llamafactory", tmp_path / "whole")
    out, parts = tmp_path / "killed", tmp_path / "killed.writing" / "parts"
    words = ["export", str(many), "--to", "llamafactory", "--out", str(out)]
    command, chance = [sys.executable, "-m", "dmforge.cli", *words], random.Random(1)
    for kill in range(10):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        written = len(list(parts.glob("*.jsonl")))
        while process.poll() is None and len(list(parts.glob("*.jsonl"))) < written + kill % 3:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.1)
        assert process.poll() is None, "it was faster than its killer"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists()
    assert len(list(parts.glob("*.jsonl"))) > 3
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert not list(tmp_path.glob("*.writing"))


def test_a_clip_that_a_failing_machine_has_lost_is_written_again(many: Path, tmp_path: Path) -> None:
    from dmforge.curation.exports.export_part import ExportJob, part_counts, write_part
    from dmforge.curation.exports.export_place import export_place

    place = export_place(str(tmp_path / "x"))
    job = ExportJob(str(many), "swift", "tool", str(tmp_path / "x"))
    (tmp_path / "x.writing" / "parts").mkdir(parents=True)
    write_part(job, 0)
    counts = part_counts(place, 0)
    assert counts
    assert counts["rows"] == {"trajectories": 8}
    lost = next(iter(counts["sizes"]))
    content = (tmp_path / "x.writing" / lost).read_bytes()
    os.truncate(tmp_path / "x.writing" / lost, 0)
    assert part_counts(place, 0) is None
    (tmp_path / "x.writing" / lost).write_bytes(content)
    assert part_counts(place, 0) == counts
    part = tmp_path / "x.writing" / "parts" / "000000.jsonl"
    for kept in (part.stat().st_size - 5, 20, 0):  # its rows were not all written, or not even its first line
        os.truncate(part, kept)
        assert part_counts(place, 0) is None


def test_each_format_says_what_its_readers_lose(corpus: Corpus, tmp_path: Path) -> None:
    for form, row_format in FORMATS.items():
        if form == "dynframe":
            continue  # it leaves this trajectory out
        done = export(corpus, form, tmp_path / form)
        assert done.caveats == row_format.caveats
        readme = (tmp_path / form / "README.md").read_text()
        assert all(caveat in readme for caveat in row_format.caveats)
        assert json.loads((tmp_path / form / "export.json").read_text())["samples"] == done.samples


def test_openai_messages_are_calls_and_their_results(corpus: Corpus, tmp_path: Path) -> None:
    export(corpus, "messages", tmp_path / "x")
    row = json.loads((tmp_path / "x" / "trajectories.jsonl").read_text())
    task = json.loads((tmp_path / "x" / "tasks.jsonl").read_text())
    roles = [message["role"] for message in row["messages"]]
    assert roles == ["user", *["assistant", "tool"] * 4, "assistant"]
    asked = [call["id"] for message in row["messages"] for call in message.get("tool_calls", ())]
    assert (
        asked
        == [message["tool_call_id"] for message in row["messages"] if message["role"] == "tool"]
        == [f"call_{n}" for n in (1, 2, 3, 4)]
    )
    first_call = row["messages"][1]["tool_calls"][0]["function"]
    assert json.loads(first_call["arguments"]) == {"start_time": 3, "end_time": 5.5, "fps": 2}
    assert row["tools"][0]["function"]["name"] == first_call["name"] == "crop_video"
    shown = [
        part["video_url"]["url"]
        for message in row["messages"]
        if message["role"] != "assistant"
        for part in message["content"]
        if part["type"] == "video_url"
    ]
    assert shown == [clip["path"] for clip in row["clips"]]
    assert [message["role"] for message in task["messages"]] == ["user"]


def test_rows_for_verl_hold_a_reward_and_what_a_tool_needs(corpus: Corpus, tmp_path: Path) -> None:
    export(corpus, "verl", tmp_path / "x")
    (sft,) = pq.read_table(tmp_path / "x" / "sft.parquet").to_pylist()
    (rl,) = pq.read_table(tmp_path / "x" / "rl.parquet").to_pylist()
    assert "".join(message["content"] for message in sft["messages"]).count("<video>") == len(sft["videos"]) == 5
    assert [video["nframes"] for video in sft["videos"]] == [40, 4, 10, 6, 2]
    assert rl["reward_model"] == {"style": "rule", "ground_truth": "3.00 - 5.50"}
    told = rl["extra_info"]["tools_kwargs"]["crop_video"]["create_kwargs"]
    assert (told["duration_s"], told["target_windows"], told["target_fps"]) == (20.0, [[3.0, 5.5]], [2.0])
    assert (tmp_path / "x" / told["video"]).is_file()


def test_the_assistants_turns_are_the_policys_words_in_every_dialect(corpus: Corpus, tmp_path: Path) -> None:
    """What the runtime injected stands in no turn that is trained on."""
    policy = corpus[0].sample.transcript.policy_text
    export(corpus, "llamafactory", tmp_path / "x")
    (row,) = json.loads((tmp_path / "x" / "cot.json").read_text())
    assert "".join(message["content"] for message in row["messages"] if message["role"] == "assistant") == policy
    assert all("<video>" not in message["content"] for message in row["messages"] if message["role"] == "assistant")
