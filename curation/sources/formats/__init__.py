"""Every format that `import` reads: one small module each, on the contract of `contract.py`."""

from __future__ import annotations

from dmforge.curation.sources.annotation_format import AnnotationFormat
from dmforge.curation.sources.formats import (
    activitynet_captions,
    benchmarks,
    charades_sta,
    coin,
    didemo,
    dynframe,
    hf,
    hirest,
    jsonl,
    llamafactory,
    nextgqa,
    nextqa,
    qvhighlights,
    rextime,
    sharegpt_video,
    star,
    tacos,
    time_r1,
    timeit,
    video_r1,
    vitt,
)

_MODULES = (
    jsonl, charades_sta, activitynet_captions, qvhighlights, didemo, tacos, hirest, coin, vitt, timeit, nextqa, nextgqa, star,
    rextime, video_r1, sharegpt_video, llamafactory, time_r1, dynframe, hf,
)  # fmt: skip
FORMATS: dict[str, AnnotationFormat] = {
    form.name: form for form in (*(module.FORMAT for module in _MODULES), *benchmarks.FORMATS)
}
