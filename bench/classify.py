"""A classifier on the embedded model, in its three ways, side by side: `python bench/classify.py`.

Trains on SST-2 (`--train`), measures on texts that chose nothing (`--test`), one child process a row. The
first row chooses the wording; the others take it. What a prompt alone reaches stands in docs/benchmarks.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant.base import BaseChoice
from feedback.home import Home
from training import recipes
from training.classify import data, heads
from training.classify.train import Hooks, Job, train

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
PRESETS = {"frozen": "classify-frozen", "lora": "classify", "full": "classify-full"}
WAYS = tuple(PRESETS)


def row(args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one way: the manifest's figures, and of this process the peak memory in GB and the
    CPU seconds, which tell what it would take on an idle machine.
    """
    base = bases.resolve(Home(args.home), BaseChoice())
    found = data.read(f"{args.format}:{args.train}")
    test = data.read(f"{args.format}:{args.test}", found.labels)
    recipe = recipes.from_mapping(
        {"wording": args.wording, "epochs": args.epochs}, recipes.load(PRESETS[args.side])
    )
    hooks = Hooks(tell_step, lambda *_: None, tell)
    with tempfile.TemporaryDirectory() as folder:
        info = heads.read(train(Job("bench", base, recipe, found, test, Path(folder)), hooks))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wording": info.wording.name,
        "temperature": info.temperature,
        "peak_gb": used.ru_maxrss / 1e6,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        **info.metrics,
    }


def tell_step(step: int, total: int) -> None:
    if step % 20 == 0:
        sys.stderr.write(f"step {step} of {total}\n")


def tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def line(way: str, told: dict[str, Any]) -> str:
    found = told["measured"]
    right = found["accuracy"]
    return (
        f"| {way} | {right['value']:.3f} | {right['low']:.3f}-{right['high']:.3f} | {found['macro_f1']:.3f}"
        f" | {found['before']['ece']:.3f} | {found['after']['ece']:.3f} | {told['temperature']:.2f}"
        f" | {told['seconds']:.0f} | {told['cpu_seconds']:.0f} | {told['peak_gb']:.1f}"
        f" | {told['trainable_parameters']:,} |"
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, default=SHARED / "sst2_train_2000.jsonl")
    parser.add_argument("--test", type=Path, default=SHARED / "sst2_dev.jsonl")
    parser.add_argument("--format", choices=data.FORMATS_WITH_LABELS, default="sst2")
    parser.add_argument("--epochs", type=int, default=int(recipes.load("classify").epochs))
    parser.add_argument("--wording", default="auto")
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--side", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for file in (args.train, args.test):
        if not file.is_file():
            sys.exit(f"There are no texts at {file}: name files with --train and --test.")
    if args.side:
        sys.stdout.write(json.dumps(row(args)) + "\n")
        return
    say(
        "| way | right | 95 % | macro F1 | ECE | with temperature | T | seconds | CPU s | peak GB | trained |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|---|")
    wording = args.wording
    for way in [args.only] if args.only else WAYS:
        child = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--wording", wording, "--side", way],
            stdout=subprocess.PIPE, check=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1",
                 "OMP_WAIT_POLICY": "passive"},
        )  # fmt: skip
        told = json.loads(child.stdout.splitlines()[-1])
        wording = told["wording"]
        say(line(way, told))
    say(f"Texts are put as {wording!r}.")


if __name__ == "__main__":
    main()
