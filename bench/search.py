"""A better prompt found: `hone prompts optimise` beside DSPy, same model, data, budget and held-out items.

`python bench/search.py --train sst2_train.jsonl --held-out sst2_dev.jsonl [--questions 4000] [--minutes 15]`
prints one table on the embedded model and SST-2. Both searches see the training rows only, one after the
other, and end at the questions or the minutes; what they found is asked the held-out items, and compared item
by item. Hone begins from a few-shot prompt that a person wrote (bench/strategies/sst2-by-hand.jinja), DSPy
from its signature, with the adapter that suits this model best. Answers count by likelihood, as Hone does,
and as the model writes them, which is DSPy's only way. Needs `make .peers/dspy/.made`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from serving_peers import hone  # noqa: E402 - the checkout is found only now

from feedback.home import Home  # noqa: E402
from feedback.statistics import wilson  # noqa: E402
from prompts.evaluation.statistics import paired  # noqa: E402

BY_HAND = ROOT / "bench" / "strategies" / "sst2-by-hand.jinja"
DSPY = ROOT / ".peers" / "dspy" / "bin" / "python"
QUESTION = "{{ text }}"


@dataclass(frozen=True)
class Line:
    """One way of asking, and what came of it: right or wrong by the item's id."""

    what: str
    by: str
    scores: dict[str, float]
    questions: int | None = None
    seconds: float | None = None


def ours(args: argparse.Namespace, folder: Path) -> list[Line]:
    """By hand and found: by likelihood, and written."""
    report, draft = folder / "evidence.json", folder / "draft.json"
    data = ("--data", f"sst2:{args.held_out}", "--question", QUESTION)
    budget = ("--questions", str(args.questions), "--minutes", str(args.minutes), "--seed", str(args.seed))
    began = time.perf_counter()
    _hone(
        "optimise", "--strategy", str(BY_HAND), *data, "--train", f"sst2:{args.train}", *budget,
        "--out", str(report), "--json", home=folder, to=draft,
    )  # fmt: skip
    took = time.perf_counter() - began
    told = json.loads(draft.read_text("utf-8"))
    by_hand, found = _scores(report)
    lines = [
        Line("by hand", "likelihood", by_hand),
        Line("Hone", "likelihood", found, told["questions"], took),
    ]
    if told["version"] is None:
        return lines
    written = folder / "written.json"
    ways = ("--strategy", str(BY_HAND), "--strategy", told["version"])
    _hone(
        "evaluate",
        *ways,
        *data,
        "--by",
        "generation",
        "--max-tokens",
        "8",
        "--out",
        str(written),
        home=folder,
    )
    names = ("by hand", "Hone")
    return [*lines, *(Line(name, "writing", one) for name, one in zip(names, _scores(written), strict=True))]


def theirs(args: argparse.Namespace, folder: Path) -> Line:
    """DSPy's, over a server of Hone's with the same model."""
    with hone(Home(folder)) as server:
        command = [
            str(DSPY), "bench/search_dspy.py", "--url", f"http://127.0.0.1:{server.port}/v1",
            "--optimiser", args.optimiser, "--adapter", args.adapter, "--train", str(args.train),
            "--held-out", str(args.held_out), "--questions", str(args.questions),
            "--minutes", str(args.minutes), "--seed", str(args.seed),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    scores = {one["id"]: float(one["right"]) for one in told["answers"]}
    name = f"DSPy {told['dspy']}, {told['optimiser']}"
    return Line(name, "writing", scores, told["asked"], told["seconds"])


def _hone(*words: str, home: Path, to: Path | None = None) -> None:
    command = [sys.executable, "-c", "from app import main; main()", "prompts", *words, "--home", str(home)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    if to is not None:
        to.write_bytes(done.stdout)


def _scores(report: Path) -> list[dict[str, float]]:
    cells: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["cells"]
    return [{one["item_id"]: float(one["value"] or 0) for one in cell["outcomes"]} for cell in cells]


def table(lines: Sequence[Line]) -> str:
    """The lines, and each prompt of Hone's beside every other that was asked likewise, and beside DSPy's."""
    rows = ["| prompt | answered by | questions | seconds | right | 95 % |", "|---|---|---|---|---|---|"]
    for one in lines:
        share = wilson(sum(one.scores.values()), len(one.scores))
        spent = f"{one.questions or ''} | {round(one.seconds) if one.seconds else ''}"
        sure = f"{share.low:.3f}-{share.high:.3f}"
        rows.append(f"| {one.what} | {one.by} | {spent} | {share.value:.3f} | {sure} |")
    pairs = [
        _against(best, other)
        for best in lines
        for other in lines
        if best.what == "Hone" != other.what and (other.by == best.by or other.what.startswith("DSPy"))
    ]
    return "\n".join([*rows, "", *pairs, ""])


def _against(one: Line, other: Line) -> str:
    both = sorted(one.scores.keys() & other.scores.keys())
    found = paired([other.scores[item] for item in both], [one.scores[item] for item in both])
    gain = found.difference
    return (
        f"Hone by {one.by} against {other.what} by {other.by}: {100 * gain.value:+.1f} points"
        f" ({100 * gain.low:.1f} to {100 * gain.high:.1f}) on {found.items} items, p = {found.p:.2g}."
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--train", type=Path, required=True, help="SST-2 rows to search on")
    options.add_argument("--held-out", type=Path, required=True, help="SST-2 rows that prove")
    options.add_argument("--questions", type=int, default=4000)
    options.add_argument("--minutes", type=float, default=15)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--optimiser", default="random-search", help="of DSPy")
    options.add_argument("--adapter", default="plain", help="of DSPy")
    options.add_argument("--no-peer", action="store_true", help="Hone alone")
    args = options.parse_args()
    args.train, args.held_out = args.train.resolve(), args.held_out.resolve()
    if not args.no_peer and not DSPY.exists():
        sys.exit("DSPy is not there. Make it with: make .peers/dspy/.made")
    with tempfile.TemporaryDirectory() as folder:
        lines = ours(args, Path(folder))
        sys.stdout.write(table([*lines, *([] if args.no_peer else [theirs(args, Path(folder))])]))


if __name__ == "__main__":
    main()
