"""Every way to adapt the embedded model, on one task: what it trains, costs, weighs, and is worth.

`python bench/adaptation.py [--only lora,bias] [--write]` prints one table; each row is a process of its own,
so that its peak of memory is its own. The task is SST-2 (sentiment of film reviews; in --data, no part of the
project): SFT on the first --examples sentences, the answer one word. Each row trains at LoRA's rate
(--rate) times its family's factor, is kept as a version, and then asked the first --held-out sentences of the
dev set by the engine that serves it: the share whose right word is the more probable one, and what the right
word costs in nats, by transformers with the change beside the base and, where it can be merged, by OpenVINO
with 8-bit weights. `--write` puts what was measured into the table of docs/adaptation.md, where the other
rows stay.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant import registry
from assistant.adapters.families import FAMILIES
from assistant.base import Base, BaseChoice, Quantize
from assistant.engines.interface import Answered, Engine
from assistant.engines.openvino_engine import OpenVinoEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.home import Home
from feedback.store import Store
from training import adaptations
from training.data import Row
from training.own_changes import OwnChange
from training.recipes import Recipe
from training.trainers import Hooks, Job, train_sft

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "adaptation.md"
BEGIN, END = "<!-- table: written by bench/adaptation.py -->", "<!-- end of table -->"
ASKS = "{text} It was"
WORDS = (" terrible", " great")
"""As in Gao et al. 2021, https://arxiv.org/abs/2012.15723: the sentence goes on with the verdict."""
BASE_ROW = "nothing"
QUANTISED: dict[str, tuple[str, Quantize]] = {
    "lora on nf4": ("lora", "nf4"),
    "lora on int8": ("lora", "int8"),
}
"""QLoRA by bitsandbytes. `lora` itself stands on the embedded 4-bit base, which is QLoRA too."""
ROWS = (BASE_ROW, *FAMILIES, *QUANTISED)
HEAD = (
    "| family | rate | trained numbers | peak GB | seconds | file MB"
    " | served by transformers: right, nats | merged, by OpenVINO |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Sentence:
    """What the model reads, and whether the sentence is positive (1) or negative (0)."""

    prompt: str
    label: int


def sentences(file: Path, count: int) -> list[Sentence]:
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:count]]
    return [Sentence(ASKS.format(text=one["text"].strip()), one["label"]) for one in found]


def recipe(row: str, args: argparse.Namespace) -> Recipe:
    family, quantize = QUANTISED.get(row, (row, "none"))
    rate = args.rate * FAMILIES[family].rate
    return Recipe(method="sft", adapt=family, quantize=quantize, learning_rate=rate, batch=8, accumulation=1,
                  epochs=1, save_every=10_000, warmup_share=0.1)  # fmt: skip


def trained(base: Base, how: Recipe, known: list[Sentence], folder: Path) -> tuple[Path, int]:
    """The folder of what was trained, and how many numbers that were."""
    tokenizer = bases.load_tokenizer(base)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    rows = [Row(ids(one.prompt), ids(WORDS[one.label]), ()) for one in known]
    write, counted = adaptations.write, []

    def counting(model: Any, own: OwnChange | None, folder: Path) -> None:
        counted.append(sum(part.numel() for part in model.parameters() if part.requires_grad))
        write(model, own, folder)

    adaptations.write = counting
    model = bases.load_model(adaptations.base_for(how, base))
    quiet = Hooks(lambda *_: None, lambda *_: None, lambda *_: None)
    return train_sft(Job(model, tokenizer, rows, how, folder, None, base.device), quiet), counted[0]


def score(engine: Engine, version: ModelVersion, asked: list[Sentence]) -> tuple[float, float]:
    """The share of right answers, and the nats of the right word on average."""
    options = [Answered(one.prompt, word, ended=False) for one in asked for word in WORDS]
    said = [one.total_nats for one in engine.logprobs(options, version)]
    right = [said[2 * at + one.label] for at, one in enumerate(asked)]
    wrong = [said[2 * at + 1 - one.label] for at, one in enumerate(asked)]
    return sum(r > w for r, w in zip(right, wrong, strict=True)) / len(asked), -sum(right) / len(asked)


def run(row: str, args: argparse.Namespace) -> dict[str, Any]:
    """One row: trains, keeps, serves. Memory is read before anything is served."""
    quantize: Quantize = QUANTISED[row][1] if row in QUANTISED else "none"
    base = bases.resolve(Home(args.home), BaseChoice("embedded", quantize))
    template = bases.chat_template(base)
    known = sentences(args.data / "sst2_train_2000.jsonl", args.examples)
    asked = sentences(args.data / "sst2_dev.jsonl", args.held_out)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        store = Store(home.store_file)
        version = registry.ensure_base(store, base, template)
        found: dict[str, Any] = {"row": row}
        if row != BASE_ROW:
            began = time.perf_counter()
            adapter, numbers = trained(base, recipe(row, args), known, Path(folder) / "run")
            found |= {"seconds": time.perf_counter() - began, "trained": numbers,
                      "rate": recipe(row, args).learning_rate}  # fmt: skip
            found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
            version = registry.add(store, home, base, adapter, None, "adapted")
            found["file_mb"] = sum(file.stat().st_size for file in adapter.iterdir()) / 1e6
        engines: list[type[Any]] = [TorchEngine]
        if row not in QUANTISED and (row == BASE_ROW or FAMILIES[row].merges):
            engines.append(OpenVinoEngine)
        for kind in engines:
            engine = kind(base, home)
            found[engine.name] = score(engine, version, asked)
            engine.close()
    return found


def line(found: dict[str, Any]) -> str:
    def scored(engine: str) -> str:
        share, nats = found.get(engine, (None, None))
        return "not merged" if share is None else f"{share:.1%}, {nats:.2f}"

    if "trained" not in found:
        return f"| {found['row']} | | | | | | {scored('transformers')} | {scored('openvino')} |"
    costs = f"{found['peak_gb']:.1f} | {found['seconds']:.0f} | {found['file_mb']:.1f}"
    return (
        f"| {found['row']} | {found['rate']:.0e} | {found['trained']:,} | {costs}"
        f" | {scored('transformers')} | {scored('openvino')} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=240)
    parser.add_argument("--held-out", type=int, default=150)
    parser.add_argument("--rate", type=float, default=2e-4, help="LoRA's")
    parser.add_argument("--only", default=",".join(ROWS), help="rows, by name")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/adaptation.md")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not (args.data / "sst2_dev.jsonl").is_file():
        sys.exit(f"There is no SST-2 in {args.data}: name the folder with --data.")
    if args.row:
        sys.stdout.write(json.dumps(run(args.row, args)) + "\n")
        return
    say("\n".join(HEAD))
    measured = {}
    for row in args.only.split(","):
        child = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--row", row], stdout=subprocess.PIPE, check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        measured[row] = line(json.loads(child.stdout.splitlines()[-1]))
        say(measured[row])
    if args.write:
        write(measured)


def write(measured: dict[str, str]) -> None:
    """The page's table with these lines in it, by row; the other rows stand as they were."""
    from docs.generated import between

    table = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip().splitlines()
    rows = {one.split("|")[1].strip(): one for one in table[len(HEAD) :]} | measured
    lines = [*HEAD, *(rows[row] for row in ROWS if row in rows)]
    PAGE.write_text(between(PAGE, BEGIN, END, "\n".join(lines)), encoding="utf-8")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
