"""`hone train classify` and `hone classify`: thin commands over this package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click
from tqdm import tqdm

from assistant import registry
from assistant.base import Base, BaseChoice, Quantize
from feedback.command_line import home_option, json_option, open_store, say
from feedback.errors import HoneError
from feedback.home import Home
from training.classify import data, heads
from training.classify.heads import HeadInfo
from training.classify.settings import Adapt, Settings

if TYPE_CHECKING:
    from training.classify.serve import Guess
    from training.classify.train import Hooks

DEFAULTS = Settings()


@click.command("classify")
@click.option(
    "--data", "data_file", required=True, metavar="FILE", help="Labelled texts: FILE or FORMAT:FILE."
)
@click.option("--test", "test_file", default=None, metavar="FILE", help="Labelled texts to measure on.")
@click.option(
    "--adapt",
    default=DEFAULTS.adapt,
    show_default=True,
    type=click.Choice(get_args(Adapt)),
    help="What is trained with the head: nothing else, a LoRA, or every weight.",
)
@click.option("--name", default=None, help="What to call it (default: the data's and the way's name).")
@click.option(
    "--wording",
    default=DEFAULTS.wording,
    show_default=True,
    help="How a text is put: auto tries plain, asked and chat; or a template with {{ text }}.",
)
@click.option("--epochs", default=DEFAULTS.epochs, show_default=True, help="At most; the best is kept.")
@click.option("--learning-rate", default=0.0, help="The highest rate (default: as suits the way).")
@click.option("--batch", default=DEFAULTS.batch, show_default=True, help="Texts a step.")
@click.option("--lora-rank", default=DEFAULTS.lora_rank, show_default=True)
@click.option(
    "--max-length", default=DEFAULTS.max_length, show_default=True, help="In tokens; the rest is cut."
)
@click.option(
    "--calibration-share",
    default=DEFAULTS.calibration_share,
    show_default=True,
    help="Of the data: chooses wording and epoch, and fits the temperature.",
)
@click.option("--seed", default=DEFAULTS.seed, show_default=True)
@click.option(
    "--from", "version", default=None, metavar="VERSION", help="Start from a model version's adapter."
)
@click.option("--model", default="embedded", show_default=True, help="embedded, a folder, or a Hub id.")
@click.option("--quantize", default="auto", show_default=True, type=click.Choice(get_args(Quantize)))
@click.option("--report", default=None, metavar="FILE.html", help="Write the report there as well.")
@json_option
@home_option
def train_classifier(home: Home, as_json: bool, data_file: str, test_file: str | None, **given: Any) -> None:
    """Training of a classifier: a linear head on the last token's state.

    FORMAT is sst2 or ag-news; a plain row has text (or sentence) and label. The test data choose nothing.
    """
    name, version, report = (given.pop(key) for key in ("name", "version", "report"))
    choice = BaseChoice(given.pop("model"), cast(Quantize, given.pop("quantize")))
    settings = Settings(**given)
    found = data.read(data_file)
    test = data.read(test_file, found.labels) if test_file else None
    if name is None:
        name = heads.free_name(home, f"{Path(found.source).stem}-{settings.adapt}")
    heads.check_name(home, name)
    info = _trained(home, name, choice, settings, (found, test), version)
    folder = heads.folder_of_all(home) / info.name
    if report is not None:
        Path(report).write_text((folder / heads.REPORT).read_text("utf-8"), "utf-8")
    say(_told(folder, info), info, as_json)


def _trained(
    home: Home,
    name: str,
    choice: BaseChoice,
    settings: Settings,
    given: tuple[data.Labelled, data.Labelled | None],
    version: str | None,
) -> HeadInfo:
    """Train in the foreground, in a folder that the same command finds again."""
    from assistant import base as bases
    from training.classify.train import Job, fingerprint, train

    base = bases.resolve(home, choice)
    click.echo(f"Base {base.title}: {base.why}", err=True)
    start = _start(home, base, version) if version else None
    work = heads.folder_of_all(home) / f".{fingerprint(base, settings, *given, start)}"
    job = Job(name, base, choice, settings, *given, work, start)
    if work.is_dir():
        click.echo("Going on with what an earlier attempt left.", err=True)
    try:
        with _progress() as hooks:
            folder = train(job, hooks)
    except KeyboardInterrupt as error:
        raise HoneError(
            "The training was stopped.", "Whole epochs are kept.", "The same command goes on from there."
        ) from error
    kept = heads.keep(home, folder, name)
    heads.discard(work)
    return heads.read(kept)


def _start(home: Home, base: Base, named: str) -> Path | None:
    """The adapter of a model version; None for the base itself. HoneError when it stands on another base."""
    found = registry.get(open_store(home), named)
    if found.base_id != base.id:
        raise HoneError(
            f"A classifier on {base.title} cannot start from {found.name}.",
            f"That version stands on {found.base_id}.",
            "Name its base with --model and --quantize.",
        )
    registry.check_files(home, found)
    return registry.folder(home, found)


@contextmanager
def _progress() -> Iterator["Hooks"]:
    """Sentences and a bar on stderr."""
    from training.classify.train import Hooks

    bars: list[tqdm] = []  # made at the first step: before it there is no total to show

    def on_step(step: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(total=total, bar_format="{desc} {bar} {n_fmt}/{total_fmt} {postfix}"))
        bars[0].n = step
        bars[0].refresh()

    def on_metrics(step: int, found: dict[str, float]) -> None:
        if "calibration_loss" in found:
            tqdm.write(f"step {step}: calibration loss {found['calibration_loss']:.3f}", file=sys.stderr)
        else:
            bars[0].set_postfix({"loss": f"{found['loss']:.3f}"}, refresh=False)

    try:
        yield Hooks(on_step, on_metrics, lambda text: tqdm.write(text, file=sys.stderr))
    finally:
        for bar in bars:
            bar.close()


def _told(folder: Path, info: HeadInfo) -> str:
    """A classifier in a few lines, and what to do next."""
    found, on = info.metrics["measured"], info.metrics["on"]
    accuracy = found["accuracy"]
    lines = [
        f"Classifier {info.name} ({info.id}): {info.method}, {', '.join(info.labels)}.",
        f"  {on}, {found['examples']} texts: accuracy {accuracy['value']:.3f} ({accuracy['low']:.3f} to "
        f"{accuracy['high']:.3f}), macro F1 {found['macro_f1']:.3f}",
        f"  calibration error {found['before']['ece']:.3f}, and {found['after']['ece']:.3f} at the fitted "
        f"temperature of {info.temperature:.2f}",
        f"  {info.metrics['trainable_parameters']:,} parameters, {info.metrics['seconds']:.0f} seconds",
        f"  Report: {folder / heads.REPORT}",
        f"Next: hone classify {info.name} 'a text'",
    ]
    return "\n".join(lines)


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
