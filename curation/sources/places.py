"""Where foreign files lie: in folders here, or at an address that fsspec reaches. A place is a text in either case."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from dmforge.curation.atomic import disk_errors, make_folder
from dmforge.schemas.errors import InputError, Transient
from dmforge.schemas.visible import storable

CHUNK = 1 << 20
SILENT_S = 20.0
"""A server that sends nothing for so long is given up on for now."""
MOST_TOLD = 300
MAX_BYTES = 256 << 30
"""Of a file elsewhere: twelve hours at 45 Mbit/s. One that goes on for ever would fill the disk."""
DEEPEST = 16
"""Folders in folders at an address: a server can make up more for ever."""


def is_remote(place: str) -> bool:
    return "://" in place


def plain(address: str) -> str:
    """An address without what may be a secret in it: for logs and messages."""
    if not is_remote(address):
        return address
    told = urlsplit(address)
    return f"{told.scheme}://{told.netloc.rpartition('@')[2]}{told.path}"


def stem(place: str) -> str:
    """What a file is called, without its suffix."""
    return PurePosixPath(unquote(urlsplit(place).path) if is_remote(place) else place).stem


def files(places: Sequence[str], suffixes: frozenset[str]) -> Iterator[str]:
    """These files, and those with such suffixes in these folders, by their absolute names."""
    for place in places:
        yield from _remote_files(place, suffixes) if is_remote(place) else _local_files(Path(place), suffixes)


def left_out(places: Sequence[str], suffixes: frozenset[str]) -> Counter[str]:
    """How many files of folders here have other suffixes than these, by suffix; hidden ones are nobody's business."""
    folders = (Path(place) for place in places if not is_remote(place))
    others = (file for folder in folders if folder.is_dir() for file in folder.rglob("*") if file.is_file())
    return Counter(
        file.suffix.lower() or "no suffix"
        for file in others
        if file.suffix.lower() not in suffixes and not file.name.startswith(".")
    )


def is_utf8(place: str) -> bool:
    """Whether a place can be written down: names of files are bytes, and tables hold text."""
    return storable(place) == place


def sha256_of(place: str | Path) -> str:
    """Of a file's bytes; one that lies elsewhere is read through and not kept."""
    if isinstance(place, str) and is_remote(place):
        with _read_errors(place):
            return _sha256(_chunks(place))
    with disk_errors(Path(place)), open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def at_hand(place: str, copy: Path) -> Generator[Path]:
    """The file as one that can be opened here: a remote one as a copy, which is gone afterwards. Its absence may pass."""
    if not is_remote(place):
        if not Path(place).is_file():
            raise Transient(f"{place} is not there: bring it back, or ingest the file again from where it is")
        yield Path(place)
        return
    make_folder(copy.parent)
    try:
        with disk_errors(copy), open(copy, "wb") as file:
            for chunk in _patiently(place):
                file.write(chunk)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _local_files(path: Path, suffixes: frozenset[str]) -> Iterator[str]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
        if not found:
            mend = f"name the files themselves, or give them a suffix that is known: {' '.join(sorted(suffixes))}"
            raise InputError("no videos in this folder", where=str(path), mend=mend)
    elif path.is_file():
        found = [path]
    elif path.exists():
        raise InputError("neither a file nor a folder", where=str(path), mend="give files and folders")
    else:
        raise InputError("there is no such file or folder", where=str(path), mend="correct the path")
    yield from (str(file.resolve()) for file in found)


def _remote_files(address: str, suffixes: frozenset[str]) -> Iterator[str]:
    with _read_errors(address):
        system, path = reached(address)
        if not address.endswith("/") and system.isfile(path):
            found = [path]
        else:
            # a listing may link to anything; addresses with a query are never written down
            files = [file for file in system.find(path, maxdepth=DEEPEST) if not urlsplit(file).query]
            found = sorted(file for file in files if PurePosixPath(urlsplit(file).path).suffix.lower() in suffixes)
            if not found:
                raise FileNotFoundError("no such file, and no folder with videos")
    yield from (system.unstrip_protocol(file) for file in found)


def reached(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # pyright: ignore[reportMissingTypeStubs]

    told = urlsplit(address)
    if "::" in address:
        raise InputError("a chain of file systems", where=address, mend="unpack it first, or give the address itself")
    if "@" in told.netloc or told.query or told.fragment:  # places are written down in plain text
        mend = "give the plain address; keys go by the environment or the configuration of its storage, as fsspec reads them"
        raise InputError("an address with a key or a query in it", where=plain(address), mend=mend)
    options: dict[str, Any] = {}
    if told.scheme in ("http", "https"):
        import aiohttp

        from dmforge.curation.sources.outside import session

        silence = aiohttp.ClientTimeout(total=None, sock_connect=SILENT_S, sock_read=SILENT_S)
        options |= {"client_kwargs": {"timeout": silence}, "get_client": partial(session, named=told.hostname or "")}
    return url_to_fs(address, **options)


def _chunks(address: str) -> Iterator[bytes]:
    system, path = reached(address)
    # read through once: over HTTP as one stream, which servers without ranges give, too
    how = {"block_size": 0} if address.startswith("http") else {"block_size": 8 * CHUNK, "cache_type": "readahead"}
    with system.open(path, "rb", **how) as file:
        passed = 0
        while chunk := file.read(CHUNK):
            passed += len(chunk)
            if passed > MAX_BYTES:
                raise OSError(f"a file of more than {MAX_BYTES >> 30} GB")
            yield chunk


def _patiently(address: str) -> Iterator[bytes]:
    """As they come; what goes wrong on the way may go right another time."""
    try:
        yield from _chunks(address)
    except FileNotFoundError:
        raise Transient(f"{address} is not there: ingest the file again from where it is") from None
    except Exception as error:  # every storage has errors of its own
        raise Transient(f"{address} can't be read: {_told(error)}") from error


@contextmanager
def _read_errors(address: str) -> Generator[None]:
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"this kind of address needs a package: {error}", where=address, mend="install it") from None
    except Exception as error:  # every storage has errors of its own
        mend = "correct the address, or try again when its server answers; nothing was changed"
        raise InputError(f"can't be read: {_told(error)}", where=address, mend=mend) from None


def _told(error: BaseException) -> str:
    """What went wrong at first, in so many letters: some errors quote all that a server sent."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)[:MOST_TOLD] or type(error).__name__


def _sha256(chunks: Iterator[bytes]) -> str:
    whole = hashlib.sha256()
    for chunk in chunks:
        whole.update(chunk)
    return whole.hexdigest()
