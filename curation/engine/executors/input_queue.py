"""The queue of inputs that wait for a worker: ranges of open batches, each handed out with about the same amount of work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from dmforge.curation.engine.executors.batch_results import BatchInProgress
from dmforge.curation.lake.worklist import WorkBatch


@dataclass(frozen=True, slots=True)
class InputRange:
    """A range of a batch's inputs, and which attempt at it this is."""

    underway: BatchInProgress
    start: int
    stop: int
    attempt: int = 1

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> InputRange:
        """A part of this range."""
        return replace(self, start=start, stop=stop)

    def again(self) -> InputRange:
        """The same range for another attempt."""
        return replace(self, attempt=self.attempt + 1)


class InputQueue:
    """The inputs that wait. Where they are quick a range holds many of them, where they are slow one."""

    def __init__(self, range_s: float, max_inputs: int) -> None:
        self._range_s, self._max_inputs = range_s, max_inputs
        self._ranges: deque[InputRange] = deque()
        self._seconds_per_input = range_s  # assumed slow until seen to be quick

    def __len__(self) -> int:
        """How many ranges wait, before they are divided."""
        return len(self._ranges)

    def add_batch(self, batch: WorkBatch) -> None:
        """Add all inputs of a batch that is begun."""
        self._ranges.append(InputRange(BatchInProgress.of(batch), 0, batch.items.num_rows))

    def take(self) -> InputRange:
        """The next inputs: at most `max_inputs`, and by what was seen so far about `range_s` of work."""
        first_range = self._ranges.popleft()
        input_count = max(1, min(self._max_inputs, int(self._range_s / self._seconds_per_input)))
        if len(first_range) <= input_count:
            return first_range
        self._ranges.appendleft(first_range.part(first_range.start + input_count, first_range.stop))
        return first_range.part(first_range.start, first_range.start + input_count)

    def give_back(self, *ranges: InputRange) -> None:
        """Put inputs that were taken first in the queue, the last of these before the others."""
        self._ranges.extendleft(input_range for input_range in ranges if len(input_range))

    def postpone(self, input_range: InputRange) -> None:
        """Put inputs that were taken last in the queue."""
        self._ranges.append(input_range)

    def note_time(self, took_s: float, input_count: int) -> None:
        """Note how long some inputs took, by which the next ranges are sized."""
        self._seconds_per_input = 0.5 * self._seconds_per_input + 0.5 * max(took_s / input_count, 1e-6)
