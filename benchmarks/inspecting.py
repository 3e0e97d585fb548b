"""What does it cost to inspect a released set, and does memory grow with it?

Multiple choice with windows, a line each, and trajectories as DynFrame publishes them, in one list of JSON. Processor time is
that of all processes together. The baseline reads the same file with `json` and does nothing with it; a list it holds whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.memory import PeakMemory
from tests.support.tables import show

LINES = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"
LIST = "import json, sys\njson.load(open(sys.argv[1], 'rb'))"
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "ne", "pa", "ro", "sa", "te", "vo", "wi", "xa", "yo", "zu")
VERBS = ("opens", "closes", "picks", "drops", "throws", "catches", "pushes", "pulls", "carries", "washes", "cuts", "paints")


def phrase(draw: random.Random) -> str:
    nouns = ["".join(draw.choices(SYLLABLES, k=3)) for _ in range(4)]
    return f"the {nouns[0]} {nouns[1]} {draw.choice(VERBS)} the {nouns[2]} {nouns[3]}"


def questions(rows: int, draw: random.Random) -> Iterator[dict[str, object]]:
    for _ in range(rows):
        start_s, video = draw.uniform(0, 50), f"v{draw.randrange(rows // 8)}.mp4"
        yield {
            "video": video, "kind": "grounded_mcq", "question": f"What happens after {phrase(draw)}?",
            "options": [phrase(draw) for _ in range(4)], "answer": draw.choice("ABCD"),
            "windows": [[round(start_s, 2), round(start_s + draw.uniform(2, 9), 2)]],
        }  # fmt: skip


def trajectories(rows: int, draw: random.Random) -> Iterator[dict[str, object]]:
    for number in range(rows):
        start_s = draw.uniform(0, 50)
        end_s = start_s + draw.uniform(4, 9)
        first = " ".join(f"In the overview {phrase(draw)} and then {phrase(draw)}." for _ in range(4))
        second = " ".join(f"Now {phrase(draw)} at {draw.uniform(start_s, end_s):.1f} seconds." for _ in range(6))
        look = f"<span>{start_s:.2f} - {end_s:.2f}</span><fps>2</fps><video>"
        reply = f"<think>{first}{look}{second}</think><answer>{start_s + 1:.2f} - {end_s - 1:.2f}</answer>"
        turns = [("human", f"<video>\nFind it. textual query: {phrase(draw)}"), ("gpt", reply)]
        yield {
            "index": number, "video": [f"v{draw.randrange(rows // 8)}.mp4"], "gemini_suggested_fps": "2", "original_fps": 25.0,
            "conversations": [{"from": role, "value": text} for role, text in turns],
        }  # fmt: skip


def measured(name: str, rows: int, *command: str) -> list[object]:
    before = os.times()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, text=True) as process, PeakMemory(process) as memory:
        process.wait()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {process.returncode}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return [name, f"{rows:,}", f"{cpu_s:.1f}", f"{1000 * cpu_s / rows:.2f}", f"{memory.peak_mb:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--trajectories", type=int, default=10_000)
    arguments = parser.parse_args()
    draw, table = random.Random(1), list[list[object]]()
    inspect = (sys.executable, "-m", "dmforge.cli", "inspect")
    with tempfile.TemporaryDirectory() as scratch:
        lines, one_list = Path(scratch, "questions.jsonl"), Path(scratch, "trajectories.json")
        for rows in (arguments.rows // 10, arguments.rows):
            with lines.open("w") as file:
                file.writelines(json.dumps(row) + "\n" for row in questions(rows, draw))
            table.append(measured("json.loads, a line a question", rows, sys.executable, "-c", LINES, str(lines)))
            table.append(measured("inspect, a line a question", rows, *inspect, str(lines)))
        for rows in (arguments.trajectories // 10, arguments.trajectories):
            one_list.write_text(json.dumps([*trajectories(rows, draw)]))
            table.append(measured("json.load, a list of trajectories", rows, sys.executable, "-c", LIST, str(one_list)))
            table.append(measured("inspect, a list of trajectories", rows, *inspect, str(one_list)))
    command = f"python -m benchmarks.inspecting --rows {arguments.rows} --trajectories {arguments.trajectories}"
    show("Inspecting", command, ["what", "rows", "CPU s", "ms a row", "peak MB"], table)


if __name__ == "__main__":
    main()
