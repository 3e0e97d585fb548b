"""Can a student judge? What is known of worlds and of what was planted, against what its rollouts say.

    python -m benchmarks.replay --student runs/sft/checkpoint-2000 --corpus ws/shards/cot/qx7... --worlds worlds

`--corpus` is a selection that the student was trained on: its clips are what it can see. `--worlds` is the folder of worlds
that these videos came from; those that are measured on are like them, from another seed. Whether it sees comes first: where a
right window helps it less than `MIN_SEEING` more than a wrong one, it can judge nothing, and every other table is void.

Speed is of policy tokens, free rollouts, on one thread: our rollouts of a video side by side, its clips put behind a cache that
is kept, against `generate` of Hugging Face row by row, which reads everything again once the clip of the look is there.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dmforge.commands import intake, run
from dmforge.curation.lake.commits import Lake
from dmforge.curation.lake.views import LakeView
from dmforge.curation.shards.corpus import Corpus
from dmforge.curation.sources.source_info import SourceInfo
from dmforge.curation.video.media import Media
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rollouts.density import Density
from dmforge.filters.rollouts.rounds import TryCount, wilson
from dmforge.generators.footage import CachedFootage, PromptPiece
from dmforge.generators.inference.engines.engine import Sampling
from dmforge.generators.inference.engines.transformers_engine import TransformersEngine
from dmforge.generators.inference.rollout import RolloutRequest, look_of, prompt_of, roll
from dmforge.generators.rendition_footage import Renditions
from dmforge.generators.student.load_student import Student, load
from dmforge.generators.student.patchify import normalised
from dmforge.generators.synthetic.oracle.behaviour import Behaviour
from dmforge.generators.synthetic.oracle.oracle_process import serving
from dmforge.generators.synthetic.worlds.world_folder import LICENCE, SOURCE, WorldSettings, make_worlds, read_settings
from dmforge.generators.teacher.teacher_config import URL
from dmforge.recipe import read_recipe
from dmforge.schemas.clips import Clips
from dmforge.schemas.frames import NoFrames
from dmforge.schemas.looks import read_density
from dmforge.schemas.prompts import prompt
from dmforge.schemas.records import Task, Video
from dmforge.schemas.transcript import Piece
from tests.support.tables import show as show_table

COMMAND = "python -m benchmarks.replay"
MIN_SEEING = 0.2
CAUGHT, FALSE = 0.9, 0.05
NEAR, FASTER, SAVED = 0.85, 3.0, 0.3
MIN_SCORES = {"vouch": 0.3, "vouch_window": 0.1, "vouch_overlap": 0.1, "blind": 0.5}
"""The thresholds of recipes/replayed.toml."""
PLANTED = {"wrong_answer": 0.2, "wrong_window": 0.2}
OTHER_SEED = 211


@dataclass(frozen=True)
class Measured:
    """A workspace that is rolled out, and what is known about it."""

    workspace: WorkspaceFolder
    truth: dict[tuple[str, str], dict[str, Any]]
    """Of each video and question, what its world says."""
    planted: dict[tuple[str, str], set[str]]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        stages = read_recipe(self.workspace.recipe).stages
        return LakeView(Lake(self.workspace), stages).connection.cursor().execute(query).fetchall()


def measure(folder: Path, student: Path, clips: Clips, settings: WorldSettings, offered: Sequence[int]) -> Measured:
    """Worlds, an oracle that errs, and every stage that rolls out."""
    worlds, truth = folder / "worlds", folder / "planted.jsonl"
    make_worlds(worlds, settings)
    place = run.init(folder / "ws", "replayed")
    clip_settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in clips.semantic().items())
    recipe = place.recipe.read_text().replace("../student", str(student.absolute()))
    recipe = re.sub(r"\[stages.thin\].*?\n\n", "", recipe, flags=re.DOTALL)  # what it would make has other defects
    recipe = recipe.replace("fps = 6 ", f"fps = {max(offered)} ").replace(
        "densities = [1, 2, 3, 4, 6]", f"densities = {list(offered)}"
    )
    place.recipe.write_text(re.sub(r"\[clips\].*?\n\n", f"[clips]\n{clip_settings}\n\n", recipe, count=1, flags=re.DOTALL))
    intake.add_videos(place, COMMAND, [str(worlds / "videos")], SourceInfo(SOURCE, LICENCE, namespace=SOURCE))
    intake.add_annotations(place, COMMAND, "jsonl", [worlds / "tasks.jsonl"])
    with serving(worlds, Behaviour(defects=PLANTED), truth) as url:
        os.environ[URL] = url
        for report in run.run(place, Console(stderr=True), COMMAND, until="vouch"):
            assert not report.tally.pending, report
    return Measured(place, _truth(worlds), _planted(truth))


def _truth(worlds: Path) -> dict[tuple[str, str], dict[str, Any]]:
    lines = [json.loads(line) for line in (worlds / "truth.jsonl").read_text().splitlines()[1:]]
    return {(line["video"], question["question"]): question for line in lines for question in line["questions"]}


def _planted(truth: Path) -> dict[tuple[str, str], set[str]]:
    defects: dict[tuple[str, str], set[str]] = {}
    for line in map(json.loads, truth.read_text().splitlines()):
        defects.setdefault((line["video"], line["question"]), set()).add(line["defect"])
    return defects


def share(right: int, n: int) -> str:
    """A share with its interval of 95 %."""
    return f"{right} of {n}: {right / n:.2f} ({wilson(TryCount(right, n), 0.95)})" if n else "none"


def seeing(measured: Measured) -> tuple[float, list[list[object]]]:
    """How much better it does with the right window than with a wrong one."""
    by_arm = dict(measured.sql("SELECT arm, avg((score >= .5)::INT) FROM rollouts WHERE filter = 'necessity' GROUP BY arm"))
    rates: dict[str, float] = {arm: by_arm.get(arm, 0.0) for arm in ("right", "wrong", "none")}
    sees = rates["right"] - rates["wrong"]
    return sees, [[*(f"{rate:.2f}" for rate in rates.values()), f"{sees:.2f}", MIN_SEEING]]


def candidates(measured: Measured) -> Iterator[list[object]]:
    """Wrong answers and wrong windows among candidates; one whose window matters, for the latter."""
    rows = measured.sql("""
        SELECT p.source_id || '.mp4', t.question, c.id, len(t.windows) > 0,
            max(CASE WHEN v.filter = 'vouch' THEN v.score END), max(CASE WHEN v.filter = 'vouch_window' THEN v.score END),
            max(CASE WHEN v.filter = 'vouch_overlap' THEN v.score END),
            max(CASE WHEN v.filter = 'answer' THEN v.score END), max(CASE WHEN v.filter = 'evidence' THEN v.score END)
        FROM candidates c JOIN tasks t ON t.id = c.task JOIN provenances p ON p.video = c.video
            JOIN verdicts v ON v.subject = c.id
        GROUP BY ALL
    """)
    kinds: dict[str, list[bool]] = {"wrong answer": [], "wrong window": [], "sound": []}
    for video, question, _, _, vouch, window, overlap, answer, evidence in rows:
        truth, planted = measured.truth[video, question], measured.planted.get((video, question), set())
        scores = {"vouch": vouch, "vouch_window": window, "vouch_overlap": overlap}
        missed = any((score or 0.0) < MIN_SCORES[name] for name, score in scores.items())
        matters = not truth["from_coarse"] and not truth["from_text"]
        if planted == {"wrong_answer"}:
            kinds["wrong answer"].append(missed)
        elif planted == {"wrong_window"} and matters:
            kinds["wrong window"].append(missed)
        elif not planted and answer >= 0.9 and evidence >= 0.5:
            kinds["sound"].append(missed)
    for kind, caught in kinds.items():
        yield [f"candidates: {kind}", share(sum(caught), len(caught)), f"<= {FALSE}" if kind == "sound" else f">= {CAUGHT}"]


def blind(measured: Measured) -> Iterator[list[object]]:
    """Tasks that anyone can answer from their text."""
    rows = measured.sql("""
        SELECT p.source_id || '.mp4', t.question, v.score FROM tasks t JOIN provenances p ON p.video = t.video
            JOIN verdicts v ON v.subject = t.id AND v.filter = 'blind'
    """)
    for from_text, name in ((True, "answerable blind"), (False, "not answerable blind")):
        some = [
            score < MIN_SCORES["blind"]
            for video, question, score in rows
            if measured.truth[video, question]["from_text"] == from_text
        ]
        yield [f"tasks: {name}", share(sum(some), len(some)), f">= {CAUGHT}" if from_text else f"<= {FALSE}"]


def density(measured: Measured) -> Iterator[list[object]]:
    """Of tasks that need a look, how far the target is from the lowest density that shows the answer."""
    (stage,) = (s for s in read_recipe(measured.workspace.recipe).stages if isinstance(s, Density))
    offered = stage.config.densities
    rows = measured.sql("""
        SELECT p.source_id || '.mp4', t.question, g.look.fps.num, g.look.fps.den
        FROM tasks t JOIN provenances p ON p.video = t.video LEFT JOIN targets g ON g.task = t.id WHERE len(t.windows) > 0
    """)
    near: list[bool] = []
    for video, question, num, den in rows:
        truth = measured.truth[video, question]
        lowest = read_density(truth["lowest_fps"]) if truth["lowest_fps"] and not truth["from_coarse"] else None
        if lowest in offered:
            target = Fraction(num, den) if num else None
            near.append(target in offered and abs(offered.index(target) - offered.index(lowest)) <= 1)
    yield ["tasks: density within one step", share(sum(near), len(near)), f">= {NEAR}"]


def rounds(measured: Measured) -> list[object]:
    """What stopping early saved, and what 16 rollouts each would have decided."""
    query = "SELECT subject, score, n FROM verdicts WHERE filter = 'replay' ORDER BY subject"
    early = measured.sql(query)
    recipe = measured.workspace.recipe
    recipe.write_text(recipe.read_text().replace("sizes = [4, 8, 16]", "sizes = [16]"))
    list(run.run(measured.workspace, Console(stderr=True), COMMAND, until="replay"))
    late = measured.sql(query)
    same = sum((a in (0, 1)) == (b in (0, 1)) for (_, a, _), (_, b, _) in zip(early, late, strict=True))
    saved = 1 - sum(n for *_, n in early) / sum(n for *_, n in late)
    return ["rollouts saved by rounds", f"{saved:.2f}; decided as by 16: {share(same, len(early))}", f">= {SAVED}"]


class RowByRow:
    """The same weights under Hugging Face's own attention and `generate`."""

    def __init__(self, student: Student) -> None:
        self._student, self._model = student, copy.deepcopy(student.model)
        self._model.set_attn_implementation("sdpa")

    def roll(self, quest: RolloutRequest) -> int:
        """A rollout: to its look, then all of it again with the clip. How many tokens were written."""
        vocabulary = self._student.vocabulary
        pieces: list[PromptPiece] = [*quest.prompt]
        max_tokens = quest.sampling.max_tokens
        first = self._written(pieces, max_tokens, [vocabulary.end, vocabulary.look_end])
        look = look_of(vocabulary.decode(first)) if first[-1] == vocabulary.look_end else None
        if look is None or len(first) >= max_tokens:
            return len(first)
        try:
            clip = quest.footage.look(look)
        except NoFrames:
            return len(first)
        pieces += [PromptPiece(Piece("policy", vocabulary.decode(first))), PromptPiece(Piece("runtime", look=look), clip)]
        return len(first) + len(self._written(pieces, max_tokens - len(first), [vocabulary.end]))

    def _written(self, pieces: Sequence[PromptPiece], max_tokens: int, stops: list[int]) -> list[int]:
        layout = self._student.layout
        transcript = layout.join(layout.stretches(pieces))
        ids = torch.from_numpy(transcript.ids)[None]
        self._model.model.rope_deltas = None
        with torch.no_grad():
            out = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == self._student.vocabulary.video_pad).int() * 2,
                pixel_values_videos=normalised(torch.from_numpy(transcript.patches)),
                video_grid_thw=torch.from_numpy(transcript.grids),
                do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max_tokens, eos_token_id=stops,
                suppress_tokens=self._student.vocabulary.vision.tolist(),
            )  # fmt: skip
        return out[0, ids.shape[1] :].tolist()


def speed(measured: Measured, student: Path, clips: Clips, tasks: int, max_tokens: int) -> list[object]:
    """Policy tokens a second, both ways, task by task in turn."""
    view = LakeView(Lake(measured.workspace), read_recipe(measured.workspace.recipe).stages)
    videos = {row.id: row for row in view.all_rows(Video)}
    rows = sorted(view.all_rows(Task), key=lambda task: (task.video, task.id))
    policy = load(str(student))
    engine, plain = TransformersEngine(policy), RowByRow(policy)
    rollout_rates: list[float] = []
    row_by_row_rates: list[float] = []
    for video in list(dict.fromkeys(task.video for task in rows))[:tasks]:
        media = Media(measured.workspace, video)
        footage = CachedFootage(Renditions(videos[video], clips, media.coarse, media.grid))
        video_tasks = [task for task in rows if task.video == video]
        quests = [
            RolloutRequest(prompt_of(prompt(task), footage), footage, Sampling(1.0, seed, max_tokens))
            for task in video_tasks
            for seed in range(4)
        ]
        began = time.process_time()
        tokens = sum(len(words.ids) for result in roll(engine, quests) for words in result.written)
        rollout_rates.append(tokens / (time.process_time() - began))
        began = time.process_time()
        tokens = sum(plain.roll(quest) for quest in quests[::4])
        row_by_row_rates.append(tokens / (time.process_time() - began))
    a, b = statistics.median(rollout_rates), statistics.median(row_by_row_rates)
    return ["tokens/s: rollouts, row by row, x", f"{a:.0f}, {b:.0f}, {a / b:.1f}", f">= {FASTER}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--corpus", required=True, help="a packed selection that it was trained on")
    parser.add_argument("--worlds", type=Path, help="the worlds of that selection; else the plainest ones")
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument(
        "--densities", type=int, nargs="+", default=[1, 2, 3, 4, 6], help="that are offered: those that it has learnt"
    )
    parser.add_argument("--max-tokens", type=int, default=160, help="of a rollout, when its speed is measured")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = Corpus(arguments.corpus).clips
    settings = read_settings(arguments.worlds) if arguments.worlds else WorldSettings()
    settings = settings.model_copy(update={"videos": arguments.videos, "seed": settings.seed + OTHER_SEED})
    densities = " ".join(map(str, arguments.densities))
    command = f"{COMMAND} --student ... --corpus ... --videos {arguments.videos} --densities {densities}"
    with tempfile.TemporaryDirectory(prefix="dmforge-replay-") as folder:
        measured = measure(Path(folder), arguments.student, clips, settings, arguments.densities)
        sees, rows = seeing(measured)
        columns = ["right window", "wrong window", "no look", "seeing", "wanted, at least"]
        show_table("Does the student see? Pass rates of forced looks", command, columns, rows)
        results = [*candidates(measured), *blind(measured), *density(measured)]
        fast = speed(measured, arguments.student, clips, 3, arguments.max_tokens)
        results += [rounds(measured), fast]
    columns = ["what", "caught, or found: share (95 %)", "wanted"]
    void = "" if sees >= MIN_SEEING else f"VOID: it sees {sees:.2f}, and from less than {MIN_SEEING} nothing follows. "
    show_table(f"{void}What its rollouts say, against what is known", command, columns, results)


if __name__ == "__main__":
    main()
