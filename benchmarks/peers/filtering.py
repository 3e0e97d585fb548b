"""The same rules over the same rows, with a reason for each that is dropped."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.peers.watch import SCRIPTS, Ran, kill, lines, run

FILES = 16
"""datatrove goes on file by file, so its documentation advises many."""
ROUNDS = 2
ENGLISH = """the frames show a small figure that crosses from left to right while lamps behind it go on and off and then one of
them stays dark until the end of what was shown there by two others with a cup and not a bag near where it had been"""
SPANISH = "se ve un cuadrado azul que luego cambia de color y queda rojo hasta el final del video sin moverse nunca más"
WORDS, FOREIGN = ENGLISH.split(), SPANISH.split()
COLUMNS = ("filter", "rows/s", "CPU ms a row", "peak MB", "lines", "kept", "dropped, with reason",
           "killed: judged twice", "lost", "doubled")  # fmt: skip


def contest(folder: Path, python: Path, rows: int) -> list[list[object]]:
    source = folder / "rows"
    names = write_rows(source, rows)
    who = {"dmforge": Path(sys.executable), "datatrove": python}
    commands = {name: [who[name], SCRIPTS / f"filter_{name}.py", source] for name in who}
    best: dict[str, Ran] = {}
    for turn in range(ROUNDS):
        for name in list(who) if turn % 2 else reversed(who):
            ran = run([*commands[name], _gone(folder / f"filtered-{name}")])
            best[name] = min(ran, best.get(name, ran), key=lambda result: result.s)
    verdicts = {name: verdicts_of(name, folder / f"filtered-{name}") for name in who}
    if verdicts["dmforge"] != verdicts["datatrove"]:
        sys.exit("the two don't agree about what is dropped, and why")
    return [
        [name, f"{rows / best[name].s:,.0f}", f"{1000 * best[name].cpu_s / rows:.3f}", f"{best[name].peak_mb:.0f}",
         lines(SCRIPTS / f"filter_{name}.py"), f"{sum(not reason for _, reason in verdicts[name]):,}",
         f"{sum(bool(reason) for _, reason in verdicts[name]):,}",
         *_killed(folder, name, commands[name], names)]
        for name in who
    ]  # fmt: skip


def write_rows(source: Path, rows: int) -> set[str]:
    """Some too short, some foreign, some that go round in circles, some whose answer goes on."""
    source.mkdir(parents=True)
    draw, names = random.Random(1), set[str]()
    for number in range(FILES):
        with (source / f"{number:02d}.jsonl").open("w") as file:
            for row in range(number, rows, FILES):
                kind, words = draw.randrange(10), draw.choices(WORDS, k=draw.randrange(60, 120))
                text = " ".join({0: words[:9], 1: draw.choices(FOREIGN, k=60), 2: words[:5] * 9}.get(kind, words))
                answer = "B, because one can see it there" if kind == 3 else "B"
                file.write(json.dumps({"id": f"row-{row}", "text": text, "answer": answer}) + "\n")
                names.add(f"row-{row}")
    return names


def verdicts_of(name: str, place: Path) -> list[tuple[str, str]]:
    """Each row with its reason, which is empty where it was kept."""
    if name == "dmforge":
        rows: dict[bytes, str] = {}
        for path in (place / "lake" / "lines").glob("*.parquet"):
            rows |= {row["id"]: row["name"] for row in pq.read_table(path, columns=["id", "name"]).to_pylist()}
        parts = (place / "lake" / "outcomes").glob("*.parquet")
        outcomes = (row for path in parts for row in pq.read_table(path, columns=["input", "reason"]).to_pylist())
        return sorted((rows[row["input"]], row["reason"]) for row in outcomes)
    documents = [
        json.loads(line) for path in place.glob("[kd]*/*.jsonl.gz") for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return sorted((row["id"], row["metadata"].get("filter_reason", "")) for row in documents)


def _killed(folder: Path, name: str, command: list[object], names: set[str]) -> list[object]:
    """SIGKILL when half of the rows are judged; then the same command again."""
    place, count = _gone(folder / f"killed-{name}"), folder / f"judged-{name}"
    environment = {"JUDGED": str(count)}
    kill([*command, place], lambda: count.exists() and count.stat().st_size >= len(names) // 2, environment)
    run([*command, place], environment)
    occurrences = Counter(row for row, _ in verdicts_of(name, place))
    return [count.stat().st_size - len(names), len(names - occurrences.keys()), occurrences.total() - len(occurrences)]


def _gone(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    return place
