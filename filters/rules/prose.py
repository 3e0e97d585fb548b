"""Rules about the prose of thoughts: its length, its repetitions, and its language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dmforge.filters.rules.rule import Finding, RuleInput, RuleScore, TextSpan

NGRAM_WORDS = 4
"""Words in a row that are compared for repetition."""
ALLOWED_TIMES = 2
"""How often the same words may stand in a thought: who compares two frames says the same twice."""
MIN_CHUNK_WORDS = 14
"""The fewest words whose language is judged together: fewer say too little."""
MIN_WORDS_TO_WEIGH = 8
"""Fewer words than these are judged by their letters alone."""
LATIN_SHARE = 0.7
ENGLISH_SHARE = 0.15
"""The least share of common English words in a chunk of English. Prose has .3 to .5; other languages hardly any, since most
words that they share with English are left out, and the rest counts half."""
_TOKEN = re.compile(
    "[\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\\W_]+(?:['\u2019.:][^\\W_]+)*"
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[\u3002\uff01\uff1f\n]")
_LATIN = re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """the and but of to it its at by for from with without into onto over under between behind before after while until
        then than that this these those there here is are were be been being has have had does did not my you your his she
        they them their our one two three first next last what which who whose when where why how can could would shall should
        may might must now only just also both each all any some more most other another up down out off again still because
        about around through during very too""",
    )
) | frozenset(re.findall(r"\w+", "frame frames second seconds video shows show shown see seen look looks left right"))
HALF_ENGLISH = frozenset(re.findall(r"\w+", "in on an he we or was her will i if"))


@dataclass(frozen=True, slots=True)
class PlacedWord:
    """A word with its place in the text; in scripts without blanks, one letter."""

    text: str
    start: int
    end: int


def length(rule_input: RuleInput, min_words: int, max_words: int) -> RuleScore:
    """Is each thought neither a few words nor endless?"""
    worst_score = 1.0
    length_faults: list[Finding] = []
    for thought in rule_input.thoughts:
        word_count = len(words(thought))
        thought_score = (
            word_count / min_words if word_count < min_words else max_words / word_count if word_count > max_words else 1.0
        )
        worst_score = min(worst_score, thought_score)
        if thought_score < 1:
            length_faults.append(
                Finding(f"{word_count} words; a thought has {min_words} to {max_words}", thought.start, thought.end)
            )
    return RuleScore(
        worst_score, len(rule_input.thoughts), "too short or too long" if length_faults else "", tuple(length_faults)
    )


def repetition(rule_input: RuleInput) -> RuleScore:
    """How much of the most repetitive thought is said for the first or second time?"""
    score_count_fault = [_repetition_of_thought(words(thought)) for thought in rule_input.thoughts]
    lowest_score, ngram_count = min((score, n) for score, n, _ in score_count_fault)
    repetition_faults = tuple(thought_finding for _, _, thought_finding in score_count_fault if thought_finding is not None)
    return RuleScore(lowest_score, ngram_count, "says the same again and again" if repetition_faults else "", repetition_faults)


def language(rule_input: RuleInput) -> RuleScore:
    """How much of the least English thought is English?"""
    english_share, word_count = 1.0, 0
    language_faults: list[Finding] = []
    for thought in rule_input.thoughts:
        foreign_words = words_in_thought = 0
        for sentence_chunk in _chunks(thought):
            words_in_thought += len(sentence_chunk)
            if not _is_english(sentence_chunk):
                foreign_words += len(sentence_chunk)
                chunk_excerpt = " ".join(placed_word.text for placed_word in sentence_chunk[:8])
                language_faults.append(
                    Finding(f"not English: {chunk_excerpt}", sentence_chunk[0].start, sentence_chunk[-1].end)
                )
        english_share, word_count = (
            min(english_share, 1 - foreign_words / words_in_thought if words_in_thought else 1.0),
            word_count + words_in_thought,
        )
    return RuleScore(english_share, word_count, "another language" if language_faults else "", tuple(language_faults))


def words(text_span: TextSpan) -> list[PlacedWord]:
    """The words of a stretch, with their places in the whole text."""
    return [
        PlacedWord(word_match.group(), text_span.start + word_match.start(), text_span.start + word_match.end())
        for word_match in _TOKEN.finditer(text_span.text)
    ]


def _repetition_of_thought(thought_words: list[PlacedWord]) -> tuple[float, int, Finding | None]:
    """The share of n-grams that come for the first or second time, their number, and a fault that covers the others."""
    word_ngrams = [
        tuple(placed_word.text.casefold() for placed_word in thought_words[ngram_index : ngram_index + NGRAM_WORDS])
        for ngram_index in range(len(thought_words) - NGRAM_WORDS + 1)
    ]
    count_by_ngram = Counter[tuple[str, ...]]()
    repeat_indices: list[int] = []
    for ngram_index, word_ngram in enumerate(word_ngrams):
        count_by_ngram[word_ngram] += 1
        if count_by_ngram[word_ngram] > ALLOWED_TIMES:
            repeat_indices.append(ngram_index)
    if not repeat_indices:
        return 1.0, len(word_ngrams), None
    first_word, last_word = thought_words[repeat_indices[0]], thought_words[repeat_indices[-1] + NGRAM_WORDS - 1]
    repeat_message = f"{len(repeat_indices)} of {len(word_ngrams)} times four words in a row were said twice before"
    return (
        1 - len(repeat_indices) / len(word_ngrams),
        len(word_ngrams),
        Finding(repeat_message, first_word.start, last_word.end),
    )


def _chunks(thought: TextSpan) -> Iterator[list[PlacedWord]]:
    """A thought's sentences, short ones together with what follows."""
    sentence_ends = [thought.start + stop_match.start() for stop_match in _SENTENCE_END.finditer(thought.text)] + [thought.end]
    open_chunk: list[PlacedWord] = []
    sentence_chunks: list[list[PlacedWord]] = []
    word_index = 0
    thought_words = words(thought)
    for sentence_end in sentence_ends:
        while word_index < len(thought_words) and thought_words[word_index].start < sentence_end:
            open_chunk.append(thought_words[word_index])
            word_index += 1
        if len(open_chunk) >= MIN_CHUNK_WORDS:
            sentence_chunks.append(open_chunk)
            open_chunk = []
    if open_chunk and sentence_chunks:
        sentence_chunks[-1] = sentence_chunks[-1] + open_chunk
    elif open_chunk:
        sentence_chunks.append(open_chunk)
    yield from sentence_chunks


def _is_english(chunk: list[PlacedWord]) -> bool:
    chunk_letters = [word_letter for placed_word in chunk for word_letter in placed_word.text if word_letter.isalpha()]
    if not chunk_letters:
        return True
    if sum(_LATIN.match(word_letter) is not None for word_letter in chunk_letters) < LATIN_SHARE * len(chunk_letters):
        return False
    lowercase_words = [placed_word.text.casefold() for placed_word in chunk if placed_word.text[0].isalpha()]
    english_weight = sum(
        1.0 if lowercase_word in ENGLISH else 0.5 if lowercase_word in HALF_ENGLISH else 0.0
        for lowercase_word in lowercase_words
    )
    return len(lowercase_words) < MIN_WORDS_TO_WEIGH or english_weight >= ENGLISH_SHARE * len(lowercase_words)
