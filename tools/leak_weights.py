"""Fits the weights by which `unleaked` tells a leak, and writes them beside the rule.

A logistic regression over parts of sentences. Where a thought leaks, some part of it does, and nobody says which: the fit
counts most what it finds likeliest, and repeats. What a feature weighs is a sum of what it weighs in all thoughts and in those
before or after a look, each drawn to zero, so that what is seldom seen weighs little. `leave_one_out` says what is caught of a
writer who had no part in the fit, and the threshold is the one that so few sound thoughts of these reach (`MAX_FALSE_SHARE`).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from dmforge.filters.rules import leaks
from dmforge.filters.rules.leak_blanks import blanks_of
from dmforge.filters.rules.leak_features import features, signs_in
from dmforge.filters.rules.leak_words import BOUND, GOLD, LETTER, PAIR, RIVAL, SCENE
from tests.judging.thoughts import DEV, WRITTEN, Thought, read
from tools.sparse_logistic import FeatureMatrix, Floats, fit_weights

COMMAND = "python -m tools.leak_weights"
FILE = Path(leaks.__file__).parent / leaks.WEIGHTS_FILE
SLOTS = {
    "{A}": GOLD * 4,
    "{L}": LETTER,
    "{W}": PAIR * 8,
    "{S}": BOUND * 2,
    "{T}": BOUND * 2,
    "{R}": RIVAL * 4,
    "{Q}": SCENE * 4,
}
"""What stands in a pattern for the answer, its letter, its window, both bounds; another option, a word of the question."""
CHOICE = re.compile(r"\(([^()]*)\)")
DRAWS, PATTERN_WEIGHT = 10, 0.3
"""Sentences that are drawn of a pattern, and what each counts beside one of a thought."""
RIDGE, PAIR_RIDGE = 0.5, 1.0
"""How strongly weights are drawn to zero: pairs, which are many and rare, more than words, classes and signs."""
ROUNDS = 3
SCALE, MIN_WEIGHT = 100, 5
"""A weight is kept in hundredths; smaller ones are left out."""
MAX_FALSE_SHARE = 0.004
"""Of the sound thoughts of writers who were left out, those that may reach the threshold."""

WeightTable = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class LeakExample:
    """A part of a sentence, to fit to."""

    features: frozenset[str]
    is_early: bool
    place: tuple[int, int, int]
    """The number of its trajectory, of its thought there, and of its sentence in the thought; of a pattern negative."""
    leaks: bool
    """Its thought leaks; a pattern does itself."""
    count: float = 1.0
    """What it counts beside a part of a thought that is sound."""

    @property
    def trajectory(self) -> int:
        return self.place[0]


def examples_of(thoughts: Sequence[Thought]) -> list[LeakExample]:
    """All parts of all sentences of all thoughts."""
    examples: list[LeakExample] = []
    for trajectory, thought in enumerate(thoughts):
        blanks, spans = blanks_of(thought.rule_input), thought.rule_input.thoughts
        for index, span in enumerate(spans):
            leaks_here = thought.leaks and thought.where == f"T{index + 1}"
            for number, sentence in enumerate(leaks.sentences(span, blanks, index == 0 and len(spans) > 1)):
                place = trajectory, index, number
                examples += [
                    LeakExample(part.features, sentence.is_early, place, leaks_here) for part in leaks.parts_of(sentence)
                ]
    return examples


@cache
def pattern_examples() -> tuple[LeakExample, ...]:
    """A pattern says what it is for (`+` leaks, `-` is sound), when (`E` before a look, `L` after it, `B`), and has choices."""
    examples: list[LeakExample] = []
    for line in WRITTEN.read_text("utf-8").splitlines()[1:]:
        head, _, pattern = line.partition(" ")
        draw = random.Random(line)
        for text in sorted({_drawn_sentence(pattern, draw) for _ in range(DRAWS)}):
            names = features(text, signs_in(text, text))
            count = PATTERN_WEIGHT * int(head[2:] or 1)
            examples += [
                LeakExample(names, phase == "E", (-1, -1, -1), head[0] == "+", count) for phase in head[1].replace("B", "EL")
            ]
    return tuple(examples)


def _drawn_sentence(pattern: str, draw: random.Random) -> str:
    while choice := CHOICE.search(pattern):
        pattern = pattern[: choice.start()] + draw.choice(choice.group(1).split("|")) + pattern[choice.end() :]
    for slot, symbol in SLOTS.items():
        pattern = pattern.replace(slot, symbol)
    return " ".join(pattern.split()).lower().replace(". ", "; ")


def columns_of(examples: Sequence[LeakExample]) -> dict[str, int]:
    """A column for each feature of two trajectories or patterns, and for what it weighs early and late."""
    occurrences: Counter[str] = Counter()
    by_trajectory: dict[int, set[str]] = {}
    for example in examples:
        if example.trajectory < 0:
            occurrences.update(_column_names(example))
        else:
            by_trajectory.setdefault(example.trajectory, set()).update(_column_names(example))
    for names in by_trajectory.values():
        occurrences.update(names)
    return {name: column for column, name in enumerate(sorted(name for name, count in occurrences.items() if count > 1))}


def _column_names(example: LeakExample) -> Iterator[str]:
    phase = "early" if example.is_early else "late"
    for name in (leaks.BIAS, *example.features):
        yield name
        yield f"{name}\t{phase}"


def _is_pair(column_name: str) -> bool:
    return " " in column_name and not column_name.startswith("sign ")


def matrix_of(examples: Sequence[LeakExample], columns: Mapping[str, int]) -> FeatureMatrix:
    rows = [sorted(columns[name] for name in _column_names(example) if name in columns) for example in examples]
    lengths = [len(row) for row in rows]
    flat = np.fromiter((column for row in rows for column in row), np.int64, sum(lengths))
    return FeatureMatrix(flat, np.repeat(np.arange(len(rows)), lengths), len(rows), len(columns))


def column_weights(examples: Sequence[LeakExample], matrix: FeatureMatrix, ridge: Floats) -> Floats:
    """The weight of each column. After a round, a part of a thought that leaks counts by how likely it is the leak."""
    trajectories = np.array([example.trajectory for example in examples])
    positive = np.array([example.leaks for example in examples])
    uncertain = positive & (trajectories >= 0)
    owners = trajectories[uncertain]
    counts = np.array([example.count for example in examples])
    counts[uncertain] /= np.bincount(owners)[owners]
    weights = np.zeros(matrix.width)
    for _ in range(ROUNDS):
        weights = fit_weights(matrix, positive, counts, ridge, weights)
        scores = matrix.times(weights)[uncertain]
        worst = np.full(int(trajectories.max()) + 1, -np.inf)
        np.maximum.at(worst, owners, scores)
        likelihoods = np.exp(scores - worst[owners])
        counts[uncertain] = likelihoods / np.bincount(owners, likelihoods)[owners]
    return weights


def weight_table(examples: Sequence[LeakExample]) -> dict[str, tuple[int, int]]:
    """The weights, early and late, of a fit to examples: whole hundredths, without those that are too small to matter."""
    columns = columns_of(examples)
    ridge = np.array([PAIR_RIDGE if _is_pair(name) else RIDGE for name in columns])
    weights = column_weights(examples, matrix_of(examples, columns), ridge)
    table: dict[str, tuple[int, int]] = {}
    for name in sorted({name.partition("\t")[0] for name in columns}):
        early, late = (
            round(SCALE * float(sum(weights[columns[key]] for key in (name, f"{name}\t{phase}") if key in columns)))
            for phase in ("early", "late")
        )
        if max(abs(early), abs(late)) >= MIN_WEIGHT or name == leaks.BIAS:
            table[name] = early, late
    return table


def joined(example_sets: Sequence[Sequence[LeakExample]]) -> list[LeakExample]:
    """The examples of several sets, with trajectories counted on."""
    examples: list[LeakExample] = []
    for example_set in example_sets:
        begin = 1 + max((example.trajectory for example in examples), default=-1)
        examples += [replace(example, place=(begin + example.trajectory, *example.place[1:])) for example in example_set]
    return examples


def trajectory_scores(examples: Sequence[LeakExample], table: WeightTable, count: int) -> list[int]:
    """The score of each of so many trajectories: that of its worst sentence, neighbours counted in."""
    by_sentence: dict[tuple[int, int, int], int] = {}
    for example in examples:
        score = leaks.weight_of(example.features, table, example.is_early)
        by_sentence[example.place] = max(score, by_sentence.get(example.place, score))
    by_thought: dict[tuple[int, int], list[int]] = {}
    for (trajectory, thought, _), score in by_sentence.items():
        by_thought.setdefault((trajectory, thought), []).append(score)
    worst = [-(10**9)] * count
    for (trajectory, _), scores in by_thought.items():
        worst[trajectory] = max(worst[trajectory], *leaks.with_neighbours(scores))
    return worst


def leave_one_out(sets: Sequence[Sequence[Thought]]) -> list[list[int]]:
    """What each trajectory of each set scores by weights that were fitted to the other sets and to patterns."""
    example_sets = [examples_of(thoughts) for thoughts in sets]
    scores: list[list[int]] = []
    for index, examples in enumerate(example_sets):
        others = joined([*example_sets[:index], *example_sets[index + 1 :]])
        table = weight_table([*others, *pattern_examples()])
        scores.append(trajectory_scores(examples, table, len(sets[index])))
    return scores


def threshold_of(sets: Sequence[Sequence[Thought]], scores: Sequence[Sequence[int]]) -> int:
    """The lowest score of a leak: few enough sound thoughts have as much."""
    sound = sorted(
        score
        for thoughts, set_scores in zip(sets, scores, strict=True)
        for thought, score in zip(thoughts, set_scores, strict=True)
        if not thought.leaks
    )
    return sound[-1 - int(MAX_FALSE_SHARE * len(sound))] + 1


def data_digest() -> str:
    """What the weights follow from, in short: thoughts, patterns and classes of words."""
    classes = FILE.with_name("leak_classes.tsv")
    return hashlib.sha256(b"".join(path.read_bytes() for path in (*DEV, WRITTEN, classes))).hexdigest()[:16]


def file_text(table: WeightTable) -> str:
    """The text of the file: what it was made by and from, and a line a feature."""
    lines = (f"{name}\t{early}\t{late}\n" for name, (early, late) in sorted(table.items()))
    return f"# {COMMAND}, data {data_digest()}\n{''.join(lines)}"


def main() -> None:
    sets = [read(path) for path in DEV]
    threshold = threshold_of(sets, leave_one_out(sets))
    examples = [*examples_of([thought for thoughts in sets for thought in thoughts]), *pattern_examples()]
    FILE.write_text(file_text({**weight_table(examples), leaks.THRESHOLD: (threshold, threshold)}), "utf-8")


if __name__ == "__main__":
    main()
