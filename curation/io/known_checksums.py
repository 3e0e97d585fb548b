"""The sha256 of files on this machine, each hashed once a process as long as it looks the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

FileVersion = tuple[str | int, ...]

_sha256_by_version: dict[FileVersion, str] = {}


def file_version(path: Path) -> FileVersion:
    """What a change of a file changes: its place on the disk, its length, and its times of change."""
    status = path.stat()
    return str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def known_sha256(path: Path) -> str:
    """The sha256 of a file; it is read only if this process hasn't hashed it as it is."""
    version_before = file_version(path)
    if version_before not in _sha256_by_version:
        with path.open("rb") as file:
            _sha256_by_version[version_before] = hashlib.file_digest(file, "sha256").hexdigest()
    return _sha256_by_version[version_before]
