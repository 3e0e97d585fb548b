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
    task_blanks = blanks_of(rule_input)
    leak_findings: list[Finding] = []
    for thought_index, thought in enumerate(rule_input.thoughts):
        is_early = thought_index == 0 and len(rule_input.thoughts) > 1
        worst_parts = [_worst_part(sentence) for sentence in sentences(thought, task_blanks, is_early)]
        sentence_totals = with_neighbours([sentence_weight for sentence_weight, _ in worst_parts])
        leak_findings += [
            _fault(thought, worst_part)
            for sentence_total, (_, worst_part) in zip(sentence_totals, worst_parts, strict=True)
            if sentence_total >= threshold()
        ]
    thought_count = len(rule_input.thoughts)
    return (
        RuleScore(0.0, thought_count, "leaked gold", tuple(leak_findings)) if leak_findings else RuleScore(1.0, thought_count)
    )


def sentences(thought: TextSpan, blanks: TaskBlanks, is_early: bool) -> Iterator[LeakSentence]:
    """The sentences of a thought that have a word."""
    plain_text = blanks.plain(thought.text[:MAX_CHARACTERS])
    blanked_text = blanks.without_question(plain_text)
    for sentence_match in SENTENCE.finditer(plain_text):
        sentence_start, sentence_end = sentence_match.span()
        if WORD.search(sentence_match.group()):
            yield LeakSentence(
                is_early, sentence_start, plain_text[sentence_start:sentence_end], blanked_text[sentence_start:sentence_end]
            )


def parts_of(sentence: LeakSentence, known_words: Set[str] | None = None) -> Iterator[SentencePart]:
    """The clauses of a sentence, neighbours by two, and all of it; with features of `known_words` alone, if there are any."""
    sentence_signs = signs_in(sentence.text, sentence.plain)
    for clause_start, clause_end in _clauses(sentence.plain):
        clause_text, plain_clause = sentence.text[clause_start:clause_end], sentence.plain[clause_start:clause_end]
        if WORD.search(plain_clause):
            part_features = features(clause_text, signs_in(clause_text, plain_clause, sentence_signs), known_words)
            yield SentencePart(sentence.start + clause_start, sentence.start + clause_end, part_features)


def with_neighbours(sentence_weights: Sequence[int]) -> list[int]:
    """The weight of each sentence of a thought, and its share in those beside it."""
    shared_weights = [0, *(max(0, sentence_weight - SHARED_ABOVE) // 3 for sentence_weight in sentence_weights), 0]
    return [
        share_before + sentence_weight + share_after
        for share_before, sentence_weight, share_after in zip(
            shared_weights, sentence_weights, shared_weights[2:], strict=False
        )
    ]


@cache
def weights() -> Mapping[str, tuple[int, int]]:
    """The weights of each feature, before and after a look."""
    weight_lines = files("dmforge.filters.rules").joinpath(WEIGHTS_FILE).read_text("utf-8").splitlines()
    weight_rows = (weight_line.split("\t") for weight_line in weight_lines if not weight_line.startswith("#"))
    return {feature_name: (int(early_weight), int(late_weight)) for feature_name, early_weight, late_weight in weight_rows}


def weight_of(part_features: Set[str], weight_table: Mapping[str, tuple[int, int]], is_early: bool) -> int:
    """The sum of the weights of features."""
    early_late_pairs = [weight_table[feature_name] for feature_name in (BIAS, *part_features) if feature_name in weight_table]
    return sum(early_weight if is_early else late_weight for early_weight, late_weight in early_late_pairs)


@cache
def threshold() -> int:
    """The sum from which on a sentence leaks."""
    return weights()[THRESHOLD][0]


@cache
def _known_words() -> Set[str]:
    """Words and classes that some weight speaks of: others needn't be paired."""
    return frozenset(feature_part for feature in weights() for feature_part in feature.split(" "))


def _worst_part(sentence: LeakSentence) -> tuple[int, SentencePart]:
    """The heaviest part of a sentence, with its weight."""
    weighed_parts = [
        (weight_of(sentence_part.features, weights(), sentence.is_early), sentence_part)
        for sentence_part in parts_of(sentence, _known_words())
    ]
    return max(weighed_parts, key=lambda weighed_part: weighed_part[0])


def _fault(thought: TextSpan, leaking_part: SentencePart) -> Finding:
    clause_text = thought.text[leaking_part.start : leaking_part.end].lstrip(" ,:()\u2014-")
    clause_end = thought.start + leaking_part.end
    return Finding(f"speaks of what it was given: {clause_text.strip()!r}", clause_end - len(clause_text), clause_end)


def _clauses(sentence: str) -> Iterator[tuple[int, int]]:
    """The clauses of a sentence, neighbours by two, and all of it; none twice."""
    clause_cuts = [0, *(joint_match.start() for joint_match in JOINT.finditer(sentence, 1)), len(sentence)]
    yield from pairwise(clause_cuts)
    if len(clause_cuts) > 2:
        yield from zip(clause_cuts, clause_cuts[2:], strict=False)
    if len(clause_cuts) > 3:
        yield 0, len(sentence)
