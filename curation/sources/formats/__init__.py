"""Every format that `import` reads: one small module each, and those of plug-ins, on the contract of `annotation_format`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from dmforge.curation.io.plugins import PluginError, PluginGroup
from dmforge.curation.sources.annotation_format import AnnotationFormat, Layout
from dmforge.curation.sources.formats import (
    activitynet_captions,
    benchmarks,
    cgbench_train,
    charades_sta,
    coin,
    didemo,
    dynframe,
    hf,
    hirest,
    jsonl,
    llamafactory,
    longvt,
    mtvr,
    nextgqa,
    nextqa,
    omniagent,
    openai_messages,
    problems,
    qvhighlights,
    rextime,
    seeker,
    sharegpt_video,
    star,
    stgr,
    swift,
    tacos,
    time_r1,
    timeit,
    timelens,
    verl,
    video_r1,
    videoauto_r1,
    videotemp_o3,
    vitt,
)

_MODULES = (
    jsonl, charades_sta, activitynet_captions, qvhighlights, didemo, tacos, hirest, coin, vitt, timeit, nextqa, nextgqa, star,
    rextime, video_r1, sharegpt_video, llamafactory, time_r1, dynframe, hf, openai_messages, swift, verl, longvt, videotemp_o3,
    mtvr, seeker, stgr, videoauto_r1, cgbench_train,
)  # fmt: skip
_FAMILIES = (problems, timelens, omniagent, benchmarks)
"""Modules whose formats share a reader."""
FORMATS: dict[str, AnnotationFormat] = {
    form.name: form
    for form in (*(module.FORMAT for module in _MODULES), *(form for family in _FAMILIES for form in family.FORMATS))
}


def find_format(name: str, where: str) -> AnnotationFormat:
    """The format of this name, dmforge's own or a plug-in's."""
    return _PLUGINS.load(name, where) or FORMATS[name]


def all_formats(where: str) -> Iterator[AnnotationFormat | PluginError]:
    """Every format that there is; of a plug-in that can't be used, why."""
    yield from FORMATS.values()
    yield from _PLUGINS.load_all(where)


def _checked_format(format_name: str, loaded_object: object) -> AnnotationFormat:
    if not isinstance(loaded_object, AnnotationFormat):
        raise TypeError(f"is a {type(loaded_object).__name__}, and an AnnotationFormat is needed")
    if loaded_object.name != format_name:
        raise TypeError(f"calls itself {loaded_object.name!r}, and its entry point {format_name!r}")
    if loaded_object.layout not in get_args(Layout):
        raise TypeError(f"has the layout {loaded_object.layout!r}, and one of {', '.join(get_args(Layout))} is needed")
    return loaded_object


_PLUGINS = PluginGroup("dmforge.formats", "format", FORMATS.keys(), _checked_format)
