"""The command line: parse, call, print. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from dmforge.command_line import browsing, questions
from dmforge.command_line.inspect import inspect
from dmforge.command_line.opening import open_workspace
from dmforge.command_line.verify_command import verify
from dmforge.commands import console
from dmforge.commands.command_group import group_of
from dmforge.commands.common_options import MANY, DemoSize, JsonOption, VersionOption, WorkspaceOption
from dmforge.commands.console import failed_if_in_vain, print_deferred, show, show_once, unfinished_if
from dmforge.schemas.dialects.dialect_name import DialectName
from dmforge.schemas.errors import DmforgeError, InputError

commands = typer.Typer()
"""Every command is registered here, and built when it is called."""
app = typer.Typer(cls=group_of(commands), no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(no_args_is_help=True)
def root(version: VersionOption = False) -> None:
    """Build and judge the data that teaches a model to think with video, and train on it."""
    from dmforge.curation.io.process_startup import few_heaps

    few_heaps()


@commands.command("recipes")
def list_recipes(as_json: JsonOption = False) -> None:
    """List the recipes that a workspace can begin with."""
    from dmforge.api.workspace import list_recipes

    show(list_recipes(), as_json)


@commands.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    recipe: Annotated[
        str, typer.Option(help="The recipe to start from: dm-cot, from-raw-video, ...; `dmforge recipes` lists them.")
    ],
) -> None:
    """Make a workspace from a recipe."""
    from dmforge.api import workspace as api

    workspace = api.init(folder, recipe)
    console.out.print_line(
        f"{workspace.path} is ready. Read {workspace.path / 'recipe.toml'}, then: dmforge plan -w {workspace.path}"
    )


@commands.command()
def plan(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say what a run would do and cost. Nothing is written."""
    forecasts = open_workspace(workspace).plan()
    for note in forecasts.notes():
        console.err.print_line(note)
    show(forecasts, as_json)


@commands.command()
def run(
    workspace: WorkspaceOption = Path(),
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, max=MANY, help="A pilot on so many videos; later runs reuse it.")] = None,
    budget: Annotated[float | None, typer.Option(metavar="USD", min=0, help="What teachers may cost, in all runs.")] = None,
    per_run: Annotated[bool, typer.Option("--per-run", help="The budget is for this run alone.")] = False,
    retry_quarantined: Annotated[bool, typer.Option("--retry-quarantined", help="Try again what was quarantined.")] = False,
    retry_rejected: Annotated[
        str | None, typer.Option(metavar="REASON", help="One more round of attempts for what was rejected for this reason.")
    ] = None,
    executor: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or those of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster's; else RAY_ADDRESS, or the one that runs here.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Do the share of this rank, beside other ranks.")] = None,
    world_size: Annotated[int | None, typer.Option(min=1, metavar="W", help="How many ranks there are.")] = None,
    wait_timeout: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Seconds that a rank waits where no other is at work; else 600.")
    ] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Append each event to FILE, as a line of JSON.")] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Ask on, though none of the first replies is read.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Do what is pending. Stop it whenever you like: the same command goes on."""
    from dmforge.commands.caller import command_line
    from dmforge.commands.full_run import RunSettings
    from dmforge.commands.rank_options import share_of_rank
    from dmforge.commands.run_account import SpendingLimits

    rank_options = {"--videos": videos, "--retry-quarantined": retry_quarantined, "--wait-timeout": wait_timeout is not None}
    rank_options |= {"--executor": executor == "ray", "--retry-rejected": retry_rejected}
    share = share_of_rank(rank, world_size, rank_options)
    if address is not None and executor != "ray":
        raise InputError("`--address` needs `--executor ray`", where="--address", hint="give --executor ray, or leave it out")
    limits = SpendingLimits(budget, per_run, keep_going)
    settings = RunSettings(until, videos, limits, retry_quarantined, retry_rejected, executor, address, share, log=log)
    if wait_timeout is not None:
        settings = replace(settings, wait_timeout_s=wait_timeout)
    finished = open_workspace(workspace).run_with(settings, command_line())
    show(finished, as_json)
    unfinished_if(finished.is_unfinished, finished.to_change)
    failed_if_in_vain(finished.asked_in_vain)


@commands.command()
def select(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as the recipe calls it: cot, say.")],
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A further condition, over scores and what they are about; writes nothing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be kept of what there is; write nothing.")] = False,
    sweep: Annotated[
        str | None, typer.Option(metavar="FILTER", help="Say what each value of this filter's threshold would keep.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Apply the recipe's thresholds, an order and caps to the scores at hand. Asks nobody anything."""
    opened = open_workspace(workspace)
    if sweep is not None and where is not None:
        raise InputError("a sweep and a condition are two trials", where="--sweep", hint="give --sweep or --where")
    show(opened.sweep(corpus, sweep) if sweep is not None else opened.select(corpus, where=where, dry_run=dry_run), as_json)


@commands.command()
def pack(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as selection calls it: cot, say.")],
    partial: Annotated[bool, typer.Option("--partial", help="Although earlier stages still have work to do.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Pack what is selected as shards, with an index and a card."""
    show(open_workspace(workspace).pack(corpus, partial=partial), as_json)


commands.command()(verify)


@commands.command()
def lint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A shard, a folder of shards, rows of an export, jsonl tasks.")],
    rule: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A rule of a plug-in as well.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold any file of trajectories or tasks against all rules. Exit code 1 where it has defects."""
    from dmforge.api import inspection

    report = inspection.lint(file, rule or ())
    show(report, as_json)
    if report.defects:
        raise typer.Exit(1)


@commands.command()
def export(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="A packed corpus; or a folder of shards, or its address.")],
    to: Annotated[str, typer.Option(help="dynframe, easyr1, hf, llamafactory, messages, swift, trl or verl; or a plug-in's.")],
    out: Annotated[str | None, typer.Option(help="A folder or an address; by default under exports/ in the workspace.")] = None,
    dialect: Annotated[DialectName | None, typer.Option(help="How looks are written; each format has one of its own.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a packed corpus in the shape that another trainer reads."""
    show(open_workspace(workspace).export(corpus, to, out, dialect=dialect), as_json)


@commands.command()
def status(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say where each stage stands."""
    show(open_workspace(workspace).status(), as_json)


@commands.command()
def digest(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Check every part and print the logical digest: equal digests are equal corpora, whatever their history."""
    show(open_workspace(workspace).digest(), as_json)


@commands.command()
def merge(
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Other workspaces; they are only read.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Join other workspaces into this one. What they have settled and paid for is not done again."""
    show(open_workspace(workspace).merge(*others), as_json)


@commands.command()
def forget(
    reason: Annotated[str, typer.Option(help="Why; it is written to inputs/forgotten.jsonl.")],
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="VIDEO...", help="Ids, names or files; @FILE has a list.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Every video of this source instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; write nothing.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Take videos down: their rows, media, journal lines and shards, for good."""
    taken_down = open_workspace(workspace).forget(*videos or [], source=source, reason=reason, dry_run=dry_run)
    show(taken_down, as_json)
    for note in taken_down.notes():
        console.err.print_line(note)


@commands.command()
def upgrade(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Training files or recipes, instead of a workspace.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed; write nothing.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring an older workspace, or older training files, up to what this version writes. Nothing is lost, nobody is asked."""
    from dmforge.commands.upgrade import upgrade_file

    if files:
        first, *others = (upgrade_file(file, dry_run) for file in files)
        show(sum(others, first), as_json)
    else:
        show(open_workspace(workspace).upgrade(dry_run=dry_run), as_json)


@commands.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("demo"),
    videos: Annotated[
        int | None, typer.Option(min=1, max=MANY, help="How many worlds are rendered, instead of what the size says.")
    ] = None,
    size: Annotated[DemoSize, typer.Option(help="chain trains nothing; small learns for minutes, full for longer.")] = "small",
    as_json: JsonOption = False,
) -> None:
    """Run the whole chain on synthetic worlds, with an oracle as the teacher: no data, no key, no GPU."""
    from dmforge.api import learning
    from dmforge.commands.caller import command_line
    from dmforge.commands.demo import chain

    if size != "chain":
        learning.require_train_extra()
    demo_size = chain.SIZES[size]
    demo_size = replace(demo_size, videos=videos) if videos else demo_size
    finished = chain.demo(out_folder, demo_size, console.err, command_line().command)
    for stage_report in finished.stages:
        print_deferred(console.err, stage_report.name, stage_report.deferred)
    show(finished, as_json)
    unfinished_if(any(stage_report.tally.pending for stage_report in finished.stages))


@commands.command("train")
def train_student(
    way: Annotated[str, typer.Argument(metavar="sft|sdgrpo", help="How: sft, or sdgrpo.")],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/training.md shows one of each.")],
    plan: Annotated[bool, typer.Option("--plan", help="Train nothing: say what memory each rank needs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a student on packed corpora. Stop it whenever you like: the same command goes on from the last checkpoint."""
    from dmforge.api import learning

    if plan:
        show(learning.plan_training(way, config), as_json)
        return
    trained = show_once(lambda: learning.train(way, config), as_json)
    unfinished_if(bool(trained.stopped_by))


@commands.command()
def merge_adapters(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint of a training with [model.adapters].")],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    weights: Annotated[Literal["float32", "bfloat16"], typer.Option(help="The type of the weights.")] = "float32",
    as_json: JsonOption = False,
) -> None:
    """Merge adapters into their base: an ordinary checkpoint, for programs that know no adapters, and for further training."""
    from dmforge.api import learning

    show(learning.merge_adapters(checkpoint, folder, weights=weights), as_json)


@commands.command("evaluate")
def evaluate_student(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/training.md shows one.")],
    as_json: JsonOption = False,
) -> None:
    """Roll a checkpoint out on samples that it has not seen, and score where it looks and what it answers."""
    from dmforge.api import learning

    show_once(lambda: learning.evaluate(config), as_json)


@commands.command()
def worlds(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to fill.")],
    videos: Annotated[int, typer.Option(min=1, max=MANY, help="How many.")] = 24,
    level: Annotated[
        int,
        typer.Option(help="How hard: 0 is one object; each further level adds one difficulty (4 and 6 none with --looks 2)."),
    ] = 0,
    longest: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=86_400, help="Of mixed length, up to this, instead of 12 s each.")
    ] = 0,
    study: Annotated[bool, typer.Option("--study", help="Seen from near, so that a tiny student learns from them.")] = False,
    looks: Annotated[
        int,
        typer.Option(min=1, max=2, help="2: with --study, an object stands at two times, 20 s each; some questions need both."),
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, max=MANY, help="Another seed, other worlds.")] = 0,
) -> None:
    """Render synthetic videos about which everything is known: videos/, tasks.jsonl and truth.jsonl."""
    from dmforge.commands.synthetic import fill_with_worlds

    fill_with_worlds(folder, level, videos=videos, seed=seed, longest_s=longest, study=study, looks=looks)
    console.out.print(
        f"{videos} worlds in {folder}: dmforge oracle {folder} answers questions about them", markup=False, highlight=False
    )


@commands.command()
def oracle(
    folder: Annotated[Path, typer.Argument(metavar="WORLDS", help="A folder of worlds.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on loopback; 0 takes a free port.")] = 0,
    unknown: Annotated[float, typer.Option(help="Share of requests in which it sees nothing and guesses.")] = 0.0,
    defect: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="Plant a defect in so many replies.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="Fail so many requests.")] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Where planted defects are written down.")] = None,
) -> None:
    """Serve a teacher for worlds: an OpenAI-compatible endpoint on loopback that looks at what it is sent."""
    from dmforge.commands.synthetic import serve_oracle

    serve_oracle(folder, port, truth, unknown, defect or (), fault or ())


@commands.command()
def probe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Video files.")],
    as_json: JsonOption = False,
) -> None:
    """Say what files are, or why they can't be used."""
    from dmforge.api import inspection
    from dmforge.curation.io.command_result import Listing

    show(Listing([inspection.probe(path) for path in files]), as_json)


@commands.command()
def frames(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video file.")],
    span: Annotated[tuple[float, float] | None, typer.Option(metavar="A B", help="The window, in seconds.")] = None,
    fps: Annotated[float, typer.Option(min=0.001, help="Frames per second.")] = 1.0,
    coarse: Annotated[bool, typer.Option("--coarse", help="The coarse clip of the whole video instead.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Without snapping to the grid.")] = False,
    backend: Annotated[str, typer.Option(help="Which decoder.")] = "pyav",
    as_json: JsonOption = False,
) -> None:
    """Decode frames as training would, and say which they are."""
    from dmforge.api import inspection

    if coarse == (span is not None):
        raise InputError("give either --span or --coarse", where="frames", hint="dmforge frames FILE --span 2 5 --fps 4")
    show(inspection.frames(file, span, fps, exact=exact, backend=backend), as_json)


SourceOption = Annotated[str, typer.Option(help="Where they come from.")]
LicenceOption = Annotated[str, typer.Option(help="Under which licence.")]
TermsOption = Annotated[str, typer.Option(help="What else is to be kept: research only, say.")]
NamespaceOption = Annotated[str, typer.Option(help="Whose ids the videos' names are, as in youtube.")]


@commands.command()
def ingest(
    places: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Video files and folders of them, here or at an address (https, s3, ...)."),
    ],
    source: SourceOption = "unknown",
    licence: LicenceOption = "unknown",
    terms: TermsOption = "unknown",
    namespace: NamespaceOption = "unknown",
    benchmark: Annotated[bool, typer.Option("--benchmark", help="Videos of a benchmark: nothing is trained on them.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring videos into the lake. Of known ones, what is said of them now counts."""
    ingested = open_workspace(workspace).ingest(
        *places, source=source, licence=licence, terms=terms, namespace=namespace, benchmark=benchmark
    )
    print_deferred(console.err, "ingest", ingested.deferred)
    show(ingested, as_json)
    unfinished_if(ingested.pending > 0)
    if not ingested.ingested and not ingested.known:
        hint = "`dmforge probe FILE` says what a file is; `dmforge run --retry-quarantined` tries one again that was mended"
        raise DmforgeError("no video came in", where=", ".join(places)[:200], hint=hint)


@commands.command("import")
def import_annotations(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="What the files are; --list names all formats.")] = "",
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Annotation files.")] = None,
    videos: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A folder with the videos that they are about; they are ingested.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of their dataset they are.")] = "",
    source: SourceOption = "unknown",
    licence: LicenceOption = "unknown",
    terms: TermsOption = "unknown",
    namespace: NamespaceOption = "unknown",
    missing: Annotated[Path | None, typer.Option(metavar="FILE", help="List the videos that are missing, a line each.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count; write nothing.")] = False,
    list_formats: Annotated[bool, typer.Option("--list", help="Name all formats.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring annotations into the lake, as tasks about videos."""
    from dmforge.commands.intake import format_list
    from dmforge.curation.output_paths import output_file
    from dmforge.curation.sources.videos import replaceable

    if list_formats:
        formats = format_list()
        for plugin_error in formats.left_out:
            console.err.print_line(f"left out: {plugin_error}")
        show(formats, as_json)
        return
    if not form or not files:
        hint = "dmforge import FORMAT FILE..., or --list"
        raise InputError("the format and the files are missing", where="import", hint=hint)
    if missing is not None:
        output_file(missing, "--missing", inputs=(*files, *replaceable(videos or (), missing)))
    claims = {"split": split, "source": source, "licence": licence, "terms": terms, "namespace": namespace}
    imported = open_workspace(workspace).import_annotations(form, *files, videos=videos or [], dry_run=dry_run, **claims)
    print_deferred(console.err, "import", imported.deferred)
    if missing is not None:
        imported.write_missing(missing)
    show(imported, as_json)
    unfinished_if(imported.pending > 0)
    if not dry_run and not imported.tasks and not imported.identical:
        console.err.print_line("nothing was made of these files: each question in them was rejected or quarantined")
        raise typer.Exit(1)


for asking in (inspect, questions.audit, questions.views, questions.report, questions.why, browsing.browse, browsing.review):
    commands.command()(asking)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
