"""One bit, anywhere: found, and where. Tars of others: walked, never believed."""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmforge import cli
from dmforge.curation.exports import export
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.folders import MANIFEST
from dmforge.curation.shards.index import INDEX
from dmforge.curation.shards.integrity import ShardDefect, verify
from dmforge.curation.shards.tars import BLOCK, MAX_EXTRAS, MAX_MEMBER, BadShard, TarMember, header, walk
from dmforge.schemas.errors import DmforgeError, LakeError
from tests.support.corpora import corpus

FLIPS = 400


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("packed"), 12, 2, (700, 900), 10_000)


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "folder"))


def members(path: Path) -> list[TarMember]:
    with path.open("rb") as file:
        return list(walk(file, path.name))


def found(folder: Path) -> tuple[ShardDefect, ...]:
    return verify(str(folder)).defects


def test_what_was_packed_is_sound(folder: Path) -> None:
    told = verify(str(folder))
    assert told.defects == ()
    assert (told.samples, told.shards) == (24, len(list(folder.glob("*.tar"))))
    assert told.bytes == sum(path.stat().st_size for path in folder.glob("*.tar"))


@pytest.mark.slow
def test_one_flipped_bit_anywhere_is_found_and_placed(folder: Path) -> None:
    draw = random.Random(4)
    files = sorted(folder.iterdir())
    for _ in range(FLIPS):
        path = draw.choice(files)
        data = path.read_bytes()
        at = draw.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        defects = found(folder)
        assert defects, (path.name, at)
        assert all(defect.shard == path.name for defect in defects), (path.name, at, defects)
        if path.suffix == ".tar":
            assert_placed(defects[0], data, at)
        path.write_bytes(data)
    assert not found(folder)


def test_who_verifies_damaged_shards_is_told_which_and_what_to_do(folder: Path) -> None:
    damaged = flipped(folder)
    done = CliRunner().invoke(cli.app, ["verify", str(folder)])
    assert done.exit_code == 1
    error = done.stderr.replace("\n", "")
    assert f"{folder}: damaged: {damaged.name}" in error
    assert "fetch the folder again" in error
    assert "unfinished" not in error


def test_nothing_is_exported_from_damaged_shards(folder: Path, tmp_path: Path) -> None:
    damaged = flipped(folder)
    with pytest.raises(LakeError, match=damaged.name):
        export(Corpus(str(folder)), "dynframe", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def flipped(folder: Path) -> Path:
    """The first shard, a bit in the middle of it changed."""
    path = next(folder.glob("*.tar"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def assert_placed(defect: ShardDefect, data: bytes, at: int) -> None:
    """In a member's bytes the key is named; elsewhere the offset is that of the bit's own header or filling, or of the end."""
    for member in walk(io.BytesIO(data), "shard"):
        if member.header <= at < member.end:
            if at >= member.offset:
                assert defect.key == member.key
                assert member.offset <= defect.offset <= at
            else:
                assert member.header <= defect.offset < member.end
            return
    assert defect.offset >= max(member.end for member in walk(io.BytesIO(data), "shard"))


def cut(folder: Path) -> tuple[str, str]:
    path = folder / "train-000001.tar"
    member = members(path)[1]
    path.write_bytes(path.read_bytes()[: member.offset + 10])
    return path.name, member.key


def cut_between(folder: Path) -> tuple[str, str]:
    path = folder / "train-000001.tar"
    path.write_bytes(path.read_bytes()[: members(path)[2].end])
    return path.name, ""


def missing(folder: Path) -> tuple[str, str]:
    (folder / "train-000000.tar").unlink()
    return "train-000000.tar", ""


def swapped(folder: Path) -> tuple[str, str]:
    one, two = folder / "train-000000.tar", folder / "train-000001.tar"
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    return one.name, members(one)[0].key


def stale(folder: Path) -> tuple[str, str]:
    other = corpus(folder.parent / "other", 11, 2, (700, 900), 10_000)
    shutil.copy(other / INDEX, folder / INDEX)
    return INDEX, ""


def renamed(folder: Path) -> tuple[str, str]:
    """With a header that is right in itself."""
    path = folder / "train-000002.tar"
    data, member = bytearray(path.read_bytes()), members(path)[4]
    name = "b" + member.name[1:]
    data[member.header : member.header + BLOCK] = header(name, member.size)
    path.write_bytes(data)
    return path.name, name.partition(".")[0]


def twice(folder: Path) -> tuple[str, str]:
    path = folder / "train-000000.tar"
    first = members(path)[0]
    data = path.read_bytes()
    path.write_bytes(data[: first.end] + data)
    return path.name, first.key


def relabelled(folder: Path) -> tuple[str, str]:
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"cot"', '"rl"'))
    return MANIFEST, ""


@pytest.mark.parametrize(
    "harm", [cut, cut_between, missing, swapped, stale, renamed, twice, relabelled], ids=lambda harm: harm.__name__
)
def test_what_is_harmed_is_named(folder: Path, harm: Callable[[Path], tuple[str, str]]) -> None:
    shard, key = harm(folder)
    first = found(folder)[0]
    assert (first.shard, first.key) == (shard, key)
    done = CliRunner().invoke(cli.app, ["verify", str(folder), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert {"shard", "key", "offset", "reason"} <= told["defects"][0].keys()


@pytest.mark.parametrize("harm", [cut, swapped, stale, renamed, relabelled], ids=lambda harm: harm.__name__)
def test_a_reader_does_not_hand_out_what_is_not_there(folder: Path, harm: Callable[[Path], tuple[str, str]]) -> None:
    wanted = [example.sample.id for example in Corpus(str(folder)).read(range(24))]
    harm(folder)
    with pytest.raises(DmforgeError) as caught:
        assert [example.sample.id for example in Corpus(str(folder)).read(range(24))] == wanted
    assert str(folder) in str(caught.value)


def test_a_folder_that_is_none_is_said_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["verify", str(tmp_path)])
    assert done.exit_code == 2
    assert "manifest.json" in done.output


# tars of others


def tar(*infos: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as out:
        for info, data in infos:
            info.size = len(data) if info.isreg() else 0
            out.addfile(info, io.BytesIO(data))
    return file.getvalue()


def link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("a.json")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def oversized() -> bytes:
    info = tarfile.TarInfo("a.mp4")
    info.size = MAX_MEMBER + 1
    return info.tobuf(tarfile.USTAR_FORMAT)


def pax(**told: str) -> bytes:
    info = tarfile.TarInfo("a.json")
    info.pax_headers = told
    return tar((info, b"x"), form=tarfile.PAX_FORMAT)


def untrusted() -> Iterator[tuple[str, bytes]]:
    for name in ("../a.json", "/a.json", "x/../../a.json", "a\n.json", ".."):
        yield f"name {name!r}", tar((tarfile.TarInfo(name), b"x"))
    for word, kind in (("symlink", tarfile.SYMTYPE), ("hard link", tarfile.LNKTYPE), ("device", tarfile.CHRTYPE),
                       ("pipe", tarfile.FIFOTYPE), ("folder", tarfile.DIRTYPE)):  # fmt: skip
        yield word, tar((link(kind), b""))
    yield "twice", tar((tarfile.TarInfo("a.json"), b"x"), (tarfile.TarInfo("a.json"), b"y"))
    yield "oversized", oversized()
    yield "size by extension", pax(size="5")
    yield "link by extension", pax(linkpath="/etc/passwd")
    yield "name by extension", pax(path="../a.json")
    yield "long extension", pax(comment="x" * MAX_EXTRAS)
    yield "long name of GNU", tar((tarfile.TarInfo("a" * 200 + ".json"), b"x"), form=tarfile.GNU_FORMAT)
    yield "noise", random.Random(1).randbytes(2048)
    yield "nothing", b""


@pytest.mark.parametrize(("name", "data"), [pytest.param(*case, id=case[0]) for case in untrusted()])
def test_what_is_not_to_be_trusted_is_refused(name: str, data: bytes) -> None:
    good = tar((tarfile.TarInfo("first.json"), b"{}"))[:1024]
    for before in (b"", good):
        with pytest.raises(BadShard) as caught:
            list(walk(io.BytesIO(before + data), "s.tar"))
        assert caught.value.shard == "s.tar"
        assert len(before) <= caught.value.offset <= len(before) + len(data)


def test_plain_tars_of_others_are_read() -> None:
    info = tarfile.TarInfo("folder/a.b.json")
    info.mtime = 1.5  # which webdataset's own writer does, and tar extends the header for
    data = tar((info, b"{}"), (tarfile.TarInfo("ü.json"), b"[]"), form=tarfile.PAX_FORMAT)
    found = list(walk(io.BytesIO(data), "s.tar"))
    assert [(member.key, member.suffix, member.size) for member in found] == [("folder/a", "b.json", 2), ("ü", "json", 2)]
    assert [data[member.offset : member.offset + member.size] for member in found] == [b"{}", b"[]"]
