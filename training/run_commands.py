"""`hone train` and `hone runs`: thin commands over training.runs. Each says what it did and what to do
next.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, cast

import click

from assistant import base as bases
from assistant import registry
from assistant.adapters.families import FAMILIES
from feedback import datasets, snapshots
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.snapshots import Snapshot
from feedback.store import Store
from training import (
    follow,
    gate,
    heads,
    metrics_copy,
    metrics_file,
    recipes,
    repeats,
    rounds,
    run_memory,
    runs,
)
from training.classify import begin
from training.classify import heads as classifiers
from training.classify.commands import told as told_classifier
from training.classify.heads import HeadInfo
from training.launch import configs, launcher
from training.methods import METHODS, Method
from training.promotion import WORDS
from training.recipes import Recipe
from training.runs import Beside, Run
from training.scratch_command import train_scratch


def chosen_snapshot(store: Store, named: str) -> Snapshot:
    """The snapshot with this id, or whose id starts so; `latest` is the newest."""
    if named != "latest":
        return snapshots.get(store, named)
    if not (found := snapshots.listing(store)):
        raise HoneError("There is no snapshot yet.", "", "Freeze one with `hone snapshot create`.")
    return found[0]


ELSEWHERE = {
    "ppo": "RLOO and GRPO stand in its place: `hone train rlhf`; docs/training.md says why.",
    "rloo": "It is the way that `hone train rlhf` learns.",
    "grpo": "It is `hone train rlhf --preset grpo`.",
    "ipo": "It is `hone train dpo --preset ipo`.",
    "lora": "It is what every method trains, unless --adapt says another: `hone train sft`.",
    "qlora": "It is any method with `--adapt lora --quantize nf4`: `hone train sft --quantize nf4`.",
}
"""What people look for under a name of its own, and where it is."""


class _Methods(HoneGroup):
    """The methods; what is one by another name is told of."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and (said := ELSEWHERE.get(args[0].lower())):
            raise HoneError(f"There is no method {args[0]}.", said)
        return super().resolve_command(ctx, args)


@click.group(cls=_Methods)
def train() -> None:
    """Train the champion further on votes or a dataset, or make a classifier."""


FILES = {
    "text": 'Text: .jsonl with {"text": ...} lines, or plain, cut at empty lines; or a dataset.',
    "answers": 'In place of a snapshot: a dataset, or .jsonl with {"messages": [...]} lines.',
    "labels": "Labelled texts: FILE or FORMAT:FILE (sst2, ag-news), or a dataset.",
}
"""What `--data` takes, by what a method reads."""


def _source(method: Method) -> Callable[[Any], Any]:
    """The options that say what a method reads."""
    told = "Id, start of one, or latest."
    snapshot = click.option("--snapshot", "snapshot", default="latest", show_default=True, help=told)
    if method.reads not in FILES:
        return snapshot
    needed = method.reads in ("text", "labels")
    data = click.option(
        "--data",
        "named",
        required=needed,
        default=None,
        metavar="FILE|DATASET|latest",
        help=FILES[method.reads],
    )
    if method.reads == "labels":
        return lambda command: data(_of_classifiers(command))
    return data if needed else lambda command: snapshot(data(command))


def _of_classifiers(command: Any) -> Any:
    """The options that only a classifier has."""
    test = click.option(
        "--test", "test", default=None, metavar="FILE|DATASET", help="Labelled texts to measure on."
    )
    start = click.option(
        "--from", "start", default=None, metavar="VERSION", help="Start from a model version, not the base."
    )
    name = click.option(
        "--name", "called", default=None, help="What to call it (default: the data's and the way's name)."
    )
    wording = click.option(
        "--wording", default=None, help="How a text is put: auto, plain, asked, chat, or with {{ text }}."
    )
    return test(start(name(wording(command))))


def _dataset_id(store: Store, home: Home, method: Method, named: str) -> str:
    """The id of the dataset that a file's content is, or of the one that is named; `latest` is the newest."""
    file = Path(named).expanduser()
    if file.is_file():
        return datasets.freeze_file(
            store, home, LOCAL_USER, file, cast(Literal["text", "answers"], method.reads)
        ).id
    if datasets.names_one(named):
        return datasets.find(store, named, method.reads).id
    raise HoneError(
        f"There is no file {named}.", "", "Give a file, or the id of a dataset (`hone data list`)."
    )


class _Families(click.Choice[str]):
    """What of a model can be trained; QLoRA, which is none of these, is told of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if said := recipes.qlora(value):
            self.fail(f"{value!r} is no family of its own.{said}", param, ctx)
        return super().convert(value, param, ctx)


def _train_command(method: Method) -> click.Command:
    @click.command(method.name, help=method.title)
    @_source(method)
    @click.option("--preset", default=None, help=f"A shipped recipe (default: {method.preset}).")
    @click.option("--recipe", "recipe_file", default=None, help="A recipe of your own: a .yaml file.")
    @click.option(
        "--adapt",
        type=_Families(list(method.adapts or FAMILIES)),
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
    def command(home: Home, as_json: bool, detach: bool, **given: Any) -> None:
        store = open_store(home)
        named = [field.name for field in fields(_Source) if field.name in given]
        source = _Source(**{name: given.pop(name) for name in named})
        run = _queued(store, home, _recipe(method.name, **given), source)
        runs.start(home, run.id)
        _started(store, home, run, detach, as_json)

    return command


@dataclass(frozen=True)
class _Source:
    """What a run learns from and begins with, as it is named on the command line."""

    snapshot: str = "latest"
    named: str | None = None
    test: str | None = None
    start: str | None = None
    launch: str | None = None


def _queued(store: Store, home: Home, recipe: Recipe, source: _Source) -> Run:
    method = METHODS[recipe.method]
    crew = configs.load(source.launch) if source.launch else None
    if crew is not None:
        launcher.check_machine(crew)
    if recipe.base != bases.BaseChoice():
        bases.resolve(home, recipe.base)  # a model that is not there is said now, not by a run that fails
    if method.makes == "classifier":
        learnt, test = (
            begin.dataset(store, home, LOCAL_USER, one).id if one else None
            for one in (source.named, source.test)
        )
        wanted = begin.Wanted(str(learnt), test, source.start, crew)
        return begin.create(store, home, LOCAL_USER, recipe, wanted)
    if source.named is not None:
        _first_champion(store, home, recipe)
        source_id = _dataset_id(store, home, method, source.named)
    else:
        source_id = chosen_snapshot(store, source.snapshot).id
    return runs.create(store, LOCAL_USER, recipe, source_id, Beside(launch=crew))


def _first_champion(store: Store, home: Home, recipe: Recipe) -> None:
    """A dataset needs no vote, so the home may be a new one: then a run starts from the recipe's base."""
    try:
        registry.champion(store)
    except NotFoundError:
        base = bases.resolve(home, recipe.base)
        registry.ensure_base(store, base, bases.chat_template(base))


def _recipe(
    method: str, preset: str | None, recipe_file: str | None, changes: tuple[str, ...], **named: str | None
) -> Recipe:
    if preset and recipe_file:
        raise HoneError(
            f"A run has one recipe, and both {preset} and {recipe_file} are asked for.",
            "",
            "Leave out --preset, or --recipe.",
        )
    values: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise HoneError(
                f"{change!r} sets nothing.", "", "Write --set KEY=VALUE, for example --set beta=0.2."
            )
        values[key.strip()] = value.strip()
    start = recipes.load(recipe_file or preset or METHODS[method].preset)
    if "adapt" in values and "learning_rate" not in values:
        start = recipes.for_family(start, values["adapt"])
    recipe = recipes.from_mapping(values, start)
    if "method" in values and recipe.method != method:
        raise HoneError(
            f"`hone train {method}` does not train by {recipe.method}.",
            "",
            f"Run `hone train {recipe.method}`, or leave --set method out.",
        )
    if recipe.method != method:
        raise HoneError(
            f"The recipe {recipe.name} is for {recipe.method}, not for {method}.",
            "",
            f"Run `hone train {recipe.method}`, or choose another recipe.",
        )
    recipes.check_read(recipe)
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
    wrong = run.state in ("failed", "interrupted")
    told = replace(run, error=None) if wrong else run  # which is said below, on stderr
    say(_told(store, home, told), _as_data(store, home, run), as_json)
    if wrong:
        raise HoneError(
            f"The run {run.id} is {run.state}.", run.error or "", f"Its log: hone runs log {run.id}."
        )


def _told(store: Store, home: Home, run: Run) -> str:
    """A run in a few lines, and what to do next."""
    steps = f"{run.step} of {run.total_steps} steps" if run.total_steps else "no step yet"
    lines = [
        f"Run {run.id}: {run.state}, {steps}.",
        f"  {run.method}, recipe {run.recipe.name}, {_source_of(store, run)}",
    ]
    if run.launch:
        lines.append(f"  {run.processes} processes, launched by {run.launch}")
    points = runs.metrics(store, run.id)
    newest = {p.name: p.value for p in points if p.name not in run_memory.KEPT}
    if newest:
        lines.append("  " + ", ".join(f"{name} {value:.4g}" for name, value in sorted(newest.items())))
    lines += [f"  {said}" for said in (run_memory.size_line(points), run_memory.line(points)) if said]
    if look := metrics_copy.shown_by(home, run):
        lines.append(f"  Its curves: {look}")
    if run.repeats_id:
        compared = repeats.compare(store, home, run)
        lines.append(f"  {compared.sentence() if compared else f'It repeats {run.repeats_id}.'}")
    lines += [f"  {said}" for said in (run.warning, run.error) if said]
    report = gate.report(store, run.candidate_id) if run.candidate_id else None
    if report:
        lines += [f"  Gate: {WORDS[report.verdict]}."] + [f"    {reason}" for reason in report.reasons]
    head = heads.of_run(store, run.id)
    if head and head.report:
        lines += [f"  {sentence}" for sentence in head.report.sentences()]
    classifier = _classifier(home, run)
    if classifier:
        return "\n".join(
            [*lines, *told_classifier(home, classifier), f"Next: hone classify {classifier.name} 'a text'"]
        )
    lines.append(f"Next: hone train rlhf --set reward={head.name}" if head else _next(run, report))
    return "\n".join(lines)


def _source_of(store: Store, run: Run) -> str:
    """What it learnt from, and what it went on from."""
    return ", ".join(filter(None, (run.source, rounds.told(store, run.method, run.base_version_id))))


def _next(run: Run, report: gate.GateReport | None) -> str:
    if run.candidate_id and report is None and run.is_over:
        return f"Next: hone evaluate {run.candidate_id}"
    if run.candidate_id and report and report.verdict == "pass":
        return f"Next: hone models promote {run.candidate_id}"
    if run.state in ("cancelled", "interrupted"):  # one that failed says itself whether that mends it
        return f"Next: hone runs resume {run.id}"
    return f"Next: hone runs log {run.id}"


def _as_data(store: Store, home: Home, run: Run) -> dict[str, Any]:
    report = gate.report(store, run.candidate_id) if run.candidate_id else None
    repetition = repeats.as_data(repeats.compare(store, home, run))
    made = {"head": heads.of_run(store, run.id), "classifier": _classifier(home, run)}
    look = metrics_copy.shown_by(home, run) or None
    return {"run": run, "gate": report, **made, "repetition": repetition, "curves_shown_by": look}


def _classifier(home: Home, run: Run) -> HeadInfo | None:
    """What came out of a run that makes classifiers."""
    return classifiers.of_run(home, run.id) if METHODS[run.method].makes == "classifier" else None


@click.group("runs", cls=HoneGroup)
def runs_group() -> None:
    """Training runs: look, cancel, resume, repeat, export."""


@runs_group.command("list")
@json_option
@home_option
def list_runs(home: Home, as_json: bool) -> None:
    """All runs, newest first."""
    store = open_store(home)
    runs.sweep(store)
    found = runs.listing(store)
    lines = [
        f"{run.id}  {run.state:<12} {run.method:<8} {run.step}/{run.total_steps or '?':<5} {run.created_at}  "
        f"{run.recipe.name} on {_source_of(store, run)}"
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
    say(_told(store, home, found), _as_data(store, home, found), as_json)


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


@runs_group.command("repeat")
@click.argument("run", default="latest")
@click.option("--detach", is_flag=True, help="Start it and return at once.")
@json_option
@home_option
def repeat_run(home: Home, as_json: bool, run: str, detach: bool) -> None:
    """Train once more with a run's recipe, data and start, and say whether the numbers are the same."""
    store = open_store(home)
    again = repeats.create(store, home, LOCAL_USER, runs.get(store, run).id)
    runs.start(home, again.id)
    _started(store, home, again, detach, as_json)


@runs_group.command("export")
@click.argument("names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--out", "file", required=True, type=click.Path(path_type=Path), help="The file: .csv, .jsonl or .svg."
)
@json_option
@home_option
def export_runs(home: Home, as_json: bool, names: tuple[str, ...], file: Path) -> None:
    """Write the figures of runs, step by step: rows of run, step, name and value for other tools; .svg draws
    the first run's curves over those of the others."""
    store = open_store(home)
    found = [(run, runs.metrics(store, run.id)) for run in (runs.get(store, name) for name in names)]
    rows = metrics_file.write(file, found)
    said = f"The curves are in {file}." if file.suffix == ".svg" else f"{rows} figures are in {file}."
    say(said, {"file": str(file), "rows": rows}, as_json)


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
