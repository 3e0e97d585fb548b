"""The checksums of a finished folder, in a file that `sha256sum --check` reads too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dmforge.curation.io.atomic import TEMPORARY, disk_errors, write_bytes
from dmforge.curation.io.known_checksums import known_sha256

CHECKSUMS = "checksums.sha256"


def write_checksums(folder: Path, without: Path | None = None) -> None:
    """Write down the sha256 of every file that lies in a folder now, but for those in the folder `without`, and for unfinished
    ones, which a kill has left."""
    with disk_errors(folder):
        paths = sorted(
            path
            for path in folder.rglob("*")
            if path.is_file() and path != folder / CHECKSUMS and path.suffix != TEMPORARY and without not in path.parents
        )
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as thread_pool:
            sha256s = list(thread_pool.map(known_sha256, paths))
    lines = (f"{sha256}  {path.relative_to(folder)}\n" for sha256, path in zip(sha256s, paths, strict=True))
    write_bytes(folder / CHECKSUMS, "".join(lines).encode("utf-8", "surrogateescape"))


def changed_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a folder that are not as its checksums say, each with what is wrong; nothing where it has none."""
    checksums_path = folder / CHECKSUMS
    if not checksums_path.is_file():
        return
    *lines, behind_last = checksums_path.read_text("utf-8", "surrogateescape").split("\n")
    if behind_last or not lines:
        yield checksums_path, "it was cut off"
    for line_number, line in enumerate(lines, 1):
        sha256, separator, name = line.partition("  ")
        path = folder / name
        if not separator or len(sha256) != 64 or ".." in Path(name).parts or Path(name).is_absolute():
            yield checksums_path, f"line {line_number} is no checksum"
        elif not path.is_file():
            yield path, "it is missing"
        elif known_sha256(path) != sha256:
            yield path, "its bytes were changed"
