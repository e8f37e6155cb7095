"""`hone data`: the datasets that runs train on beside votes, and the commands that make them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from feedback import datasets
from feedback.columns import aligned
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.datasets import Answered, Dataset
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from training.classify import begin
from training.instruct import drawing, sources, tasks
from training.instruct.drawing import Drawn, Settings, Tally
from training.instruct.sources import Loaded, Source

DEFAULTS = Settings()
SHOWN_CHARS = 700
SHARE = click.FloatRange(0, 1)


@dataclass(frozen=True)
class Made:
    """What the command says to a program."""

    dataset: Dataset
    sources: list[Tally]
    examples: list[Drawn]


@click.group("data", cls=HoneGroup)
def data_group() -> None:
    """Datasets that runs train on beside votes."""


@data_group.command("list")
@json_option
@home_option
def list_datasets(home: Home, as_json: bool) -> None:
    """All datasets, newest first."""
    found = datasets.listing(open_store(home))
    lines = [f"{one.id}  {one.kind:<7}  {one.rows:>7} rows  {one.created_at}  {one.name}" for one in found]
    say("\n".join(lines) or "No dataset yet. Make one with `hone data instruct`.", found, as_json)


@data_group.command("labels")
@click.argument("file")
@json_option
@home_option
def labels(home: Home, as_json: bool, file: str) -> None:
    """Keep labelled texts, FILE or FORMAT:FILE, as a dataset for classifiers.

    FORMAT is sst2 or ag-news; a plain row has text (or sentence) and label.
    """
    dataset = begin.dataset(open_store(home), home, LOCAL_USER, file)
    given = datasets.labelled(home, dataset)
    lines = [
        f"Dataset {dataset.id}: {dataset.rows} texts, labels {', '.join(given.labels)}",
        f"Next: hone train classify --data {dataset.id}",
    ]
    say("\n".join(lines), dataset, as_json)


@data_group.command("instruct")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--task", default=None, help=f"{', '.join(tasks.SHIPPED)}, or a .yaml file of your own.")
@click.option(
    "--columns", default="", metavar="FIELD=COLUMN,...", help="Where a name is not found by itself."
)
@click.option(
    "--always",
    multiple=True,
    metavar="FIELD=TEXT",
    help="A field that is the same in all rows, such as target_name=French.",
)
@click.option("--labels", default="", metavar="LABEL,...", help="In the order in which the files count them.")
@click.option("--at-most", default=0, type=click.IntRange(0), help="Rows of each file (default: all).")
@click.option(
    "--mix",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.yaml",
    help="Sources, in place of FILES.",
)
@click.option(
    "--rows",
    default=DEFAULTS.rows,
    type=click.IntRange(0),
    help="Of the mix (default: as many as there are).",
)
@click.option(
    "--cap",
    default=DEFAULTS.cap,
    show_default=True,
    type=click.IntRange(1),
    help="No source weighs more for rows beyond so many.",
)
@click.option(
    "--few-shot", default=DEFAULTS.few_shot, show_default=True, type=SHARE, help="Share with exemplars."
)
@click.option(
    "--shots",
    default=DEFAULTS.shots,
    show_default=True,
    type=click.IntRange(1, 16),
    help="Exemplars at most.",
)
@click.option(
    "--inverted",
    default=DEFAULTS.inverted,
    show_default=True,
    type=SHARE,
    help="Share that asks for the input.",
)
@click.option("--seed", default=DEFAULTS.seed, show_default=True, help="The same seed gives the same rows.")
@json_option
@home_option
def instruct(home: Home, as_json: bool, files: tuple[Path, ...], mix: Path | None, **given: Any) -> None:
    """Instruction data from plain datasets: each row of FILES put as a question by a template.

    The result is a dataset for `hone train sft --data`.
    """
    of_files = {key: given.pop(key) for key in ("task", "columns", "always", "labels", "at_most")}
    settings = Settings(**given)
    loaded = [sources.load(one) for one in _sources(files, mix, **of_files)]
    drawn = drawing.draw(loaded, settings)
    name = mix.name if mix else ", ".join(file.name for file in files)
    dataset = datasets.freeze_answers(
        open_store(home),
        home,
        LOCAL_USER,
        name,
        [Answered((Turn("user", one.question),), one.answer) for one in drawn],
        instruct=asdict(settings) | {"sources": [_recorded(one) for one in loaded]},
    )
    made = Made(dataset, drawing.tallies(loaded, drawn), drawing.specimens(drawn))
    say(_told(made, home), made, as_json)


def _sources(files: Sequence[Path], mix: Path | None, **of_files: Any) -> list[Source]:
    if (mix is None) == (not files):
        raise HoneError("There is nothing to make questions of.", "", "Give either files or --mix FILE.yaml.")
    if mix is not None:
        if said := [f"--{key.replace('_', '-')}" for key, value in of_files.items() if value]:
            raise HoneError(
                f"{said[0]} is not for a mix.", "A mix says it for each source.", f"Put it into {mix}."
            )
        return sources.read_mix(mix)
    if not of_files["task"]:
        raise HoneError("Of which task are the files?", "", f"Give --task: {', '.join(tasks.SHIPPED)}.")
    task = tasks.load(of_files["task"])
    labels = tuple(one.strip() for one in of_files["labels"].split(",") if one.strip())
    columns = sources.columns_of(of_files["columns"], task)
    always = sources.always_of(of_files["always"], task)
    return [Source(file, task, columns, labels, at_most=of_files["at_most"], always=always) for file in files]


def _recorded(loaded: Loaded) -> dict[str, Any]:
    source = loaded.source
    return {
        "file": source.file.name, "sha256": loaded.sha256, "task": source.task.name,
        "columns": dict(source.columns), "always": dict(source.always), "labels": source.labels,
        "weight": str(source.weight), "at_most": source.at_most,
    }  # fmt: skip


def _told(made: Made, home: Home) -> str:
    lines = [*_table(made.sources), ""]
    for number, one in enumerate(made.examples, 1):
        lines += [
            f"[{number}] {one.template}",
            _shortened(one.question),
            f"=> {_shortened(one.answer)}",
            "",
        ]
    dataset = made.dataset
    lines += [
        f"Dataset {dataset.id}: {dataset.rows} rows in {home.datasets / dataset.id}.jsonl",
        f"Next: hone train sft --data {dataset.id}",
    ]
    return "\n".join(lines)


def _table(found: Sequence[Tally]) -> list[str]:
    head = ("source", "task", "rows", "of", "inverted", "few-shot", "templates")
    rows: list[tuple[str, ...]] = [head]
    rows += [_line(one) for one in found]
    if len(found) > 1:
        rows.append(_line(_sum(found)))
    left = [f"{one.repeated} rows of {one.name} left out, the same again." for one in found if one.repeated]
    return [*(line.rstrip() for line in aligned(rows)), *left]


def _sum(found: Sequence[Tally]) -> Tally:
    rows, of, inverted, few_shot = (
        sum(getattr(one, key) for one in found) for key in ("rows", "of", "inverted", "few_shot")
    )
    return Tally("all", "", rows, of, 0, {}, inverted, few_shot)


def _line(one: Tally) -> tuple[str, ...]:
    used = ", ".join(f"{name} {times}" for name, times in one.templates.items())
    return (
        *(one.name, one.task, str(one.rows), str(one.of)),
        *(_share(one.inverted, one.rows), _share(one.few_shot, one.rows), used),
    )


def _share(part: int, of: int) -> str:
    return f"{part} ({part / of:.0%})" if of else "0"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
