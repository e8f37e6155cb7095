"""`hone snapshot`, `hone evaluate`, `hone models promote|rollback`: thin commands over the rooms' functions.

`train` and `runs` live in training.run_commands and are offered from here as well.
"""

from typing import cast

import click
from tqdm import tqdm

from assistant import base as bases
from assistant import registry
from assistant.commands import models
from assistant.engines.choose import choose, open_engine
from feedback import snapshots
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.snapshots import Snapshot
from feedback.store import Store
from prompts import library
from training import gate, promotion, runs
from training.gate import GateReport
from training.run_commands import chosen_snapshot, runs_group, train

__all__ = ["evaluate", "models", "promote", "rollback", "runs_group", "snapshot", "train"]


@click.group(cls=HoneGroup)
def snapshot() -> None:
    """Frozen datasets, made from votes, ratings and demonstrations."""


def _line(found: Snapshot) -> str:
    return f"{found.id}  {found.created_at}  {found.train_pairs} to train on, {found.held_out_pairs} held out"


@snapshot.command("create")
@json_option
@home_option
def create_snapshot(home: Home, as_json: bool) -> None:
    """Freeze the pairs that the votes give now."""
    store = open_store(home)
    library.register_shipped(store)
    found = snapshots.freeze(
        store,
        LOCAL_USER,
        registry.champion(store).chat_template_sha256,
        library.production(store, "zero-shot").id,
    )
    say(f"Snapshot {_line(found)}.\nNext: hone train dpo --snapshot {found.id}", found, as_json)


@snapshot.command("list")
@json_option
@home_option
def list_snapshots(home: Home, as_json: bool) -> None:
    """All snapshots, newest first."""
    found = snapshots.listing(open_store(home))
    text = "\n".join(_line(one) for one in found)
    say(text or "No snapshot yet. Freeze one with `hone snapshot create`.", found, as_json)


@snapshot.command("show")
@click.argument("snapshot", default="latest")
@json_option
@home_option
def show_snapshot(home: Home, as_json: bool, snapshot: str) -> None:
    """One snapshot: its counts and a few of its training pairs."""
    store = open_store(home)
    found = chosen_snapshot(store, snapshot)
    pairs = snapshots.pairs(store, found.id)
    lines = [_line(found)]
    for pair in pairs.train[:3]:
        lines += ["", f"  asked:    {_short(pair.turns[-1].content)}"]
        lines += [f"  chosen:   {_short(pair.chosen)}", f"  rejected: {_short(pair.rejected)}"]
    lines += ["", f"Next: hone train dpo --snapshot {found.id}"]
    say("\n".join(lines), {"snapshot": found, "train": pairs.train, "held_out": pairs.held_out}, as_json)


def _short(text: str, width: int = 90) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."


@click.command()
@click.argument("candidate")
@click.option("--snapshot", "snapshot", default=None, help="Whose held-out pairs to use (default: its own).")
@click.option("--model", default=None, help="The base it stands on (default: as its run had it).")
@click.option("--quantize", default=None, help="How that base is quantised (default: as its run had it).")
@json_option
@home_option
def evaluate(
    home: Home, as_json: bool, candidate: str, snapshot: str | None, model: str | None, quantize: str | None
) -> None:
    """Run the gate: CANDIDATE (name or id) against the champion on held-out pairs."""
    store = open_store(home)
    version = registry.get(store, candidate)
    held_out_of = chosen_snapshot(store, snapshot).id if snapshot else None
    report = _evaluated(store, home, version, _base_of(store, version, model, quantize), held_out_of)
    todo = "collect more votes, freeze a snapshot and train again."
    if report.verdict == "pass":
        todo = f"hone models promote {version.name}"
    say(f"{told(report, version.name)}\nNext: {todo}", report, as_json)


def _base_of(
    store: Store, version: registry.ModelVersion, model: str | None, quantize: str | None
) -> bases.BaseChoice:
    """The base as given, else as the version's run had it, else the default."""
    choice = bases.BaseChoice()
    if version.run_id is not None:
        recipe = runs.get(store, version.run_id).recipe
        choice = recipe.base
    return bases.BaseChoice(model or choice.model, cast(bases.Quantize, quantize or choice.quantize))


def _evaluated(
    store: Store,
    home: Home,
    version: registry.ModelVersion,
    choice: bases.BaseChoice,
    snapshot_id: str | None,
) -> GateReport:
    base = bases.resolve(home, choice)
    engine = open_engine(home, base, choose(base, choice, registry.folder(home, version)))
    with tqdm(bar_format="{desc} {bar} {n_fmt}/{total_fmt}", disable=None) as bar:

        def progress(what: str, done: int, total: int) -> None:
            bar.set_description_str(what, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        try:
            return gate.evaluate(store, engine, version.id, snapshot_id, progress)
        finally:
            engine.close()


def told(report: GateReport, name: str) -> str:
    """A gate report for a terminal."""
    lines = [f"{name}: {promotion.WORDS[report.verdict]}."]
    marks = {True: "ok  ", False: "no  ", None: "    "}
    lines += [f"  {marks[check.ok]} {check.sentence}" for check in report.checks]
    return "\n".join(lines)


@models.command("promote")
@click.argument("candidate")
@click.option("--override", default=None, metavar="REASON", help="Promote without a pass, and say why.")
@json_option
@home_option
def promote(home: Home, as_json: bool, candidate: str, override: str | None) -> None:
    """Make CANDIDATE (name or id) the champion. Needs a pass of the gate."""
    moved = promotion.promote(open_store(home), home, LOCAL_USER, candidate, override)
    say(_moved(moved), moved, as_json)


@models.command("rollback")
@json_option
@home_option
def rollback(home: Home, as_json: bool) -> None:
    """Give the word back to the champion before this one; once more: to the one before that."""
    moved = promotion.roll_back(open_store(home), home, LOCAL_USER)
    say(_moved(moved), moved, as_json)


def _moved(moved: promotion.Moved) -> str:
    kept = "\nYour reason is in the audit log." if moved.override else ""
    return (
        f"{moved.after.name} is the champion now; it was {moved.before.name}. "
        f"A running server answers with it from its next reply on.{kept}\nBack: hone models rollback"
    )
