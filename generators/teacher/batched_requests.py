"""Sends requests in batches: they are gathered until no more come, submitted together, and waited for, over kills and restarts.

A request that an earlier run submitted is not submitted again: its batch is asked after instead. An answer that nobody waits
for any more was paid for all the same, and goes into the journal.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dmforge.curation.contract.run_events import BatchChanged, RunEvents
from dmforge.curation.io import machine
from dmforge.curation.io.atomic import remove_file
from dmforge.curation.io.backoff import growing_pauses_s
from dmforge.curation.lake.journal import Journal
from dmforge.curation.lake.journal_lines import REQUESTS, RESULTS
from dmforge.curation.sources.takedowns import forgotten_videos
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.generators.teacher.advice import refusal_text
from dmforge.generators.teacher.batch_endpoint import CHAT, BatchEndpoint, RemoteBatch
from dmforge.generators.teacher.batch_record import BatchedQuestion, BatchRecord, RecordedBatch, record_path
from dmforge.generators.teacher.request_spool import RequestSpool
from dmforge.generators.teacher.response import TeacherRefusal, read_response
from dmforge.generators.teacher.result_lines import BatchedResult, results_in
from dmforge.generators.teacher.teacher_config import TeacherConfig
from dmforge.generators.teacher.teacher_request import Messages, ServerResponse, TeacherRequest
from dmforge.schemas.errors import DmforgeError, Transient

T = TypeVar("T")
QUIET_S = 2.0
"""When for so long no request has come and none is being made ready, what was gathered is submitted."""
FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH = 1.0, 60.0, 1.3
"""Pauses between two questions how it stands with a batch."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 0.5, 60.0, 2.0
"""Pauses before something that failed is tried again."""
GOODBYE_S = 30.0
"""Seconds that deleting what a provider no longer needs may take in all."""
FULL = re.compile("token_limit_exceeded|enqueued", re.IGNORECASE)
"""In the words of a batch that failed since its provider has as many requests waiting as it takes."""


class BatchedRequests:
    """The batches of one model."""

    def __init__(
        self, config: TeacherConfig, stage: str, workspace: WorkspaceFolder, journal: Journal, events: RunEvents
    ) -> None:
        self._config, self._stage, self._workspace, self._journal, self._events = config, stage, workspace, journal, events
        self._endpoint = BatchEndpoint(config)
        self._folder = record_path(journal.folder).parent
        self._record: BatchRecord | None = None
        self._waiters: dict[str, asyncio.Future[ServerResponse | TeacherRefusal]] = {}
        self._batch_of: dict[str, str] = {}
        """The name of the batch that a request is in, by its key, while that is out."""
        self._spool: RequestSpool | None = None
        self._slots, self._preparing, self._added_s = asyncio.Semaphore(config.concurrency), 0, 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._out, self._ended = dict[str, RecordedBatch](), asyncio.Event()
        """The batches that are asked after, by name, and what is set when one of them has ended."""
        self._collected: list[tuple[RecordedBatch, RemoteBatch, frozenset[str]]] = []
        """Batches of which all came, with the keys of those requests that were answered."""
        self._ends: dict[str, BaseException] = {}
        """What ended a batch before its time, by the batch's name: who asks one of its questions later meets the same."""
        self._used_files: list[str] = []
        """Files at the provider that nobody needs any more."""

    async def aclose(self) -> None:
        """Stop waiting. What is out stays out, and the next run waits for it."""
        for batch in self._out.values():
            self._tell(batch, "stays out", len(batch.questions))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._spool is not None:
            self._spool.close()
            remove_file(self._spool.path)
        if self._record is not None:
            self._note_done()
            self._record.close()
            await self._delete_used_files()
        await self._endpoint.aclose()

    async def prepared(self, request: TeacherRequest) -> Messages:
        """The messages of a request, with its frames; none where it is out already."""
        self._begin()
        if request.name in self._batch_of:
            if (end := self._ends.get(self._batch_of[request.name])) is not None:
                raise end
            return []
        self._preparing += 1
        try:
            async with self._slots:  # from here to `send` nobody else comes in between: few requests are in memory
                return await request.messages()
        finally:
            self._preparing -= 1

    async def send(
        self, request: TeacherRequest, messages: Messages, parameters: dict[str, Any], limit: int
    ) -> ServerResponse | TeacherRefusal:
        """What the server sends back, hours later maybe; a refusal where nothing comes."""
        waiter = self._waiters[request.name] = asyncio.get_running_loop().create_future()
        if request.name not in self._batch_of:
            body = {"model": self._config.model, "messages": messages, **parameters}
            self._gather(request, {"custom_id": request.name, "method": "POST", "url": CHAT, "body": body}, limit)
        return await waiter

    def _begin(self) -> None:
        """Go on waiting for the batches that are out."""
        if self._record is None:
            self._record = BatchRecord(record_path(self._journal.folder))
            for path in self._folder.glob(f"*{REQUESTS}"):  # a kill came before they were acknowledged
                machine.current.unlink(path)
            for batch in self._record.open_batches.values():
                self._start(batch, self._resumed(batch))

    def _gather(self, request: TeacherRequest, fields: dict[str, Any], limit: int) -> None:
        line = json.dumps(fields, ensure_ascii=True).encode("ascii") + b"\n"
        spool, limits = self._spool, self._config.batch_limits
        if spool and (len(spool.questions) >= limits.requests or spool.size_bytes + len(line) > limits.megabytes * 1_000_000):
            self._submit_gathered(spool)
        if self._spool is None:
            self._spool = RequestSpool(self._folder)
            self._start(None, self._submit_when_quiet(self._spool))
        self._spool.add(request.name, BatchedQuestion(request.video, limit, len(line)), line)
        self._added_s = time.monotonic()

    async def _submit_when_quiet(self, spool: RequestSpool) -> None:
        while self._preparing or time.monotonic() < self._added_s + QUIET_S:
            await asyncio.sleep(QUIET_S / 10)
        if self._spool is spool:
            self._submit_gathered(spool)

    def _submit_gathered(self, spool: RequestSpool) -> None:
        self._spool = None
        batch = RecordedBatch(f"dmforge-{spool.path.stem}", spool.questions)
        self._start(batch, self._submitted(batch, spool))

    def _start(self, batch: RecordedBatch | None, work: Coroutine[Any, Any, None]) -> None:
        """Begin what is to be done about a batch; what ends it is raised by all who wait for the batch."""
        keys = [] if batch is None else list(batch.questions)
        if batch is not None:
            self._batch_of |= dict.fromkeys(keys, batch.name)

        def pass_on(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            if batch is not None and error is not None:
                self._ends[batch.name] = error
            for key in keys if error is not None or task.cancelled() else ():
                waiter = self._waiters.pop(key, None)
                if waiter is not None and not waiter.done():
                    waiter.cancel() if error is None else waiter.set_exception(error)

        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(pass_on)

    async def _submitted(self, batch: RecordedBatch, spool: RequestSpool) -> None:
        """Submit a batch, and see it through."""
        assert self._record is not None
        spool.close()
        self._record.prepared(batch)
        file_id = await self._insisted(lambda: self._endpoint.upload(spool.path, batch.name), self._config.retries)
        remote = file_id if isinstance(file_id, TeacherRefusal) else await self._created(file_id, batch.name)
        machine.current.unlink(spool.path)
        if isinstance(remote, TeacherRefusal):
            if remote.kind in ("passing", "unreadable"):  # it may have been made all the same: the next run looks for it
                raise Transient(f"no batch can be submitted: {refusal_text(remote)}")
            self._record.done(batch)
            if remote.kind == "final":
                hint = "check endpoint and key; where the provider takes no batches, leave `batch` out of [teacher]"
                raise DmforgeError(f"the teacher refuses a batch with {refusal_text(remote)}", hint=hint)
            await self._refuse(batch, remote)
            return
        await self._followed(self._acknowledged(batch, remote))

    def _acknowledged(self, batch: RecordedBatch, remote: RemoteBatch) -> RecordedBatch:
        assert self._record is not None
        batch = replace(batch, id=remote.id, file_id=remote.request_file)
        self._record.submitted(batch)
        self._tell(batch, "is out", len(batch.questions))
        return batch

    async def _created(self, file_id: str, name: str) -> RemoteBatch | TeacherRefusal:
        """Make a batch of a file. Where it isn't known whether one was made, it is looked for before it is asked for again."""
        tries = 0

        async def create() -> RemoteBatch | TeacherRefusal:
            nonlocal tries
            tries += 1
            made = await self._endpoint.find(name) if tries > 1 else None
            return await self._endpoint.create(file_id, name) if made is None else made

        return await self._insisted(create, self._config.retries)

    async def _resumed(self, batch: RecordedBatch) -> None:
        """See a batch of an earlier run through. One of which nobody noted that it was acknowledged is looked for."""
        assert self._record is not None
        if not batch.id:
            remote = await self._insisted(lambda: self._endpoint.find(batch.name))
            if isinstance(remote, TeacherRefusal):
                raise self._lost(batch, remote)
            if remote is None:
                self._record.done(batch)
                await self._refuse(batch, TeacherRefusal("passing", "its batch was never acknowledged", is_adapted=True))
                return
            batch = self._acknowledged(batch, remote)
        else:
            self._tell(batch, "is out", len(batch.questions))
        await self._followed(batch)

    async def _followed(self, batch: RecordedBatch) -> None:
        """Ask after a batch until it has ended, and pass on what came."""
        self._out[batch.name] = batch
        pauses_s, is_under_way = growing_pauses_s(FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH), True
        while is_under_way:
            await asyncio.sleep(next(pauses_s))
            remote = await self._insisted(lambda: self._endpoint.get(batch.id))
            if isinstance(remote, TeacherRefusal):
                del self._out[batch.name]
                self._ended.set()
                raise self._lost(batch, remote)
            if remote.state != "under way":
                is_under_way = False
                await self._collect(batch, remote)

    def _lost(self, batch: RecordedBatch, refusal: TeacherRefusal) -> DmforgeError:
        message = f"the batch {batch.id or batch.name} can't be asked after: {refusal_text(refusal)}"
        if refusal.kind != "final":
            return Transient(message)
        return DmforgeError(
            message, hint=f"check endpoint and key, then run again; to give it up, delete {record_path(self._journal.folder)}"
        )

    async def _collect(self, batch: RecordedBatch, remote: RemoteBatch) -> None:
        """Give to each request of a batch that has ended what came for it."""
        missing, answered, forgotten = dict(batch.questions), set[str](), forgotten_videos(self._workspace)
        for file_id in remote.result_files:
            path = self._folder / f"{batch.name}{RESULTS}"
            try:
                await self._downloaded(file_id, path)
                for result in results_in(path):
                    question = missing.pop(result.key, None)  # the first line of a request counts
                    if question is not None:
                        is_answer = await self._give(batch, result, question, is_kept=question.video not in forgotten)
                        answered |= {result.key} if is_answer else set()
            finally:
                remove_file(path)
        self._tell(batch, remote.state, len(answered))
        self._note_done()
        self._collected.append((batch, remote, frozenset(answered)))
        self._out.pop(batch.name, None)
        self._ended.set()
        left = replace(batch, questions=missing)
        if remote.state == "cancelled" and missing:
            raise Transient(f"the batch {batch.id} was cancelled", hint="run again to submit what is left of it")
        if remote.state == "failed":
            kind = "busy" if FULL.search(remote.words) else "final"
            await self._refuse(left, TeacherRefusal(kind, remote.words or "the batch failed", 429 if kind == "busy" else 400))
        await self._refuse(left, TeacherRefusal("passing", f"its batch ended without it: {remote.state}"))

    async def _downloaded(self, file_id: str, path: Path) -> None:
        refusal = await self._insisted(lambda: self._endpoint.download(file_id, path))
        if refusal is not None:
            raise Transient(f"what came of a batch can't be downloaded: {refusal_text(refusal)}")

    async def _give(self, batch: RecordedBatch, result: BatchedResult, question: BatchedQuestion, *, is_kept: bool) -> bool:
        """Pass a result on to who waits for it; without anyone, an answer may be kept. Whether it is an answer."""
        answer = read_response(result.status, {}, result.body)
        waiter = self._released(batch, result.key)
        if waiter is not None:
            waiter.set_result(ServerResponse(result.status, {}, result.body, question.limit, question.size_bytes, True))
        elif is_kept and not isinstance(answer, TeacherRefusal):
            await self._journal.keep(
                result.key, question.video, answer | {"limit": question.limit, "batched": True}, question.limit
            )
        return not isinstance(answer, TeacherRefusal)

    async def _refuse(self, batch: RecordedBatch, refusal: TeacherRefusal) -> None:
        """Pass a refusal on to all who wait for a batch. A provider that has too much waiting takes more when another ends."""
        if refusal.kind == "busy" and self._out:
            self._ended.clear()
            await self._ended.wait()
        for key in batch.questions:
            waiter = self._released(batch, key)
            if waiter is not None:
                waiter.set_result(refusal)

    def _released(self, batch: RecordedBatch, key: str) -> asyncio.Future[ServerResponse | TeacherRefusal] | None:
        """Who waits for a request that is no longer out; nobody, where it is out in a later batch."""
        if self._batch_of.get(key) != batch.name:
            return None
        del self._batch_of[key]
        waiter = self._waiters.pop(key, None)
        return None if waiter is None or waiter.done() else waiter

    async def _insisted(
        self, call: Callable[[], Awaitable[T | TeacherRefusal]], retries: int | None = None
    ) -> T | TeacherRefusal:
        """The outcome of a call, which is repeated while its failure may pass: for `wait_timeout_s`, or so many times."""
        failures, start_s = 0, time.monotonic()
        for pause_s in growing_pauses_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH):
            outcome = await call()
            if not isinstance(outcome, TeacherRefusal) or outcome.kind not in ("busy", "passing", "unreadable"):
                return outcome
            failures += outcome.kind != "busy"
            wait_s = max(outcome.hint.wait_s or pause_s, pause_s)
            if (
                retries is not None and failures > retries
            ) or time.monotonic() + wait_s > start_s + self._config.wait_timeout_s:
                return outcome
            await asyncio.sleep(wait_s)
        raise AssertionError("pauses have no end")

    def _note_done(self) -> None:
        """Note the batches as done of which every answer is in the journal."""
        assert self._record is not None
        forgotten, collected = forgotten_videos(self._workspace), self._collected
        self._collected = []
        for batch, remote, answered in collected:
            if all(self._journal.has(key) for key in answered if batch.questions[key].video not in forgotten):
                self._record.done(batch)
                self._used_files += [batch.file_id, *remote.result_files]
            else:
                self._collected.append((batch, remote, answered))

    async def _delete_used_files(self) -> None:
        """Delete at the provider what was sent and what came: it shows people's videos."""
        deletions = (self._insisted(partial(self._endpoint.delete_file, file_id)) for file_id in self._used_files if file_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.gather(*deletions)

    def _tell(self, batch: RecordedBatch, state: str, requests: int) -> None:
        self._events.emit(BatchChanged(self._stage, self._config.model, batch.id, state, requests))
