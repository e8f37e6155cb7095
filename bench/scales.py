"""How many weights share a scale: what more of them win in speed, and cost in exactness.

`python bench/scales.py [--texts 24]` lays the base's weights out in 8 bits with a scale for 32, for 64 (as
Hone does) and for 192 of them, and prints for each, in turns, medians: milliseconds to read 512 tokens of a
prompt, and for a step of 32 chats. Then, on answers that people preferred (Anthropic's HH, helpful, held
out, MIT; read from the shared data, not part of the project), how far what the model says of each next
token is from transformers in float32 with the same weights: KL in nats a token, and how often the likeliest
token is the same. transformers in the type of this machine is a row too.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov
import torch
from fidelity import HELD_OUT, ROOT
from train_speed import pairs

from assistant import base as bases
from assistant.base import Base, BaseChoice
from assistant.engines import eight_bit, openvino_graph
from assistant.engines.kv_blocks import Held
from assistant.engines.openvino_lane import Lane, open_lane
from assistant.engines.sampling import Floats, Sampler
from assistant.engines.sequences import Drawing
from feedback.conversations import Sampling
from feedback.home import Home

GROUPS = (32, 64, 192)
READ, CHATS, PROMPT, STEPS = 512, 32, 128, 24
NOBODY = -1
"""A token that ends nothing."""


class Reading:
    """A text whose every next token is asked for; `logits` (tokens, vocabulary) when it is over. `last`: only
    the last one's are asked for, as of a prompt.
    """

    def __init__(self, tokens: Sequence[int], last: bool = False) -> None:
        self.tokens, self.cacheable, self.longest = list(tokens), tuple[int, ...](), len(tokens)
        self.held: Held | None = None
        self.quiet_s = 0.0
        self.logits: list[Floats] = []
        self._last, self._over = last, False

    def begin(self, held: Held) -> None:
        self.held = held

    def over(self) -> bool:
        return self._over

    def guess(self, costs: Sequence[float]) -> list[int]:
        return []

    def wanted(self, start: int, end: int) -> range:
        return range(max(start, len(self.tokens) - 1) if self._last else start, end)

    def take(self, logits: Floats, places: range, guessed: Sequence[int]) -> int:
        self.logits.append(logits.copy())
        self._over = places.stop == len(self.tokens)
        return 0

    def tell(self) -> None:
        """Nobody reads along."""

    def finish(self, error: BaseException | None = None) -> None:
        if error is not None:
            raise error


def read(lane: Lane, reading: Reading) -> float:
    """Seconds to read it."""
    began = time.perf_counter()
    lane.add(reading)
    while lane.busy:
        lane.step()
    return time.perf_counter() - began


def step_of_chats(lane: Lane, prompts: Sequence[Sequence[int]]) -> float:
    """Seconds of a step in which as many chats each write a token: the median of their last ones."""
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=STEPS + 1, seed=0)
    for prompt in prompts:
        lane.add(Drawing(prompt, Sampler(greedy), STEPS + 1, NOBODY))
    seconds = []
    while lane.busy:
        began = time.perf_counter()
        lane.step()
        seconds.append(time.perf_counter() - began)
    return median(seconds[-STEPS // 2 :])


def likelihoods(base: Base, texts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """log p of each next token by transformers, (tokens, vocabulary) a text."""
    model = bases.load_model(base).eval()
    with torch.no_grad():
        return [torch.log_softmax(model(torch.tensor([text])).logits[0].float(), -1) for text in texts]


def distance(exact: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> tuple[float, float]:
    """(KL in nats a token, share of tokens after which both find the same one likeliest)."""
    divergence = torch.cat([(p.exp() * (p - q)).sum(-1) for p, q in zip(exact, found, strict=True)])
    same = torch.cat([p.argmax(-1) == q.argmax(-1) for p, q in zip(exact, found, strict=True)])
    return float(divergence.mean()), float(same.float().mean())


def said(lane: Lane, text: Sequence[int]) -> torch.Tensor:
    """log p of each next token by a lane, (tokens, vocabulary)."""
    read(lane, reading := Reading(text))
    return torch.log_softmax(torch.tensor(np.concatenate(reading.logits)), -1)


def speeds(lanes: dict[int, Lane], vocabulary: int, rounds: int) -> dict[int, tuple[float, float]]:
    """Milliseconds to read a prompt, and for a step of chats: medians of rounds, the lanes in turns."""
    dice = np.random.default_rng(0)
    found: dict[int, list[tuple[float, float]]] = {group: [] for group in lanes}
    for _ in range(rounds):
        unread = dice.integers(vocabulary, size=READ).tolist()
        prompts = dice.integers(vocabulary, size=(CHATS, PROMPT)).tolist()
        for group, lane in lanes.items():
            found[group].append((read(lane, Reading(unread, last=True)), step_of_chats(lane, prompts)))
    return {
        group: (1000 * median(one for one, _ in took), 1000 * median(one for _, one in took))
        for group, took in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    if not HELD_OUT.is_file():
        sys.exit(f"There are no answers at {HELD_OUT}.")
    base = bases.resolve(Home(ROOT / ".cache" / "bench"), BaseChoice(quantize="none"))
    shape = openvino_graph.read_shape(base.folder)
    if isinstance(shape, str):
        sys.exit(f"OpenVINO cannot run {base.title}: {shape}.")
    tokenizer = bases.load_tokenizer(base)
    chosen = pairs(HELD_OUT, args.texts, 256, tokenizer, bases.chat_template(base))
    answered = [one["prompt"] + one["chosen"] for one in chosen]
    texts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in answered]
    lanes, core = dict[int, Lane](), ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        for group in GROUPS:
            eight_bit.GROUP = group
            lanes[group] = open_lane(core, base, shape, None, Path(folder) / f"{group}.safetensors")
    took = speeds(lanes, shape.vocabulary, args.rounds)
    exact = likelihoods(dataclasses.replace(base, dtype="float32"), texts)
    print(f"| {len(texts)} answers | {READ} tokens, ms | {CHATS} chats, ms | KL | same token |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    divergence, same = distance(exact, likelihoods(base, texts))
    print(f"| transformers, {base.dtype} | | | {divergence:.4f} | {same:.3f} |")  # noqa: T201
    for group, lane in lanes.items():
        divergence, same = distance(exact, [said(lane, text) for text in texts])
        cells = (f"{took[group][0]:.0f}", f"{took[group][1]:.1f}", f"{divergence:.4f}", f"{same:.3f}")
        print(f"| OpenVINO, a scale for {group} weights | {' | '.join(cells)} |")  # noqa: T201


if __name__ == "__main__":
    main()
