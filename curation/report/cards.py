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
from dmforge.schemas.looks import Look, Window, print_density, print_limits, print_seconds, print_span
from dmforge.schemas.prompts import lettered
from dmforge.schemas.records import Candidate, Sample, SubjectKind, Task, Verdict
from dmforge.schemas.scoring import matches
from dmforge.schemas.tags import CLOSE, OPEN, TAG
from dmforge.schemas.transcript import Piece

LOOK = re.compile(f"{re.escape(OPEN['span'])}.*?{re.escape(CLOSE['fps'])}", re.DOTALL)
_HAS_PACKED = """
SELECT 1 FROM duckdb_tables() WHERE table_name = 'packed' UNION ALL SELECT 1 FROM duckdb_views() WHERE view_name = 'packed'
"""
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
    window: Window


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
    """Of a kept sample beside what a check asks for, of a rejected one beside the selection's threshold."""
    samples: tuple[Sample, ...]
    places: tuple[str, ...]
    """Where it lies in shards."""

    @property
    def id(self) -> str:
        return show(self.chosen.subject_kind, self.chosen.subject)

    @property
    def failing(self) -> list[CardScore]:
        """Scores that are too low."""
        return [card_score for card_score in self.scores if card_score.fails]

    @property
    def faults(self) -> list[CardScore]:
        """Scores of a kept sample that are too low all the same."""
        return self.failing if self.chosen.kept else []

    @property
    def choices(self) -> list[CardOption]:
        answer = self.candidate.answer if self.candidate else ""
        options = self.task.options
        return [
            CardOption(
                lettered_option,
                _is_same_answer(option_text, self.task.answer, options),
                bool(answer) and _is_same_answer(option_text, answer, options),
            )
            for lettered_option, option_text in zip(lettered(options), options, strict=False)
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
    kept_min_scores: Mapping[str, float] | None = None,
) -> list[Card]:
    """The cards of some subjects, in their order; without pictures where `pictures` is None. `kept_min_scores` are what kept
    ones are held to, where that is more than a selection's thresholds."""
    candidate_by_id = {
        candidate_row.id: candidate_row
        for candidate_row in _candidates(
            connection, [card_subject.subject for card_subject in chosen if card_subject.subject_kind == "candidate"]
        )
    }
    task_ids = [
        candidate_by_id[card_subject.subject].task if card_subject.subject in candidate_by_id else card_subject.subject
        for card_subject in chosen
    ]
    task_by_id = {task_row.id: task_row for task_row in _tasks(connection, task_ids)}
    videos_by_id = {video_row.id: video_row for video_row in _films(connection, [task.video for task in task_by_id.values()])}
    verdicts_by_subject = _verdicts(connection, [*candidate_by_id, *task_by_id, *videos_by_id])
    samples_by_task = _samples(connection, list(task_by_id))
    place_by_sample = _places(connection, [sample.id for task_samples in samples_by_task.values() for sample in task_samples])
    made_cards: list[Card] = []
    for chosen_subject, task_id in zip(chosen, task_ids, strict=True):
        chosen_task, chosen_candidate = task_by_id.get(task_id), candidate_by_id.get(chosen_subject.subject)
        if chosen_task is None:  # its row went meanwhile
            continue
        subject_samples = [
            sample
            for sample in samples_by_task[chosen_task.id]
            if sample.candidate == (chosen_candidate.id if chosen_candidate else None)
        ]
        video_row = videos_by_id.get(chosen_task.video)
        verdict_groups = [
            verdicts_by_subject[subject_id]
            for subject_id in (chosen_candidate.id if chosen_candidate else NO_SUBJECT, chosen_task.id, chosen_task.video)
        ]
        made_cards.append(
            _make_card(
                chosen_subject,
                chosen_task,
                chosen_candidate,
                video_row,
                subject_samples,
                [verdict for verdict_group in verdict_groups for verdict in verdict_group],
                pictures,
                kept_min_scores if kept_min_scores is not None and chosen_subject.kept else min_scores,
                place_by_sample,
            )
        )
    return made_cards


def _make_card(
    chosen: CardSubject,
    task: Task,
    candidate: Candidate | None,
    video_row: CardVideo | None,
    samples: Sequence[Sample],
    verdicts: Iterable[Verdict],
    pictures: Pictures | None,
    min_scores: Mapping[str, float],
    shard_place_by_sample: Mapping[Id, str],
) -> Card:
    target_looks = tuple(target_look for sample in samples for target_look in sample.target_looks)
    looks = candidate.looks if candidate else target_looks
    frame_strip = Strip(missing="Its video is not in the lake.")
    if video_row is not None:
        marked_windows = [look.window for look in looks] or list(task.windows)
        frame_strip = pictures.strip(video_row.id, video_row.duration_cs, marked_windows) if pictures else Strip()
    card_scores = sorted(
        (CardScore(verdict, min_scores.get(verdict.filter)) for verdict in verdicts),
        key=lambda card_score: (not card_score.fails, card_score.verdict.filter, card_score.verdict.id),
    )
    pieces_to_show = (
        candidate.transcript.pieces if candidate else [Piece("runtime", None, target_look) for target_look in target_looks]
    )
    shown_pieces = tuple(
        _shown_piece(piece_to_show.author, piece_to_show.text, piece_to_show.look, video_row, pictures)
        for piece_to_show in pieces_to_show
    )
    shard_places = tuple(shard_place_by_sample[sample.id] for sample in samples if sample.id in shard_place_by_sample)
    return Card(
        chosen, task, candidate, video_row, looks, frame_strip, shown_pieces, tuple(card_scores), tuple(samples), shard_places
    )


def _shown_piece(
    author: str, text: str | None, look: Look | None, video_row: CardVideo | None, pictures: Pictures | None
) -> CardPiece:
    if text is not None:
        return CardPiece(author, tuple(stretches(text)))
    if look is None or video_row is None or pictures is None:
        return CardPiece(author, look=look)
    return CardPiece(author, look=look, clip=pictures.clip(video_row.id, video_row.duration_cs, look))


def stretches(text: str) -> list[CardText]:
    """The stretches of a text: words, looks, other tags; of a very long text only the beginning."""
    if len(text) > MAX_TEXT_CHARS:
        return [*stretches(text[:MAX_TEXT_CHARS]), CardText("more", f" and {len(text) - MAX_TEXT_CHARS:,} characters more")]
    text_stretches: list[CardText] = []
    copied_until = 0
    for tag_match in re.finditer(f"(?P<look>{LOOK.pattern})|{TAG.pattern}", text, re.DOTALL):
        if len(text_stretches) >= MAX_STRETCHES:
            break
        text_stretches += (
            [CardText("words", text[copied_until : tag_match.start()])] if tag_match.start() > copied_until else []
        )
        text_stretches.append(CardText("look" if tag_match["look"] else "tag", tag_match.group()))
        copied_until = tag_match.end()
    return [*text_stretches, CardText("words", text[copied_until:])] if copied_until < len(text) else text_stretches


def _is_same_answer(option: str, answer: str, task_options: tuple[str, ...]) -> bool:
    return matches(answer, option, task_options)


def _mark(role: Literal["gold", "look"], window: Window, duration_cs: int, mark_label: str) -> TimelineMark:
    start_share, end_share = (min(1.0, time_cs / duration_cs) for time_cs in (window.start_cs, window.end_cs))
    length = round(max(end_share - start_share, 0.004) * 1000, 1)
    return TimelineMark(role, round(start_share * 1000, 1), length, mark_label, window)


def _look_label(look: Look) -> str:
    return f"look {print_span(look.window)} at {print_density(look.fps)} fps{print_limits(look)}"


def _candidates(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Candidate]:
    return from_arrow(Candidate, _rows_about(connection, "candidates", "id", ids))


def _tasks(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[Task]:
    return from_arrow(Task, _rows_about(connection, "tasks", "id", ids))


def _films(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> list[CardVideo]:
    video_rows = _rows_about(connection, "videos", "id", ids).to_pylist()
    column_names = CardVideo.__slots__
    return [CardVideo(**{column_name: row[column_name] for column_name in column_names}) for row in video_rows]


def _verdicts(connection: duckdb.DuckDBPyConnection, ids: Sequence[Id]) -> defaultdict[Id, list[Verdict]]:
    verdicts_by_subject: defaultdict[Id, list[Verdict]] = defaultdict(list)
    for verdict in from_arrow(Verdict, _rows_about(connection, "verdicts", "subject", ids)):
        verdicts_by_subject[verdict.subject].append(verdict)
    return verdicts_by_subject


def _samples(connection: duckdb.DuckDBPyConnection, task_ids: Sequence[Id]) -> defaultdict[Id, list[Sample]]:
    samples_by_task: defaultdict[Id, list[Sample]] = defaultdict(list)
    for sample in sorted(
        from_arrow(Sample, _rows_about(connection, "samples", "task", task_ids)), key=lambda sample: (sample.corpus, sample.id)
    ):
        samples_by_task[sample.task].append(sample)
    return samples_by_task


def _places(connection: duckdb.DuckDBPyConnection, sample_ids: Sequence[Id]) -> dict[Id, str]:
    if not connection.execute(_HAS_PACKED).fetchall():
        return {}
    packed_rows = _rows_about(connection, "packed", "sample", sample_ids).to_pylist()
    return {
        packed_row["sample"]: "/".join(packed_row[path_column] for path_column in ("corpus", "selection", "shard", "key"))
        for packed_row in packed_rows
    }


def _rows_about(connection: duckdb.DuckDBPyConnection, table: str, column: str, ids: Sequence[Id]) -> pa.Table:
    """The rows of a table that are about some ids. Both names are our own."""
    connection.register("wanted_ids", pa.table({"wanted": pa.array(sorted(set(ids)), pa.binary(ID_BYTES))}))
    return connection.sql(f"SELECT * FROM {table} t SEMI JOIN wanted_ids w ON t.{column} = w.wanted").to_arrow_table()
