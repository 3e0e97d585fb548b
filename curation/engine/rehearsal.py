"""Rehearsal stages without videos or models, one of each shape, to check that machine and disk keep dmforge's promises.

Numbers become tasks, tasks are scored (by a loop, or by asking a server), and the best are kept. Some numbers misbehave on
purpose, as a file does that hangs or crashes a decoder.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from dmforge.curation.contract.collective import Collective, View
from dmforge.curation.contract.stage import Ask, AskConfig, Batch, BatchConfig, Each, EachConfig, Root, StageConfig
from dmforge.curation.contract.stage_results import Key, Made, Origin, Rejected, Result, StageResults, settle
from dmforge.curation.io import machine
from dmforge.curation.lake.journal import Answer, Journal
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.config import Operational
from dmforge.schemas.errors import DmforgeError, Transient
from dmforge.schemas.ids import Id, digest, show
from dmforge.schemas.records import Record, Sample, Task, Verdict
from dmforge.schemas.units import Index

TASKS_A_VIDEO = 8
ROWS_PER_BATCH = 10_000
"""Rows that `RehearsalKeep` settles at a time."""


@dataclass(frozen=True, slots=True)
class RehearsalNumber(Record):
    """A number, the input of this trial in place of a file."""

    kind = "seed"
    table = "seeds"

    video: Id
    """Made up: so many numbers share one."""
    number: Index
    """The number."""


class CountConfig(EachConfig):
    """How many numbers there are, and which of them misbehave."""

    tasks: Operational[NonNegativeInt] = 1000
    """Numbers to begin with. More of them later leave the work on the first ones as it is."""
    reject_every: NonNegativeInt = 10
    """Every so many numbers one is rejected; 0 for none."""
    hang_every: NonNegativeInt = 0
    """Every so many numbers one stands still for ever; 0 for none."""
    crash_every: NonNegativeInt = 0
    """Every so many numbers one crashes its process; 0 for none."""
    work_ms: Operational[NonNegativeFloat] = 0.0
    """CPU milliseconds that each number costs."""


class RehearsalCount(Root, Each[RehearsalNumber, Task]):
    """Turns numbers into tasks, in killable processes."""

    name, version = "count", 1
    config: CountConfig

    def source_version(self, workspace: WorkspaceFolder) -> str:
        return f"numbers below {self.config.tasks}"

    def scan(self, workspace: WorkspaceFolder) -> Iterator[RehearsalNumber]:
        for row_number in range(self.config.tasks):
            yield RehearsalNumber(digest("trial-video", row_number // TASKS_A_VIDEO), row_number)

    def process(self, item: RehearsalNumber) -> Result:
        config = self.config
        if _is_every(item.number, config.hang_every):
            time.sleep(1e6)
        if _is_every(item.number, config.crash_every):
            os.kill(os.getpid(), signal.SIGSEGV)
        if _is_every(item.number, config.reject_every):
            return Rejected("unlucky", f"every number {config.reject_every} in a row is")
        _use_cpu(config.work_ms)
        return Made((Task(item.video, "open", f"What is the square of {item.number}?", (), str(item.number**2), (), "any"),))


class ScoreConfig(BatchConfig):
    """How tasks are scored without a server."""

    salt: str = ""
    """Another salt gives other scores."""
    work_ms: Operational[NonNegativeFloat] = 0.0
    """CPU milliseconds that each task costs."""


class RehearsalScore(Batch[Task, Verdict]):
    """Gives each task a score between 0 and 1, as a stream."""

    name, version = "score", 1
    measures = ("score",)
    config: ScoreConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            _use_cpu(self.config.work_ms)
            drawn_score = digest("score", [self.config.salt, task.id])[0] / 255
            yield Made((Verdict(task.video, task.id, "task", "score", drawn_score, 1),))


class InquireConfig(AskConfig):
    """The server that is asked for scores."""

    url: Operational[str] = "http://127.0.0.1:8765"
    """The server. It gets `{"prompt": ..., "question": ...}` and answers `{"score": ...}`."""
    prompt: str = "How hard is this, from 0 to 1?"
    """What is asked about each task."""
    timeout_s: Operational[PositiveFloat] = 30.0
    """Seconds until a request is given up; its task stays pending."""


class RehearsalInquire(Ask[Task, Verdict]):
    """Scores tasks by asking a server: the journal is read before the request, and written before the answer is used."""

    name, version = "inquire", 2
    config: InquireConfig

    def open(self, workspace: WorkspaceFolder) -> None:
        import httpx2

        self._journal = Journal(workspace, "trial")
        self._client = httpx2.AsyncClient(timeout=self.config.timeout_s, transport=machine.current.http_transport())

    def close(self) -> None:
        self._journal.close()

    async def process(self, item: Task) -> Result:
        request_key = digest("ask", [self.name, self.config.prompt, item.video, item.question])
        answer = await self._journal.answer(request_key, item.video, lambda: self._ask_server(item, request_key))
        answered_score = answer.get("score")
        if not isinstance(answered_score, float) or not 0 <= answered_score <= 1:
            return Rejected("no score", "the server's answer holds no score between 0 and 1")
        return Made((Verdict(item.video, item.id, "task", "inquired", answered_score, 1),))

    async def _ask_server(self, item: Task, request_key: Id) -> Answer:
        import httpx2

        question_json = {"prompt": self.config.prompt, "question": item.question}
        try:
            http_response = await self._client.post(
                self.config.url, json=question_json, headers={"Idempotency-Key": show("ask", request_key)}
            )
        except httpx2.HTTPError as error:
            raise Transient(f"{type(error).__name__} from the server") from error
        if http_response.status_code >= 500:
            raise Transient(f"status {http_response.status_code} from the server")
        if http_response.status_code != 200:
            raise DmforgeError(
                f"the server at {self.config.url} answered {http_response.status_code}", hint="check stages.inquire.url"
            )
        return http_response.json()


class KeepConfig(StageConfig):
    """The threshold of scores."""

    threshold: float = 0.5
    """The lowest score of a task that is kept."""


class RehearsalKeep(Collective[Task, Sample]):
    """Selects tasks by their scores into a corpus."""

    name, version = "keep", 1
    config: KeepConfig
    also_reads = (Verdict,)

    def process(self, view: View, origin: Origin) -> Iterator[StageResults]:
        scores_sql = (
            "SELECT t.id, any_value(t.video), max(v.score) FROM tasks t LEFT JOIN verdicts v ON v.subject = t.id GROUP BY t.id"
        )
        batch_reader = view.connection.sql(f"SELECT * FROM ({scores_sql}) ORDER BY ALL").to_arrow_reader(ROWS_PER_BATCH)
        for score_batch in batch_reader:
            task_ids, video_ids, scores = (score_column.to_pylist() for score_column in score_batch.columns)
            input_keys = [Key(task_id, video_id) for task_id, video_id in zip(task_ids, video_ids, strict=True)]
            results = [self._result(input_key, score) for input_key, score in zip(input_keys, scores, strict=True)]
            yield settle(origin, input_keys, results, self.makes)

    def _result(self, input_key: Key, score: float | None) -> Result:
        if score is None:
            return Rejected("unscored")
        if score < self.config.threshold:
            return Rejected("below threshold", f"{score:.3f} < {self.config.threshold:g}")
        return Made((Sample(input_key.video, "trial", input_key.input, None, None, None),))


def _is_every(row_number: int, interval: int) -> bool:
    return interval > 0 and row_number % interval == interval - 1


def _use_cpu(milliseconds: float) -> None:
    end_s = time.process_time() + milliseconds / 1000
    while time.process_time() < end_s:
        pass
