"""Can options be guessed without the video: by the letter that is right most often, or by the length of their texts?

Shares are compared with chance at 95 %, and a difference of up to two points is let pass: nobody learns from less. The letter
that is commonest is chosen on one half of the questions and tried on the other, as a model would: of few questions some letter
is always the commonest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from string import ascii_uppercase
from typing import Any

from dmforge.filters.inspection.set_findings import SetTally
from dmforge.filters.rollouts.rounds import Interval, TryCount, wilson

CONFIDENCE = 0.95
MARGIN = 0.02
"""How far a share may lie from chance, beyond its interval, before it is a finding."""
MIN_QUESTIONS = 30
"""Of fewer questions nothing is said: no interval holds for three of them."""


@dataclass(frozen=True, slots=True)
class GuessAccuracy:
    """How often a way of guessing is right, and how often chance is."""

    way: str
    right: int
    questions: int
    chance: float
    interval: Interval

    @property
    def accuracy(self) -> float:
        return self.right / self.questions

    @property
    def is_better_than_chance(self) -> bool:
        return self.questions >= MIN_QUESTIONS and self.interval.low > self.chance + MARGIN

    def __str__(self) -> str:
        share = _percents(self.accuracy, self.interval)
        return f"{self.way} is right in {share} of {self.questions} questions; chance is {self.chance:.1%}"

    def as_json(self) -> dict[str, Any]:
        return {
            "way": self.way, "accuracy": self.accuracy, "right": self.right, "questions": self.questions, "chance": self.chance,
            **asdict(self.interval),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LetterShares:
    """How often each letter is right, of questions with so many options."""

    counts: tuple[int, ...]

    @property
    def questions(self) -> int:
        return sum(self.counts)

    @property
    def chance(self) -> float:
        return 1 / len(self.counts)

    def intervals(self) -> tuple[Interval, ...]:
        """Of each letter's share: 95 % for all of them together."""
        confidence = 1 - (1 - CONFIDENCE) / len(self.counts)
        return tuple(wilson(TryCount(count, self.questions), confidence) for count in self.counts)

    @property
    def is_unbalanced(self) -> bool:
        low, high = self.chance - MARGIN, self.chance + MARGIN
        is_off = any(interval.low > high or interval.high < low for interval in self.intervals())
        return is_off and self.questions >= MIN_QUESTIONS

    @property
    def surplus(self) -> int:
        """Questions whose letter would have to be another one, so that all letters are right as often."""
        return round(sum(max(0.0, count - self.questions * self.chance) for count in self.counts))

    def rows(self) -> tuple[LetterRow, ...]:
        """Each letter with its share."""
        letters = zip(ascii_uppercase, self.counts, self.intervals(), strict=False)
        return tuple(LetterRow(letter, count, count / self.questions, interval) for letter, count, interval in letters)

    def __str__(self) -> str:
        shares = ", ".join(f"{row.letter} {_percents(row.share, row.interval)}" for row in self.rows())
        return f"of {self.questions} questions with {len(self.counts)} options: {shares}; even is {self.chance:.1%}"

    def as_json(self) -> dict[str, Any]:
        letters = [{"letter": row.letter, "count": row.count, **asdict(row.interval)} for row in self.rows()]
        return {"options": len(self.counts), "questions": self.questions, "letters": letters}


@dataclass(frozen=True, slots=True)
class LetterRow:
    """How often a letter is right."""

    letter: str
    count: int
    share: float
    interval: Interval


class OptionBalance:
    """The right options of a set, as they come."""

    def __init__(self) -> None:
        self._letters: defaultdict[int, tuple[Counter[int], Counter[int]]] = defaultdict(
            lambda: (Counter[int](), Counter[int]())
        )
        """By the number of options, of each half of the questions: how often each letter is right."""
        self._longest_right = self._longest_chance = 0.0
        self._questions = 0

    def add(self, row: int, options: tuple[str, ...], right_index: int) -> None:
        """A question with its right option."""
        self._letters[len(options)][_half(row)][right_index] += 1
        lengths = list(map(len, options))
        longest_count = lengths.count(max(lengths))
        self._longest_right += (lengths[right_index] == max(lengths)) / longest_count
        self._longest_chance += 1 / len(options)
        self._questions += 1

    def letter_shares(self) -> tuple[LetterShares, ...]:
        """How often each letter is right, by the number of options."""
        return tuple(
            LetterShares(tuple(halves[0][index] + halves[1][index] for index in range(option_count)))
            for option_count, halves in sorted(self._letters.items())
        )

    def guesses(self) -> tuple[GuessAccuracy, ...]:
        """How well one guesses; empty where there is nothing to guess."""
        return tuple(self._guesses()) if self._questions else ()

    def report(self, tally: SetTally) -> None:
        """The findings about the set."""
        for shares in filter(lambda shares: shares.is_unbalanced, self.letter_shares()):
            tally.add_many("unbalanced_options", shares.surplus, f"{len(shares.counts)} options", str(shares))
        for check, guess in zip(("guess_by_letter", "guess_by_length"), self.guesses(), strict=False):
            if guess.is_better_than_chance:
                tally.add_many(check, guess.right, "", str(guess))

    def unchecked(self) -> dict[str, str]:
        """The checks for which there are too few questions, with what they need; none where nothing has options."""
        need = f"needs {MIN_QUESTIONS} questions with options"
        is_counted = any(shares.questions >= MIN_QUESTIONS for shares in self.letter_shares())
        names = [] if is_counted else ["unbalanced_options"]
        names += [] if self._questions >= MIN_QUESTIONS else ["guess_by_letter", "guess_by_length"]
        return dict.fromkeys(names if self._questions else (), need)

    def _guesses(self) -> Iterator[GuessAccuracy]:
        chance = self._longest_chance / self._questions
        right_count = 0
        for first_half, second_half in self._letters.values():
            for learnt, tried in ((first_half, second_half), (second_half, first_half)):
                # of letters that are as common the first one, so that the order of questions says nothing
                commonest = min(learnt, key=lambda index: (-learnt[index], index), default=0)
                right_count += tried[commonest]
        yield self._guess("the commonest letter", right_count, chance)
        yield self._guess("the longest option", round(self._longest_right), chance)

    def _guess(self, way: str, right_count: int, chance: float) -> GuessAccuracy:
        interval = wilson(TryCount(right_count, self._questions), CONFIDENCE)
        return GuessAccuracy(way, right_count, self._questions, chance, interval)


def _percents(share: float, interval: Interval) -> str:
    return f"{share:.1%} ({interval.low:.1%} - {interval.high:.1%})"


def _half(row: int) -> int:
    """One of two halves, whatever the order of rows: bits of a product with an odd number."""
    return row * 0x9E3779B1 >> 16 & 1
