"""Does the wheel hold what it needs? Installed into empty environments, with each extra alone, it runs and is imported.

python -m tools.wheel                      # the bare wheel, then `report`, `ray`, `train` and `hub`; some GB are downloaded
python -m tools.wheel --extras '' report
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.support.barcodes import Case, write
from tests.support.tables import show

ROOT = Path(__file__).parents[1]
EXTRAS = ("", "report", "ray", "train", "hub", "mcp")
IMPORTED = "import dmforge as dm; [getattr(dm, name) for name in dm.__all__]"
"""Each public name is there, whichever extra is not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=list(EXTRAS), help="which extras, each in an environment of its own")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        rows = [try_out(wheel, extra, Path(folder) / (extra or "bare")) for extra in arguments.extras]
    columns = ["extra", "installed in s", "init, run, ingest, import"]
    show("The wheel in empty environments", "python -m tools.wheel", columns, rows)


def build(folder: Path) -> Path:
    """The wheel of this working tree."""
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], folder)
    (wheel,) = folder.glob("dmforge-*.whl")
    return wheel


def try_out(wheel: Path, extra: str, folder: Path) -> list[object]:
    """Install the wheel with one extra into an empty environment, and do there what a newcomer does first."""
    started_s = time.monotonic()
    venv.create(folder / "env", with_pip=True)
    python, dmforge = folder / "env/bin/python", folder / "env/bin/dmforge"
    requirement = f"{wheel}[{extra}]" if extra else str(wheel)
    _run([python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", requirement], folder)
    installed_s = time.monotonic() - started_s
    _run([python, "-c", IMPORTED], folder)
    _run([dmforge, "init", "try", "--recipe", "trial"], folder)
    _run([dmforge, "run", "-w", "try"], folder)
    (folder / "clips").mkdir()
    write(Case("two seconds", file_name="clip.mp4"), folder / "clips")
    _run([dmforge, "init", "ws", "--recipe", "exam"], folder)
    _run([dmforge, "ingest", "clips", "-w", "ws"], folder)
    if extra == "report":
        _run([dmforge, "report", "report.html", "-w", "ws"], folder)
    if extra in ("train", "hub"):
        _run([python, "-c", "import datasets"], folder)
    if extra == "train":
        _run([python, "-c", "import dmforge.trainers.sft, dmforge.trainers.sdgrpo.sdgrpo, dmforge.trainers.evaluate"], folder)
    return [extra or "none", round(installed_s), "as they should"]


def _run(command: list[str | Path], folder: Path) -> None:
    """Run a command where no file of the working tree can help; what it printed is shown where it failed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
