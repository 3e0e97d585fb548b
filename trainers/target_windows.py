"""Where policies should look, over whole corpora: baselines that always look at the same place choose it there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.shards.document import ShardSample
from dmforge.schemas.looks import Window
from dmforge.schemas.targets import needed_looks
from dmforge.trainers.evaluation_rows import target_looks_of, task_of


def target_spans(corpora: Sequence[Corpus]) -> NDArray[np.int64]:
    """The target windows of all samples, in centiseconds: windows x 2."""
    spans_cs: list[tuple[int, int]] = []
    for corpus in corpora:
        for packed_video in corpus.videos():
            for sample in packed_video.samples:
                target_windows = tuple(look.window for look in target_looks_of(sample)) or sample.windows
                spans_cs += [(target_window.start_cs, target_window.end_cs) for target_window in target_windows]
    return np.array(spans_cs, np.int64).reshape(-1, 2)


def target_sets(corpora: Sequence[Corpus]) -> list[tuple[Window, ...]]:
    """The sets of windows that a policy should look at all of, as a constant one would: of windows of which any will do each is
    a set of one."""
    return [
        window_set
        for corpus in corpora
        for packed_video in corpus.videos()
        for sample in packed_video.samples
        for window_set in _window_sets(sample)
    ]


def _window_sets(sample: ShardSample) -> Sequence[tuple[Window, ...]]:
    target_windows = tuple(look.window for look in target_looks_of(sample))
    if needed_looks(task_of(sample), target_looks_of(sample)) == 0:
        return ()
    if target_windows:
        return (target_windows,)
    if sample.needs == "any":
        return [(window,) for window in sample.windows]
    return (sample.windows,) if sample.windows else ()
