"""Draws the pictures of docs/learn.md from the folder in which somebody followed it.

`python docs/learn_plots.py FOLDER docs/img`: the curves are files that the page's commands leave there (those
of RLHF want the whole run, without the page's max_steps), accuracy is read from its classifiers and its
evaluation, memory is asked of `hone memory`. Nothing is trained.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from click.testing import CliRunner

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from app import cli  # noqa: E402 - a script outside the package finds them only now
from feedback import pictures  # noqa: E402
from feedback.plots import Scale  # noqa: E402
from feedback.statistics import Interval  # noqa: E402

KEPT = {
    "small/loss.svg": "learn-loss.svg", "dpo.svg": "learn-dpo.svg", "rlhf.svg": "learn-rlhf.svg",
}  # fmt: skip
"""What commands of the page have drawn, and its name among the docs' pictures."""

TASK = ("--batch", "1", "--length", "1024", "--device", "t4")
MODELS, WAYS = ("gpt2", "gpt2-large"), ("full", "lora", "qlora")
PARTS = {
    "weights": "weights", "gradients": "gradients", "optimiser": "optimiser",
    "activations": "activations", "logits": "logits", "working": "short-lived", "libraries": "libraries",
}  # fmt: skip
COLOURS = ("muted", "warm", "bad", "accent", "unsure", "good", "line-strong")

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 640, 150, 60, 44, 28, 38
KEY_WIDTH = 88
STYLE = """
svg.plot .wide { stroke: var(--hone-accent); stroke-width: 3; }
svg.plot text.name { font-size: 12px; fill: var(--hone-text); }
""" + "\n".join(f"svg.plot .p{at} {{ fill: var(--hone-{name}); }}" for at, name in enumerate(COLOURS))


@dataclass(frozen=True)
class Sheet:
    """What stands around rows: a title, an axis with its ticks, and the unit below it."""

    title: str
    unit: str
    x: Scale
    ticks: Sequence[float]

    def svg(self, rows: Mapping[str, str], values: Sequence[str], below: str = "") -> str:
        """`rows`: what is drawn beside each name. `values`: the same in words. `below`: under the axis."""
        bottom = TOP + len(rows) * ROW
        grid = "".join(
            f'<line class="grid" x1="{self.x(at):.1f}" x2="{self.x(at):.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
            + _text(self.x(at), bottom + 14, f"{at:g}", "middle")
            for at in self.ticks
        )
        names = "".join(_text(LEFT - 12, _y(at) + 4, name, "end", "name") for at, name in enumerate(rows))
        words = [
            _text(16, 24, self.title, "start", "title"),
            _text((self.x.start + self.x.end) / 2, bottom + 30, self.unit, "middle"),
        ]
        said = ", ".join(f"{name} {value}" for name, value in zip(rows, values, strict=True))
        body = "".join(
            [grid, names, *words, *rows.values(), f'<g transform="translate(0 {bottom})">{below}</g>']
        )
        return pictures.file(
            WIDTH, bottom + FOOT + (22 if below else 0), f"{self.title}: {said}", body, STYLE
        )


def accuracy(found: Mapping[str, Interval]) -> str:
    """A dot for each share of right answers, on its interval."""
    title = "Right on 48 reviews that were not trained on, with 95 % intervals"
    ticks = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    sheet = Sheet(title, "share right (guessing: 0.5)", Scale(0.5, 1.0, LEFT, WIDTH - RIGHT), ticks)
    rows = {name: _dot(_y(at), sheet.x, one) for at, (name, one) in enumerate(found.items())}
    return sheet.svg(rows, [f"{one.value:.3f}" for one in found.values()])


def _dot(y: int, x: Scale, one: Interval) -> str:
    return (
        f'<line class="wide" x1="{x(one.low):.1f}" x2="{x(one.high):.1f}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{x(one.value):.1f}" cy="{y}" r="6"/>'
        + _text(x.end + 12, y + 4, f"{one.value:.3f}", "start", "name")
    )


def memory(found: Mapping[str, Sequence[float]], card_gb: float) -> str:
    """`found`: the GB of each of PARTS, as stacked bars; a dashed line where the card ends."""
    sums = [sum(sizes) for sizes in found.values()]
    x = Scale(0, max(card_gb, *sums), LEFT, WIDTH - RIGHT)
    title = f"Memory at the peak, batch 1, 1,024 tokens; dashed: the {card_gb:.0f} GB of a T4"
    rows = {name: _stack(_y(at), x, sizes) for at, (name, sizes) in enumerate(found.items())}
    end = f'<line class="level" x1="{x(card_gb):.1f}" x2="{x(card_gb):.1f}" y1="{-len(rows) * ROW}" y2="0"/>'
    keys = "".join(
        f'<rect class="p{at}" x="{16 + at * KEY_WIDTH}" y="40" width="10" height="10" rx="2"/>'
        + _text(30 + at * KEY_WIDTH, 49, words, "start")
        for at, words in enumerate(PARTS.values())
    )
    return Sheet(title, "GB", x, range(0, int(x.high) + 1, 4)).svg(
        rows, [f"{size:.1f} GB" for size in sums], end + keys
    )


def _stack(y: int, x: Scale, sizes: Sequence[float]) -> str:
    at, bars = 0.0, ""
    for number, size in enumerate(sizes):
        wide = x(size) - x(0)
        bars += f'<rect class="p{number}" x="{x(at):.1f}" y="{y - 9}" width="{wide:.1f}" height="18"/>'
        at += size
    return bars + _text(x(at) + 6, y + 4, f"{at:.1f}", "start", "name")


def _y(at: int) -> int:
    return TOP + at * ROW + ROW // 2


def _text(x: float, y: float, words: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def accuracies(learner: Path) -> dict[str, Interval]:
    """By prompting and by training, from what the learner's commands left."""
    told = json.loads((learner / "prompts.json").read_text("utf-8"))
    found = {cell["column"].split(":")[0]: Interval(**cell["score"]) for cell in told["cells"]}
    for name, words in (("frozen", "head, frozen trunk"), ("full", "head, every weight")):
        manifest = json.loads((learner / "home" / "classifiers" / name / "manifest.json").read_text("utf-8"))
        found[words] = Interval(**manifest["metrics"]["measured"]["accuracy"])
    return found


def memories() -> tuple[dict[str, list[float]], float]:
    """The GB of each part at the peak, by model and way; and the card's."""
    found, card_gb = {}, 0.0
    for model, way in ((model, way) for model in MODELS for way in WAYS):
        words = ["memory", "--model", model, "--adapt", way, *TASK, "--json"]
        told = json.loads(CliRunner().invoke(cli, words, catch_exceptions=False).stdout)
        sizes = {part["name"]: part["peak_bytes"] / 1e9 for part in told["estimate"]["parts"]}
        found[f"{model}, {way}"] = [sizes[part] for part in PARTS]
        card_gb = told["device"]["total_bytes"] / 1e9
    return found, card_gb


def draw(learner: Path, pictures_in: Path) -> None:
    """All of them, from a learner's folder into another."""
    for file, name in KEPT.items():
        (pictures_in / name).write_bytes((learner / file).read_bytes())
    (pictures_in / "learn-accuracy.svg").write_text(accuracy(accuracies(learner)), "utf-8")
    (pictures_in / "learn-memory.svg").write_text(memory(*memories()), "utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
