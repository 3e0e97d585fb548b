"""How long does a page of a million candidates take, one list of counts, a search, a card? What does the start cost?

The lake is that of `benchmarks.audit`, with thoughts in the words that people use: of 200,000 the commonest come most. It has
no media. `dmforge browse` is started as a person would, and asked over HTTP as its page asks; every view is new to it, so
nothing is remembered. The clock and the CPU of its process are both said: where others use the machine, the CPU says more. The
baseline of a search is DuckDB looking through the same thoughts in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import duckdb
import numpy as np

from benchmarks.audit import Build
from dmforge.curation.audit.row_search import TEXTS
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.recipe import read_recipe
from tests.support.tables import show

COMMAND = "python -m benchmarks.browse"
VOCABULARY, THOUGHT_WORDS, EXPONENT = 200_000, 90, 1.3
COLUMNS = ("state", "reason", "subject", "kind", "source", "teacher", "prompt", "split", "licence")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Spoken(Build):
    """A lake whose thoughts have as many different words as people's, drawn by Zipf's law."""

    def thoughts(self, count: int) -> Iterator[str]:
        ranks = np.minimum(self.draw.zipf(EXPONENT, (count, THOUGHT_WORDS)), VOCABULARY)
        return (" ".join(map(word, row)) for row in ranks.tolist())


def word(rank: int) -> str:
    """The word of a rank: the rarer, the longer."""
    letters, syllables = "", ("ka", "to", "re", "si", "mu", "na", "li", "vo")
    while rank:
        letters += syllables[rank % 8]
        rank //= 8
    return letters


@dataclass
class Server:
    """A running browse, and what it has used."""

    process: subprocess.Popen[str]
    connection: HTTPConnection
    cookie: dict[str, str]

    def ask(self, path: str) -> tuple[str, str, bytes]:
        """The milliseconds of the clock, those of CPU, and the answer."""
        began_s, used_s = time.monotonic(), self.cpu_s()
        self.connection.request("GET", path, headers=self.cookie)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return f"{1000 * (time.monotonic() - began_s):.0f}", f"{1000 * (self.cpu_s() - used_s):.0f}", body

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mb(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(name))


def requests(common: str, usual: str, rare: str) -> list[tuple[str, str]]:
    """What is asked, as the page does; no view comes twice."""
    return [
        ("the page itself", "/"),
        ("first rows, nothing chosen", "/rows?page=1"),
        ("first rows of a kind", "/rows?kind=mcq"),
        ("first rows of a kind, two sources and a range", "/rows?kind=open&source=raw&source=charades&score.answer=..<0.7"),
        ("first rows by a score", "/rows?sort=score.answer&kind=grounding"),
        ("last rows of all", "/rows?page=1000000"),
        *(
            (f"a facet, {column}", f"/facets?of={column}&score.length=0.{number}..")
            for number, column in enumerate(COLUMNS[:4])
        ),
        ("all nine facets at once", "/facets?kind=mcq&teacher=one&" + "&".join(f"of={column}" for column in COLUMNS)),
        ("histograms of all scores", "/scores?kind=mcq&teacher=two"),
        (f"search: a rare word, {rare}", f"/rows?q={quote(rare)}"),
        (f"search: a usual word, {usual}", f"/rows?q={quote(usual)}"),
        (f"search: the commonest word, {common}", f"/rows?q={quote(common)}"),
        ("search: one letter", "/rows?q=k"),
        ("search: two words and a kind", f"/rows?q={quote(word(700))}+{quote(word(77))}&kind=mcq"),
    ]


def scanned(workspace: WorkspaceFolder, words: list[str]) -> list[list[object]]:
    """The baseline: all thoughts in a table of DuckDB, in small letters, looked through for each word."""
    lake = LakeView(Lake(workspace), read_recipe(workspace.recipe).stages).connection
    began_s, used_s = time.monotonic(), time.process_time()
    texts = lake.sql(f"SELECT lower({TEXTS['candidates']}) AS text FROM candidates").to_arrow_table()
    with duckdb.connect() as connection:
        connection.register("texts", texts)
        connection.execute("CREATE TABLE thoughts AS FROM texts")
        del texts
        rows: list[list[object]] = [
            [
                "baseline: the same thoughts in a table",
                *(f"{1000 * s:.0f}" for s in (time.monotonic() - began_s, time.process_time() - used_s)),
                "",
            ]
        ]
        for one_word in words:
            began_s, used_s = time.monotonic(), time.process_time()
            ((count,),) = connection.execute("SELECT count(*) FROM thoughts WHERE contains(text, ?)", [one_word]).fetchall()
            took = (time.monotonic() - began_s, time.process_time() - used_s)
            rows.append(
                [f"baseline: it is looked through for {one_word}", *(f"{1000 * s:.0f}" for s in took), f"{count:,} rows"]
            )
    return rows


def measured(workspace: WorkspaceFolder) -> list[list[object]]:
    """Every request, and the start."""
    began_s = time.monotonic()
    command = [sys.executable, "-m", "dmforge.cli", "browse", "-w", str(workspace.root)]
    common, usual, rare = word(1), word(1_000), word(150_000)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        token = address.query.removeprefix("token=")
        server = Server(process, HTTPConnection("127.0.0.1", address.port or 0), {"Cookie": f"dmforge-{address.port}={token}"})
        started = [1000 * (time.monotonic() - began_s), 1000 * server.cpu_s()]
        rows: list[list[object]] = [
            [
                "start, until its address is printed",
                *(f"{ms:.0f}" for ms in started),
                f"{server.memory_mb('VmRSS'):,} MB, at most {server.memory_mb('VmHWM'):,}",
            ]
        ]
        try:
            row_ids = list[str]()
            for label, path in requests(common, usual, rare):
                clock_ms, cpu_ms, body = server.ask(path)
                page = json.loads(body) if path.startswith("/rows") else {}
                row_ids += [row["id"] for row in page.get("rows", [])[:1]]
                rows.append([label, clock_ms, cpu_ms, f"{page['total']:,} rows" if page else f"{len(body):,} bytes"])
            for label, paths in (("a card", "/samples/"), ("side by side", "/tasks/")):
                answers = [server.ask(paths + row_id)[:2] for row_id in row_ids]
                medians = (f"{np.median([float(ms) for ms in times]):.0f}" for times in zip(*answers, strict=True))
                rows.append([f"{label}, the median of {len(row_ids)}", *medians, ""])
            rows.append(
                ["memory afterwards", "", "", f"{server.memory_mb('VmRSS'):,} MB, at most {server.memory_mb('VmHWM'):,}"]
            )
        finally:
            server.connection.close()
            process.send_signal(signal.SIGINT)
    return rows + scanned(workspace, [rare, usual, common])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="Where the lake is made, or stands from an earlier time.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dmforge-browse-") as scratch:
        folder = arguments.folder or Path(scratch, "ws")
        workspace = (
            WorkspaceFolder(folder) if (folder / "recipe.toml").exists() else Spoken(folder, arguments.candidates).workspace
        )
        rows = measured(workspace)
    title = f"Browsing {arguments.candidates:,} candidates"
    show(title, f"{COMMAND} --candidates {arguments.candidates}", ["what", "ms", "CPU ms", ""], rows)


if __name__ == "__main__":
    main()
