"""One epoch of training on real pairs: Hone beside stock TRL, same model, rows, LoRA, batch and rate.

`python bench/train_speed.py [--method dpo] [--pairs 48] [--only hone]` prints one table; each side runs in a
process of its own, one after the other. Stock is TRL's trainer at its defaults (weights in float32 as TRL
loads a model by its name, computed in bfloat16 by autocast, gradient checkpointing, the reference read in
each step, text tokenised by TRL), but without autocast where the CPU has no bfloat16 arithmetic, which it
would emulate at a fraction of the speed. Factory is TRL with what LLaMA-Factory sets beside: frozen weights
in the 16 bits that are computed in, batches padded to multiples of 8, one pair at a time in as many steps of
accumulation. The rows are Anthropic's HH (helpful,
MIT), drawn by a seed from those of at most --tokens tokens a side, TRL's own limit; they are read from --data
and are not part of the project. Tokens are those of prompt and answer of each side, padding not counted;
seconds are of making the trainer and training, the libraries imported before. Each trained model is asked the
same held-out pairs, by the same code in float32: the share in which the chosen answer gained more than the
rejected one (DPO, KTO), the mean nats of a chosen token (SFT), or the share whose chosen answer scores higher
(reward). KTO takes the chosen and rejected answers of the same pairs as liked and not.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant import device
from assistant.base import BaseChoice
from feedback.home import Home
from prompts.chat import ChatMessage
from training.data import Row
from training.recipes import Recipe

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "hh_helpful_base_train.jsonl"
LONGEST = 1024
"""Tokens of a side at most: TRL's own limit."""
SIDES = ("hone", "stock", "factory")

Texts = dict[str, str]
"""prompt, chosen, rejected."""


def pairs(file: Path, wanted: int, tokens: int, tokenizer: Any, template: Any) -> list[Texts]:
    """`wanted` pairs of the file that fit, drawn by a seed, as text."""
    found = []
    lines = file.read_text(encoding="utf-8").splitlines()
    for line in random.Random(0).sample(lines, len(lines)):
        row = json.loads(line)
        prompt = template.text([ChatMessage(turn["role"], turn["content"]) for turn in row["prompt"]])
        longest = max(len(tokenizer(prompt + row[side])["input_ids"]) + 1 for side in ("chosen", "rejected"))
        if longest <= tokens:
            found.append({"prompt": prompt, "chosen": row["chosen"], "rejected": row["rejected"]})
        if len(found) == wanted:
            break
    return found


def rows(chosen: Sequence[Texts], tokenizer: Any, method: str) -> list[Row]:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    end = (tokenizer.eos_token_id,)
    made = [Row(ids(p["prompt"]), ids(p["chosen"]) + end, ids(p["rejected"]) + end) for p in chosen]
    if method == "sft":
        return [replace(row, rejected_ids=()) for row in made]
    if method == "kto":
        return [
            Row(row.prompt_ids, answer, (), liked)
            for row in made
            for answer, liked in ((row.chosen_ids, True), (row.rejected_ids, False))
        ]
    return made


def run(side: str, args: argparse.Namespace) -> dict[str, float]:
    """Train on one side's terms; seconds, tokens a second, peak memory in GB, and the held-out figure."""
    base = bases.resolve(Home(args.home), BaseChoice())
    tokenizer, model = bases.load_tokenizer(base), bases.load_model(base)
    if side == "stock":
        model.float()
    both = pairs(args.data, args.pairs + args.held_out, args.tokens, tokenizer, bases.chat_template(base))
    training, held = both[: args.pairs], both[args.pairs :]
    counted = ("chosen",) if args.method == "sft" else ("chosen", "rejected")
    tokens = sum(len(tokenizer(p["prompt"] + p[s])["input_ids"]) + 1 for p in training for s in counted)
    known = rows(held, tokenizer, "sft" if args.method == "sft" else "dpo")
    libraries()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        trained = TRAIN[side](args.method, model, tokenizer, training, Path(folder))
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # before anything else raises it
        figure = held_out(args.method, trained.float(), known)
    return {"seconds": seconds, "tokens_a_second": tokens / seconds, "peak_gb": peak, "held_out": figure}


def libraries() -> None:
    """Import all that either side needs to train: reading it from disc is no part of a run's speed."""
    import datasets  # noqa: F401
    from peft import PeftModel  # noqa: F401
    from trl import DPOTrainer, KTOTrainer, RewardTrainer, SFTTrainer  # noqa: F401

    from assistant.adapters import quick_lora  # noqa: F401
    from training import reward_model, shared_prompts, trainers  # noqa: F401


def held_out(method: str, trained: Any, known: Sequence[Row]) -> float:
    """The last column, computed in float32. `trained`: with its adapter beside the weights."""
    if method == "reward":
        return sum(margin > 0 for margin in scores(trained, known)) / len(known)
    after = said(trained, known)
    if method == "sft":
        return -sum(c for c, _ in after) / answers(known)
    with trained.disable_adapter():
        return gained(said(trained, known), after)


def scores(model: Any, known: Sequence[Row]) -> list[float]:
    """r(chosen) - r(rejected), each answer read alone."""
    import torch

    def one(ids: tuple[int, ...]) -> float:
        found = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        return float(found.logits[0, 0])

    model.eval()
    with torch.no_grad():
        return [
            one((*row.prompt_ids, *row.chosen_ids)) - one((*row.prompt_ids, *row.rejected_ids))
            for row in known
        ]


def said(model: Any, known: Sequence[Row]) -> list[tuple[float, float]]:
    """log p of chosen and rejected, in nats (0 for none), as plain transformers computes it."""
    import torch

    def nats(prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
        if not answer:
            return 0.0
        ids = torch.tensor([[*prompt, *answer]])
        scores = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        return float(scores.gather(-1, ids[0, len(prompt) :, None]).sum())

    model.eval()
    with torch.no_grad():
        return [(nats(r.prompt_ids, r.chosen_ids), nats(r.prompt_ids, r.rejected_ids)) for r in known]


def gained(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> float:
    """The share of pairs whose implicit reward is higher for the chosen answer."""
    margins = [(c1 - c0) - (r1 - r0) for (c0, r0), (c1, r1) in zip(before, after, strict=True)]
    return sum(margin > 0 for margin in margins) / len(margins)


def answers(known: Sequence[Row]) -> int:
    return sum(len(row.chosen_ids) for row in known)


def hone(method: str, model: Any, tokenizer: Any, chosen: list[Texts], folder: Path) -> Any:
    from peft import PeftModel

    from training import reward_model
    from training.trainers import Hooks, Job, train_dpo, train_kto, train_sft

    recipe = Recipe(method=method, max_length=LONGEST)
    job = Job(model, tokenizer, rows(chosen, tokenizer, method), recipe, folder, None, "cpu")
    read: list[float] = []
    quiet = Hooks(lambda *_: None, lambda *_: None, lambda *_: read.append(time.perf_counter()))
    train = {"dpo": train_dpo, "sft": train_sft, "kto": train_kto, "reward": reward_model.train_reward}
    adapter = train[method](job, quiet)
    if len(read) > 1:  # the first batch's time is not told, and taken for that of another
        seconds = (read[-1] - read[0]) * len(read) / (len(read) - 1)
        print(f"Hone: {seconds:.0f} s of these read the reference, which is kept.", file=sys.stderr)  # noqa: T201
    fresh = bases.load_model(bases.resolve(Home(ROOT / ".cache" / "bench"), BaseChoice()))
    if method == "reward":
        fresh = reward_model.fresh(fresh, tokenizer, 0)
    return PeftModel.from_pretrained(fresh, str(adapter))


def stock(method: str, model: Any, tokenizer: Any, chosen: list[Texts], folder: Path, **changes: Any) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from trl import (
        DPOConfig,
        DPOTrainer,
        KTOConfig,
        KTOTrainer,
        RewardConfig,
        RewardTrainer,
        SFTConfig,
        SFTTrainer,
    )

    recipe = Recipe()
    settings = {
        "output_dir": str(folder), "use_cpu": True, "bf16": device.choose()[1] == "bfloat16",
        "num_train_epochs": 1, "learning_rate": recipe.learning_rate,
        "per_device_train_batch_size": recipe.batch, "gradient_accumulation_steps": recipe.accumulation,
        "report_to": "none", "disable_tqdm": True, "save_strategy": "no", **changes,
    }  # fmt: skip
    lora = LoraConfig(
        r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules="all-linear",
        task_type="SEQ_CLS" if method == "reward" else "CAUSAL_LM",
    )  # fmt: skip
    config, trainer = {
        "dpo": (DPOConfig, DPOTrainer), "sft": (SFTConfig, SFTTrainer), "kto": (KTOConfig, KTOTrainer),
        "reward": (RewardConfig, RewardTrainer),
    }[method]  # fmt: skip
    data: list[dict[str, Any]] = list(chosen)
    if method == "sft":
        data = [{"prompt": p["prompt"], "completion": p["chosen"]} for p in chosen]
    made = trainer(
        model=classifier(model, tokenizer) if method == "reward" else model,
        args=config(**settings),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer,
        peft_config=lora,
    )
    made.train()
    return made.model


def classifier(model: Any, tokenizer: Any) -> Any:
    """The reward model as transformers itself computes it."""
    from training.reward_model import fresh

    made = fresh(model, tokenizer, 0)
    del made.forward  # its class's own comes to light
    return made.to(model.dtype)


def factory(method: str, model: Any, tokenizer: Any, chosen: list[Texts], folder: Path) -> Any:
    recipe = Recipe()
    batch = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": recipe.batch * recipe.accumulation,
    }
    return stock(method, model, tokenizer, chosen, folder, **batch, pad_to_multiple_of=8)


TRAIN: dict[str, Callable[..., Any]] = {"hone": hone, "stock": stock, "factory": factory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", choices=["dpo", "sft", "kto", "reward"], default="dpo")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=LONGEST, help="the longer side at most")
    parser.add_argument("--held-out", type=int, default=64, help="other pairs for the last column")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.data.is_file():
        sys.exit(f"There are no pairs at {args.data}: name a file of HH pairs with --data.")
    if args.side:
        sys.stdout.write(json.dumps(run(args.side, args)) + "\n")
        return
    figure = {"sft": "nats", "reward": "right"}.get(args.method, "gained")
    say(f"| {args.method}, {args.pairs} pairs | seconds | tokens/s | peak GB | held-out {figure} |")
    say("|---|---|---|---|---|")
    for side in [args.only] if args.only else SIDES:
        child = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--side", side], stdout=subprocess.PIPE, check=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        told = json.loads(child.stdout.splitlines()[-1])
        say(
            f"| {side} | {told['seconds']:.0f} | {told['tokens_a_second']:.0f} | {told['peak_gb']:.1f}"
            f" | {told['held_out']:.3f} |"
        )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
