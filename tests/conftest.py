"""Shared by all tests: where real data lies, and how much time of `make test` each folder may take."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared", deadline=None)  # a machine that others use has no deadlines
settings.load_profile("shared")
SHARES_S = {
    "api": 10, "audit": 40, "compatibility": 30, "docs": 15, "foundation": 110, "inspection": 15, "judging": 50,
    "look_tool": 25, "providers": 30, "questions": 10, "replay": 30, "report": 45, "rl": 35, "scale": 20, "security": 20,
    "shards": 25, "simulation": 15, "sources": 30, "student": 20, "teachers": 55, "training": 35, "video": 30, "worlds": 45,
    "vllm": 1200, "llm": 1800, "trainers": 900, "object_store": 300,
}  # fmt: skip
"""Seconds of `make test` that each folder under tests/ may take, of each of three workers on two cores."""

LANES = {"vllm": "DMFORGE_VLLM", "llm": "DMFORGE_LLM", "trainers": "DMFORGE_TRAINERS", "object_store": "DMFORGE_S3"}
"""Folders whose tests have an environment of their own, `make test-vllm` and so on, and the variable that says so."""
collect_ignore = [folder for folder, variable in LANES.items() if not os.environ.get(variable)]


@pytest.fixture
def real_data() -> Path:
    """The real files, for tests marked `real_data`; skips where there are none."""
    folder = os.environ.get("DMFORGE_REAL_DATA")
    if not folder:
        pytest.skip("DMFORGE_REAL_DATA is not set: point it to a folder with annotations/, benchmark_ids/ and videos/")
    return Path(folder)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a full session in which real data is available but no test read it: all of them must have skipped."""
    config = session.config
    is_full_session = (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.option.keyword
        and config.option.markexpr in ("", "not slow", "not slow and not providers")
    )
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("DMFORGE_REAL_DATA") or not is_full_session or exitstatus:
        return
    if not any("real_data" in report.keywords for report in reporter.stats.get("passed", [])):
        reporter.write_line("DMFORGE_REAL_DATA is set, but no test that reads real data ran", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report the seconds of each folder, and which took more than its share."""
    spent_s: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent_s[Path(report.nodeid).parts[1]] += report.duration
    workers = config.getoption("numprocesses", None) or 1
    for folder, seconds in sorted(spent_s.items()):
        share = SHARES_S.get(folder)
        warning = " OVER ITS SHARE" if share is not None and seconds / workers > share else ""
        terminalreporter.write_line(f"tests/{folder}: {seconds / workers:.0f} s of {share} s on {workers} cores{warning}")
