"""`hone classify`, and what `hone train classify` says of what it made: thin commands over this package."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from feedback.command_line import home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from training.classify import data, heads
from training.classify.heads import HeadInfo

if TYPE_CHECKING:
    from training.classify.serve import Guess


@click.command("classify")
@click.argument("name", default=heads.LATEST)
@click.argument("texts", nargs=-1)
@click.option("--file", default=None, metavar="FILE", help="A text a line; of .jsonl, the field text.")
@click.option("--list", "as_list", is_flag=True, help="List the classifiers instead.")
@json_option
@home_option
def classify(
    home: Home, as_json: bool, name: str, texts: tuple[str, ...], file: str | None, as_list: bool
) -> None:
    """Put TEXTS into classes with the classifier NAME (name, id or latest); without TEXTS, lines of stdin."""
    if as_list:
        _say_list(heads.listing(home), as_json)
        return
    info = heads.find(home, name)
    given = _given(texts, file)
    from training.classify import serve

    guesses = serve.load(home, info).classify(given)
    lines = [f"{one.label}\t{one.probability:.3f}\t{one.text}" for one in guesses]
    if cut := sum(one.was_cut for one in guesses):
        click.echo(
            f"{cut} texts were longer than {info.max_length} tokens: their end was not read.", err=True
        )
    say("\n".join(lines), _as_data(info, guesses), as_json)


def _given(texts: tuple[str, ...], file: str | None) -> list[str]:
    """The texts of the arguments, of a file, or of stdin. HoneError for none."""
    if texts and file:
        raise HoneError("Texts and --file do not go together.", "", "Give one of them.")
    if file:
        found = _texts_of(Path(file).expanduser())
    elif texts:
        found = list(texts)
    else:
        if sys.stdin.isatty():
            click.echo("Reading texts, one a line, until Ctrl-D.", err=True)
        found = [line.strip() for line in sys.stdin if line.strip()]
    if not found:
        raise HoneError(
            "There is nothing to classify.", "", "Give texts as arguments, lines, or with --file."
        )
    return found


def _texts_of(file: Path) -> list[str]:
    if file.suffix.lower() != ".txt":
        return [data.text_of(file, where, row) for where, row in data.placed(file)]
    if not file.is_file():
        raise HoneError(f"There is no file {file}.", "", "Check its path.")
    return [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]


def _say_list(known: list[HeadInfo], as_json: bool) -> None:
    lines = []
    for info in known:
        accuracy = info.metrics["measured"]["accuracy"]["value"]
        lines.append(
            f"{info.name}  {info.id}  {info.method:<6}  accuracy {accuracy:.3f} on {info.metrics['on']}  "
            f"{info.created_at[:16]}  {', '.join(info.labels)}"
        )
    say("\n".join(lines) or "No classifier yet. Train one: hone train classify --data FILE.", known, as_json)


def _as_data(info: HeadInfo, guesses: list["Guess"]) -> dict[str, Any]:
    return {"classifier": info.name, "id": info.id, "guesses": guesses}


def told(home: Home, info: HeadInfo) -> list[str]:
    """A classifier in a few lines; the first is not indented."""
    found, on = info.metrics["measured"], info.metrics["on"]
    accuracy = found["accuracy"]
    return [
        f"Classifier {info.name} ({info.id}): {info.method}, {', '.join(info.labels)}.",
        f"  {on}, {found['examples']} texts: accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to "
        f"{accuracy['high']:.3f}), macro F1 {found['macro_f1']:.3f}",
        f"  calibration error {found['before']['ece']:.3f}, and {found['after']['ece']:.3f} at the fitted "
        f"temperature of {info.temperature:.2f}",
        f"  {info.metrics['trainable_parameters']:,} parameters, {info.metrics['seconds']:.0f} seconds",
        f"  Report: {heads.folder_of_all(home) / info.name / heads.REPORT}",
    ]
