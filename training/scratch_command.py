"""`hone train scratch`: a thin command over training.scratch, with its loss on a line and as a curve."""

from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from feedback import datasets, pictures
from feedback.command_line import home_option, json_option, open_store, say
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.plots import Curve
from feedback.whole_files import write_aside
from training import scratch
from training.scratch import Learnt, Size, Until


@click.command("scratch")
@click.option(
    "--data",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Text: .jsonl with {"text": ...} lines, or plain, cut at empty lines.',
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A new folder, a base for --model."
)
@click.option(
    "--minutes", default=3.0, show_default=True, type=click.FloatRange(0, min_open=True), help="At most."
)
@click.option(
    "--steps", type=click.IntRange(1), help="At most: the same steps learn the same on any machine."
)
@click.option("--layers", default=4, show_default=True, type=click.IntRange(1, 48))
@click.option("--width", default=128, show_default=True, type=click.IntRange(32, 2048))
@json_option
@home_option
def train_scratch(
    home: Home, as_json: bool, file: Path, out: Path, layers: int, width: int, **until: Any
) -> None:
    """A small GPT-2 from random weights: see the loss fall from ln V."""
    from assistant import base as bases

    documents = datasets.texts(home, datasets.freeze_texts(open_store(home), home, LOCAL_USER, file))
    tokenizer = bases.load_tokenizer(bases.resolve(home, bases.BaseChoice()))
    end = Until(until["minutes"] * 60, until["steps"])
    with tqdm(total=1.0, bar_format="{desc} {bar} {elapsed}", disable=None) as bar:

        def on_step(step: int, loss: float) -> None:
            bar.n = min(1.0, end.share(bar.format_dict["elapsed"], step))
            bar.set_description(f"step {step}, loss {loss:.2f}")

        learnt = scratch.learn(documents, tokenizer, Size(layers, width), end, out, on_step)
    figure = out / "loss.svg"
    title = f"Loss, nats a token; dashed: ln V = {learnt.guessing:.2f}"
    curve = Curve(title, list(enumerate(learnt.losses, 1)), None, learnt.guessing)
    write_aside(figure, pictures.curves([curve]))
    say(_told(learnt, out, figure), learnt, as_json)


def _told(learnt: Learnt, out: Path, figure: Path) -> str:
    lines = [
        f"{learnt.parameters:,} parameters, {len(learnt.losses)} steps.",
        f"Guessing costs ln V = {learnt.guessing:.2f} nats a token; the first step's loss was"
        f" {learnt.losses[0]:.2f}, the last's {learnt.losses[-1]:.2f}.",
    ]
    if learnt.before and learnt.after:
        lines.append(f"Held-out text before: {learnt.before.sentence()}.")
        lines.append(f"Held-out text after:  {learnt.after.sentence()}.")
    return "\n".join([*lines, f"The curve: {figure}", f"Talk to it: hone chat --model {out}"])
