"""One epoch of DPO on real pairs: Hone's trainer beside stock TRL, same model, pairs, LoRA, batch and rate.

`python bench/dpo.py [--pairs 100] [--only hone]` prints one table; each side runs in a process of its own,
one after the other. Stock is TRL's DPOTrainer with its defaults (gradient checkpointing, the reference read
in each step, text tokenised by TRL). The pairs are Anthropic's HH (helpful, MIT), the first that have at most
--tokens tokens a side; they are read from --data and are not part of the project.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant.base import BaseChoice
from feedback.home import Home
from prompts.chat import ChatMessage
from training.data import Row
from training.recipes import Recipe

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "hh_helpful_base_train.jsonl"
SHORTEST = 120
"""Tokens of the longer side at least: short pairs would flatter everybody."""


def pairs(file: Path, wanted: int, tokens: int, tokenizer: Any, template: Any) -> list[dict[str, str]]:
    """The first `wanted` pairs of the file that fit, as text: prompt, chosen, rejected."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        prompt = template.text([ChatMessage(turn["role"], turn["content"]) for turn in row["prompt"]])
        longest = max(len(tokenizer(prompt + row[side])["input_ids"]) + 1 for side in ("chosen", "rejected"))
        if SHORTEST <= longest <= tokens:
            found.append({"prompt": prompt, "chosen": row["chosen"], "rejected": row["rejected"]})
        if len(found) == wanted:
            break
    return found


def run(side: str, args: argparse.Namespace) -> dict[str, float]:
    """Train on one side's terms; seconds, tokens a second and peak memory in GB."""
    home = Home(args.home)
    base = bases.resolve(home, BaseChoice())
    tokenizer, model = bases.load_tokenizer(base), bases.load_model(base)
    chosen = pairs(args.data, args.pairs, args.tokens, tokenizer, bases.chat_template(base))
    tokens = sum(
        len(tokenizer(p["prompt"] + p[s])["input_ids"]) + 1 for p in chosen for s in ("chosen", "rejected")
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        (hone if side == "hone" else stock)(model, tokenizer, chosen, Path(folder))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"pairs": len(chosen), "seconds": seconds, "tokens_a_second": tokens / seconds, "peak_gb": peak}


def hone(model: Any, tokenizer: Any, chosen: list[dict[str, str]], folder: Path) -> None:
    from training.trainers import Hooks, Job, train_dpo

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    end = (tokenizer.eos_token_id,)
    rows = [Row(ids(p["prompt"]), ids(p["chosen"]) + end, ids(p["rejected"]) + end) for p in chosen]
    job = Job(model, tokenizer, rows, Recipe(epochs=1), folder, None, "cpu")
    train_dpo(job, Hooks(lambda *_: None, lambda *_: None, lambda *_: None))


def stock(model: Any, tokenizer: Any, chosen: list[dict[str, str]], folder: Path) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    recipe = Recipe()
    config = DPOConfig(
        output_dir=str(folder), use_cpu=True, bf16=False, num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=recipe.batch, gradient_accumulation_steps=recipe.accumulation,
        report_to="none", disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    lora = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = DPOTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(chosen),
        processing_class=tokenizer,
        peft_config=lora,
    )
    trainer.train()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=192, help="the longer side at most")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--only", choices=["hone", "stock"])
    parser.add_argument("--side", choices=["hone", "stock"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.data.is_file():
        sys.exit(f"There are no pairs at {args.data}: name a file of HH pairs with --data.")
    if args.side:
        print(json.dumps(run(args.side, args)))  # noqa: T201 - this is the child's answer
        return
    print(f"{'':12}{'pairs':>7}{'seconds':>10}{'tokens/s':>10}{'peak GB':>9}")  # noqa: T201
    for side in [args.only] if args.only else ["hone", "stock"]:
        child = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--side", side], stdout=subprocess.PIPE, check=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        told = json.loads(child.stdout.splitlines()[-1])
        print(  # noqa: T201
            f"{side:12}{told['pairs']:7.0f}{told['seconds']:10.0f}{told['tokens_a_second']:10.0f}"
            f"{told['peak_gb']:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
