"""What is read is what was packed: by us from here and elsewhere, by webdataset, by datasets."""

from __future__ import annotations

import http.server
import json
import pickle
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dmforge.curation.shards import stream
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import read_document, write_document
from dmforge.curation.shards.examples import Example
from dmforge.curation.shards.folders import write_current
from dmforge.curation.shards.integrity import verify
from dmforge.curation.shards.write import ShardEntry, write_shards
from dmforge.schemas.clips import Clips
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Box, Look, Window
from tests.support.corpora import corpus, entries, entry, publish

SIZES = (700, 900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("packed"), 12, 2, SIZES, 10_000)


def packed() -> list[ShardEntry]:
    return list(entries(12, 2, SIZES))


def assert_all(examples: list[Example]) -> None:
    wanted = [(e.video, sample, e.coarse, e.grid) for e in packed() for sample in e.samples]
    assert [(e.video, e.sample, e.coarse, e.grid) for e in examples] == wanted


def test_any_sample_by_its_number(folder: Path) -> None:
    found = Corpus(str(folder))
    assert_all([found[number] for number in range(len(found))])
    assert_all(pickle.loads(pickle.dumps(found)).read(range(len(found))))


def test_the_file_beside_selections_names_the_newest(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands for the folder that it names, here and at an address, and a corpus that is open stays what it is."""
    selections = [Path(shutil.copytree(folder, tmp_path / "cot" / name)) for name in ("older", "newer")]
    write_current(selections[0])
    older = Corpus(tmp_path / "cot/current")
    write_current(selections[1])
    assert (tmp_path / "cot/current").read_text() == "newer\n"
    assert (Path(older.place).name, Path(pickle.loads(pickle.dumps(older)).place).name) == ("older", "older")
    assert Corpus(f"file://{tmp_path}/cot/current").place.endswith("/cot/newer")
    monkeypatch.chdir(tmp_path / "cot")
    assert len(Corpus("current")) == 24
    assert not verify("current").defects
    (tmp_path / "cot/current").write_text("../../elsewhere\n")
    with pytest.raises(InputError, match="names no folder beside it"):
        Corpus("current")


@pytest.mark.parametrize("sparse", [False, True])
def test_documents_come_back_as_they_were(sparse: bool) -> None:
    wanted = entry(1, 3, b"", b"", sparse=sparse)
    data = write_document(wanted.video, wanted.samples)
    assert read_document(data, "x") == (wanted.video, list(wanted.samples))
    assert_steady(json.loads(data))


BOX = Box(120, 40, 560, 800)


@pytest.mark.parametrize("limits", [{}, {"box": BOX}, {"tokens": 96}, {"box": BOX, "tokens": 96}])
@pytest.mark.parametrize("further", [1, 3])
def test_targets_of_several_looks_come_back_as_they_were(limits: dict[str, Any], further: int) -> None:
    (aimed, plain) = entry(1, 2, b"", b"").samples
    looks = [Look(Window(500 + at, 600 + at), Fraction(at + 1, 3)) for at in range(further)]
    looks[0] = replace(looks[0], **limits)
    aimed = replace(aimed, further_targets=tuple(looks))
    assert aimed.target_looks == (aimed.target, *looks)
    video = entry(1, 2, b"", b"").video
    data = write_document(video, [aimed, plain], with_limits=bool(limits))
    assert read_document(data, "x") == (video, [aimed, plain])
    assert_steady(json.loads(data))
    told = json.loads(data)["samples"]
    assert told[0].keys() == told[1].keys()
    assert told[1]["target_window"] == "1.00 - 3.50"


@pytest.mark.parametrize(
    "spoilt",
    [{"target_fps": "2"}, {"target_fps": "2, "}, {"target_window": "1.00 - 2.00, "}, {"target_window": ", 1.00 - 2.00"},
     {"target_fps": "2, 3, 4"}, {"target_box": ", 1 2 3 4, "}, {"target_window": ""}],
)  # fmt: skip
def test_a_target_whose_fields_name_different_numbers_of_looks_is_refused(spoilt: dict[str, str]) -> None:
    made = entry(1, 1, b"", b"")
    told = json.loads(write_document(made.video, made.samples))
    told["samples"][0] |= {"target_window": "1.00 - 2.00, 3.00 - 4.00", "target_fps": "2, 3"}
    read_document(json.dumps(told).encode(), "shard-7")
    told["samples"][0] |= spoilt
    with pytest.raises(InputError, match="shard-7"):
        read_document(json.dumps(told).encode(), "shard-7")


def assert_steady(value: Any) -> None:
    """Nothing from which a reader would infer a schema that the next record breaks."""
    assert value is not None
    if isinstance(value, dict):
        for part in value.values():
            assert_steady(part)
    elif isinstance(value, list):
        assert value
        for part in value:
            assert_steady(part)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"samples": 1}', b"[" * 100_000, b"\xff"])
def test_nonsense_is_no_document(data: bytes) -> None:
    with pytest.raises(InputError, match="shard-7"):
        read_document(data, "shard-7")


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A server of files that knows ranges."""

    asked: list[str] = []  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data, told = path.read_bytes(), self.headers.get("Range")
        begin, end = 0, len(data)
        if told:
            first, _, last = told.removeprefix("bytes=").partition("-")
            begin, end = int(first), int(last) + 1 if last else len(data)
            if body:
                self.asked.append(told)
        self.send_response(206 if told else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data[begin:end])))
        if told:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.end_headers()
        if body:
            self.wfile.write(data[begin:end])


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_from_elsewhere_only_what_is_asked_for_travels(folder: Path, url: str) -> None:
    found = Corpus(url)
    Ranges.asked.clear()
    example = found[5]
    here = Corpus(str(folder))[5]
    assert (example.sample, example.video, example.coarse, example.grid) == (here.sample, here.video, here.coarse, here.grid)
    assert len(Ranges.asked) == 1
    begin, _, end = Ranges.asked[0].removeprefix("bytes=").partition("-")
    assert int(end) - int(begin) < 10_000
    assert_all(found.read(range(len(found))))


def test_from_any_file_system(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe(f"/corpus/{path.name}", path.read_bytes())
    assert_all(Corpus("memory://corpus").read(range(24)))
    assert_streamed(stream("memory://corpus"))


def test_other_clips_are_refused(folder: Path) -> None:
    assert len(Corpus(str(folder), Clips())) == 24
    with pytest.raises(InputError, match="other clips"):
        Corpus(str(folder), Clips(look_tokens=4096))


def assert_streamed(samples: Any) -> None:
    found = list(samples)
    wanted = [(sample, e.coarse, e.grid) for e in packed() for sample in e.samples]
    assert [(told["sample"], told["coarse.mp4"], told["mp4"]) for told in found] == wanted


def test_our_stream_of_webdataset(folder: Path) -> None:
    assert_streamed(stream(str(folder)))


def test_webdataset_itself(folder: Path) -> None:
    import webdataset as wds

    shards = sorted(map(str, folder.glob("*.tar")))
    found = list(wds.WebDataset(shards, shardshuffle=False))
    assert len(found) == 12
    for told, wanted in zip(found, packed(), strict=True):
        assert told["__key__"] == wanted.key
        assert read_document(told["json"], "x") == (wanted.video, list(wanted.samples))
        assert (told["coarse.mp4"], told["mp4"]) == (wanted.coarse, wanted.grid)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ShardEntry]]:
    """The sparsest records first, and a density of a half after one of 2."""
    videos = [
        *(entry(number, 1, b"c", b"g", sparse=True) for number in range(3)),
        *(entry(number, 2, b"cc", b"gg", fps=Fraction(2)) for number in range(3, 6)),
        *(entry(number, 3, b"ccc", b"ggg", fps=Fraction(1, 2)) for number in range(6, 9)),
    ]
    folder = tmp_path_factory.mktemp("mixed")
    return publish(folder, *write_shards(folder, videos, 20_000), "mixed"), videos


def test_datasets_infers_one_schema_whatever_comes_first(
    mixed: tuple[Path, list[ShardEntry]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    # nothing is decoded here; where torchcodec is installed and FFmpeg's libraries are not, datasets fails by importing it
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", False)
    folder, wanted = mixed
    shards = sorted(map(str, folder.glob("*.tar")))
    loaded: Any = datasets.load_dataset("webdataset", data_files=shards, split="train", cache_dir=str(tmp_path))
    for column in ("coarse.mp4", "mp4"):
        loaded = loaded.cast_column(column, datasets.Video(decode=False))
    assert len(loaded) == len(wanted)
    for told, video in zip(loaded, wanted, strict=True):
        assert told["__key__"] == video.key
        assert read_document(json.dumps(told["json"]).encode(), "x") == (video.video, list(video.samples))
        assert (told["coarse.mp4"]["bytes"], told["mp4"]["bytes"]) == (video.coarse, video.grid)
    densities = [piece["fps"] for told in loaded for sample in told["json"]["samples"] for piece in sample["pieces"]]
    assert {"2", "0.5"} <= set(densities)
