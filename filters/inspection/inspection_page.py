"""The audit of a set as one page: it loads nothing, and nothing in it runs."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from dmforge.curation.io.atomic import writing
from dmforge.curation.output_paths import output_file
from dmforge.filters.inspection.inspect_set import Inspection

TEMPLATES = Path(__file__).parent / "templates"


def write_page(inspection: Inspection, path: Path) -> Path:
    """Write the page into a file."""
    output_file(path, "--html")
    page_text = render(inspection)
    with writing(path) as page_file:
        page_file.write(page_text.encode("utf-8", "backslashreplace"))
    return path


def render(inspection: Inspection) -> str:
    """The page as HTML."""
    from markupsafe import Markup

    from dmforge.curation.report.page import asset, environment, policy

    jinja_environment = environment(TEMPLATES)
    style = asset("page.css") + (TEMPLATES / "inspection.css").read_text("utf-8")
    return jinja_environment.get_template("inspection.html").render(
        inspection=inspection, style=Markup(style), policy=policy(style, ""), version=version("dmforge")
    )
