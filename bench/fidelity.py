"""What was trained is what is served: a trained adapter as the trainer computes it, and as the server does.

`python bench/fidelity.py [--pairs 200]` trains an adapter by DPO on real pairs (Anthropic's HH, helpful, MIT;
read from --data, not part of the project), then asks both engines how probable the two answers of held-out
pairs are: transformers with the adapter beside the weights, and OpenVINO with it merged into 8 bits. Printed
are the share of pairs on which both prefer the same answer (at least 97 % is asked for), and the ratio of the
mean margins, log p(chosen) - log p(rejected), as they stand and as training moved them (within 5 %). The
second ratio means something only once training moved the margins by more than the rounding of one pair.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from assistant import base as bases
from assistant import registry
from assistant.base import Base, BaseChoice
from assistant.engines.interface import Answered, Engine
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from bench.train_speed import DATA, hone, pairs
from feedback.home import Home
from feedback.store import Store

ROOT = Path(__file__).parent.parent
HELD_OUT = DATA.with_name("hh_helpful_base_test.jsonl")


def trained(base: Base, home: Home, count: int) -> ModelVersion:
    """A version with an adapter that DPO has trained on `count` pairs for one epoch."""
    tokenizer = bases.load_tokenizer(base)
    chosen = pairs(DATA, count, 192, tokenizer, bases.chat_template(base))
    with tempfile.TemporaryDirectory() as folder:
        hone("dpo", bases.load_model(base), tokenizer, chosen, Path(folder))
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
    parser.add_argument("--train", type=int, default=48)
    args = parser.parse_args()
    if not DATA.is_file():
        sys.exit(f"There are no pairs at {DATA}.")
    with tempfile.TemporaryDirectory() as folder:
        kept, home = Home(ROOT / ".cache" / "bench"), Home(Path(folder))
        base = bases.resolve(kept, BaseChoice())
        plain = registry.ensure_base(Store(home.store_file), base, bases.chat_template(base))
        version = trained(base, home, args.train)
        held_out = pairs(HELD_OUT, args.pairs, 256, bases.load_tokenizer(base), bases.chat_template(base))
        told = {}
        for engine in (TorchEngine(base, home), OpenVinoEngine(base, home)):
            told[engine.name] = [margins(engine, which, held_out) for which in (version, plain)]
            engine.close()
    (theirs, theirs_before), (ours, ours_before) = told["transformers"], told["openvino"]
    gained, gained_served = theirs - theirs_before, ours - ours_before
    print(json.dumps({  # noqa: T201
        "pairs": len(held_out),
        "same answer preferred": f"{np.mean((theirs > 0) == (ours > 0)):.1%} (bar: 97 %)",
        "mean margin, trained and served": f"{theirs.mean():+.3f} and {ours.mean():+.3f} nats",
        "their ratio": f"{ours.mean() / theirs.mean():.3f} (bar: 0.95 to 1.05)",
        "moved by training, trained and served": f"{gained.mean():+.3f} and {gained_served.mean():+.3f} nats",
        "ratio of what was moved": f"{gained_served.mean() / gained.mean():.3f} (bar: 0.95 to 1.05)",
        "one pair, off by (rms)": f"{np.sqrt(np.mean((gained - gained_served) ** 2)):.3f} nats",
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
