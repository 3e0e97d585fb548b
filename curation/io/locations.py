"""Locations of the files that people bring: local paths, or addresses that fsspec reaches. Either is a text."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dmforge.curation.io.atomic import disk_errors, make_folder, remove_file
from dmforge.curation.io.byte_limit import ByteLimit
from dmforge.schemas.errors import InputError, Transient
from dmforge.schemas.visible import storable

CHUNK = 1 << 20
READ_TIMEOUT_S = 20.0
"""How long a server may send nothing before it is given up on for now."""
MAX_MESSAGE_CHARS = 300
MAX_BYTES = 256 << 30
"""The largest remote file: twelve hours at 45 Mbit/s. An endless one would fill the disk."""
MAX_DEPTH = 16
"""How deep folders at an address are searched: a server can make up more for ever."""


def is_remote(location: str) -> bool:
    return "://" in location


def without_secrets(address: str) -> str:
    """An address without what may be a secret in it: for logs and messages."""
    if not is_remote(address):
        return address
    split_url = urlsplit(address)
    return f"{split_url.scheme}://{split_url.netloc.rpartition('@')[2]}{split_url.path}"


def stem(location: str) -> str:
    """What a file is called, without its suffix."""
    return PurePosixPath(unquote(urlsplit(location).path) if is_remote(location) else location).stem


def files(locations: Sequence[str], suffixes: frozenset[str]) -> Iterator[str]:
    """These files, and the files with such suffixes in these folders, as absolute locations."""
    for location in locations:
        yield from _remote_files(location, suffixes) if is_remote(location) else _local_files(Path(location), suffixes)


def skipped_suffixes(locations: Sequence[str], suffixes: frozenset[str]) -> Counter[str]:
    """Counts of the files in local folders with other suffixes than these, by suffix; hidden files are left out."""
    local_folders = (Path(location) for location in locations if not is_remote(location))
    all_files = (
        local_file
        for local_folder in local_folders
        if local_folder.is_dir()
        for local_file in local_folder.rglob("*")
        if local_file.is_file()
    )
    return Counter(
        local_file.suffix.lower() or "no suffix"
        for local_file in all_files
        if local_file.suffix.lower() not in suffixes and not local_file.name.startswith(".")
    )


def is_utf8(location: str) -> bool:
    """Whether a location can be stored: names of files are bytes, and tables hold text."""
    return storable(location) == location


def sha256_of(location: str | Path) -> str:
    """The sha256 of a file's bytes; a remote file is read through and not kept."""
    if isinstance(location, str) and is_remote(location):
        with _read_errors(location):
            sha256_hash = hashlib.sha256()
            for chunk in _read_chunks(location):
                sha256_hash.update(chunk)
            return sha256_hash.hexdigest()
    with disk_errors(Path(location)), open(location, "rb") as hashed_file:
        return hashlib.file_digest(hashed_file, "sha256").hexdigest()


@contextmanager
def local_copy(location: str, copy_path: Path) -> Generator[Path]:
    """The file as a local path: of a remote file a copy, which is deleted afterwards. A missing file is a transient error."""
    if not is_remote(location):
        if not Path(location).is_file():
            raise Transient(f"{location} is not there: bring it back, or ingest the file again from where it is")
        yield Path(location)
        return
    make_folder(copy_path.parent)
    try:
        with disk_errors(copy_path), open(copy_path, "wb") as copy_file:
            for chunk in _chunks_or_transient(location):
                copy_file.write(chunk)
        yield copy_path
    finally:
        remove_file(copy_path)


def _local_files(path: Path, suffixes: frozenset[str]) -> Iterator[str]:
    if path.is_dir():
        found_paths = sorted(
            nested_file for nested_file in path.rglob("*") if nested_file.suffix.lower() in suffixes and nested_file.is_file()
        )
        if not found_paths:
            hint = f"name the files themselves, or give them a suffix that is known: {' '.join(sorted(suffixes))}"
            raise InputError("no videos in this folder", where=str(path), hint=hint)
    elif path.is_file():
        found_paths = [path]
    elif path.exists():
        raise InputError("neither a file nor a folder", where=str(path), hint="give files and folders")
    else:
        raise InputError("there is no such file or folder", where=str(path), hint="correct the path")
    yield from (str(nested_file.resolve()) for nested_file in found_paths)


def _remote_files(address: str, suffixes: frozenset[str]) -> Iterator[str]:
    with _read_errors(address):
        file_system, folder_path = filesystem_of(address)
        if not address.endswith("/") and file_system.isfile(folder_path):
            file_paths = [folder_path]
        else:
            # a listing may link to anything; addresses with a query are never written down
            all_paths = [
                remote_path
                for remote_path in file_system.find(folder_path, maxdepth=MAX_DEPTH)
                if not urlsplit(remote_path).query
            ]
            file_paths = sorted(
                remote_path for remote_path in all_paths if PurePosixPath(urlsplit(remote_path).path).suffix.lower() in suffixes
            )
            if not file_paths:
                raise FileNotFoundError("no such file, and no folder with videos")
    yield from (file_system.unstrip_protocol(remote_path) for remote_path in file_paths)


def filesystem_of(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs]

    split_url = urlsplit(address)
    if "::" in address:
        raise InputError("a chain of file systems", where=address, hint="unpack it first, or give the address itself")
    if "@" in split_url.netloc or split_url.query or split_url.fragment:  # places are written down in plain text
        hint = "give the plain address; keys go by the environment or the configuration of its storage, as fsspec reads them"
        raise InputError("an address with a key or a query in it", where=without_secrets(address), hint=hint)
    fsspec_options: dict[str, Any] = {}
    if split_url.scheme in ("http", "https"):
        import aiohttp

        from dmforge.curation.io.http_guard import session

        http_timeout = aiohttp.ClientTimeout(total=None, sock_connect=READ_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        fsspec_options |= {
            "client_kwargs": {"timeout": http_timeout},
            "get_client": partial(session, named_host=split_url.hostname or ""),
        }
    return url_to_fs(address, **fsspec_options)


def _read_chunks(address: str) -> Iterator[bytes]:
    file_system, remote_path = filesystem_of(address)
    # read through once: over HTTP as one stream, which servers without ranges give, too
    open_options = {"block_size": 0} if address.startswith("http") else {"block_size": 8 * CHUNK, "cache_type": "readahead"}
    with file_system.open(remote_path, "rb", **open_options) as remote_file:
        byte_limit = ByteLimit(MAX_BYTES, lambda: OSError(f"a file of more than {MAX_BYTES >> 30} GB"))
        while chunk := remote_file.read(CHUNK):
            yield byte_limit.passed(chunk)


def _chunks_or_transient(address: str) -> Iterator[bytes]:
    """The chunks of a remote file, with every error as a transient one: the next try may succeed."""
    try:
        yield from _read_chunks(address)
    except FileNotFoundError:
        raise Transient(f"{address} is not there: ingest the file again from where it is") from None
    except Exception as error:  # every storage has errors of its own
        raise Transient(f"{address} can't be read: {_root_message(error)}") from error


@contextmanager
def _read_errors(address: str) -> Generator[None]:
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"this kind of address needs a package: {error}", where=address, hint="install it") from None
    except Exception as error:  # every storage has errors of its own
        hint = "correct the address, or try again when its server answers; nothing was changed"
        raise InputError(f"can't be read: {_root_message(error)}", where=address, hint=hint) from None


def _root_message(error: BaseException) -> str:
    """The message of the error's root cause, shortened: some errors quote all that a server sent."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)[:MAX_MESSAGE_CHARS] or type(error).__name__
