"""An S3 server, moto's on loopback: as the source of a training, and as source and destination of an export that is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs  # pyright: ignore

from tests.support import flicker
from tests.training.conftest import write_settings

BUCKET = "corpora"


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A server with an empty bucket; keys and address go by the environment, as with any other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    told = {
        "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in told}
    os.environ |= told
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        system = s3fs.S3FileSystem()
        system.mkdir(BUCKET)
        yield system
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def packed(store: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A corpus of 64 videos, here and in the bucket."""
    folder = flicker.cot(tmp_path_factory.mktemp("corpus") / "cot", 64, 3)
    for path in folder.iterdir():
        store.put_file(str(path), f"{BUCKET}/cot/one/{path.name}")
    return folder, f"s3://{BUCKET}/cot/one"


def dmforge(*words: str, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "dmforge.cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "nothing" not in done.stderr + done.stdout.replace("nothing yet", "")  # the key
    return done.stdout if code == 0 else done.stderr


def bytes_in(store: Any, place: str) -> dict[str, str]:
    return {
        name.removeprefix(f"{BUCKET}/{place}/"): hashlib.sha256(store.cat_file(name)).hexdigest()
        for name in store.find(f"{BUCKET}/{place}")
    }


def bytes_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_shards_are_verified_and_exported_from_bucket_to_bucket(store: Any, packed: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = packed
    assert json.loads(dmforge("verify", address, "--json"))["ok"] is True
    told = json.loads(dmforge("export", address, "--to", "verl", "--out", f"s3://{BUCKET}/verl", "--json"))
    assert (told["samples"], told["left_out"], told["path"]) == (64, 0, f"s3://{BUCKET}/verl")
    dmforge("export", str(folder), "--to", "verl", "--out", str(tmp_path / "verl"))
    assert bytes_in(store, "verl") == bytes_of(tmp_path / "verl")
    assert "there is an export here already" in dmforge(
        "export", address, "--to", "verl", "--out", f"s3://{BUCKET}/verl", code=2
    )


def test_killed_it_is_unfinished_and_the_same_command_goes_on(store: Any, packed: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = packed
    dmforge("export", str(folder), "--to", "swift", "--out", str(tmp_path / "swift"))
    words = ["export", address, "--to", "swift", "--out", f"s3://{BUCKET}/swift"]
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-m", "dmforge.cli", *words], stdout=subprocess.DEVNULL)
        while process.poll() is None and len(parts(store)) < kill + 1:
            time.sleep(0.05)
        assert process.poll() is None, "it was faster than its killer"
        process.send_signal(signal.SIGKILL)
        process.wait()
        store.invalidate_cache()
        assert not store.exists(f"{BUCKET}/swift/export.json")
    dmforge(*words)
    store.invalidate_cache()
    assert bytes_in(store, "swift") == bytes_of(tmp_path / "swift")


def parts(store: Any) -> list[str]:
    store.invalidate_cache()
    return [name for name in store.find(f"{BUCKET}/swift/parts") if name.endswith(".jsonl")]


def test_a_training_reads_from_the_bucket_what_it_reads_from_the_disk(packed: tuple[Path, str], tmp_path: Path) -> None:
    losses = []
    for name, place in zip(("disk", "bucket"), packed, strict=True):
        (tmp_path / name).mkdir()
        settings = write_settings(tmp_path / name / "sft.toml", Path("placeholder"), training_steps="3", saving_save_every="3")
        settings.write_text(settings.read_text().replace("placeholder", str(place)))
        dmforge("train", "sft", str(settings), "--json")
        (log,) = (tmp_path / name).rglob("log.jsonl")
        losses.append([line["loss"] for line in map(json.loads, log.read_text().splitlines()) if "loss" in line])
    assert losses[0] == losses[1]
    assert losses[0]
