"""What does a command cost before it does anything: how much CPU until its help stands there, or where a workspace stands?

Whole processes, each in turn with the others, so that a machine whose speed drifts slows all of them down; CPU seconds of
user and system, since the clock tells more of other programs. Beside them: Python doing nothing, and the help of the smallest
program made with Typer, which no command of ours can undercut.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.tables import show

COMMAND = "python -m benchmarks.start"
SMALLEST = """import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def one(): ...
@app.command()
def other(): ...
app()
"""
DMFORGE = (sys.executable, "-m", "dmforge.cli")


def cpu_s(command: tuple[str, ...]) -> tuple[float, float]:
    """CPU seconds of a whole process, and its peak memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times: int = parser.parse_args().times
    with tempfile.TemporaryDirectory(prefix="dmforge-start-") as folder:
        smallest, workspace = Path(folder, "smallest.py"), Path(folder, "ws")
        smallest.write_text(SMALLEST)
        subprocess.run([*DMFORGE, "init", str(workspace), "--recipe", "dm-cot"], check=True, stdout=subprocess.DEVNULL)
        commands = {
            "python -c pass": (sys.executable, "-c", "pass"),
            "python -c 'import dmforge'": (sys.executable, "-c", "import dmforge"),
            "the smallest Typer program, --help": (sys.executable, str(smallest), "--help"),
            "dmforge --help": (*DMFORGE, "--help"),
            "dmforge run --help": (*DMFORGE, "run", "--help"),
            "dmforge status": (*DMFORGE, "status", "-w", str(workspace)),
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(times + 1):
            for name, command in commands.items():
                measured = cpu_s(command)
                if turn:  # the first compiles what was never imported
                    figures[name].append(measured)
    rows: list[list[object]] = []
    for name, pairs in figures.items():
        seconds, peaks_mb = zip(*pairs, strict=True)
        rows.append([name, *(f"{figure(seconds):.3f}" for figure in (min, statistics.median, max)), f"{max(peaks_mb):.0f}"])
    columns = ["what", "least", "median", "greatest", "peak MB"]
    show("Starts: CPU seconds of whole processes", f"{COMMAND} --times {times}", columns, rows)


if __name__ == "__main__":
    main()
