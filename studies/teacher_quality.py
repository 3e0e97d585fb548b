"""Is a teacher, with our prompts, any good? Some fifty questions about synthetic worlds, what became of them, what it cost.

    OPENAI_API_KEY=... python -m studies.teacher_quality --endpoint https://.../v1 --model NAME

Without an endpoint the oracle answers, which is the most that can be reached: it knows these worlds. Nobody has run this with a
key for us: until someone does, the prompts are unproven.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from dmforge.commands import audit, intake, run
from dmforge.curation.audit.query import QueryResult
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds
from dmforge.generators.teacher.teacher_config import KEY, URL
from tests.support.tables import show

COMMAND = "python -m studies.teacher_quality"


def recipe(text: str, model: str, input_usd: float, output_usd: float) -> str:
    """The demo's, with this teacher, whose replies may be longer than an oracle's."""
    text = re.sub(r"\[prices\.oracle\].*?\n\n", "", text, flags=re.DOTALL)
    text = text.replace('model = "oracle"', f'model = "{model}"').replace("max_output_tokens = 256", "max_output_tokens = 4096")
    return f'{text}\n[prices."{model}"]\ninput_usd = {input_usd}\noutput_usd = {output_usd}\n'


def table(title: str, answer: QueryResult) -> None:
    show(title, COMMAND, answer.columns, [["" if cell is None else cell for cell in row] for row in answer.rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", help="up to and including /v1")
    parser.add_argument("--model", default="oracle")
    parser.add_argument("--worlds", type=int, default=14)
    parser.add_argument("--input-usd", type=float, default=1.0, help="a million tokens")
    parser.add_argument("--output-usd", type=float, default=4.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        worlds = Path(scratch, "worlds")
        make_worlds(worlds, WorldSettings(videos=arguments.worlds))
        if arguments.endpoint:
            os.environ[URL] = arguments.endpoint
        else:
            os.environ.pop(KEY, None)
            os.environ[URL] = stack.enter_context(serving(worlds, Behaviour()))
        place = run.init(Path(scratch, "ws"), "demo")
        place.recipe.write_text(recipe(place.recipe.read_text(), arguments.model, arguments.input_usd, arguments.output_usd))
        intake.add_videos(place, COMMAND, [str(worlds / "videos")], SourceInfo(SOURCE, LICENCE))
        intake.add_annotations(place, COMMAND, "jsonl", [worlds / "tasks.jsonl"])
        for report in run.run(place, Console(stderr=True), COMMAND, until="select_cot"):
            for reason, number in report.deferred.items():
                print(f"{report.name}: {number} pending: {reason}")
        table("What became of the candidates", audit.audit(place, "funnel"))
        table("What it cost", audit.audit(place, "cost"))


if __name__ == "__main__":
    main()
