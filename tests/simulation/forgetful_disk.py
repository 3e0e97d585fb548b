"""A disk that forgets: a real folder, and what was written to it and not yet fsynced: a power cut leaves any part of that.

Product code, DuckDB and Arrow work on the folder as it is. Beside it stands what may be lost: of each file its bytes at the
last fsync and the writes since, of each folder its names at the last fsync and the changes since. At a power cut the folder is
rewritten to one of the states that this allows.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 64
"""What is written at once. Small, as the files of the simulation are."""


@dataclass(eq=False)
class File:
    """A file: its bytes at the last fsync, and the writes since; a write of None cuts it to a length."""

    durable: bytes = b""
    writes: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])

    def content(self) -> bytes:
        """The bytes with all writes."""
        return _written(self.durable, self.writes)


@dataclass(frozen=True)
class Change:
    """A change of a folder: a name leads to another node, or to none; a rename takes the old name away with it."""

    number: int
    """In the order of all changes on the disk."""
    name: str
    node: File | Folder | None
    old_name: str | None = None


@dataclass(eq=False)
class Folder:
    """A folder: its names now, at the last fsync, and what changed between."""

    names: dict[str, File | Folder] = field(default_factory=dict[str, "File | Folder"])
    durable: dict[str, File | Folder] = field(default_factory=dict[str, "File | Folder"])
    changes: list[Change] = field(default_factory=list[Change])


class ForgetfulDisk:
    """What a folder owes to its disk."""

    def __init__(self, root: Path) -> None:
        self.root, self._tree, self._next_change, self._flushed = root, Folder(), 0, 0
        self._nodes: dict[int, File | Folder] = {}
        """By open descriptor."""
        self.settle()

    def settle(self) -> None:
        """Take what lies in the folder now for durable."""
        self._tree, self._nodes = _scanned(self.root), {}

    def covers(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def opened(self, path: Path, descriptor: int) -> None:
        """Note an open file; one that nobody has seen yet was made just now."""
        node = self._node(path)
        if node is not None:
            self._nodes[descriptor] = node

    def closed(self, descriptor: int) -> None:
        self._nodes.pop(descriptor, None)

    def wrote(self, descriptor: int, offset: int, data: bytes | None) -> None:
        """Note a write, or a cut to the length `offset`."""
        node = self._nodes.get(descriptor)
        if isinstance(node, File):
            node.writes.append((offset, data))

    def synced(self, descriptor: int) -> None:
        """Note an fsync: what the file or folder holds now stays."""
        node = self._nodes.get(descriptor)
        self._flushed = self._next_change
        if isinstance(node, File):
            content = node.content()
            if len(content) != os.fstat(descriptor).st_size:  # others, as an encoder, have written to it
                content = Path(f"/proc/self/fd/{descriptor}").read_bytes()
            node.durable, node.writes = content, []
        elif isinstance(node, Folder):
            node.durable, node.changes = dict(node.names), []

    def renamed(self, source: Path, target: Path) -> None:
        folder, node = self._folder(source.parent), self._node(source)
        assert node is not None
        assert source.parent == target.parent, "the lake renames within a folder"
        del folder.names[source.name]
        folder.names[target.name] = node
        folder.changes.append(Change(self._number(), target.name, node, source.name))

    def removed(self, path: Path) -> None:
        folder = self._folder(path.parent)
        if folder.names.pop(path.name, None) is not None:
            folder.changes.append(Change(self._number(), path.name, None))

    def made(self, path: Path) -> None:
        """Note a new folder."""
        self._node(path)

    def rot(self, path: Path, content: bytes) -> None:
        """Change the bytes of a file on the disk itself."""
        path.write_bytes(content)
        node = self._node(path)
        if isinstance(node, File):
            node.durable, node.writes = content, []

    def cut(self, rng: random.Random) -> None:
        """The power goes: rewrite the folder to a state that the disk may have. A file system either keeps the order of all
        changes of names, or loses any of them."""
        self._notice(self.root, self._tree)
        keep_until = rng.randint(self._flushed, self._next_change) if rng.random() < 0.5 else None
        files: dict[Path, bytes] = {}
        folders = list(_left(self.root, self._tree, rng, keep_until, files))
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if path not in folders:
                    shutil.rmtree(path)
            elif path not in files:
                path.unlink()
        for folder in folders:
            folder.mkdir(exist_ok=True, parents=True)
        for path, content in files.items():
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
        self.settle()

    def _number(self) -> int:
        self._next_change += 1
        return self._next_change

    def _notice(self, path: Path, folder: Folder) -> None:
        """Note what others than the seam have made."""
        for entry in sorted(path.iterdir()):
            node = self._known(folder, entry)
            if isinstance(node, Folder):
                self._notice(entry, node)

    def _folder(self, path: Path) -> Folder:
        node = self._node(path)
        assert isinstance(node, Folder), path
        return node

    def _node(self, path: Path) -> File | Folder | None:
        node: File | Folder | None = self._tree
        at = self.root
        for name in path.relative_to(self.root).parts:
            at = at / name
            node = self._known(node, at) if isinstance(node, Folder) else None
        return node

    def _known(self, folder: Folder, path: Path) -> File | Folder | None:
        """A node; what has appeared since is noted as made and not fsynced."""
        if path.name not in folder.names and path.exists():
            node = Folder() if path.is_dir() else File(b"", [(0, content)] if (content := path.read_bytes()) else [])
            folder.names[path.name] = node
            folder.changes.append(Change(self._number(), path.name, node))
        return folder.names.get(path.name)


def _scanned(path: Path) -> Folder:
    names: dict[str, File | Folder] = {
        entry.name: _scanned(entry) if entry.is_dir() else File(entry.read_bytes()) for entry in sorted(path.iterdir())
    }
    return Folder(names, dict(names))


def _left(path: Path, folder: Folder, rng: random.Random, keep_until: int | None, files: dict[Path, bytes]) -> Iterator[Path]:
    """The folders that are left of a folder, itself first; its files are added to `files`."""
    yield path
    names = dict(folder.durable)
    for change in folder.changes:
        if rng.random() < 0.5 if keep_until is None else change.number <= keep_until:
            names.pop(change.old_name or "", None)
            if change.node is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.node
    for name, node in sorted(names.items()):
        if isinstance(node, Folder):
            yield from _left(path / name, node, rng, keep_until, files)
        else:
            files[path / name] = _bytes_left(node, rng)


def _bytes_left(file: File, rng: random.Random) -> bytes:
    """What a power cut leaves of a file: all or none of its writes, the first of them, or any of their sectors."""
    if not file.writes:
        return file.durable
    fate = rng.choice(("none", "all", "first", "any"))
    if fate == "none":
        return file.durable
    if fate == "all":
        return file.content()
    if fate == "first":
        count = rng.randrange(len(file.writes))
        offset, data = file.writes[count]
        begun = [(offset, data[: rng.randint(0, len(data))])] if data is not None else []
        return _written(file.durable, [*file.writes[:count], *begun])
    content = bytearray(file.content())
    for start in range(0, len(content), SECTOR_BYTES):
        stop = min(start + SECTOR_BYTES, len(content))
        old = file.durable[start:stop].ljust(stop - start, b"\0")
        if rng.random() < 0.5:
            content[start:stop] = old
    return bytes(content)


def _written(content: bytes, writes: list[tuple[int, bytes | None]]) -> bytes:
    buffer = bytearray(content)
    for offset, data in writes:
        if len(buffer) < offset:
            buffer += b"\0" * (offset - len(buffer))
        if data is None:
            del buffer[offset:]
        else:
            buffer[offset : offset + len(data)] = data
    return bytes(buffer)
