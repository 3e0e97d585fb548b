"""The Python API: its page runs from top to bottom, results show themselves in a notebook, nothing heavy comes early."""

from __future__ import annotations

import asyncio
import re
import resource
import runpy
import subprocess
import sys
from pathlib import Path
from threading import current_thread

import pytest

import dmforge as dm
from dmforge.commands.caller import python_call
from dmforge.curation.engine.driver import StageReport
from dmforge.curation.engine.executors.event_loop import coroutine_runner

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/api.md"
HEAVY = {"torch", "transformers", "duckdb", "pyarrow", "numpy", "av", "pydantic", "rich", "typer"}


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    (tmp_path / "page.py").write_text("\n".join(blocks))
    monkeypatch.chdir(place)
    runpy.run_path(str(tmp_path / "page.py"), run_name="page")


def test_every_public_name_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    names = {f"dm.{name}" for name in dm.__all__}
    methods = {f".{name}(" for name in vars(dm.Workspace) if not name.startswith("_")} - {".of(", ".run_with("}
    in_words = {".merge(": "`merge`", ".forget(": "`forget`", ".upgrade(": "`upgrade`"}
    words = {in_words.get(name, name.lstrip(".")) for name in names | methods}
    assert not {word for word in words if word not in text}


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, dmforge as dm; dir(dm); print(*sys.modules)"
    names = {name.partition(".")[0] for name in _python(code).split()}
    assert not names & HEAVY


def test_importing_takes_under_60_ms_beside_bare_python() -> None:
    """Of CPU time, the best of several, both in turn: what else the machine does only adds."""
    both = [(_cpu_s("pass"), _cpu_s("import dmforge as dm")) for _ in range(7)]
    bare, ours = (min(seconds) for seconds in zip(*both, strict=True))
    assert ours - bare < 0.060


def test_an_unknown_name_is_refused_as_any_module_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Workspce'"):
        _ = dm.Workspce


def test_a_notebook_shows_tables_and_cards_with_pictures(place: Path, workspace: dm.Workspace) -> None:
    assert "<table>" in workspace.funnel()._repr_html_()
    assert "<table>" in workspace.status()._repr_html_()
    sample = workspace.corpora()["cot"][0]
    card = sample._repr_html_()
    assert card.count('<img src="data:image/webp;base64,') >= 4
    assert sample.sample.answer in card
    shot = dm.frames(place / "clips/clip.mp4", span=(0.5, 1.5), fps=4)
    assert shot._repr_html_().count("<img") == 4


def test_foreign_text_is_no_markup_in_a_notebook(workspace: dm.Workspace) -> None:
    from dmforge.curation.audit.query import QueryResult

    html = QueryResult(["<b>name"], [["<script>alert(1)</script>"]])._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html


def test_ids_of_an_answer_are_those_that_are_taken_back(workspace: dm.Workspace) -> None:
    table = workspace.sql("SELECT id FROM tasks ORDER BY id LIMIT 1")
    (row_id,) = table["id"].to_pylist()
    assert row_id.startswith("task_")
    assert workspace.why(row_id).lineage.subject.id == row_id
    assert workspace.sql(f"SELECT id FROM tasks WHERE id = '{row_id}'").num_rows == 1


def test_a_function_hears_of_each_stage_and_nothing_is_printed(
    workspace: dm.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    reports: list[StageReport] = []
    table = workspace.run(progress=reports.append, log=workspace.path.parent / "log.jsonl")
    assert [report.name for report in reports] == [stage.name for stage in table.stages]
    assert capsys.readouterr() == ("", "")
    assert '"event": "run ended"' in (workspace.path.parent / "log.jsonl").read_text().splitlines()[-1]


def test_an_error_names_the_place_and_a_hint(tmp_path: Path, workspace: dm.Workspace) -> None:
    with pytest.raises(dm.InputError, match="no workspace here"):
        dm.Workspace(tmp_path).plan()
    with pytest.raises(dm.InputError, match="no corpus"):
        workspace.export("cto", to="hf")
    with pytest.raises(dm.InputError, match="settings: key 'data' is missing"):
        dm.train("sft", {"out": str(tmp_path / "sft"), "model": {"from_config": "speck"}})
    with pytest.raises(dm.InputError, match="no training called"):
        dm.train("stf", {})


def test_the_lock_and_the_record_say_which_call_it_was(workspace: dm.Workspace) -> None:
    workspace.run(until="ingest", progress=False)
    records = sorted((workspace.path / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime)
    assert "Workspace(" in records[-1].read_text()
    assert ".run(until=ingest)" in records[-1].read_text()


def test_no_key_in_an_address_reaches_the_lock_or_the_record() -> None:
    places = ("clips", "https://me:first@host/a.mp4?token=second", "s3://key:third@bucket/b")
    command = python_call("Workspace('ws').ingest", {"places": places, "source": None}, progress=False).command
    assert command == "python: Workspace('ws').ingest(places=clips https://host/a.mp4 s3://bucket/b)"


def test_coroutines_run_inside_a_notebooks_loop_too() -> None:
    """A cell runs in a loop, and a thread can run only one."""

    async def thread_name() -> str:
        return current_thread().name

    async def cell() -> tuple[str, str]:
        with coroutine_runner() as run:
            return await thread_name(), run(thread_name())

    with coroutine_runner() as run:
        assert run(thread_name()) == current_thread().name
    outer, inner = asyncio.run(cell())
    assert outer != inner


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def _cpu_s(code: str) -> float:
    before, _, after = resource.getrusage(resource.RUSAGE_CHILDREN), _python(code), resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
