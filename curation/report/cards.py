"""Cards of samples: the question, the looks, the thoughts, the verdicts of filters, and where it all comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from dmforge.curation.report.pictures import LookPatches, Pictures, Strip
from dmforge.schemas.columns import from_arrow
from dmforge.schemas.ids import ID_BYTES, Id, show
from dmforge.schemas.looks import Look, Window, print_density, print_seconds, print_span
from dmforge.schemas.prompts import lettered
from dmforge.schemas.records import Candidate, Sample, SubjectKind, Task, Verdict
from dmforge.schemas.scoring import matches
from dmforge.schemas.tags import CLOSE, OPEN, TAG
from dmforge.schemas.transcript import Piece

LOOK = re.compile(f"{re.escape(OPEN['span'])}.*?{re.escape(CLOSE['fps'])}", re.DOTALL)
NO_SUBJECT = b"\0" * ID_BYTES
MAX_TEXT_CHARS = 8_000
"""How many characters of a piece are shown."""
MAX_STRETCHES = 400
"""How many stretches of a text are told apart; a text made of tags alone would otherwise be a page of them."""


@dataclass(frozen=True, slots=True)
class CardSubject:
    """A subject that gets a card, and what became of it."""

    subject: Id
    subject_kind: SubjectKind
    kept: bool
    group: str
    """The corpus, or the stage with the reason: what the page filters by."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CardVideo:
    """The facts of a video on a card."""

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
class CardText:
    """A part of a text: words, a tag, or a whole look."""

    role: Literal["words", "tag", "look", "more"]
    text: str


@dataclass(frozen=True, slots=True)
class CardPiece:
    """A piece of a transcript as it stands on the card."""

    author: str
    stretches: tuple[CardText, ...] = ()
    look: Look | None = None
    """Of an injected clip."""
    clip: LookPatches | None = None


@dataclass(frozen=True, slots=True)
class CardScore:
    """A verdict with its threshold."""

    verdict: Verdict
    min_score: float | None

    @property
    def fails(self) -> bool:
        return self.min_score is not None and self.verdict.score < self.min_score


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """A window on the time axis of a video, in per mille of it."""

    role: Literal["gold", "look"]
    start: float
    length: float
    words: str


@dataclass(frozen=True, slots=True)
class CardOption:
    """An option of a question: right, chosen, both or neither."""

    words: str
    gold: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Card:
    """All that is shown of one subject."""

    chosen: CardSubject
    task: Task
    candidate: Candidate | None
    film: CardVideo | None
    looks: tuple[Look, ...]
    strip: Strip
    pieces: tuple[CardPiece, ...]
    scores: tuple[CardScore, ...]
    samples: tuple[Sample, ...]
    places: tuple[str, ...]
    """Where it lies in shards."""

    @property
    def id(self) -> str:
        return show(self.chosen.subject_kind, self.chosen.subject)

    @property
    def choices(self) -> list[CardOption]:
        answer = self.candidate.answer if self.candidate else ""
        options = self.task.options
        return [
            CardOption(
                words,
                _is_same_answer(option, self.task.answer, options),
                bool(answer) and _is_same_answer(option, answer, options),
            )
            for words, option in zip(lettered(options), options, strict=False)
        ]

    @property
    def marks(self) -> list[TimelineMark]:
        if self.film is None or self.film.duration_cs <= 0:
            return []
        duration_cs = self.film.duration_cs
        gold_marks = [_mark("gold", window, duration_cs, f"gold {print_span(window)}") for window in self.task.windows]
        return gold_marks + [_mark("look", look.window, duration_cs, _look_label(look)) for look in self.looks]

    @property
    def duration(self) -> str:
        return print_seconds(self.film.duration_cs) if self.film else ""


def cards(
    connection: duckdb.DuckDBPyConnection,
    chosen: Sequence[CardSubject],
    pictures: Pictures | None,
    min_scores: Mapping[str, float],
) -> list[Card]:
    """The cards of some subjects, in their order; without pictures where `pictures` is None."""
    candidates = {row.id: row for row in _candidates(connection, [c.subject for c in chosen if c.subject_kind == "candidate"])}
    task_ids = [candidates[c.subject].task if c.subject in candidates else c.subject for c in chosen]
    tasks = {row.id: row for row in _tasks(connection, task_ids)}
    videos_by_id = {film.id: film for film in _films(connection, [task.video for task in tasks.values()])}
    verdicts = _verdicts(connection, [*candidates, *tasks, *videos_by_id])
    samples = _samples(connection, list(tasks))
    place_by_sample = _places(connection, [sample.id for group in samples.values() for sample in group])
    made_cards: list[Card] = []
    for chosen_subject, task_id in zip(chosen, task_ids, strict=True):
        task, candidate = tasks.get(task_id), candidates.get(chosen_subject.subject)
        if task is None:  # its row went meanwhile
            continue
        own_samples = [s for s in samples[task.id] if s.candidate == (candidate.id if candidate else None)]
        film = videos_by_id.get(task.video)
        verdict_groups = [verdicts[id] for id in (candidate.id if candidate else NO_SUBJECT, task.id, task.video)]
        made_cards.append(
            _make_card(
                chosen_subject,
                task,
                candidate,
                film,
                own_samples,
                [v for group in verdict_groups for v in group],
                pictures,
                min_scores,
                place_by_sample,
            )
        )
    return made_cards


def _make_card(
    chosen: CardSubject,
    task: Task,
    candidate: Candidate | None,
    film: CardVideo | None,
    samples: Sequence[Sample],
    verdicts: Iterable[Verdict],
    pictures: Pictures | None,
    min_scores: Mapping[str, float],
    place_by_sample: Mapping[Id, str],
) -> Card:
    targets = tuple(sample.target for sample in samples if sample.target is not None)
    looks = candidate.looks if candidate else targets
    strip = Strip(missing="Its video is not in the lake.")
    if film is not None:
        marked_windows = [look.window for look in looks] or list(task.windows)
        strip = pictures.strip(film.id, film.duration_cs, marked_windows) if pictures else Strip()
    scores = sorted(
        (CardScore(verdict, min_scores.get(verdict.filter)) for verdict in verdicts),
        key=lambda score: (not score.fails, score.verdict.filter, score.verdict.id),
    )
    pieces = candidate.transcript.pieces if candidate else [Piece("runtime", None, target) for target in targets]
    shown_pieces = tuple(_shown_piece(piece.author, piece.text, piece.look, film, pictures) for piece in pieces)
    shard_places = tuple(place_by_sample[sample.id] for sample in samples if sample.id in place_by_sample)
    return Card(chosen, task, candidate, film, looks, strip, shown_pieces, tuple(scores), tuple(samples), shard_places)


def _shown_piece(
    author: str, text: str | None, look: Look | None, film: CardVideo | None, pictures: Pictures | None
) -> CardPiece:
    if text is not None:
        return CardPiece(author, tuple(stretches(text)))
    if look is None or film is None or pictures is None:
        return CardPiece(author, look=look)
    return CardPiece(author, look=look, clip=pictures.clip(film.id, film.duration_cs, look))


def stretches(text: str) -> list[CardText]:
    """The stretches of a text: words, looks, other tags; of a very long text only the beginning."""
    if len(text) > MAX_TEXT_CHARS:
        return [*stretches(text[:MAX_TEXT_CHARS]), CardText("more", f" and {len(text) - MAX_TEXT_CHARS:,} characters more")]
    found_stretches: list[CardText] = []
    position = 0
    for match in re.finditer(f"(?P<look>{LOOK.pattern})|{TAG.pattern}", text, re.DOTALL):
        if len(found_stretches) >= MAX_STRETCHES:
            break
        found_stretches += [CardText("words", text[position : match.start()])] if match.start() > position else []
        found_stretches.append(CardText("look" if match["look"] else "tag", match.group()))
        position = match.end()
    return [*found_stretches, CardText("words", text[position:])] if position < len(text) else found_stretches


def _is_same_answer(option: str, answer: str, options: tuple[str, ...]) -> bool:
    return matches(answer, option, options)


def _mark(role: Literal["gold", "look"], window: Window, duration_cs: int, words: str) -> TimelineMark:
    start, end = (min(1.0, cs / duration_cs) for cs in (window.start_cs, window.end_cs))
    return TimelineMark(role, round(start * 1000, 1), round(max(end - start, 0.004) * 1000, 1), words)


def _look_label(look: Look) -> str:
    return f"look {print_span(look.window)} at {print_density(look.fps)} fps"


def _candidates(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Candidate]:
    return from_arrow(Candidate, _rows_about(connection, "candidates", "id", ids))


def _tasks(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Task]:
    return from_arrow(Task, _rows_about(connection, "tasks", "id", ids))


def _films(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[CardVideo]:
    rows = _rows_about(connection, "videos", "id", ids).to_pylist()
    names = CardVideo.__slots__
    return [CardVideo(**{name: row[name] for name in names}) for row in rows]


def _verdicts(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> defaultdict[Id, list[Verdict]]:
    verdicts_by_subject: defaultdict[Id, list[Verdict]] = defaultdict(list)
    for verdict in from_arrow(Verdict, _rows_about(connection, "verdicts", "subject", ids)):
        verdicts_by_subject[verdict.subject].append(verdict)
    return verdicts_by_subject


def _samples(connection: duckdb.DuckDBPyConnection, tasks: Sequence[Id]) -> defaultdict[Id, list[Sample]]:
    samples_by_task: defaultdict[Id, list[Sample]] = defaultdict(list)
    for sample in sorted(from_arrow(Sample, _rows_about(connection, "samples", "task", tasks)), key=lambda s: (s.corpus, s.id)):
        samples_by_task[sample.task].append(sample)
    return samples_by_task


def _places(connection: duckdb.DuckDBPyConnection, samples: Sequence[Id]) -> dict[Id, str]:
    if not connection.execute("SELECT 1 FROM information_schema.tables WHERE table_name = 'packed'").fetchall():
        return {}
    rows = _rows_about(connection, "packed", "sample", samples).to_pylist()
    return {row["sample"]: "/".join(row[name] for name in ("corpus", "selection", "shard", "key")) for row in rows}


def _rows_about(connection: duckdb.DuckDBPyConnection, table: str, column: str, ids: Sequence[Id]) -> pa.Table:
    """The rows of a table that are about some ids. Both names are our own."""
    connection.register("wanted_ids", pa.table({"wanted": pa.array(sorted(set(ids)), pa.binary(ID_BYTES))}))
    return connection.sql(f"SELECT * FROM {table} t SEMI JOIN wanted_ids w ON t.{column} = w.wanted").to_arrow_table()
