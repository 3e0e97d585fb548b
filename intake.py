"""What people bring: written down in `inputs/`, then taken through the stages that read it, and counted."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from rich.console import Console

from dmforge import pipeline
from dmforge.curation.atomic import disk_errors, write_json
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.forgotten import forgotten_videos
from dmforge.curation.lake.views import View
from dmforge.curation.ranks import retry_while_held
from dmforge.curation.sources import annotations, places, videos
from dmforge.curation.sources.annotations import Brought
from dmforge.curation.sources.checking import Checked, check
from dmforge.curation.sources.claims import Claims
from dmforge.curation.sources.contract import Format, Refused
from dmforge.curation.sources.formats import FORMATS
from dmforge.curation.sources.importing import Import
from dmforge.curation.sources.names import Finder
from dmforge.curation.sources.reading import read_questions
from dmforge.curation.sources.references import FOLDER, Benchmarks, Reference
from dmforge.curation.sources.videos import UNSAID
from dmforge.curation.terminal import Terminal
from dmforge.curation.video.ingest import Ingest
from dmforge.curation.workspace import Workspace
from dmforge.recipe import read_recipe
from dmforge.schemas.config import nearest
from dmforge.schemas.errors import InputError
from dmforge.schemas.ids import ID_BYTES, Id, digest
from dmforge.schemas.records import UNKNOWN, Task
from dmforge.schemas.visible import storable


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the files that were brought."""

    ingested: int
    known: int
    quarantined: int
    pending: int
    deferred: dict[str, int]
    """Why some stay pending."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the questions that were brought: questions = tasks + identical + rejected + pending."""

    tasks: int
    identical: int
    flagged: dict[str, int]
    rejected: dict[str, int]
    pending: int
    deferred: dict[str, int]
    examples: dict[str, str]
    """For each reason a question that was rejected for it: its file, its row, and the video that it names."""


def bring(workspace: Workspace, console: Terminal, command: str) -> None:
    """What the recipe itself names, written down; a run ingests it. Files that look as they did are not read again."""
    claims, fresh, seen = _to_bring(workspace)
    if fresh:
        registered = add_videos(workspace, command, fresh, claims)
        _say_what_else(console, "[bring]", registered, _places_of_recipe(workspace))
        for place in registered.unread:  # the next run tries it again
            del seen["files"][storable(place)]
        write_json(_brought(workspace), seen)


def bring_in_turn(workspace: Workspace, console: Terminal, command: str, patience_s: float) -> None:
    """The same where several ranks start at once: one does it, the others wait for it."""
    retry_while_held(lambda: bring(workspace, console, command), patience_s)


def to_bring(workspace: Workspace) -> int:
    """How many files of the recipe's own no run has taken in yet."""
    return len(_to_bring(workspace)[1])


Looks = dict[str, list[int]]
"""What files look like without being read."""


def _to_bring(workspace: Workspace) -> tuple[Claims, list[str], dict[str, Any]]:
    """What is said of the recipe's files; those that are new, or of which something else is said now; what to remember."""
    told = read_recipe(workspace.require().recipe).bring
    whole = _places_of_recipe(workspace)
    claims = Claims(told.source, told.licence, told.terms, told.namespace)
    said, path = digest("claims", asdict(claims)).hex(), _brought(workspace)
    with disk_errors(path):
        before = json.loads(path.read_bytes()) if path.exists() and videos.listed(workspace) else {}
    known: Looks = before["files"] if before.get("said") == said else {}
    try:
        found: Looks = {place: _look_of(place) for place in places.files(whole, videos.SUFFIXES)}
    except InputError as error:
        if known:  # all of it was taken in once: originals may be elsewhere by now
            return claims, [], before
        where, mend = f"{workspace.recipe}: [bring] videos", f"correct the path; it is seen from {workspace.root}"
        raise InputError(f"{error.where}: {error.what}", where=where, mend=mend) from None
    fresh = [place for place, look in found.items() if known.get(storable(place)) != look]
    return claims, fresh, {"said": said, "files": {storable(place): look for place, look in found.items()}}


def _places_of_recipe(workspace: Workspace) -> list[str]:
    named = read_recipe(workspace.recipe).bring.videos
    return [place if places.is_remote(place) else str(workspace.root / place) for place in named]


def _say_what_else(console: Terminal, where: str, registered: videos.Registered, brought: Sequence[str]) -> None:
    """What lay beside the videos that came in, so that nobody looks for it in the lake."""
    for place, reason in registered.unread.items():
        console.print_line(f"{where}: {place} can't be read, the other files are taken in: {reason}")
    if registered.copies:
        console.print_line(f"{where}: {registered.copies} files are copies of others, byte for byte; each video is taken once")
    others = places.left_out(brought, videos.SUFFIXES)
    if others:
        by_suffix = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common())
        console.print_line(f"{where}: {others.total()} files are left out, they are not called like videos: {by_suffix}")


def _look_of(place: str) -> list[int]:
    """Of a file here its length and when it was last written; of an address nothing."""
    if places.is_remote(place):
        return []
    told = Path(place).stat()
    return [told.st_size, told.st_mtime_ns]


def _brought(workspace: Workspace) -> Path:
    return workspace.runs / "brought" / "files.json"


def ingest(workspace: Workspace, console: Terminal, command: str, brought: Sequence[str], claims: Claims) -> Ingested:
    """Videos into the lake."""
    registered = add_videos(workspace, command, brought, claims)
    _say_what_else(console, "ingest", registered, brought)
    *_, report = pipeline.run(workspace, console, command, Ingest.name)
    with _current(workspace) as view:
        new = _outcomes(view, Ingest.name, "video", registered.new)
        known = _outcomes(view, Ingest.name, "video", registered.known)
        unusable = _examples(view, Ingest.name, "video", [*registered.new, *registered.known])
    for reason, example in unusable.items():
        console.print_line(f"ingest: quarantined: {reason}, as in {example}" if example else f"ingest: quarantined: {reason}")
    statuses = Counter(status for status, _ in (new + known).elements())
    pending = len({*registered.new, *registered.known} - forgotten_videos(workspace)) - statuses.total()
    pending += len(registered.unread)
    return Ingested(new["made", ""], len(registered.known), statuses["quarantined"], pending, report.deferred)


def import_annotations(
    workspace: Workspace,
    console: Console,
    command: str,
    form: str,
    files: Sequence[Path],
    folders: Sequence[Path],
    claims: Claims,
) -> Imported:
    """Annotation files into the lake, with the videos of some folders that they are about; benchmarks as what they are."""
    brought = add_annotations(workspace, command, form, files, folders, claims)
    stage = Benchmarks.name if brought.folder == FOLDER else Import.name
    *_, report = pipeline.run(workspace, console, command, stage)
    rows = annotations.rows_of(workspace, brought)
    with _current(workspace) as view:
        outcomes = _outcomes(view, stage, "input", rows)
        table = Reference.table if brought.folder == FOLDER else Task.table
        made = _made(view, table, rows)
        flagged = _flagged(view, rows) if table == Task.table else {}
        examples = _examples(view, stage, "input", rows)
    rejected = {reason: number for (status, reason), number in sorted(outcomes.items()) if status != "made"}
    pending = len(set(rows)) - sum(outcomes.values())
    identical = len(rows) - made - sum(rejected.values()) - pending
    return Imported(made, identical, flagged, rejected, pending, report.deferred, examples)


def dry_import(form: str, files: Sequence[Path], folders: Sequence[Path]) -> Imported:
    """What an import would find, as far as files tell without videos. Nothing is written, and little is held in memory."""
    find = _in_folders(folders) if folders else None
    seen, flags_of = array("Q"), array("Q")
    flags, rejected, examples = dict[str, int](), Counter[str](), dict[str, str]()
    for placed in read_questions(_format(form), files):
        asked = placed.asked
        found = asked if isinstance(asked, Refused) else check(asked)
        reason = found.reason if isinstance(found, Refused) else ""
        if not reason and find is not None and len(find.find(asked.video)) != 1:
            reason = annotations.MISSING
        if reason:
            rejected[reason] += 1
            examples.setdefault(reason, f"{placed.origin}: {asked.video}")
        elif isinstance(found, Checked):
            seen.append(int.from_bytes(digest("question", [asked.video, *found.content()])[:8]))
            flags_of.append(sum(1 << flags.setdefault(flag, len(flags)) for flag in found.flags))
    distinct, first = np.unique(np.asarray(seen), return_index=True)
    of_first = np.asarray(flags_of)[first]
    flagged = {flag: int((of_first >> np.uint64(bit) & np.uint64(1)).sum()) for flag, bit in flags.items()}
    flagged = {flag: number for flag, number in flagged.items() if number}
    return Imported(len(distinct), len(seen) - len(distinct), flagged, dict(rejected), 0, {}, examples)


def add_videos(workspace: Workspace, command: str, brought: Sequence[str], claims: Claims) -> videos.Registered:
    """Write videos down; a run ingests them."""
    with workspace.require().held(command):
        return videos.register(workspace, brought, claims)


def add_annotations(
    workspace: Workspace,
    command: str,
    form: str,
    files: Sequence[Path],
    folders: Sequence[Path] = (),
    claims: Claims = UNSAID,
) -> Brought:
    """Take annotation files in, and write down the videos in folders that they are about; a run does the rest."""
    known = _format(form)
    for file in files:
        if not file.is_file():
            raise InputError("there is no such file", where=str(file), mend="correct the path")
    claims = replace(
        claims,
        source=known.name if claims.source == UNKNOWN else claims.source,
        namespace=known.namespace if claims.namespace == UNKNOWN else claims.namespace,
    )
    is_benchmark = known.role == "benchmark"
    _require_stage(workspace.require(), Benchmarks.name if is_benchmark else Import.name)
    brought = Brought(known, tuple(files), FOLDER if is_benchmark else annotations.ANNOTATIONS)
    if is_benchmark:  # nothing is done with its videos, so none is looked for: what matters is whose ids they have
        with workspace.require().held(command):
            annotations.take_in(workspace, brought, read_questions(known, files), None, claims)
        return brought
    with workspace.require().held(command):
        if folders:
            _register_those_meant(workspace, known, files, folders, claims)
        finder, forgotten = Finder(videos.names(videos.listed(workspace).values())), forgotten_videos(workspace)
        placed = (one for one in read_questions(known, files) if not set(finder.find(one.asked.video)) & forgotten)
        annotations.take_in(workspace, brought, placed, partial(_one_of, finder), claims)
    return brought


def _require_stage(workspace: Workspace, name: str) -> None:
    """What nobody would read is not taken in."""
    if name not in [stage.name for stage in read_recipe(workspace.recipe).stages]:
        told = f"the recipe has no stage that reads this: {name!r}"
        raise InputError(told, where=str(workspace.recipe), mend=f"add a line [stages.{name}] to it, behind [stages.ingest]")


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise InputError(f"there is no format {name!r}", where="import", mend=nearest(name, list(FORMATS)))
    return FORMATS[name]


def _register_those_meant(
    workspace: Workspace, form: Format, files: Sequence[Path], folders: Sequence[Path], claims: Claims
) -> None:
    """Of videos in folders those that are asked about; who is short of disk brings no others."""
    finder = _in_folders(folders)
    meant = {name for placed in read_questions(form, files) if (name := placed.asked.video)}
    found = {path for name in meant for path in (finder.find(name) if len(finder.find(name)) == 1 else ())}
    videos.register(workspace, sorted(found), claims)


def _in_folders(folders: Sequence[Path]) -> Finder[str]:
    return Finder((path, path) for path in places.files([str(folder) for folder in folders], videos.SUFFIXES))


def _one_of(finder: Finder[Id], name: str) -> Id | str:
    found = finder.find(name)
    return found[0] if len(found) == 1 else annotations.AMBIGUOUS if found else annotations.MISSING


def _outcomes(view: View, stage: str, column: Literal["input", "video"], ids: Sequence[Id]) -> Counter[tuple[str, str]]:
    """How often each status and reason stands at a stage for these inputs, or for what is about these videos."""
    of_these = f"SELECT * FROM outcomes o SEMI JOIN meant m ON o.{column} = m.id WHERE o.stage = $stage"
    found = _asked(view, ids, f"SELECT status, reason, count(*) FROM ({of_these}) GROUP BY ALL", stage=stage)
    return Counter({(status, reason): number for status, reason, number in found})


def _made(view: View, table: str, rows: Sequence[Id]) -> int:
    """How many rows of a table came from these."""
    return _asked(view, rows, f"SELECT count(DISTINCT id) FROM {table} t SEMI JOIN meant m ON t.made_from = m.id")[0][0]


def _flagged(view: View, rows: Sequence[Id]) -> dict[str, int]:
    """What was mended, in how many tasks."""
    made = "SELECT DISTINCT t.id, t.flags FROM tasks t SEMI JOIN meant m ON t.made_from = m.id WHERE flags <> ''"
    counted = f"SELECT unnest(string_split(flags, ', ')), count(*) FROM ({made}) GROUP BY 1 ORDER BY 2 DESC, 1"
    return dict(_asked(view, rows, counted))


def _examples(view: View, stage: str, column: Literal["input", "video"], ids: Sequence[Id]) -> dict[str, str]:
    """For each reason to reject or to quarantine, one of these inputs, or of what is about these videos, that it holds for."""
    of_these = f"SELECT * FROM outcomes o SEMI JOIN meant m ON o.{column} = m.id WHERE o.stage = $stage AND status <> 'made'"
    return dict(_asked(view, ids, f"SELECT reason, min(detail) FROM ({of_these}) GROUP BY 1", stage=stage))


def _asked(view: View, ids: Sequence[Id], sql: str, **values: object) -> list[tuple[Any, ...]]:
    """A query that may name `meant`, a table of these ids."""
    cursor = view.cursor(sql)
    cursor.register("meant", pa.table({"id": pa.array(list(set(ids)), pa.binary(ID_BYTES))}))
    return cursor.execute(sql, values).fetchall()


@contextmanager
def _current(workspace: Workspace) -> Generator[View]:
    """The lake as its recipe sees it now."""
    with workspace.reading():
        yield View(Lake(workspace), read_recipe(workspace.recipe).stages)
