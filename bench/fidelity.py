"""What was trained is what is served: a trained adapter computed exactly, as the trainer does, and as served.

`python bench/fidelity.py [--pairs 200]` trains an adapter by DPO on real pairs (Anthropic's HH, helpful, MIT;
read from --data, not part of the project), then asks how probable the two answers of held-out pairs are:
transformers in float32 with the adapter beside the weights (exact), the same in the numbers that the trainer
computes in on this machine, and OpenVINO with the adapter merged into 8 bits. Printed for the last two are
the share of pairs on which they prefer the answer that the first does (at least 97 % is asked for of what is
served), the ratio of the mean margins, log p(chosen) - log p(rejected) (within 5 %), and how much of what
training did is there: training moves each pair's margin, some up and some down, and the slope says by how
much these moves are found again (least squares through 0). What rounding does to one pair is the
last column; it belongs to no pair's move, so that the slope is right even where it is as large.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np
from train_speed import DATA, pairs, rows

from assistant import base as bases
from assistant import registry
from assistant.base import Base, BaseChoice
from assistant.engines.interface import Answered, Engine
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.store import Store
from training.recipes import Recipe
from training.trainers import Hooks, Job, train_dpo

ROOT = Path(__file__).parent.parent
HELD_OUT = DATA.with_name("hh_helpful_base_test.jsonl")
Margins = list[np.ndarray]
"""Of each held-out pair: by the trained version, and by the base."""


def trained(base: Base, home: Home, count: int, recipe: Recipe) -> ModelVersion:
    """A version with an adapter that DPO has trained on `count` pairs."""
    tokenizer = bases.load_tokenizer(base)
    chosen = rows(pairs(DATA, count, 192, tokenizer, bases.chat_template(base)), tokenizer, "dpo")
    with tempfile.TemporaryDirectory() as folder:
        quiet = Hooks(lambda *_: None, lambda *_: None, lambda *_: None)
        train_dpo(Job(bases.load_model(base), tokenizer, chosen, recipe, Path(folder), None, "cpu"), quiet)
        adapter = next(Path(folder).rglob("adapter_config.json")).parent
        return registry.add(Store(home.store_file), home, base, adapter, None, "dpo")


def margins(engine: Engine, version: ModelVersion, held_out: list[dict[str, str]]) -> np.ndarray:
    """log p(chosen) - log p(rejected) of each pair, in nats."""
    asked = [Answered(pair["prompt"], pair[side]) for pair in held_out for side in ("chosen", "rejected")]
    found = np.array([one.total_nats for one in engine.logprobs(asked, version)])
    return found[::2] - found[1::2]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--train", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=5e-4)
    args = parser.parse_args()
    if not DATA.is_file():
        sys.exit(f"There are no pairs at {DATA}.")
    with tempfile.TemporaryDirectory() as folder:
        kept, home = Home(ROOT / ".cache" / "bench"), Home(Path(folder))
        base = bases.resolve(kept, BaseChoice())
        plain = registry.ensure_base(Store(home.store_file), base, bases.chat_template(base))
        version = trained(base, home, args.train, Recipe(epochs=args.epochs, learning_rate=args.rate))
        held_out = pairs(HELD_OUT, args.pairs, 256, bases.load_tokenizer(base), bases.chat_template(base))
        exact = TorchEngine(dataclasses.replace(base, dtype="float32"), home)
        others: dict[str, Engine] = {
            f"transformers, {base.dtype}": TorchEngine(base, home),
            "OpenVINO": OpenVinoEngine(base, home),
        }
        told = {
            name: [margins(engine, which, held_out) for which in (version, plain)]
            for name, engine in ({"exact": exact} | others).items()
        }
        for engine in (exact, *others.values()):
            engine.close()
    print(f"{len(held_out)} pairs; margins in nats; asked of OpenVINO: 97 % and a ratio of 0.95 to 1.05\n")  # noqa: T201
    print("| computed by | same answer | margin | ratio | moved by training, rms | slope | rounding, rms |")  # noqa: T201
    print("|---|---|---|---|---|---|---|")  # noqa: T201
    for name, found in told.items():
        print(line(name, found, told["exact"]))  # noqa: T201


def line(name: str, found: Margins, exact: Margins) -> str:
    """One row of the table."""
    (ours, before), (theirs, theirs_before) = found, exact
    gained, gained_exactly = ours - before, theirs - theirs_before
    cells = (
        name,
        f"{np.mean((theirs > 0) == (ours > 0)):.1%}",
        f"{ours.mean():+.3f}",
        f"{ours.mean() / theirs.mean():.3f}",
        f"{np.sqrt(np.mean(gained**2)):.3f}",
        f"{gained @ gained_exactly / (gained_exactly @ gained_exactly):.3f}",
        f"{np.sqrt(np.mean((gained - gained_exactly) ** 2)):.3f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
