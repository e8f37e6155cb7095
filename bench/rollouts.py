"""Answers for one step of RLHF, drawn by OpenVINO and by the model itself: `python bench/rollouts.py`.

The embedded model with a LoRA of rank 16 that begins at random, `--rows` prompts, `--tokens` to each, no end
token, so that both write as much. OpenVINO's time holds saving and merging the adapter, which RLHF does at
each step. Printed are the medians of `--repeats` runs after one that warms up.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from assistant import base as bases
from assistant.base import BaseChoice
from feedback.home import Home
from prompts.chat import ChatMessage
from training import adaptations, answering, demo, trainers
from training.recipes import Recipe

ROOT = Path(__file__).parent.parent
NO_END = -1


def median_s(draw: Callable[[int], object], repeats: int) -> float:
    """Seconds of one call, the first of all not counted."""
    draw(0)
    found = []
    for seed in range(1, repeats + 1):
        began = time.perf_counter()
        draw(seed)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    base = bases.resolve(Home(ROOT / ".cache" / "bench"), BaseChoice())
    template, tokenizer = bases.chat_template(base), bases.load_tokenizer(base)
    texts = [template.text([ChatMessage("user", one)]) for one in demo.prompts()[: args.rows // 4]]
    prompts = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts] * 4
    recipe = Recipe(method="rlhf", answer_tokens=args.tokens)
    ready = adaptations.adapted(bases.load_model(base), recipe, None, len(prompts))
    from peft import get_peft_model

    if ready.peft is None:
        sys.exit("This recipe trains no adapter.")
    model = get_peft_model(ready.model, ready.peft)
    with tempfile.TemporaryDirectory() as folder:
        job = trainers.Job(model, tokenizer, [], recipe, Path(folder), None, base.device)
        writers = {
            "OpenVINO, 8 bits, merged": answering.by_openvino(job, base, NO_END),
            f"the model itself, {base.dtype}": answering.by_model(job, NO_END),
        }
        sys.stdout.write("| answers drawn by | seconds | tokens/s |\n|---|---|---|\n")
        for name, write in writers.items():
            seconds = median_s(partial(write, model, prompts), args.repeats)
            sys.stdout.write(f"| {name} | {seconds:.1f} | {len(prompts) * args.tokens / seconds:.0f} |\n")


if __name__ == "__main__":
    main()
