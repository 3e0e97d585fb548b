"""Samples as cards: what was asked, what was looked at, what was thought, what filters said, and where it all comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from dmforge.curation.audit.report.pictures import Clip, Pictures, Strip
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import ID_BYTES, Id, show
from dmforge.schemas.looks import Look, Window, print_density, print_seconds, print_span
from dmforge.schemas.prompts import lettered
from dmforge.schemas.records import Candidate, Sample, SubjectKind, Task, Verdict
from dmforge.schemas.scoring import matches
from dmforge.schemas.tags import CLOSE, OPEN, TAG
from dmforge.schemas.transcript import Piece

LOOK = re.compile(f"{re.escape(OPEN['span'])}.*?{re.escape(CLOSE['fps'])}", re.DOTALL)
NOBODY = b"\0" * ID_BYTES
MOST_TEXT = 8_000
"""Characters of a piece that are shown."""
RUNS = 400
"""Stretches of a text that are told apart; one made of tags alone would otherwise be a page of them."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A subject that gets a card, and what became of it."""

    subject: Id
    subject_kind: SubjectKind
    kept: bool
    group: str
    """The corpus, or the stage with the reason: what the page filters by."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Film:
    """What a card says of a video."""

    id: Id
    duration_cs: int
    width: int
    height: int
    source: str
    licence: str
    source_id: str

    @property
    def name(self) -> str:
        return show("video", self.id)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a text: words, a tag, or a whole look."""

    role: Literal["words", "tag", "look", "more"]
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of a transcript as it stands on the card."""

    author: str
    stretches: tuple[Stretch, ...] = ()
    look: Look | None = None
    """Of an injected clip."""
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict beside its threshold."""

    verdict: Verdict
    least: float | None

    @property
    def fails(self) -> bool:
        return self.least is not None and self.verdict.score < self.least


@dataclass(frozen=True, slots=True)
class Mark:
    """A window on the time axis of a video, in per mille of it."""

    role: Literal["gold", "look"]
    start: float
    length: float
    words: str


@dataclass(frozen=True, slots=True)
class Choice:
    """An option: right, chosen, both or neither."""

    words: str
    gold: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Card:
    """All that is shown of one subject."""

    chosen: Chosen
    task: Task
    candidate: Candidate | None
    film: Film | None
    looks: tuple[Look, ...]
    strip: Strip
    pieces: tuple[Shown, ...]
    scores: tuple[Score, ...]
    samples: tuple[Sample, ...]
    places: tuple[str, ...]
    """Where in shards it lies."""

    @property
    def id(self) -> str:
        return show(self.chosen.subject_kind, self.chosen.subject)

    @property
    def choices(self) -> list[Choice]:
        answer = self.candidate.answer if self.candidate else ""
        options = self.task.options
        return [
            Choice(words, _is(option, self.task.answer, options), bool(answer) and _is(option, answer, options))
            for words, option in zip(lettered(options), options, strict=False)
        ]

    @property
    def marks(self) -> list[Mark]:
        if self.film is None or self.film.duration_cs <= 0:
            return []
        whole = self.film.duration_cs
        gold = [_mark("gold", window, whole, f"gold {print_span(window)}") for window in self.task.windows]
        return gold + [_mark("look", look.window, whole, _looked(look)) for look in self.looks]

    @property
    def duration(self) -> str:
        return print_seconds(self.film.duration_cs) if self.film else ""


def cards(
    connection: duckdb.DuckDBPyConnection, chosen: Sequence[Chosen], pictures: Pictures | None, least: Mapping[str, float]
) -> list[Card]:
    """The cards of some subjects, in their order; with pictures, or without where None are wanted."""
    found = {row.id: row for row in _candidates(connection, [c.subject for c in chosen if c.subject_kind == "candidate"])}
    wanted = [found[c.subject].task if c.subject in found else c.subject for c in chosen]
    tasks = {row.id: row for row in _tasks(connection, wanted)}
    films = {film.id: film for film in _films(connection, [task.video for task in tasks.values()])}
    verdicts = _verdicts(connection, [*found, *tasks, *films])
    samples = _samples(connection, list(tasks))
    places = _places(connection, [sample.id for group in samples.values() for sample in group])
    made: list[Card] = []
    for one, task_id in zip(chosen, wanted, strict=True):
        task, candidate = tasks.get(task_id), found.get(one.subject)
        if task is None:  # its row went meanwhile
            continue
        own = [s for s in samples[task.id] if s.candidate == (candidate.id if candidate else None)]
        film = films.get(task.video)
        about = [verdicts[id] for id in (candidate.id if candidate else NOBODY, task.id, task.video)]
        made.append(_card(one, task, candidate, film, own, [v for group in about for v in group], pictures, least, places))
    return made


def _card(
    one: Chosen,
    task: Task,
    candidate: Candidate | None,
    film: Film | None,
    samples: Sequence[Sample],
    verdicts: Iterable[Verdict],
    pictures: Pictures | None,
    least: Mapping[str, float],
    places: Mapping[Id, str],
) -> Card:
    targets = tuple(sample.target for sample in samples if sample.target is not None)
    looks = candidate.looks if candidate else targets
    strip = Strip(missing="Its video is not in the lake.")
    if film is not None:
        marked = [look.window for look in looks] or list(task.windows)
        strip = pictures.strip(film.id, film.duration_cs, marked) if pictures else Strip()
    scores = sorted(
        (Score(verdict, least.get(verdict.filter)) for verdict in verdicts),
        key=lambda score: (not score.fails, score.verdict.filter, score.verdict.id),
    )
    written = candidate.transcript.pieces if candidate else [Piece("runtime", None, target) for target in targets]
    shown = tuple(_shown(piece.author, piece.text, piece.look, film, pictures) for piece in written)
    lies = tuple(places[sample.id] for sample in samples if sample.id in places)
    return Card(one, task, candidate, film, looks, strip, shown, tuple(scores), tuple(samples), lies)


def _shown(author: str, text: str | None, look: Look | None, film: Film | None, pictures: Pictures | None) -> Shown:
    if text is not None:
        return Shown(author, tuple(stretches(text)))
    if look is None or film is None or pictures is None:
        return Shown(author, look=look)
    return Shown(author, look=look, clip=pictures.clip(film.id, film.duration_cs, look))


def stretches(text: str) -> list[Stretch]:
    """A text with its looks and its other tags told apart; of a very long one the beginning."""
    if len(text) > MOST_TEXT:
        return [*stretches(text[:MOST_TEXT]), Stretch("more", f" and {len(text) - MOST_TEXT:,} characters more")]
    found: list[Stretch] = []
    at = 0
    for match in re.finditer(f"(?P<look>{LOOK.pattern})|{TAG.pattern}", text, re.DOTALL):
        if len(found) >= RUNS:
            break
        found += [Stretch("words", text[at : match.start()])] if match.start() > at else []
        found.append(Stretch("look" if match["look"] else "tag", match.group()))
        at = match.end()
    return [*found, Stretch("words", text[at:])] if at < len(text) else found


def _is(option: str, answer: str, options: tuple[str, ...]) -> bool:
    return matches(answer, option, options)


def _mark(role: Literal["gold", "look"], window: Window, whole_cs: int, words: str) -> Mark:
    start, end = (min(1.0, cs / whole_cs) for cs in (window.start_cs, window.end_cs))
    return Mark(role, round(start * 1000, 1), round(max(end - start, 0.004) * 1000, 1), words)


def _looked(look: Look) -> str:
    return f"look {print_span(look.window)} at {print_density(look.fps)} fps"


def _candidates(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Candidate]:
    return from_arrow(Candidate, _of(connection, "candidates", "id", ids))


def _tasks(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Task]:
    return from_arrow(Task, _of(connection, "tasks", "id", ids))


def _films(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Film]:
    rows = _of(connection, "videos", "id", ids).to_pylist()
    names = Film.__slots__
    return [Film(**{name: row[name] for name in names}) for row in rows]


def _verdicts(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> defaultdict[Id, list[Verdict]]:
    found: defaultdict[Id, list[Verdict]] = defaultdict(list)
    for verdict in from_arrow(Verdict, _of(connection, "verdicts", "subject", ids)):
        found[verdict.subject].append(verdict)
    return found


def _samples(connection: duckdb.DuckDBPyConnection, tasks: Sequence[Id]) -> defaultdict[Id, list[Sample]]:
    found: defaultdict[Id, list[Sample]] = defaultdict(list)
    for sample in sorted(from_arrow(Sample, _of(connection, "samples", "task", tasks)), key=lambda s: (s.corpus, s.id)):
        found[sample.task].append(sample)
    return found


def _places(connection: duckdb.DuckDBPyConnection, samples: Sequence[Id]) -> dict[Id, str]:
    if not connection.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'packed'").fetchall():
        return {}
    rows = _of(connection, "packed", "sample", samples).to_pylist()
    return {row["sample"]: "/".join(row[name] for name in ("corpus", "selection", "shard", "key")) for row in rows}


def _of(connection: duckdb.DuckDBPyConnection, table: str, column: str, ids: Sequence[Id]) -> pa.Table:
    """The rows of a table that are about some ids. Both names are our own."""
    connection.register("wanted_ids", pa.table({"wanted": pa.array(sorted(set(ids)), pa.binary(ID_BYTES))}))
    return connection.sql(f"SELECT * FROM {table} t SEMI JOIN wanted_ids w ON t.{column} = w.wanted").to_arrow_table()
