"""The audit of a released set, from its arguments to what is printed and written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmforge.commands import console
from dmforge.commands.common_options import JsonOption
from dmforge.commands.console import show


def inspect(
    places: Annotated[
        list[Path], typer.Argument(metavar="SET...", help="Its files, or a folder as a hub has it, or of shards.")
    ],
    videos: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder with its videos; else those in the set's own folder.")
    ] = None,
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A list of video ids, or a benchmark's own file; or a folder of them."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="What its files are; else what their keys say.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with all of it, for a browser.")] = None,
    missing: Annotated[Path | None, typer.Option(metavar="FILE", help="List the videos that are missing, a line each.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Audit a released set without a workspace: what is wrong with its rows, and how many are left without those."""
    from dmforge.commands.report import require_report_extra
    from dmforge.curation.output_paths import output_file
    from dmforge.curation.sources.videos import replaceable
    from dmforge.filters.inspection.inspect_set import inspect_set
    from dmforge.filters.inspection.inspection_page import write_page

    for path, option in ((html, "--html"), (missing, "--missing")):
        if path is not None:
            output_file(path, option, inputs=(*places, *replaceable(videos or (), path), *(benchmark or ())))
    if html is not None:
        require_report_extra()
    inspection = inspect_set(
        places, videos or (), benchmark or (), form, lambda rows: console.err.print_line(f"inspect: {rows:,} rows")
    )
    if html is not None:
        write_page(inspection, html)
    if missing is not None:
        inspection.write_missing(missing)
    show(inspection, as_json)
