"""Plug-ins: found by group and name, imported when named, refused in plain words, and missed without losing what they made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dmforge import cli
from dmforge.commands.upgrade import rewrite_recipe
from dmforge.curation.exports import require_export
from dmforge.curation.io.plugins import PluginError
from dmforge.curation.sources.formats import find_format
from dmforge.curation.workspace_folder import WorkspaceFolder
from dmforge.filters.rules.rules import Rules, RulesConfig
from dmforge.recipe import read_recipe, stage_class
from dmforge.schemas import records
from dmforge.schemas.errors import InputError
from tests.foundation.lakes import fingerprint, logical, run

RECIPE = """
name = "test"
[stages.count]
tasks = 40
workers = 1
[stages.brief]
{settings}
[stages.keep]
"""
STAGE = """
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from dmforge.curation.contract.stage import Batch, StageConfig
from dmforge.curation.contract.stage_results import Made, Result
from dmforge.schemas.config import Formerly
from dmforge.schemas.ids import Id
from dmforge.schemas.records import Record, Task, Verdict

class BriefConfig(StageConfig):
    "What is short."
    max_words: int = 12
    "So many words are short."
    min_words: Annotated[int, Formerly("words")] = 1
    "So few are none."

class Brief(Batch[Task, Verdict]):
    "One verdict a task."
    name, version = "brief", 1
    measures = ("score",)
    config: BriefConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            score = min(1.0, self.config.max_words / 24)
            yield Made((Verdict(task.video, task.id, "task", "score", score, 1),))

@dataclass(frozen=True, slots=True)
class Goal(Record):
    kind = "goal"
    table = "goals"
    video: Id

class Goals(Batch[Task, Goal | Verdict]):
    "A table of its own."
    name, version = "goals", 1
    config: StageConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        for task in items:
            yield Made((Goal(task.video, id=task.id),))

@dataclass(frozen=True, slots=True)
class OtherTask(Record):
    kind = "deed"
    table = "tasks"
    video: Id

records_of_ours = __import__("dmforge.schemas.records", fromlist=["TABLES"])
records_of_ours.TABLES["tasks"] = Task  # a test's package must not disturb the tests beside it

class Doubles(Batch[Task, OtherTask]):
    "A table that is another's."
    name, version = "doubles", 1
    config: StageConfig

    def process(self, items: Iterator[Task]) -> Iterator[Result]:
        yield from ()
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes a package with these entry points, each `group:name = module:object`, and puts it on the path."""

    def installed(name: str, entry_points: dict[str, str], **modules: str) -> Path:
        site = tmp_path / name
        metadata = site / f"{name}-0.1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = (f"[{key.partition(':')[0]}]\n{key.partition(':')[2]} = {value}\n" for key, value in entry_points.items())
        (metadata / "entry_points.txt").write_text("".join(lines))
        for module, text in modules.items():
            (site / f"{module}.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(site)
        return site

    yield installed
    for module in [name for name in sys.modules if name.startswith("plug_")]:
        del sys.modules[module]


def workspace(tmp_path: Path, settings: str = "") -> Path:
    root = tmp_path / "ws"
    root.mkdir(exist_ok=True)
    (root / "recipe.toml").write_text(RECIPE.format(settings=settings))
    return root


def dmforge(*words: str | Path, code: int = 0) -> Result:
    told = CliRunner().invoke(cli.app, list(map(str, words)))
    assert told.exit_code == code, told.output
    return told


# loaded when named


def test_neither_the_import_nor_the_help_loads_an_entry_point(install: Install, tmp_path: Path) -> None:
    groups = {f"dmforge.{group}:loud": "plug_loud:LOUD" for group in ("formats", "rules", "stages", "exports")}
    site = install("loud", groups, plug_loud="import sys; sys.stderr.write('LOADED')")
    code = """
import sys, dmforge
from dmforge import cli
for sys.argv in (["dmforge", "--help"], ["dmforge", "import", "--list"]):
    try:
        cli.main()
    except SystemExit:
        sys.stderr.write(f"END OF {sys.argv[1]}")
"""
    env = {**os.environ, "PYTHONPATH": str(site)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env).stderr
    assert said.index("END OF --help") < said.index("LOADED"), "a list of all loads each of them, and nothing else does"


def test_a_list_names_what_it_leaves_out(install: Install) -> None:
    text = """
    from dmforge.curation.sources.annotation_format import AnnotationFormat
    GOOD = AnnotationFormat("good", "csv", frozenset(), lambda record, companions: [], "CSV: all is well")
    """
    install("two", {"dmforge.formats:good": "plug_two:GOOD", "dmforge.formats:bad": "plug_absent:BAD"}, plug_two=text)
    told = dmforge("import", "--list", "--json")
    listed = {form["format"]: form["about"] for form in json.loads(told.stdout)}
    assert listed["good"] == "CSV: all is well"
    assert "bad" not in listed
    assert "left out: import --list: the format 'bad' of two 0.1 can't be imported" in told.stderr


# refused in plain words

REFUSED = [
    ("stages:brief", "plug_absent:Brief", "can't be imported from plug_absent:Brief: ModuleNotFoundError: No module named"),
    ("stages:brief", "plug_it:Nothing", "AttributeError"),
    ("stages:brief", "plug_raises:Brief", "KeyError: 'HOME_OF_MATCHES'"),
    ("stages:brief", "plug_it:brief", "is a function, and a class derived from Each, Ask, Batch or Collective is needed"),
    ("stages:brief", "plug_it:Plain", "is a class of another kind"),
    ("stages:brief", "plug_it:Abstract", "is abstract"),
    ("stages:brief", "plug_it:Goals", "calls itself 'goals', and its entry point 'brief'"),
    ("stages:brief", "plug_it:Unversioned", "has no whole number as its `version`"),
    ("stages:brief", "plug_it:Unsettled", "and a class derived from StageConfig is needed"),
    ("formats:brief", "plug_it:brief", "is a function, and an AnnotationFormat is needed"),
    ("formats:brief", "plug_it:FORMAT", "calls itself 'else', and its entry point 'brief'"),
    ("formats:brief", "plug_it:SCROLL", "has the layout 'scroll', and one of json, csv, text, parquet is needed"),
    ("rules:brief", "plug_it:brief", "is a function, and a Rule is needed"),
    ("rules:brief", "plug_it:RULE", "calls itself 'calm', and its entry point 'brief'"),
    ("exports:brief", "plug_it:RULE", "is a Rule, and a function of a Corpus and a folder is needed"),
    ("exports:brief", "plug_it:brief", "takes something else than a Corpus and a folder"),
]
KINDS = (
    STAGE
    + """
from dmforge.curation.sources.annotation_format import AnnotationFormat
from dmforge.filters.rules.rule import SOUND, Rule

def brief(): ...
class Plain: ...
class Abstract(Batch[Task, Verdict]):
    name, version = "brief", 1
    config: StageConfig
class Unversioned(Goals):
    name, version = "brief", "1.0"
class Unsettled(Batch[Task, Verdict]):
    name, version = "brief", 1
    config: int
    def process(self, items): ...
FORMAT = AnnotationFormat("else", "csv", frozenset(), lambda record, companions: [], "")
SCROLL = AnnotationFormat("brief", "scroll", frozenset(), lambda record, companions: [], "")
RULE = Rule("calm", lambda rule_input: SOUND, "")
"""
)
LOADERS: dict[str, Callable[[str], object]] = {
    "stages": lambda name: stage_class(name, "here"),
    "formats": lambda name: find_format(name, "here"),
    "rules": lambda name: RulesConfig(extra_rules=(name,)),
    "exports": require_export,
}


@pytest.mark.parametrize(("entry", "target", "message"), REFUSED, ids=[f"{entry} {target}" for entry, target, _ in REFUSED])
def test_what_its_group_can_not_use_is_refused_by_package(install: Install, entry: str, target: str, message: str) -> None:
    install("odd", {f"dmforge.{entry}": target}, plug_it=KINDS, plug_raises="import os; os.environ['HOME_OF_MATCHES']")
    group, _, name = entry.partition(":")
    with pytest.raises(PluginError) as refused:
        LOADERS[group](name)
    assert "odd 0.1" in refused.value.message
    assert message in refused.value.message
    assert refused.value.where
    assert "odd 0.1" in refused.value.hint
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("group", "name"), [("stages", "count"), ("formats", "jsonl"), ("rules", "window"), ("exports", "trl")]
)
def test_no_package_gives_a_name_of_dmforges_another_meaning(install: Install, group: str, name: str) -> None:
    install("thief", {f"dmforge.{group}:{name}": "plug_absent:X"})
    with pytest.raises(PluginError, match=f"{name!r} is dmforge's own, and thief 0.1 has another of that name"):
        LOADERS[group](name)


@pytest.mark.parametrize("group", LOADERS)
def test_two_packages_with_one_name_are_both_named(install: Install, group: str) -> None:
    install("first", {f"dmforge.{group}:brief": "plug_it:Brief"})
    install("second", {f"dmforge.{group}:brief": "plug_it:Brief"})
    with pytest.raises(PluginError, match=r"there are 2 packages with a \w+ 'brief': first 0\.1 and second 0\.1"):
        LOADERS[group]("brief")


@pytest.mark.parametrize("group", LOADERS)
def test_a_name_that_nobody_has_gets_the_nearest_one_and_the_group(install: Install, group: str) -> None:
    install("odd", {f"dmforge.{group}:brief": "plug_it:Brief"})
    with pytest.raises(PluginError, match=f"neither in dmforge nor in an installed package .group dmforge.{group}.") as refused:
        LOADERS[group]("breif")
    assert refused.value.hint == "did you mean 'brief'? (or install the package that has it)"


def test_a_rule_of_dmforges_is_no_extra_one_and_none_stands_twice(install: Install) -> None:
    with pytest.raises(InputError, match="the rule 'window' is dmforge's own"):
        RulesConfig(extra_rules=("window",))
    install("odd", {"dmforge.rules:calm": "plug_it:RULE"}, plug_it=KINDS)
    with pytest.raises(ValueError, match="a rule stands twice"):
        RulesConfig(extra_rules=("calm", "calm"))


# a stage like any other


@pytest.fixture
def brief(install: Install) -> Path:
    stages = {f"dmforge.stages:{name.lower()}": f"plug_stage:{name}" for name in ("Brief", "Goals", "Doubles")}
    return install("matches", stages, plug_stage=STAGE)


def test_its_settings_are_checked_like_those_of_any_stage(brief: Path, tmp_path: Path) -> None:
    told = dmforge("plan", "-w", workspace(tmp_path, "max_word = 3"), code=2)
    assert "recipe.toml: [stages.brief]: unknown key 'max_word'" in told.stderr
    assert "did you mean 'max_words'?" in told.stderr
    root = workspace(tmp_path, "words = 3")
    assert "'words' is 'min_words' now" in dmforge("plan", "-w", root, code=2).stderr
    rewrite_recipe(WorkspaceFolder(root))
    assert "min_words = 3" in (root / "recipe.toml").read_text()


def test_its_place_is_behind_what_it_reads(brief: Path, tmp_path: Path) -> None:
    root = workspace(tmp_path)
    (root / "recipe.toml").write_text('name = "x"\n[stages.brief]\n[stages.count]\n')
    assert "it reads tasks, which no earlier stage makes" in dmforge("plan", "-w", root, code=2).stderr


def test_its_work_is_done_once_and_anew_for_other_settings(brief: Path, tmp_path: Path) -> None:
    root = workspace(tmp_path)
    assert run(root)["brief"].tally.made == 36
    before = fingerprint(root)
    run(root)
    assert fingerprint(root) == before
    workspace(tmp_path, "max_words = 24")
    plan = json.loads(dmforge("plan", "-w", root, "--json").stdout)
    assert [stage["pending"] for stage in plan["stages"]] == [0, 36, 36]
    (record, *_) = sorted((root / "runs").glob("*.json"))
    assert json.loads(record.read_bytes())["plugins"]["dmforge.stages:brief"] == "matches 0.1"


def test_a_score_and_a_table_have_one_meaning(brief: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\n[stages.count]\n[stages.score]\n[stages.brief]\n')
    with pytest.raises(InputError, match="it measures 'score', and so does 'score'"):
        read_recipe(recipe)
    recipe.write_text('name = "x"\n[stages.count]\n[stages.doubles]\n')
    with pytest.raises(InputError, match=r"it makes 'tasks', and so does dmforge\.schemas\.records\.Task"):
        read_recipe(recipe)


def test_a_rules_version_is_part_of_the_work_key_and_no_rule_changes_none(install: Install) -> None:
    rule = "from dmforge.filters.rules.rule import SOUND, Rule\nCALM = Rule('calm', lambda rule_input: SOUND, '', version={})"
    install("one", {"dmforge.rules:calm": "plug_rule:CALM"}, plug_rule=rule.format(1))
    config = RulesConfig(extra_rules=("calm",))
    first = Rules(config).variant
    assert "calm" in Rules(config).given_scores()
    sys.modules["plug_rule"].CALM = type(sys.modules["plug_rule"].CALM)("calm", lambda _: None, "", version=2)  # type: ignore[attr-defined]
    assert Rules(config).variant != first
    assert Rules(RulesConfig()).cache_key_parts() == []
    assert "extra_rules" not in RulesConfig().semantic()


# and when it is gone


def test_what_a_missing_stage_made_can_be_read_and_nothing_be_made(
    brief: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path, "max_words = 13")
    run(root, until="brief")
    workspace(tmp_path)
    run(root)
    status, digest = dmforge("status", "-w", root, "--json").stdout, logical(root)
    funnel = dmforge("audit", "funnel", "-w", root).stdout
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(brief)])
    for command in ("plan", "run"):
        told = dmforge(command, "-w", root, code=2)
        assert f"{root}/recipe.toml: [stages.brief]: there is no stage 'brief'" in told.stderr
        assert "(group dmforge.stages)" in told.stderr
        assert "hint: install matches 0.1, from which earlier runs had it" in told.stderr
    told = dmforge("status", "-w", root, "--json")
    assert told.stdout == status
    assert "there is no stage 'brief', neither in dmforge nor" in told.stderr
    assert "what it settled is shown as it stands" in told.stderr
    assert dmforge("audit", "funnel", "-w", root).stdout == funnel
    assert logical(root) == digest
    task = dmforge("audit", "--sql", "SELECT subject FROM verdicts LIMIT 1", "--format", "csv", "-w", root).stdout.split()[1]
    assert "brief of task_" in dmforge("why", task, "-w", root).stdout
    dmforge("upgrade", "--dry-run", "-w", root)
    workspace(tmp_path, "max_words = 13")  # the other settings that it once ran with
    assert logical(root) != digest
    monkeypatch.syspath_prepend(brief)
    workspace(tmp_path)
    assert logical(root) == digest


def test_a_name_under_which_nothing_was_ever_made_is_no_missing_stage(tmp_path: Path) -> None:
    assert "there is no stage 'brief'" in dmforge("status", "-w", workspace(tmp_path), code=2).stderr


def test_a_digest_is_refused_where_a_table_would_be_left_out(
    brief: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path)
    (root / "recipe.toml").write_text('name = "x"\n[stages.count]\ntasks = 20\nworkers = 1\n[stages.goals]\n')
    assert run(root)["goals"].tally.made == 18
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(brief)])
    monkeypatch.delitem(records.TABLES, "goals")
    assert json.loads(dmforge("status", "-w", root, "--json").stdout)["stages"][1]["made"] == 18
    assert "the digest would lack goals, made by the missing 'goals'" in dmforge("digest", "-w", root, code=2).stderr
