"""Does a thought treat the answer, the option or the window as known before anything was seen?

The answer, words of the question and quotations are blanked (`leak_blanks.py`). Each sentence is cut into clauses. A clause,
two neighbours and the whole sentence have features (`leak_features.py`), and each feature has a weight, fitted to thoughts with
and without leaks. A sentence leaks whose worst part weighs enough, with a share of the sentences beside it. All weights are
whole numbers, so that a verdict is the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from dmforge.filters.rules.leak_blanks import TaskBlanks, blanks_of
from dmforge.filters.rules.leak_features import SYMBOLS, features, signs_in
from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore, TextSpan

WEIGHTS_FILE = "leak_weights.tsv"
"""A line a feature: its name, its weight before the first look, its weight after it. `tools/leak_weights.py` writes it."""
BIAS = "(bias)"
"""The feature that every text has: what is not said weighs against a leak."""
THRESHOLD = "(threshold)"
"""In the file, the sum from which on a sentence leaks."""
SHARED_ABOVE = -800
"""A third of what a sentence weighs above this counts for its neighbours: who was told something tends to say so twice."""
MAX_CHARACTERS = 20_000
"""Of a thought. `length` refuses what is longer; it need not be searched to its end."""
SENTENCE = re.compile(r"[^.!?;\n]{1,2000}")
"""Longer ones are cut: the time stays linear."""
JOINT = re.compile(r"[,:()\u2014]+|\s-\s|\b(?:but|so|though|although|yet|and|while|whereas)\b", re.IGNORECASE)
WORD = re.compile(rf"[a-z0-9{''.join(SYMBOLS)}]")


@dataclass(frozen=True, slots=True)
class LeakSentence:
    """A sentence of a thought, blanked."""

    is_early: bool
    """Before the first look."""
    start: int
    """In the thought."""
    plain: str
    text: str
    """`plain` with the words of the question blanked, too."""


@dataclass(frozen=True, slots=True)
class SentencePart:
    """A clause, two neighbours or all of a sentence, with its features."""

    start: int
    """In the thought."""
    end: int
    features: frozenset[str]


def unleaked(rule_input: RuleInput) -> RuleScore:
    """Does no thought speak of an answer, a window or an annotation that it was given?"""
    blanks = blanks_of(rule_input)
    faults: list[Finding] = []
    for index, thought in enumerate(rule_input.thoughts):
        is_early = index == 0 and len(rule_input.thoughts) > 1
        worst_parts = [_worst_part(sentence) for sentence in sentences(thought, blanks, is_early)]
        totals = with_neighbours([weight for weight, _ in worst_parts])
        faults += [_fault(thought, part) for total, (_, part) in zip(totals, worst_parts, strict=True) if total >= threshold()]
    n = len(rule_input.thoughts)
    return RuleScore(0.0, n, "leaked gold", tuple(faults)) if faults else RuleScore(1.0, n)


def sentences(thought: TextSpan, blanks: TaskBlanks, is_early: bool) -> Iterator[LeakSentence]:
    """The sentences of a thought that have a word."""
    plain = blanks.plain(thought.text[:MAX_CHARACTERS])
    text = blanks.without_question(plain)
    for match in SENTENCE.finditer(plain):
        start, end = match.span()
        if WORD.search(match.group()):
            yield LeakSentence(is_early, start, plain[start:end], text[start:end])


def parts_of(sentence: LeakSentence, known: Set[str] | None = None) -> Iterator[SentencePart]:
    """The clauses of a sentence, neighbours by two, and all of it; with features of `known` words alone, if there are any."""
    signs = signs_in(sentence.text, sentence.plain)
    for start, end in _clauses(sentence.plain):
        text, plain = sentence.text[start:end], sentence.plain[start:end]
        if WORD.search(plain):
            part_features = features(text, signs_in(text, plain, signs), known)
            yield SentencePart(sentence.start + start, sentence.start + end, part_features)


def with_neighbours(sentence_weights: Sequence[int]) -> list[int]:
    """The weight of each sentence of a thought, and its share in those beside it."""
    shares = [0, *(max(0, weight - SHARED_ABOVE) // 3 for weight in sentence_weights), 0]
    return [before + weight + after for before, weight, after in zip(shares, sentence_weights, shares[2:], strict=False)]


@cache
def weights() -> Mapping[str, tuple[int, int]]:
    """The weights of each feature, before and after a look."""
    lines = files("dmforge.filters.rules").joinpath(WEIGHTS_FILE).read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name: (int(early), int(late)) for name, early, late in rows}


def weight_of(part_features: Set[str], weight_table: Mapping[str, tuple[int, int]], is_early: bool) -> int:
    """The sum of the weights of features."""
    pairs = [weight_table[name] for name in (BIAS, *part_features) if name in weight_table]
    return sum(early if is_early else late for early, late in pairs)


@cache
def threshold() -> int:
    """The sum from which on a sentence leaks."""
    return weights()[THRESHOLD][0]


@cache
def _known_words() -> Set[str]:
    """Words and classes that some weight speaks of: others needn't be paired."""
    return frozenset(name for feature in weights() for name in feature.split(" "))


def _worst_part(sentence: LeakSentence) -> tuple[int, SentencePart]:
    """The heaviest part of a sentence, with its weight."""
    weighed = [(weight_of(part.features, weights(), sentence.is_early), part) for part in parts_of(sentence, _known_words())]
    return max(weighed, key=lambda item: item[0])


def _fault(thought: TextSpan, part: SentencePart) -> Finding:
    clause = thought.text[part.start : part.end].lstrip(" ,:()\u2014-")
    stop = thought.start + part.end
    return Finding(f"speaks of what it was given: {clause.strip()!r}", stop - len(clause), stop)


def _clauses(sentence: str) -> Iterator[tuple[int, int]]:
    """The clauses of a sentence, neighbours by two, and all of it; none twice."""
    cuts = [0, *(joint.start() for joint in JOINT.finditer(sentence, 1)), len(sentence)]
    yield from pairwise(cuts)
    if len(cuts) > 2:
        yield from zip(cuts, cuts[2:], strict=False)
    if len(cuts) > 3:
        yield 0, len(sentence)
