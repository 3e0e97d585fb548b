"""How long does it take to import annotations, and does memory grow with them?

`--dry-run` and a whole import of our own format; and, where published files are at hand, Charades-STA. The baseline reads the
same lines with `json.loads` and does nothing with them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.memory import PeakMemory
from tests.support.tables import show

VIDEOS = 1000
BASELINE = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"
RECIPE = 'name = "importing"\n[stages.ingest]\n[stages.import]\n'


def annotations(path: Path, lines: int) -> Path:
    with path.open("w") as file:
        for number in range(lines):
            task = {"video": f"v{number % VIDEOS}.mp4", "kind": "open", "question": f"What is number {number}?", "answer": "it"}
            file.write(json.dumps(task) + "\n")
    return path


def measured(name: str, lines: int, *command: str) -> list[object]:
    began = time.monotonic()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, text=True) as process, PeakMemory(process) as memory:
        process.wait()
    return [name, f"{lines:,}", f"{time.monotonic() - began:.1f}", f"{memory.peak_mb:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--charades", type=Path, help="charades_sta_train.txt")
    arguments = parser.parse_args()
    dmforge = (sys.executable, "-m", "dmforge.cli", "import")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for lines in (arguments.lines // 10, arguments.lines):
            file = str(annotations(Path(scratch, f"{lines}.jsonl"), lines))
            rows.append(measured("json.loads", lines, sys.executable, "-c", BASELINE, file))
            rows.append(measured("import jsonl --dry-run", lines, *dmforge, "jsonl", file, "--dry-run"))
            workspace = Path(scratch, f"ws{lines}")
            (workspace / "inputs").mkdir(parents=True)
            (workspace / "recipe.toml").write_text(RECIPE)
            rows.append(measured("import jsonl, its videos missing", lines, *dmforge, "jsonl", file, "-w", str(workspace)))
    if arguments.charades:
        count = len(arguments.charades.read_text().splitlines())
        rows.append(
            measured("import charades_sta --dry-run", count, *dmforge, "charades_sta", str(arguments.charades), "--dry-run")
        )
    show("Annotations", f"python -m benchmarks.importing --lines {arguments.lines}", ["what", "lines", "s", "peak MB"], rows)


if __name__ == "__main__":
    main()
