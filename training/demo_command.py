"""`hone demo` in a terminal: progress on stderr, the story on stdout. Knows no step of the demo itself."""

import tempfile
import time
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from assistant.base import BaseChoice
from feedback.command_line import json_option, say
from feedback.home import Home
from training import demo as circle
from training import tastes
from training.commands import told
from training.demo import Outcome, Rewarded, Stage, WinRate


@click.command()
@click.option(
    "--taste",
    type=click.Choice(tastes.NAMES),
    default="concise",
    show_default=True,
    help="What the labeller likes.",
)
@click.option(
    "--method",
    type=click.Choice(tuple(circle.WAYS)),
    default="dpo",
    show_default=True,
    help="Train on the pairs, or on a reward model that learnt from them (RLHF).",
)
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same replies and votes.")
@click.option(
    "--home",
    "folder",
    default=None,
    metavar="FOLDER",
    help="An empty folder to play in (default: a new temporary one).",
)
@json_option
def demo(taste: str, method: str, seed: int, folder: str | None, as_json: bool) -> None:
    """Play the whole circle once with the real model and a simulated labeller.

    About ten minutes; with RLHF twenty.
    """
    from assistant.serving import open_home

    home = Home(Path(folder or tempfile.mkdtemp(prefix="hone-demo-")).resolve())
    started = time.monotonic()
    click.echo(f"Home: {home.path}", err=True)
    opened = open_home(home, BaseChoice())
    circle.check_fresh(opened.store)
    bars = _Bars()
    try:
        outcome = circle.play(Stage(home, opened.store, opened.engine, taste, seed, bars.show, method))
    finally:
        bars.close()
        opened.engine.close()
    seconds = time.monotonic() - started
    say(_story(outcome, home, seconds), _object(outcome, seconds), as_json)


class _Bars:
    """One progress bar a step, the finished ones left standing; none where stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""

    def show(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self.close()
            self._what = what
            shown = "{desc} {bar} {n_fmt}/{total_fmt} {elapsed}"
            self._bar = tqdm(desc=f"{what:<42}", bar_format=shown, disable=None)
        self._bar.total, self._bar.n = total or None, done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _share(rate: WinRate) -> str:
    return f"{rate.share.value:.0%} (95 % interval {rate.share.low:.0%} to {rate.share.high:.0%})"


def _story(outcome: Outcome, home: Home, seconds: float) -> str:
    """What happened, for a person."""
    snapshot, name = outcome.snapshot, outcome.model_version.name
    lines = [
        f"Taste: {outcome.taste}. {outcome.votes} votes gave {outcome.pairs} pairs:"
        f" {snapshot.train_pairs} to train on, {snapshot.held_out_pairs} held out.",
        "",
        *_rewarded(outcome.rewarded),
        told(outcome.report, name),
        "",
        f"On {outcome.after.prompts} prompts that nobody voted on, by the taste '{outcome.taste}', replies"
        " win over the old champion's:",
        f"  before  {_share(outcome.before)}  the old champion, drawn again",
        f"  after   {_share(outcome.after)}  {name}",
        "",
        f"{name} was promoted: it answers now." if outcome.promoted else f"{name} was not promoted.",
    ]
    for example in outcome.examples:
        lines += [
            "",
            f"> {example.prompt}",
            f"  before: {_line(example.before)}",
            f"  after:  {_line(example.after)}",
        ]
    lines += ["", f"{seconds:.0f} seconds. Talk to it: hone serve --home {home.path}"]
    return "\n".join(lines)


def _rewarded(found: Rewarded | None) -> list[str]:
    """What RLHF says of itself."""
    if found is None:
        return []
    lines = ["The reward model:", *(f"  {sentence}" for sentence in found.report)]
    if (gain := found.gain) is not None:
        lines.append(
            f"On held-out prompts the reward of an answer changed by {gain.value:+.2f}"
            f" (95 % interval {gain.low:+.2f} to {gain.high:+.2f})."
        )
    return [*lines, ""]


def _line(text: str, width: int = 300) -> str:
    line = " / ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= width else line[: width - 3] + "..."


def _object(outcome: Outcome, seconds: float) -> dict[str, object]:
    """The same for a program."""
    return {
        "taste": outcome.taste,
        "votes": outcome.votes,
        "pairs": outcome.pairs,
        "unseen_prompts": outcome.after.prompts,
        "win_rate": outcome.after.share.value,
        "interval": [outcome.after.share.low, outcome.after.share.high],
        "win_rate_before": outcome.before.share.value,
        "interval_before": [outcome.before.share.low, outcome.before.share.high],
        "gate": outcome.report.verdict,
        "promoted": outcome.promoted,
        "model_version": outcome.model_version.name,
        "reward": outcome.rewarded,
        "examples": outcome.examples,
        "seconds": round(seconds, 1),
    }
