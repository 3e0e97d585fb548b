"""What was found in a set, check by check: how many rows, for which reasons, which they are, and how many would be lost."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from dmforge.filters.inspection.set_checks import CHECKS, SetCheck
from dmforge.schemas.visible import shortened, storable

MAX_REASONS = 12
"""Reasons of a check that are told apart; what comes later is counted together."""
OTHER_REASONS = "other reasons"
EXAMPLES_OF_REASON = 3
MAX_EXAMPLES = 6
MAX_EXAMPLE_CHARS = 300


@dataclass(frozen=True, slots=True)
class SetExample:
    """A row at fault."""

    file: str
    row: str
    """Its number in the file, with that of its question where it has several, or the id of its sample; empty where the finding
    is about many."""
    fault: str

    def as_json(self) -> dict[str, str]:
        return {"file": self.file, "row": self.row, "what": self.fault}

    def __str__(self) -> str:
        place = f"{self.file}:{self.row}" if self.row else self.file
        return ": ".join(filter(None, (place, self.fault)))


@dataclass(frozen=True, slots=True)
class SetFinding:
    """What a check found."""

    check: SetCheck
    count: int
    of: int
    """How many rows the check could be made on."""
    only: int
    """Rows that are lost to this check alone: all others would keep them. 0 where nothing is dropped for it."""
    reasons: Mapping[str, int]
    examples: tuple[SetExample, ...]

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.check.name, "count": self.count, "of": self.of, "share": self.share, "drops": self.check.drops,
            "only": self.only, "reasons": dict(self.reasons), "examples": [example.as_json() for example in self.examples],
        }  # fmt: skip


@dataclass(slots=True)
class _CheckTally:
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    examples: defaultdict[str, list[SetExample]] = field(default_factory=lambda: defaultdict[str, list[SetExample]](list))


class SetTally:
    """The rows of a set as they come, and what checks find in them. A row takes some eighty bytes, and no text."""

    def __init__(self, file_names: Sequence[str]) -> None:
        self._file_names = file_names
        self._files = array("I")
        self._places: list[str] = []
        self._faults = array("Q")
        self._bits = {name: 1 << bit for bit, name in enumerate(name for name, check in CHECKS.items() if check.drops)}
        self._tallies: dict[str, _CheckTally] = {}
        self.groups = Counter[str]()
        """How many rows are of a kind that some checks are made on."""

    def begin(self, file_number: int, place: str) -> int:
        """A further row; its number."""
        self._files.append(file_number)
        self._places.append(place)
        self._faults.append(0)
        self.groups["rows"] += 1
        return len(self._places) - 1

    def add(self, check: str, row: int, reason: str, fault: str) -> None:
        """A row is at fault. Of several faults of one check the first one counts."""
        bit = self._bits.get(check, 0)
        if bit and self._faults[row] & bit:
            return
        self._faults[row] |= bit
        self._note(check, 1, reason, SetExample(self._file_names[self._files[row]], self._places[row], fault))

    def add_many(self, check: str, count: int, reason: str, fault: str) -> None:
        """Many rows together are at fault, and none of them by itself."""
        self._note(check, count, reason, SetExample("", "", fault))

    def place(self, row: int) -> str:
        """The file and the place of a row."""
        return f"{self._file_names[self._files[row]]}:{self._places[row]}"

    def files(self) -> Counter[str]:
        """The number of rows of each file."""
        row_counts = np.bincount(np.asarray(self._files), minlength=len(self._file_names)).tolist()
        return Counter(dict(zip(self._file_names, row_counts, strict=True)))

    def lost(self) -> int:
        """How many rows have a fault for which they would be dropped."""
        return int(np.count_nonzero(np.asarray(self._faults)))

    def findings(self) -> tuple[SetFinding, ...]:
        """What was found, in the order of the checks."""
        return tuple(self._finding(check, self._tallies[name]) for name, check in CHECKS.items() if name in self._tallies)

    def _finding(self, check: SetCheck, tally: _CheckTally) -> SetFinding:
        bit = self._bits.get(check.name)
        only = int(np.count_nonzero(np.asarray(self._faults) == bit)) if bit else 0
        reasons = dict(sorted(tally.reasons.items(), key=lambda item: (item[0] == OTHER_REASONS, -item[1], item[0])))
        examples = tuple(_in_turn(tally.examples[reason] for reason in reasons))[:MAX_EXAMPLES]
        named_reasons = {reason: count for reason, count in reasons.items() if reason}
        return SetFinding(check, tally.count, self.groups[check.group], only, named_reasons, examples)

    def _note(self, check: str, count: int, reason: str, example: SetExample) -> None:
        tally = self._tallies.setdefault(check, _CheckTally())
        reason = storable(reason)
        if reason not in tally.reasons and len(tally.reasons) >= MAX_REASONS:
            reason = OTHER_REASONS
        tally.count += count
        tally.reasons[reason] += count
        if len(tally.examples[reason]) < EXAMPLES_OF_REASON:
            fault = storable(shortened(example.fault, MAX_EXAMPLE_CHARS))
            tally.examples[reason].append(SetExample(storable(example.file), storable(example.row), fault))


def _in_turn(examples_of_reasons: Iterator[list[SetExample]]) -> Iterator[SetExample]:
    """The first example of each reason, then the second of each, and so on."""
    turns = zip_longest(*examples_of_reasons)
    return (example for example in chain.from_iterable(turns) if example is not None)
