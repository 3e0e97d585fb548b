"""What `make demo` shows: the lake and the runner at work on a rehearsal, killed in the middle and none the worse for it."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.chaos import fingerprint

DMFORGE = [sys.executable, "-m", "dmforge.cli"]


def say(text: str) -> None:
    print(f"\n# {text}", flush=True)


def dmforge(*words: str, quietly: bool = False) -> subprocess.CompletedProcess[str]:
    print("$ dmforge " + " ".join(words), flush=True)
    return subprocess.run([*DMFORGE, *words], check=True, text=True, stdout=subprocess.PIPE if quietly else None)


def edit(workspace: Path, old: str, new: str) -> None:
    recipe = workspace / "recipe.toml"
    text = recipe.read_text()
    if old not in text:
        sys.exit(f"{recipe} has no line {old!r}")
    recipe.write_text(text.replace(old, new))
    print(f"$ sed -i 's/{old}/{new}/' {recipe}", flush=True)


def clear(folder: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    if folder.exists() and {path.name for path in folder.iterdir()} - {"calm", "shaken"}:
        sys.exit(f"{folder} holds something else than a demo: give another folder")
    for workspace in (folder / "calm", folder / "shaken"):
        if (workspace / "recipe.toml").is_file():
            shutil.rmtree(workspace)


def killed_once(workspace: str) -> None:
    """A run that is SIGKILLed after some commits."""
    print(f"$ dmforge run -w {workspace}   # and kill -9 after a moment", flush=True)
    commits = Path(workspace) / "lake/commits"
    with subprocess.Popen([*DMFORGE, "run", "-w", workspace], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(commits.glob("*/*.json"))) < 8:
            time.sleep(0.01)
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    clear(folder)
    calm, shaken = str(folder / "calm"), str(folder / "shaken")

    say("Two workspaces from one recipe. Read the recipe: it is the documentation of what it builds.")
    for workspace in (calm, shaken):
        dmforge("init", workspace, "--recipe", "trial")
    say("What would a run do?")
    dmforge("plan", "-w", calm)
    say("Do it. Some inputs crash their process on purpose: they are quarantined, and nothing else suffers.")
    dmforge("run", "-w", calm)
    say("The same in the other workspace, but the run is killed in the middle. It goes on where it stopped.")
    killed_once(shaken)
    dmforge("status", "-w", shaken)
    dmforge("run", "-w", shaken, quietly=True)
    same = fingerprint(folder / "calm/lake") == fingerprint(folder / "shaken/lake")
    say(f"Are the two lakes equal, byte for byte? {'Yes' if same else 'NO'}: {len(fingerprint(folder / 'calm/lake'))} files.")
    if not same:
        sys.exit("the killed run ended with another lake: please report this")
    say("Another threshold is another selection. Only that stage is planned, and done.")
    edit(folder / "calm", "threshold = 0.5", "threshold = 0.9")
    dmforge("plan", "-w", calm)
    dmforge("run", "-w", calm)
    say("Back to the old one: it is all there, so it costs nothing, and the corpus is the same again.")
    edit(folder / "calm", "threshold = 0.9", "threshold = 0.5")
    dmforge("run", "-w", calm, quietly=True)
    digests = [json.loads(dmforge("digest", "-w", each, "--json", quietly=True).stdout)["digest"] for each in (calm, shaken)]
    print(*digests, sep="\n")
    if len(set(digests)) != 1:
        sys.exit("the digests differ: please report this")
    say(f"Look around: {folder}/calm explains itself (ls). Each commit names the parts it made; each part is plain Parquet.")


if __name__ == "__main__":
    main()
