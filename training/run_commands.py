"""`hone train` and `hone runs`: thin commands over training.runs. Each says what it did and what to do
next.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from assistant.adapters.families import FAMILIES
from feedback import datasets, snapshots
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.snapshots import Snapshot
from feedback.store import Store
from training import follow, gate, heads, recipes, run_memory, runs
from training.launch import configs
from training.methods import METHODS, Method
from training.promotion import WORDS
from training.recipes import Recipe
from training.runs import Run
from training.scratch_command import train_scratch


def chosen_snapshot(store: Store, named: str) -> Snapshot:
    """The snapshot with this id, or whose id starts so; `latest` is the newest."""
    if named != "latest":
        return snapshots.get(store, named)
    if not (found := snapshots.listing(store)):
        raise HoneError("There is no snapshot yet.", "", "Freeze one with `hone snapshot create`.")
    return found[0]


@click.group(cls=HoneGroup)
def train() -> None:
    """Train the champion further on a snapshot."""


def _source(method: Method) -> Callable[[Any], Any]:
    """The option that says what a method reads."""
    if method.reads == "text":
        kind = click.Path(exists=True, dir_okay=False, path_type=Path)
        told = 'Text: .jsonl with {"text": ...} lines, or plain, cut at empty lines.'
        return click.option("--data", "file", required=True, type=kind, help=told)
    told = "Id, start of one, or latest."
    return click.option("--snapshot", "snapshot", default="latest", show_default=True, help=told)


def _train_command(method: Method) -> click.Command:
    @click.command(method.name, help=method.title)
    @_source(method)
    @click.option("--preset", default=method.preset, show_default=True, help="A shipped recipe.")
    @click.option("--recipe", "recipe_file", default=None, help="A recipe of your own: a .yaml file.")
    @click.option(
        "--adapt",
        type=click.Choice(list(FAMILIES)),
        default=None,
        help="What of the model is trained; the rate follows unless --learning-rate says one.",
    )
    @click.option("--epochs", default=None, help="Passes over the data.")
    @click.option("--learning-rate", default=None, help="The highest rate of the schedule.")
    @click.option(
        "--model", default=None, help="The base that the server runs on: embedded, a folder or a Hub id."
    )
    @click.option("--quantize", default=None, help="How it is quantised: auto, nf4, int8 or none.")
    @click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change any setting of the recipe."
    )
    @click.option(
        "--launch",
        default=None,
        metavar="CONFIG",
        help=f"Train by several processes: {', '.join(configs.names())}, or a .yaml of accelerate's.",
    )
    @click.option("--detach", is_flag=True, help="Start it and return at once.")
    @json_option
    @home_option
    def command(
        home: Home,
        as_json: bool,
        detach: bool,
        snapshot: str = "latest",
        file: Path | None = None,
        launch: str | None = None,
        **given: Any,
    ) -> None:
        store = open_store(home)
        recipe = _recipe(method.name, **given)
        crew = configs.load(launch) if launch else None
        if file is not None:
            source = datasets.freeze_texts(store, home, LOCAL_USER, file).id
        else:
            source = chosen_snapshot(store, snapshot).id
        run = runs.create(store, LOCAL_USER, recipe, source, crew)
        runs.start(home, run.id)
        _started(store, home, run, detach, as_json)

    return command


def _recipe(
    method: str, preset: str, recipe_file: str | None, changes: tuple[str, ...], **named: str | None
) -> Recipe:
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise HoneError(
                f"{change!r} sets nothing.", "", "Write --set KEY=VALUE, for example --set beta=0.2."
            )
        values[key.strip()] = value.strip()
    start = recipes.load(recipe_file or preset)
    if "adapt" in values and "learning_rate" not in values:
        start = recipes.for_family(start, values["adapt"])
    recipe = recipes.from_mapping(values, start)
    if recipe.method != method:
        raise HoneError(
            f"The recipe {recipe.name} is for {recipe.method}, not for {method}.",
            "",
            f"Run `hone train {recipe.method}`, or choose another recipe.",
        )
    return recipe


for _method in METHODS.values():
    train.add_command(_train_command(_method))
train.add_command(train_scratch)


def _started(store: Store, home: Home, run: Run, detach: bool, as_json: bool) -> None:
    """Follow the run to its end and say what came out, or say how to look at it later."""
    later = f"Look: hone runs show {run.id}. Cancel: hone runs cancel {run.id}."
    if detach:
        run = runs.get(store, run.id)
        waits = "is starting" if runs.is_next(store, run.id) else "waits for the run before it"
        say(f"Run {run.id} {waits}. {later}", run, as_json)
        return
    try:
        run = follow.to_end(store, home, run.id)
    except KeyboardInterrupt:
        if sys.stdin.isatty() and click.confirm("\nCancel the run? (No: it goes on by itself)", err=True):
            runs.cancel(store, LOCAL_USER, run.id)
            say(f"Run {run.id} is being cancelled.", runs.get(store, run.id), as_json)
        else:
            say(f"Run {run.id} goes on by itself. {later}", runs.get(store, run.id), as_json)
        return
    say(_told(store, run), _as_data(store, run), as_json)
    if run.state in ("failed", "interrupted"):
        raise HoneError(
            f"The run {run.id} is {run.state}.",
            run.error or "Its process is gone.",
            f"Read `hone runs log {run.id}`, then `hone runs resume {run.id}`.",
        )


def _told(store: Store, run: Run) -> str:
    """A run in a few lines, and what to do next."""
    steps = f"{run.step} of {run.total_steps} steps" if run.total_steps else "no step yet"
    lines = [
        f"Run {run.id}: {run.state}, {steps}.",
        f"  {run.method}, recipe {run.recipe.name}, {run.source}, from {run.base_version_id}",
    ]
    if run.launch:
        lines.append(f"  {run.processes} processes, launched by {run.launch}")
    points = runs.metrics(store, run.id)
    newest = {p.name: p.value for p in points if p.name not in (run_memory.ESTIMATE, run_memory.PEAK)}
    if newest:
        lines.append("  " + ", ".join(f"{name} {value:.4g}" for name, value in sorted(newest.items())))
    if said := run_memory.line(points):
        lines.append(f"  {said}")
    if run.error:
        lines.append(f"  {run.error}")
    report = gate.report(store, run.candidate_id) if run.candidate_id else None
    if report:
        lines += [f"  Gate: {WORDS[report.verdict]}."] + [f"    {reason}" for reason in report.reasons]
    head = heads.of_run(store, run.id)
    lines.append(f"Next: hone train rlhf --set reward={head.name}" if head else _next(run, report))
    return "\n".join(lines)


def _next(run: Run, report: gate.GateReport | None) -> str:
    if run.candidate_id and report is None and run.is_over:
        return f"Next: hone evaluate {run.candidate_id}"
    if run.candidate_id and report and report.verdict == "pass":
        return f"Next: hone models promote {run.candidate_id}"
    if run.state in runs.RESUMABLE:
        return f"Next: hone runs resume {run.id}"
    return f"Next: hone runs log {run.id}"


def _as_data(store: Store, run: Run) -> dict[str, Any]:
    report = gate.report(store, run.candidate_id) if run.candidate_id else None
    return {"run": run, "gate": report, "head": heads.of_run(store, run.id)}


@click.group("runs", cls=HoneGroup)
def runs_group() -> None:
    """Training runs: look, cancel, resume."""


@runs_group.command("list")
@json_option
@home_option
def list_runs(home: Home, as_json: bool) -> None:
    """All runs, newest first."""
    store = open_store(home)
    runs.sweep(store)
    found = runs.listing(store)
    lines = [
        f"{run.id}  {run.state:<12} {run.method:<6} {run.step}/{run.total_steps or '?':<5} {run.created_at}  "
        f"{run.recipe.name} on {run.source}"
        for run in found
    ]
    say("\n".join(lines) or "No run yet. Start one with `hone train dpo`.", found, as_json)


@runs_group.command("show")
@click.argument("run", default="latest")
@json_option
@home_option
def show_run(home: Home, as_json: bool, run: str) -> None:
    """One run: its state, newest figures and the gate's verdict."""
    store = open_store(home)
    runs.sweep(store)
    found = runs.get(store, run)
    say(_told(store, found), _as_data(store, found), as_json)


@runs_group.command("cancel")
@click.argument("run", default="latest")
@json_option
@home_option
def cancel_run(home: Home, as_json: bool, run: str) -> None:
    """End a run. Its checkpoints stay, so that it can be resumed."""
    store = open_store(home)
    found = runs.cancel(store, LOCAL_USER, runs.get(store, run).id)
    text = "is cancelled" if found.is_over else "will end within seconds"
    say(f"Run {found.id} {text}. Resume it with `hone runs resume {found.id}`.", found, as_json)


@runs_group.command("resume")
@click.argument("run", default="latest")
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@json_option
@home_option
def resume_run(home: Home, as_json: bool, run: str, detach: bool) -> None:
    """Go on with a run from its last complete checkpoint."""
    store = open_store(home)
    _started(store, home, runs.resume(home, store, LOCAL_USER, runs.get(store, run).id), detach, as_json)


@runs_group.command("log")
@click.argument("run", default="latest")
@json_option
@home_option
def show_log(home: Home, as_json: bool, run: str) -> None:
    """The end of a run's log."""
    found = runs.get(open_store(home), run)
    text = runs.log_text(home, found.id)
    say(
        text.rstrip() or "The log is empty: the run has not started.", {"run": found.id, "log": text}, as_json
    )
