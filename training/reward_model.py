"""A reward model: a number for an answer, learnt from which of two people preferred.

The trunk of the base with a LoRA, and a linear layer on the last token's state in place of the LM head
(Ouyang et al., 2022, section 3.5). It is trained by TRL's trainer on P(chosen over rejected) =
sigmoid(r_chosen - r_rejected) (Bradley and Terry, 1952). Knows torch, TRL and rows; no store.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Row
from training.padding import IGNORED, padded
from training.trainers import Hooks, Job, by_length, run

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "score"
"""What transformers calls the linear layer, in every family."""
BATCH = 16
"""Answers scored at a time."""

Asked = tuple[tuple[int, ...], tuple[int, ...]]
"""A prompt and an answer, in token ids; the answer with its end token if it has one."""


def fresh(causal: Any, tokenizer: Any, seed: int) -> Any:
    """A sequence classifier of one number on the trunk of `causal`, which it takes over, not copies.

    The layer starts at random, with a deviation of 1 / sqrt(size + 1) as in Stiennon et al. (2020).
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    kind: Any = AutoModelForSequenceClassification._model_mapping[type(causal.config)]
    causal.config.num_labels = 1
    causal.config.pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):  # its own trunk would be thrown away
        model = kind(causal.config)
    setattr(model, model.base_model_prefix, causal.base_model)
    size = causal.config.get_text_config().hidden_size
    layer = torch.nn.Linear(size, 1, bias=False, device=causal.device)  # in float32: it is trained whole
    torch.nn.init.normal_(
        layer.weight, std=(size + 1) ** -0.5, generator=torch.Generator(causal.device).manual_seed(seed)
    )
    setattr(model, HEAD, layer)
    model.forward = types.MethodType(_forward, model)
    return model


def _forward(
    self: Any, input_ids: Tensor, attention_mask: Tensor, shared: Sequence[int] | None = None, **_: Any
) -> Any:
    """As transformers' classifiers answer, but over trees where attention can be replaced. `shared`: tokens
    of each row that are its prompt; None: the rows are pairs, i and i + R/2, which share their beginning.
    """
    from transformers.modeling_outputs import SequenceClassifierOutputWithPast

    from training import shared_prompts

    if shared_prompts.packs(self):
        last = _packed(self, input_ids, attention_mask, shared or _begun_alike(input_ids, attention_mask))
    else:
        states = self.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        places = attention_mask.cumsum(-1).argmax(-1)  # the first place at which all real tokens are counted
        last = states[range(len(states)), places]
    return SequenceClassifierOutputWithPast(logits=self.score(last.float()))


def _packed(model: Any, input_ids: Tensor, attention_mask: Tensor, shared: Sequence[int]) -> Tensor:
    """The state of each row's last token, (R, size). Rows with the same first `shared` tokens share them."""
    from training import shared_prompts

    labels = input_ids.clone()
    for row, prompt in enumerate(shared):
        labels[row, :prompt] = IGNORED
    packed = shared_prompts.pack(input_ids, attention_mask, labels)
    return shared_prompts.states(model, packed)[[packed.ends[row] for row in range(len(input_ids))]]


def _begun_alike(input_ids: Tensor, attention_mask: Tensor) -> list[int]:
    """How many first tokens each row of a batch of pairs shares with its other."""
    half = len(input_ids) // 2
    return [_common(input_ids, attention_mask, row, row + half) for row in range(half)] * 2


def _common(input_ids: Tensor, attention_mask: Tensor, row: int, other: int) -> int:
    """How many first tokens two rows share: one at least, and never all of either."""
    length = int(min(attention_mask[row].sum(), attention_mask[other].sum())) - 1
    differ = (input_ids[row, :length] != input_ids[other, :length]).nonzero()
    return max(1, int(differ[0]) if len(differ) else length)


def train_reward(job: Job, hooks: Hooks) -> Path:
    """Train on pairs; returns the folder of the finished adapter, in which the layer lies as well.

    Always from the base: `job.start_adapter` is not used. HoneError as for the other methods.
    """
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    model = fresh(job.model, job.tokenizer, job.recipe.seed)
    data = Dataset.from_list(
        [
            {
                "chosen_ids": [*row.prompt_ids, *row.chosen_ids],
                "rejected_ids": [*row.prompt_ids, *row.rejected_ids],
            }
            for row in job.rows
        ]
    )
    ours = replace(job, model=model, start_adapter=None)
    return run(ours, hooks, RewardTrainer, RewardConfig, data, by_length(job))


class RewardModel:
    """A finished reward model. `folder`: its adapter; `causal`: the base, whose trunk it takes over."""

    def __init__(self, causal: Any, tokenizer: Any, folder: Path) -> None:
        from peft import PeftModel

        from assistant.adapters import quick_lora

        self._model = PeftModel.from_pretrained(fresh(causal, tokenizer, 0), str(folder)).eval()
        quick_lora.install(self._model)
        self._pad = tokenizer.pad_token_id

    def score(self, asked: Sequence[Asked]) -> list[float]:
        """The reward of each answer, in nats of preference: comparable between answers to one prompt."""
        import torch

        found = [0.0] * len(asked)
        with torch.inference_mode():
            for places in _together(asked):
                rows = [[*asked[place][0], *asked[place][1]] for place in places]
                prompts = [min(len(asked[at][0]), len(row) - 1) for at, row in zip(places, rows, strict=True)]
                ids, real = padded(rows, self._model.device, self._pad)
                numbers = self._model(input_ids=ids, attention_mask=real, shared=prompts).logits[:, 0]
                for place, number in zip(places, numbers.tolist(), strict=True):
                    found[place] = number
        return found

    def margins(self, pairs: Sequence[Row]) -> list[float]:
        """r(chosen) - r(rejected) of each pair, in nats."""
        sides = [(row.prompt_ids, row.chosen_ids) for row in pairs]
        sides += [(row.prompt_ids, row.rejected_ids) for row in pairs]
        numbers = self.score(sides)
        return [chosen - rejected for chosen, rejected in zip(*_halves(numbers), strict=True)]


def _halves(numbers: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    return numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]


def _together(asked: Sequence[Asked]) -> Iterator[list[int]]:
    """Places of answers, a few at a time: those to one prompt together, prompts by their length."""
    order = sorted(range(len(asked)), key=lambda place: (len(asked[place][0]), asked[place][0]))
    for begin in range(0, len(order), BATCH):
        yield order[begin : begin + BATCH]
