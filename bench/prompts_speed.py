"""Evaluated questions a second: Hone's evaluation beside a plain transformers loop, on the same prompts.

`bench/prompts_speed.py --data gsm8k_test.jsonl --train gsm8k_train.jsonl [--limit 100] [--peer-limit 9]`
prints one table on the embedded model: GSM8K, chain of thought with 8 worked examples in front, greedy, at
most 256 tokens an answer. The loop asks one question after the other, as most evaluation scripts do; it is
measured on the first `--peer-limit` of the same prompts, since all of them would take many minutes. Both read
their weights first; neither is charged for that. The bar is 5 times.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant import prompt_evaluation, registry
from assistant.base import BaseChoice
from feedback.home import Home
from prompts.evaluation import datasets, matrix
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import GREEDY, Cell, Column, How
from prompts.evaluation.datasets import Source
from prompts.evaluation.shown import Picking
from prompts.plain import shipped

ROOT = Path(__file__).parent.parent
BAR = 5.0
SHOTS = 8


def hone(home: Home, args: argparse.Namespace) -> tuple[float, Cell]:
    """Questions a second, and what came of them. Nothing is known from an earlier run."""
    data = datasets.load(Source("gsm8k", args.data), Source("gsm8k", args.train)).limited(args.limit)
    strategy = shipped()["chain-of-thought"]
    with prompt_evaluation.opened(home, BaseChoice()) as bench, tempfile.TemporaryDirectory() as folder:
        model = bench.model("champion")
        column = Column("chain-of-thought", "", strategy, How(examples=Picking(SHOTS, "first")), model)
        works = matrix.plan([column], [data])
        bench.serving.engine.warm_up(registry.champion(bench.store))
        began = time.perf_counter()
        (cell,) = matrix.run(works, Calls(Path(folder) / "evaluations.db"))
        return len(data.items) / (time.perf_counter() - began), cell


def loop(home: Home, prompts: list[str]) -> tuple[float, int]:
    """Questions a second of a plain transformers loop, and the tokens that it wrote."""
    import torch

    base = bases.resolve(home, BaseChoice(quantize="none"))
    model: Any = bases.load_model(base)
    tokenizer: Any = bases.load_tokenizer(base)
    written = 0
    began = time.perf_counter()
    for prompt in prompts:
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            found = model.generate(
                ids, do_sample=False, max_new_tokens=GREEDY.max_tokens, pad_token_id=tokenizer.eos_token_id
            )
        written += found.shape[1] - ids.shape[1]
    return len(prompts) / (time.perf_counter() - began), written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="GSM8K's test part.")
    parser.add_argument("--train", type=Path, required=True, help="GSM8K's training part.")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--peer-limit", type=int, default=10)
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    args = parser.parse_args()
    ours, cell = hone(Home(args.home), args)
    theirs, written = loop(Home(args.home), [outcome.prompt for outcome in cell.outcomes[: args.peer_limit]])
    peers = min(args.peer_limit, len(cell.outcomes))
    read, wrote = cell.tokens()
    cached = sum(outcome.cached_tokens for outcome in cell.outcomes)
    right = f"{cell.score.value:.2f}" if cell.score else "-"
    lines = (
        "| | questions | questions/s | tokens written a question | prompt found in the cache | right |",
        "|---|---|---|---|---|---|",
        f"| hone prompts evaluate | {args.limit} | {ours:.2f} | {wrote / args.limit:.0f} "
        f"| {cached / read:.0%} | {right} |",
        f"| a plain transformers loop | {peers} | {theirs:.3f} | {written / peers:.0f} | - | - |",
        f"\n{ours / theirs:.1f} times as many; the bar is {BAR:g}.",
    )
    print("\n".join(lines))  # noqa: T201
    sys.exit(ours / theirs < BAR)


if __name__ == "__main__":
    main()
