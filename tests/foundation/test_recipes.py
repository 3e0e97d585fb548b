"""A changed recipe makes the least work that it can; `plan` says so before, and the run does so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.score_server import asked, serving
from dmforge.commands import plan as plan_commands
from dmforge.commands import run as run_commands
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.schemas.errors import InputError
from tests.foundation.lakes import fingerprint, logical, run

TASKS = 60
JUDGED = "name = 'x'\n[stages.ingest]\n[stages.import]\n[stages.rules]\n[stages.benchmarks]\n[stages.contamination]\n"
RECIPE = """
name = "least work"
[stages.count]
tasks = {tasks}
reject_every = {reject_every}
batch_items = 16
[stages.inquire]
url = "{url}"
prompt = "{prompt}"
concurrency = {concurrency}
batch_items = 16
[stages.keep]
threshold = {threshold}
"""


class Lab:
    """A workspace beside a server that counts."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.told: dict[str, object] = {
            "tasks": TASKS,
            "reject_every": 0,
            "prompt": "How hard?",
            "concurrency": 4,
            "threshold": 0.5,
        }

    def tell(self, **changes: object) -> None:
        self.told |= changes
        self.root.mkdir(exist_ok=True)
        (self.root / "recipe.toml").write_text(RECIPE.format(url=self.url, **self.told))

    def plan(self) -> dict[str, tuple[int, int, int]]:
        """To do, expected more, and superseded, by stage."""
        return {f.name: (f.tally.pending, f.expected, f.superseded) for f in plan_commands.plan(WorkspaceFolder(self.root))}

    def work(self) -> dict[str, int]:
        """What a run settles, by stage; and how many questions were asked."""
        before, questions = self._settled(), asked(self.url).total()
        run(self.root)
        after = self._settled()
        return {stage: after[stage] - before[stage] for stage in after} | {"asked": asked(self.url).total() - questions}

    def _settled(self) -> dict[str, int]:
        lake = run_commands.Lake(WorkspaceFolder(self.root))
        stages = ("count", "inquire", "keep")
        return {stage: sum(c.inputs for c in lake.commits.values() if c.stage == stage) for stage in stages}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, url: str) -> Path:
    lab = Lab(tmp_path_factory.mktemp("recipes") / "ws", url)
    lab.tell()
    assert lab.plan() == {"count": (TASKS, 0, 0), "inquire": (0, TASKS, 0), "keep": (0, TASKS, 0)}
    assert lab.work() == {"count": TASKS, "inquire": TASKS, "keep": TASKS, "asked": TASKS}
    return lab.root


@pytest.fixture
def lab(finished: Path, url: str, tmp_path: Path) -> Lab:
    """A workspace of one's own with everything done."""
    lab = Lab(Path(shutil.copytree(finished, tmp_path / "ws")), url)
    lab.tell()
    return lab


def nothing() -> dict[str, int]:
    return {"count": 0, "inquire": 0, "keep": 0, "asked": 0}


def test_with_everything_done_nothing_is_planned_and_nothing_is_done(lab: Lab) -> None:
    assert all(to_do == expected == 0 for to_do, expected, _ in lab.plan().values())
    assert lab.work() == nothing()


def test_a_changed_prompt_asks_every_question_again_and_selects_again(lab: Lab) -> None:
    lab.tell(prompt="How hard, really?")
    assert lab.plan() == {"count": (0, 0, 0), "inquire": (TASKS, 0, TASKS), "keep": (TASKS, 0, TASKS)}
    assert lab.work() == {"count": 0, "inquire": TASKS, "keep": TASKS, "asked": TASKS}


def test_a_changed_threshold_selects_again_and_asks_nothing(lab: Lab) -> None:
    lab.tell(threshold=0.7)
    assert lab.plan() == {"count": (0, 0, 0), "inquire": (0, 0, 0), "keep": (TASKS, 0, TASKS)}
    assert lab.work() == nothing() | {"keep": TASKS}


def test_a_changed_concurrency_makes_no_work(lab: Lab) -> None:
    before = fingerprint(lab.root)
    lab.tell(concurrency=9)
    assert lab.plan() == {"count": (0, 0, 0), "inquire": (0, 0, 0), "keep": (0, 0, 0)}
    assert lab.work() == nothing()
    assert fingerprint(lab.root) == before


def test_a_change_at_the_root_redoes_only_what_it_changed_below(lab: Lab) -> None:
    lab.tell(reject_every=6)
    to_do, _, superseded = lab.plan()["count"]
    assert (to_do, superseded) == (TASKS, TASKS)
    # the tasks that are left are the ones there were: their answers stand
    assert lab.work() == nothing() | {"count": TASKS, "keep": TASKS - TASKS // 6}


def test_more_inputs_make_work_for_themselves_alone(lab: Lab) -> None:
    lab.tell(tasks=TASKS + 8)
    assert lab.plan() == {"count": (8, 0, 0), "inquire": (0, 8, 0), "keep": (TASKS, 8, 0)}
    assert lab.work() == {"count": 8, "inquire": 8, "keep": TASKS + 8, "asked": 8}


def test_going_back_to_an_old_recipe_costs_nothing(lab: Lab) -> None:
    before, digest = fingerprint(lab.root), logical(lab.root)
    for change in ({"prompt": "Other?"}, {"threshold": 0.9}, {"reject_every": 3}):
        lab.tell(**change)
        lab.work()
    lab.tell(prompt="How hard?", threshold=0.5, reject_every=0)
    assert lab.plan() == {
        "count": (0, 0, lab.plan()["count"][2]),
        "inquire": (0, 0, TASKS),
        "keep": (0, 0, lab.plan()["keep"][2]),
    }
    assert lab.work() == nothing()
    assert logical(lab.root) == digest
    assert before.items() <= fingerprint(lab.root).items()


def test_an_answer_survives_its_lake(lab: Lab) -> None:
    digest = logical(lab.root)
    shutil.rmtree(lab.root / "lake")
    assert lab.work() == {"count": TASKS, "inquire": TASKS, "keep": TASKS, "asked": 0}
    assert logical(lab.root) == digest


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("", "recipe.toml", "key 'name' is missing", "add name"),
        ("name = ", "recipe.toml", "not TOML: Invalid value", "correct the line"),
        ('name = "x"\n[stages.cuont]', "[stages.cuont]", "there is no stage 'cuont'", "did you mean 'count'?"),
        ('name = "x"\n[stages.count]\ntask = 3', "[stages.count]", "unknown key 'task'", "did you mean 'tasks'?"),
        ('name = "x"\n[stages.count]\ntasks = "many"', "[stages.count]", "tasks = 'many'", "correct 'tasks'"),
        ('name = "x"\n[stages.score]', "[stages.score]", "reads tasks, which no earlier stage makes", "count"),
        ('name = "x"\n[stages]\ncount = 3', "recipe.toml", "stages.count = 3", "correct"),
        (
            'name = "x"\n[stages.count]\nworkers = -3\nbatch_items = 0',
            "[stages.count]",
            "batch_items = 0",
            "correct 'batch_items'",
        ),
        ('name = "x"\n[stages.count]\nwork_ms = nan', "[stages.count]", "work_ms = nan", "correct 'work_ms'"),
        ('name = "\udce9"', "recipe.toml", "not TOML", ""),
        (f"{JUDGED}[stages.select_cot.min_score]\nwimdow = 1.0", "select_cot]", "no filter measures 'wimdow'", "'window'?"),
        (f"{JUDGED}[stages.select_cot]\norder = ['answer']", "select_cot]", "no filter measures 'answer'", "before it: verify"),
        (f"{JUDGED}[stages.select_cot.min_score_if_present]\nhuman = 1", "select_cot]", "measures 'human'", "before it: human"),
        (f"{JUDGED}[stages.select_rl.max_score]\nreplay = 0.9", "select_rl]", "measures 'replay'", "before it: replay"),
        (f"{JUDGED}[stages.select_cot.min_score]\nwindow = 90", "select_cot]", "min_score.window = 90", "correct"),
        (
            f"{JUDGED}[stages.select_rl]\nmin_score = {{window = 0.9}}\nmax_score = {{window = 0.1}}",
            "select_rl]",
            "no score of",
            "",
        ),
        (f"{JUDGED}[stages.select_cot]\n[stages.select_rl]\ncorpus = 'cot'", "select_rl]", "by 'select_cot' already", "'cot2'"),
        (
            f"{JUDGED}[stages.select_cot]\n[stages.pack]\n[stages.select_rl]",
            "select_rl]",
            "in no shard",
            "before [stages.pack]",
        ),
        (f"{JUDGED}[stages.draw.quotas]\n'charades/groundin' = 3", "draw]", "fits no task", "grounding"),
        ("name = 'x'\n[looks]\noverview = 'always'\n[stages.ingest]", "looks", "about further looks", "correct"),
        (
            "name = 'x'\n[looks]\nmax_looks = 2\n[stages.ingest]\n[stages.import]\n[stages.rules]\nmax_looks = 3",
            "stages.rules.max_looks",
            "a stage may look 3 times, and [looks] max_looks is 2",
            "all stages share",
        ),
        (
            f"{JUDGED}[stages.citations]\n[stages.select_cot.min_score]\nidle_look = 1",
            "select_cot]",
            "no filter measures 'idle_look'",
            "where [looks] max_looks is more than 1",
        ),
        ("name = 'x'\n[stages.import]\n[stages.ingest]", "import]", "reads videos, which no earlier", "ingest"),
        ("name = 'x'\n[stages.ingest]\n[stages.import]\n[stages.rules]\ndensities = [24]", "rules]", "densities", "correct"),
    ],
)
def test_a_wrong_recipe_is_refused_with_place_and_mend(tmp_path: Path, text: str, where: str, what: str, hint: str) -> None:
    (tmp_path / "recipe.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as error:
        plan_commands.plan(WorkspaceFolder(tmp_path))
    assert where in str(error.value)
    assert what in str(error.value)
    assert hint in str(error.value)
    assert not (tmp_path / "lake").exists()
