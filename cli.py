"""The command line: parse, call, print. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from dmforge import __version__
from dmforge.commands.console import (
    counts_of,
    err,
    out,
    print_answer,
    print_awaited,
    print_deferred,
    print_evaluation,
    print_formats,
    print_funnel,
    print_json,
    print_table,
    print_tallies,
    unfinished_if,
)
from dmforge.curation.io.process_startup import few_heaps
from dmforge.schemas.errors import DmforgeError, InputError, LakeError


@contextlib.contextmanager
def usable_paths() -> Generator[None]:
    """Turn errors about impossible paths, too long or in loops of links, into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ):
            raise
        reason = (error.strerror or str(error)).lower()
        raise InputError(reason, where=str(error.filename)[:200], hint="give a path that the system can have") from None


class Commands(TyperGroup):
    """A command group that turns dmforge's errors and Ctrl-C into a message and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with usable_paths():
                return super().invoke(ctx)
        except DmforgeError as error:
            err.print(f"error: {error}", markup=False, highlight=False, style="red" if err.is_terminal else None)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("interrupted: run the same command again to go on")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    help="Build and judge the data that teaches a model to think with video, and train on it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MANY = 1 << 31
"""The upper limit of counts on the command line: larger ones are typing errors."""
DemoSize = Literal["chain", "small", "full"]


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        out.print(f"dmforge {__version__}", highlight=False)
        raise typer.Exit


@app.callback(no_args_is_help=True)
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Build and judge the data that teaches a model to think with video, and train on it."""


@app.command("recipes")
def list_recipes(as_json: JsonOption = False) -> None:
    """List the recipes that a workspace can begin with."""
    from dmforge.commands import run as run_commands

    if as_json:
        print_json([asdict(recipe) for recipe in run_commands.recipes()])
    else:
        print_table(["recipe", "what it builds"], [[recipe.name, recipe.description] for recipe in run_commands.recipes()])


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    recipe: Annotated[
        str, typer.Option(help="The recipe to start from: dm-cot, from-raw-video, ...; `dmforge recipes` lists them.")
    ],
) -> None:
    """Make a workspace from a recipe."""
    from dmforge.commands import run as run_commands

    workspace = run_commands.init(folder, recipe)
    out.print_line(f"{workspace.root} is ready. Read {workspace.recipe}, then: dmforge plan -w {workspace.root}")


@app.command()
def plan(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say what a run would do and cost. Nothing is written."""
    from dmforge.commands import intake
    from dmforge.commands import run as run_commands

    waiting = intake.to_bring(_workspace(workspace))
    if waiting:
        message = f"{waiting} files of the recipe's [bring] are not taken in yet: dmforge run --until ingest, and plan again"
        err.print_line(message)
    forecasts = run_commands.plan(_workspace(workspace))
    cost = sum(forecast.cost.usd for forecast in forecasts)
    for forecast in forecasts:
        if forecast.blocked_by:
            print_awaited(forecast.name, forecast.blocked_by)
            break
    if as_json:
        stages = [
            counts_of(forecast.name, forecast.tally)
            | {
                "expected": forecast.expected,
                "superseded": forecast.superseded,
                "cost": forecast.cost.usd,
                "awaits": forecast.blocked_by,
            }
            | asdict(forecast.cost.usage)
            for forecast in forecasts
        ]
        print_json({"stages": stages, "cost": cost})
        return
    columns = ["stage", "to do", "expected more", "reused", "superseded", "calls", "tokens in", "tokens out", "cost $"]
    rows: list[list[object]] = []
    for forecast in forecasts:
        usage = forecast.cost.usage
        spent = (
            [usage.calls, usage.input_tokens, usage.output_tokens, f"{forecast.cost.usd:.2f}"]
            if usage.calls
            else ["", "", "", ""]
        )
        rows.append(
            [forecast.name, forecast.tally.pending, forecast.expected, forecast.tally.settled, forecast.superseded, *spent]
        )
    print_table(columns, rows)


@app.command()
def run(
    workspace: WorkspaceOption = Path(),
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, max=MANY, help="A pilot on so many videos; later runs reuse it.")] = None,
    budget: Annotated[float | None, typer.Option(metavar="USD", min=0, help="Spend no more than this on teachers.")] = None,
    retry_quarantined: Annotated[bool, typer.Option("--retry-quarantined", help="Try again what was quarantined.")] = False,
    executor: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or those of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster's; else RAY_ADDRESS, or the one that runs here.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Do the share of this rank, beside other ranks.")] = None,
    world_size: Annotated[int | None, typer.Option(min=1, metavar="W", help="How many ranks there are.")] = None,
    wait_timeout: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Seconds that a rank waits where no other is at work; else 600.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Do what is pending. Stop it whenever you like: the same command goes on."""
    from dmforge.commands import intake
    from dmforge.commands import run as run_commands
    from dmforge.commands.rank_run import run_share
    from dmforge.curation.engine import run_log

    run_workspace = _workspace(workspace)
    rank_options = {"--videos": videos, "--retry-quarantined": retry_quarantined, "--wait-timeout": wait_timeout is not None}
    share = _share(rank, world_size, rank_options | {"--executor": executor == "ray"})
    if address is not None and executor != "ray":
        raise InputError("`--address` needs `--executor ray`", where="--address", hint="give --executor ray, or leave it out")
    with contextlib.ExitStack() as stack:
        if share is None:
            ray_executor = stack.enter_context(run_commands.on_ray(address)) if executor == "ray" else None
            intake.bring(run_workspace, err, _command())
            stage_reports = run_commands.run(
                run_workspace, err, _command(), until, videos, retry_quarantined, budget, ray_executor
            )
        else:
            wait_timeout = 600.0 if wait_timeout is None else wait_timeout
            intake.bring_in_turn(run_workspace, err, _command(), wait_timeout)
            stage_reports = run_share(run_workspace, err, _command(), share, wait_timeout, until, budget)
        reports = []
        for report in stage_reports:
            reports.append(report)
            print_deferred(report.name, report.deferred)
            print_awaited(report.name, report.blocked_by)
    stages = [
        counts_of(report.name, report.tally) | {"deferred": report.deferred, "awaits": report.blocked_by} for report in reports
    ]
    if as_json:
        print_json({"stages": stages, "cost": run_log.spent_usd(_workspace(workspace))})
    else:
        print_tallies({report.name: report.tally for report in reports})
    unfinished_if(any(report.tally.pending for report in reports if not report.blocked_by))


@app.command()
def select(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as the recipe calls it: cot, say.")],
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A further condition, over scores and what they are about; writes nothing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be kept of what there is; write nothing.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Apply the recipe's thresholds, an order and caps to the scores at hand. Asks nobody anything."""
    from dmforge.commands import select as select_commands

    if dry_run or where is not None:
        selected = select_commands.what_if(_workspace(workspace), corpus, where)
    else:
        selected = select_commands.select(_workspace(workspace), err, _command(), corpus)
    if as_json:
        print_json({"kept": selected.kept, "rejected": selected.rejected, "undetermined": selected.undetermined})
        return
    rejected = [["rejected", reason, count] for reason, count in selected.rejected.items()]
    rows = [["kept", "", selected.kept], *rejected, ["undetermined", "", selected.undetermined]]
    print_table(["", "reason", "candidates"], rows)


@app.command()
def pack(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as selection calls it: cot, say.")],
    partial: Annotated[bool, typer.Option("--partial", help="Although earlier stages still have work to do.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Pack what is selected as shards, with an index and a card."""
    from dmforge.commands import run as run_commands

    folder, manifest = run_commands.pack(_workspace(workspace), err, _command(), corpus, partial)
    counts = {"shards": len(manifest.shards), "samples": manifest.samples, "bytes": manifest.bytes}
    if as_json:
        print_json({**counts, "selection": manifest.selection, "path": str(folder), "partial": manifest.partial})
    else:
        out.print_line(f"{folder}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def verify(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder of shards, here or at an address.")],
    as_json: JsonOption = False,
) -> None:
    """Check every byte of a folder of shards."""
    from dmforge.curation.shards.integrity import REFETCH_HINT
    from dmforge.curation.shards.integrity import verify as verify_shards

    verification = verify_shards(folder)
    if as_json:
        document = asdict(verification)
        print_json({"ok": not document["defects"], **document})
    else:
        for defect in verification.defects:
            out.print_line(str(defect))
        sound = f"sound: {verification.samples} samples in {verification.shards} shards, {verification.bytes} bytes"
        out.print(f"{len(verification.defects)} defects" if verification.defects else sound, highlight=False)
    if verification.defects:
        damaged = ", ".join(dict.fromkeys(defect.shard for defect in verification.defects))
        raise LakeError(f"damaged: {damaged}", where=folder, hint=REFETCH_HINT)


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A shard, a folder of shards, or rows of an export.")],
    rule: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A rule of a plug-in as well.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold any file of trajectories or tasks against all rules."""
    from dmforge.filters.rules.lint import lint as linted

    lint_report = linted(file, rule or ())
    if as_json:
        defects = [
            {"record": defect.record, "rule": defect.rule, "message": defect.message, "offset": defect.offset}
            for defect in lint_report.defects
        ]
        print_json({"records": lint_report.records, "defects": defects})
        return
    for defect in lint_report.defects:
        out.print_line(f"{defect.record} at {defect.offset}: {defect.rule}: {defect.message}")
        out.print_line(f"    {defect.excerpt}")
    out.print(f"{lint_report.records} records, {len(lint_report.defects)} defects", highlight=False)


@app.command()
def export(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="A corpus that is packed.")],
    to: Annotated[str, typer.Option(help="dynframe, llamafactory, trl or hf; or a plug-in's.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Where to; under exports/ in the workspace if not said.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a packed corpus in the shape that another trainer reads."""
    from dmforge.commands import run as run_commands

    export_folder, exported = run_commands.export(_workspace(workspace), corpus, to, folder)
    if as_json:
        print_json({"samples": exported.samples, "left_out": exported.left_out, "path": str(export_folder)})
    else:
        out.print_line(f"{export_folder}: {exported.samples} samples, {exported.left_out} left out")


@app.command()
def status(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Say where each stage stands."""
    from dmforge.commands import run as run_commands
    from dmforge.curation.engine import run_log

    status_workspace = _workspace(workspace)
    tallies = run_commands.status(status_workspace)
    if as_json:
        stages = [counts_of(name, tally) for name, tally in tallies.items()]
        print_json({"stages": stages, "cost": run_log.spent_usd(status_workspace)})
    else:
        print_tallies(tallies)


@app.command()
def digest(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Check every part and print the logical digest: equal digests are equal corpora, whatever their history."""
    from dmforge.commands import run as run_commands
    from dmforge.curation.lake import logical_digest

    tables = run_commands.digest(_workspace(workspace))
    total = logical_digest.digest_of_all(tables)
    rows = [[table.table, table.rows, table.sha256] for table in tables]
    if as_json:
        print_json({"columns": ["table", "rows", "sha256"], "rows": rows, "digest": total})
    else:
        print_table(["table", "rows", "sha256"], rows)
        out.print(f"digest {total}", highlight=False)


@app.command()
def merge(
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Other workspaces; they are only read.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Join other workspaces into this one. What they have settled and paid for is not done again."""
    from dmforge.commands import run as run_commands

    added = asdict(run_commands.merge(_workspace(workspace), _command(), others))
    if as_json:
        print_json({"added": added})
        return
    print_table(["added", "number"], [[name, count] for name, count in added.items()])


@app.command()
def forget(
    reason: Annotated[str, typer.Option(help="Why; it is written to inputs/forgotten.jsonl.")],
    videos: Annotated[list[str] | None, typer.Argument(metavar="VIDEO...", help="Ids of videos, as they are printed.")] = None,
    source: Annotated[str | None, typer.Option(help="Every video of this source instead.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Take videos down: their rows, media, journal lines and shards, for good."""
    from dmforge.commands import run as run_commands
    from dmforge.curation.lifecycle import takedown

    if bool(videos) == (source is not None):
        raise InputError("give either a video or --source", where="forget", hint="dmforge forget video_... --reason R")
    if source is not None:
        removed = run_commands.forget(_workspace(workspace), _command(), reason, lambda lake: takedown.videos_of(lake, source))
    else:
        removed = run_commands.forget(_workspace(workspace), _command(), reason, run_commands.video_finder(videos or []))
    counts = {
        name: getattr(removed, name)
        for name in ("videos", "rows", "journal_lines", "annotation_lines", "review_lines", "media_files", "selections")
    }
    if as_json:
        print_json({"removed": counts})
    else:
        words = (f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        out.print("removed " + ", ".join(words), highlight=False)
    if not removed.swept:
        err.print("someone is reading: the files that held the rows go with the next run")


@app.command()
def upgrade(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Training files or recipes, instead of a workspace.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be changed; write nothing.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring an older workspace, or older training files, up to what this version writes. Nothing is lost, nobody is asked."""
    from dmforge.commands import upgrade as upgrade_commands

    if files:
        upgraded = [upgrade_commands.upgrade_file(file, dry_run) for file in files]
    else:
        upgraded = [upgrade_commands.upgrade_workspace(_workspace(workspace), _command(), dry_run)]
    changes = [change for upgrade_result in upgraded for change in upgrade_result.changes]
    if as_json:
        old_format, new_format = min(upgrade_result.before for upgrade_result in upgraded), upgraded[0].after
        print_json({"from": old_format, "to": new_format, "changes": changes})
        return
    for change in changes:
        out.print(change, markup=False, highlight=False)
    action = "would be changed" if dry_run else "changed"
    out.print(f"{len(changes)} {action}" if changes else "nothing to upgrade: it is of this version's format", highlight=False)


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("demo"),
    videos: Annotated[
        int | None, typer.Option(min=1, max=MANY, help="How many worlds are rendered, instead of what the size says.")
    ] = None,
    size: Annotated[
        DemoSize, typer.Option(help="chain trains nothing; small learns for a few minutes, full for longer.")
    ] = "small",
    as_json: JsonOption = False,
) -> None:
    """Run the whole chain on synthetic worlds, with an oracle as the teacher: no data, no key, no GPU."""
    from dmforge.commands.demo import chain

    if size != "chain":
        _require_train_extra()
    demo_size = chain.SIZES[size]
    finished = chain.demo(out_folder, replace(demo_size, videos=videos) if videos else demo_size, err, _command())
    corpora = {
        manifest.corpus: {
            "selection": manifest.selection, "path": str(folder), "samples": manifest.samples, "videos": manifest.videos,
            "shards": len(manifest.shards), "bytes": manifest.bytes,
        }
        for folder, manifest in finished.corpora.items()
    }  # fmt: skip
    for report in finished.stages:
        print_deferred(report.name, report.deferred)
    if as_json:
        stages = [counts_of(report.name, report.tally) for report in finished.stages]
        funnel = {"columns": finished.funnel.columns, "rows": finished.funnel.rows}
        training_results = finished.training.as_json() if finished.training else {}
        training_results |= {"report": str(finished.report)} if finished.report else {}
        print_json({"stages": stages, "corpora": corpora, "funnel": funnel, "digest": finished.digest, **training_results})
    else:
        print_funnel(finished.funnel)
        for name, corpus in corpora.items():
            counts = ", ".join(f"{corpus[key]} {key}" for key in ("samples", "videos", "shards", "bytes"))
            out.print(f"\n{name}: {counts}\n  {corpus['path']}", markup=False, highlight=False)
        if finished.training:
            from dmforge.commands.demo.train import print_training

            print_training(finished.training)
        if finished.report:
            out.print(f"\nAll of it as one page, for a browser: {finished.report}", markup=False, highlight=False)
        out.print(f"\ndigest {finished.digest}", highlight=False)
        out.print(
            f"Look around: {finished.workspace.root} explains itself; its recipe.toml says what each stage does.", markup=False
        )
    unfinished_if(any(report.tally.pending for report in finished.stages))


@app.command("train")
def train_student(
    way: Annotated[str, typer.Argument(metavar="sft|sdgrpo", help="How: sft, or sdgrpo.")],
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/training.md shows one of each.")],
    as_json: JsonOption = False,
) -> None:
    """Train a student on packed corpora. Stop it whenever you like: the same command goes on from the last checkpoint."""
    if way not in ("sft", "sdgrpo"):
        raise InputError(f"there is no training called {way!r}", where="train", hint="known here: sft, sdgrpo")
    train = _train_by_sft if way == "sft" else _train_by_sdgrpo
    with contextlib.redirect_stdout(sys.stderr):  # progress of transformers, which prints it
        checkpoint, metrics = train(config)
    if as_json:
        print_json({"metrics": metrics, "checkpoint": str(checkpoint)})
    else:
        message = f"{checkpoint}: {metrics['steps']} steps in {metrics['seconds']:.0f} s, loss {metrics['loss']:.4f}"
        out.print_line(message)


def _train_by_sft(config: Path) -> tuple[Path, dict[str, float]]:
    from dmforge.trainers.training_settings import read_sft

    settings = read_sft(config)
    _require_train_extra()
    from dmforge.trainers.sft import train

    result = train(settings)
    return result.checkpoint, {"steps": result.steps, "loss": result.loss, "seconds": result.seconds}


def _train_by_sdgrpo(config: Path) -> tuple[Path, dict[str, float]]:
    from dmforge.trainers.sdgrpo.sdgrpo_settings import read_sdgrpo

    settings = read_sdgrpo(config)
    _require_train_extra()
    from dmforge.trainers.sdgrpo.sdgrpo import train

    result = train(settings)
    return result.checkpoint, {**result.metrics, "steps": result.steps, "seconds": result.seconds}


@app.command("evaluate")
def evaluate_student(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file; docs/training.md shows one.")],
    as_json: JsonOption = False,
) -> None:
    """Roll a checkpoint out on samples that it has not seen, and score where it looks and what it answers."""
    from dmforge.trainers.evaluation_settings import read_evaluation

    settings = read_evaluation(config)
    _require_train_extra()
    from dmforge.trainers.evaluate import evaluate

    with contextlib.redirect_stdout(sys.stderr):  # progress of transformers, which prints it
        evaluation = evaluate(settings)
    if as_json:
        print_json({"metrics": evaluation.as_json(), "checkpoint": settings.checkpoint, "path": str(evaluation.folder)})
        return
    print_evaluation(evaluation)
    out.print(f"\n{evaluation.samples} samples, line by line: {evaluation.folder}", markup=False, highlight=False)


def _require_train_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers", "accelerate", "peft") if find_spec(name) is None]
    if missing:
        raise InputError(f"not installed: {', '.join(missing)}", where="train", hint="pip install 'dmforge[train]'")


@app.command()
def worlds(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to fill.")],
    videos: Annotated[int, typer.Option(min=1, max=MANY, help="How many.")] = 24,
    level: Annotated[int, typer.Option(help="How hard: 0 is one object; each further level adds one difficulty.")] = 0,
    longest: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=86_400, help="Of mixed length, up to this, instead of 12 s each.")
    ] = 0,
    study: Annotated[bool, typer.Option("--study", help="Seen from near, so that a tiny student learns from them.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=MANY, help="Another seed, other worlds.")] = 0,
) -> None:
    """Render synthetic videos about which everything is known: videos/, tasks.jsonl and truth.jsonl."""
    from dmforge.generators.synthetic.worlds.imagine import knobs_of
    from dmforge.generators.synthetic.worlds.world_folder import WorldSettings, make_worlds
    from dmforge.schemas.config import parse_config

    settings = {"videos": videos, "seed": seed, "knobs": knobs_of(level), "longest_s": longest, "study": study}
    make_worlds(folder, parse_config(WorldSettings, settings, where="dmforge worlds"))
    out.print(
        f"{videos} worlds in {folder}: dmforge oracle {folder} answers questions about them", markup=False, highlight=False
    )


@app.command()
def oracle(
    folder: Annotated[Path, typer.Argument(metavar="WORLDS", help="A folder of worlds.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on loopback; 0 takes a free port.")] = 0,
    unknown: Annotated[float, typer.Option(help="Share of requests in which it sees nothing and guesses.")] = 0.0,
    defect: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="Plant a defect in so many replies.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=RATE", help="Fail so many requests.")] = None,
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Where planted defects are written down.")] = None,
) -> None:
    """Serve a teacher for worlds: an OpenAI-compatible endpoint on loopback that looks at what it is sent."""
    from dmforge.generators.synthetic.oracle.behaviour import Behaviour
    from dmforge.generators.synthetic.oracle.oracle_process import serve
    from dmforge.schemas.config import parse_config

    settings = {"unknown": unknown, "defects": _rates("--defect", defect), "faults": _rates("--fault", fault)}
    serve(folder, port, parse_config(Behaviour, settings, where="oracle"), truth)


@app.command()
def probe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Video files.")],
    as_json: JsonOption = False,
) -> None:
    """Say what files are, or why they can't be used."""
    from dmforge.curation.video.isolated_probe import inspect_file

    reports = [inspect_file(path) for path in files]
    if as_json:
        print_json(reports)
        return
    for report in reports:
        template = (
            "{codec}, {width}x{height}, {duration:.2f} s, {fps:.2f} fps, turned by {rotation}" if report["ok"] else "{reason}"
        )
        out.print_line(f"{report['path']}: {template.format(**report)}")


@app.command()
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
    from dmforge.curation.video import frame_preview

    if coarse == (span is not None):
        raise InputError("give either --span or --coarse", where="frames", hint="dmforge frames FILE --span 2 5 --fps 4")
    if span is None:
        shot = frame_preview.coarse_shot(file, backend)
    elif exact:
        shot = frame_preview.exact_shot(file, backend, _look(span, fps))
    else:
        shot = frame_preview.look_shot(file, backend, _look(span, fps))
    times, pts = [float(time) for time in shot.times_s], [float(time) for time in shot.clip.shown_s]
    if as_json:
        size = [shot.size.width, shot.size.height]
        print_json({"times": times, "pts": pts, "sha256": shot.sha256, "backend": shot.backend, "size": size})
        return
    rows = [[f"{time:.3f}", f"{shown_s:.3f}", sha256] for time, shown_s, sha256 in zip(times, pts, shot.sha256, strict=True)]
    print_table(["time s", "shown since s", "sha256"], rows)
    out.print(f"{len(rows)} frames of {shot.size.width}x{shot.size.height}, by {shot.backend}", highlight=False)


SourceOption = Annotated[str, typer.Option(help="Where they come from.")]
LicenceOption = Annotated[str, typer.Option(help="Under which licence.")]
TermsOption = Annotated[str, typer.Option(help="What else is to be kept: research only, say.")]
NamespaceOption = Annotated[str, typer.Option(help="Whose ids the videos' names are, as in youtube.")]


@app.command()
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
    from dmforge.commands import intake
    from dmforge.curation.sources.source_info import SourceInfo

    claims = SourceInfo(source, licence, terms, namespace, "benchmark" if benchmark else "train")
    ingested = intake.ingest(_workspace(workspace), err, _command(), places, claims)
    print_deferred("ingest", ingested.deferred)
    counts = {"ingested": ingested.ingested, "known": ingested.known, "quarantined": ingested.quarantined}
    if as_json:
        print_json(counts)
    else:
        out.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)
    unfinished_if(ingested.pending > 0)
    if not ingested.ingested and not ingested.known:
        hint = "`dmforge probe FILE` says what a file is; `dmforge run --retry-quarantined` tries one again that was mended"
        raise DmforgeError("no video came in", where=", ".join(places)[:200], hint=hint)


@app.command("import")
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count; write nothing.")] = False,
    list_formats: Annotated[bool, typer.Option("--list", help="Name all formats.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring annotations into the lake, as tasks about videos."""
    from dmforge.commands import intake
    from dmforge.curation.sources.source_info import SourceInfo

    if list_formats:
        print_formats(as_json)
        return
    if not form or not files:
        raise InputError(
            "the format and the files are missing", where="import", hint="dmforge import FORMAT FILE..., or --list"
        )
    folders = videos or []
    if dry_run:
        imported = intake.dry_import(form, files, folders)
    else:
        claims = SourceInfo(source, licence, terms, namespace, split=split)
        imported = intake.import_annotations(_workspace(workspace), err, _command(), form, files, folders, claims)
        print_deferred("import", imported.deferred)
    if as_json:
        print_json(
            {
                "tasks": imported.tasks,
                "identical": imported.identical,
                "flagged": imported.flagged,
                "rejected": imported.rejected,
            }
        )
    else:
        out.print(
            f"{imported.tasks} tasks, {imported.identical} identical, {sum(imported.rejected.values())} rejected",
            highlight=False,
        )
        for flag, count in imported.flagged.items():
            out.print_line(f"  flagged: {count} {flag}")
        for reason, count in imported.rejected.items():
            example = imported.examples.get(reason, "").removesuffix(": ")
            out.print_line(f"  rejected: {count} {reason}, as in {example}")
    unfinished_if(imported.pending > 0)
    if not dry_run and not imported.tasks:
        err.print_line("nothing was made of these files: each question in them was rejected or quarantined")
        raise typer.Exit(1)


@app.command()
def review(
    corpus: Annotated[str, typer.Argument(metavar="CORPUS", help="The corpus, as the recipe calls it: cot, say.")],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who decides: inputs/reviews/NAME.jsonl.")],
    sample: Annotated[int, typer.Option(metavar="N", min=1, max=MANY, help="How many samples, drawn by id.")] = 100,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on loopback; 0 takes a free port.")] = 0,
    workspace: WorkspaceOption = Path(),
) -> None:
    """Look at samples in a browser on this machine, and keep or reject them. Ctrl-C ends it; the next run counts it."""
    from dmforge.commands import review as review_commands

    def announce(address: str) -> None:
        print(address, flush=True)  # noqa: T201 (its address is its result)
        err.print("open this address in a browser on this machine; Ctrl-C ends the review, dmforge run counts what was decided")

    review_commands.review(_workspace(workspace), corpus, sample, name, port, announce)


@app.command()
def audit(
    query: Annotated[str, typer.Argument(help="A named question: funnel, say; without one, all are listed.")] = "",
    sql: Annotated[str | None, typer.Option(metavar="TEXT", help="Another question: one SELECT over its tables.")] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="List the named questions.")] = False,
    other: Annotated[
        Path | None, typer.Option("--with", metavar="OTHER", help="A workspace or a folder of shards: for `difference`.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, csv, json or parquet.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Into a file; its suffix says the format.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="When a question of --sql is stopped.")] = 60.0,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=64, max=MANY, help="The most memory it may use.")] = 2048,
    html: Annotated[Path | None, typer.Option(hidden=True)] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Ask the lake a question, by its name or in SQL. Reads what is committed and changes nothing, also while a run goes on."""
    from dmforge.curation.audit import query as named

    if html is not None:
        raise InputError("the report has a command of its own now", where="--html", hint=f"dmforge report {html}")
    if list_queries or not (query or sql is not None):
        print_answer(named.listed(), "json" if as_json else form or "table")
        return
    if query and sql is not None:
        raise InputError("give a named question or --sql, not both", where="audit", hint=f"dmforge audit {query}")
    from dmforge.commands import audit as audit_commands
    from dmforge.curation import output_paths
    from dmforge.curation.audit import output, sql_sandbox

    output_format = output.format_of("json" if as_json else form, out_file)
    audited_workspace = _workspace(workspace)
    if out_file is not None:
        output_paths.output_file(out_file, "--out", audited_workspace)
    if sql is None:
        answer_stream = contextlib.nullcontext(audit_commands.audit_reader(audited_workspace, query, other))
    else:
        answer_stream = audit_commands.ask_sql(audited_workspace, sql, sql_sandbox.SqlLimits(memory_mb, seconds))
    if out_file is not None:
        rows = output.write_from(answer_stream, out_file, output_format)
        out.print_line(f"{out_file}: {rows} rows")
        return
    with answer_stream as answer_reader:
        answer = output.answer_of(answer_reader)
    if query == "funnel" and output_format == "table":
        print_funnel(answer)
    else:
        print_answer(answer, output_format)


@app.command()
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The page, for a browser.")],
    training: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="A training whose curves it shows.")] = None,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write all that the lake holds as one page: the funnel, figures, and samples as cards."""
    from dmforge.commands.report import write_report

    path = write_report(_workspace(workspace), file, training or [])
    document = {"report": str(path), "bytes": path.stat().st_size}
    print_json(document) if as_json else out.print_line("{report}: {bytes} bytes".format(**document))


@app.command()
def why(
    row: Annotated[str, typer.Argument(metavar="ID", help="Of a sample, candidate, task, video, ...: or how it begins.")],
    check: Annotated[bool, typer.Option("--check", help="Hold every receipt on the way against the bytes.")] = False,
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Say why a row is as it is: from the file that was brought to the bytes in a shard."""
    from dmforge.commands import audit as audit_commands
    from dmforge.curation.audit import lineage_text

    row_why = audit_commands.why(_workspace(workspace), row, check)
    if as_json:
        print_json(lineage_text.as_json(row_why.lineage, row_why.checks))
    else:
        for line in lineage_text.lines(row_why.lineage, row_why.checks):
            out.print(line, highlight=False)
    if not row_why.holds:
        err.print("some receipts do not hold")
        raise typer.Exit(1)


def main() -> None:
    """The entry point."""
    few_heaps()
    app()


def _workspace(root: Path) -> Any:
    from dmforge.curation.io.process_startup import warm_up
    from dmforge.curation.workspace import Workspace

    warm_up()
    return Workspace(root)


def _share(rank: int | None, world_size: int | None, rank_options: Mapping[str, object]) -> Any:
    """The share of a rank, or None for a run without ranks."""
    from dmforge.curation.lake.partition import Share

    given_options = {name for name, value in rank_options.items() if value}
    if rank is None and world_size is None:
        if "--wait-timeout" in given_options:
            hint = "leave it out, or give --rank and --world-size"
            raise InputError("`--wait-timeout` needs `--rank` and `--world-size`", where="--wait-timeout", hint=hint)
        return None
    if rank is None or world_size is None or rank >= world_size:
        message = f"there is no rank {rank} of {world_size}"
        raise InputError(message, where="--rank", hint="give --rank R --world-size W, with R from 0 to W - 1")
    if given_options - {"--wait-timeout"}:
        hint = "leave it out; do that first, in a run without ranks"
        raise InputError(
            "not available in a run with ranks", where=", ".join(sorted(given_options - {"--wait-timeout"})), hint=hint
        )
    return Share(rank, world_size)


def _command() -> str:
    """The command as typed, for the lock and the run's record; addresses without possible keys."""
    from dmforge.curation.io.locations import without_secrets
    from dmforge.schemas.visible import storable

    return storable(" ".join(["dmforge", *map(without_secrets, sys.argv[1:])]))


def _look(span: tuple[float, float], fps: float) -> Any:
    from fractions import Fraction

    from dmforge.schemas.looks import Look, Window

    try:
        return Look(Window(round(span[0] * 100), round(span[1] * 100)), Fraction(fps).limit_denominator(1000))
    except (ValueError, OverflowError) as error:
        raise InputError(
            str(error), where="--span, --fps", hint="give a window that begins before it ends, as --span 2 5"
        ) from None


def _rates(option: str, assignments: list[str] | None) -> dict[str, float]:
    """Parse several `NAME=RATE` into rates by name."""
    rates: dict[str, float] = {}
    for text in assignments or []:
        name, _, rate = text.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise InputError(f"{text!r} has no rate", where=option, hint=f"write {option} {name}=0.1") from None
    return rates


if __name__ == "__main__":
    main()
