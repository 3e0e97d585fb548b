"""Files that belong to no workspace, in Python: videos are probed and cut, texts held against the rules, shards checked."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from dmforge.api.results import ExportFolder
from dmforge.commands import pack_corpus
from dmforge.curation.io.terminal import Terminal
from dmforge.curation.shards import integrity
from dmforge.curation.shards.integrity import ShardReport
from dmforge.curation.video import frame_preview
from dmforge.curation.video.frame_preview import FramePreview
from dmforge.curation.video.isolated_probe import FileReport, inspect_file
from dmforge.filters.inspection.inspect_set import Inspection, inspect_set
from dmforge.filters.rules import lint as lint_rules
from dmforge.filters.rules.lint import LintReport
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import InputError
from dmforge.schemas.looks import Look, Window


def probe(path: str | Path) -> FileReport:
    """What a video file is, or why it can't be used. A process of its own looks at it, and is killed when it hangs."""
    return inspect_file(Path(path))


def frames(
    path: str | Path,
    span: tuple[float, float] | None = None,
    fps: float | Fraction = 1,
    *,
    exact: bool = False,
    backend: str = "pyav",
) -> FramePreview:
    """The frames that a look at a file shows, decoded and sized as training would; without a span, those of the overview.

    Times lie on the grid of 12 frames a second, unless they are to be `exact`.
    """
    if span is None:
        return frame_preview.coarse_shot(Path(path), backend)
    take_shot = frame_preview.exact_shot if exact else frame_preview.look_shot
    return take_shot(Path(path), backend, look_at(span, fps))


def look_at(span: tuple[float, float], fps: float | Fraction) -> Look:
    """A look at a window in seconds."""
    try:
        return Look(Window(round(span[0] * 100), round(span[1] * 100)), Fraction(fps).limit_denominator(1000))
    except (ValueError, OverflowError) as error:
        hint = "give a window that begins before it ends, as --span 2 5"
        raise InputError(str(error), where="--span, --fps", hint=hint) from None


def lint(path: str | Path, rules: Sequence[str] = ()) -> LintReport:
    """Every defect in a shard, a folder of shards, rows of an export or `jsonl` tasks, by all rules and these of plug-ins."""
    return lint_rules.lint(Path(path), rules)


def inspect(
    *places: str | Path,
    videos: Sequence[str | Path] = (),
    benchmarks: Sequence[str | Path] = (),
    format: str | None = None,
) -> Inspection:
    """What is wrong with a released set, given as files and folders, and how many of its rows are left without that.

    `videos` are folders with its videos, `benchmarks` lists of ids or files of benchmarks, `format` is what its files are where
    their keys don't tell.
    """
    return inspect_set(list(map(Path, places)), list(map(Path, videos)), list(map(Path, benchmarks)), format)


def export(place: str | Path, to: str, out: str | Path, *, dialect: DialectName | None = None) -> ExportFolder:
    """Write a folder of shards, here or at an address, in the shape that another trainer reads, into a folder or to an address.
    An interrupted export goes on."""
    console = Terminal(stderr=True)
    return ExportFolder(*pack_corpus.export_shards(console, str(place), to, str(out), dialect))


def verify(place: str | Path) -> ShardReport:
    """Every defect in the bytes of a folder of shards, here or at an address."""
    return integrity.verify(str(place))
