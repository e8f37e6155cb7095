"""How a policy answers prompts while it is trained: by the graph that serves where OpenVINO can run it, which
on a CPU is faster (bench/rollouts.py), else by the model itself.

Both draw from the policy as it is now, or as it was at the start. Knows rows of token ids; no reward.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from assistant.adapters.families import FAMILIES
from assistant.base import Base
from assistant.engines.choose import openvino_hindrance
from feedback.conversations import Sampling
from training.crew import collected, of_all
from training.memory import heap
from training.padding import padded
from training.recipes import Recipe
from training.trainers import Job, save_adapter

ROWS = 32
"""Answers written side by side by the model itself."""

Ids = tuple[int, ...]


class Writer(Protocol):
    """Answers `prompts` by `model`, each with its end token where it came to its end. The same seed draws the
    same answers from the same policy. `at_start`: by the policy as the run began with it.

    All processes of a crew ask for the same, and each is given all answers: those that one would write.
    """

    def __call__(
        self, model: Any, prompts: Sequence[Ids], seed: int, at_start: bool = False
    ) -> list[Ids]: ...


def hindrance(base: Base, recipe: Recipe) -> str | None:
    """Why OpenVINO cannot write the answers of this policy, as the end of a sentence; None when it can."""
    if not FAMILIES[recipe.adapt].merges:
        return f"{recipe.adapt} cannot be merged into weights"
    return openvino_hindrance(base)


def writer(job: Job, base: Base, end_id: int) -> Writer:
    """The fastest there is."""
    return by_model(job, end_id) if hindrance(base, job.recipe) else by_openvino(job, base, end_id)


def by_openvino(job: Job, base: Base, end_id: int) -> Writer:
    """The adapter is merged anew for each call. Of a crew the first process writes for all: the graph takes
    every core.
    """
    from assistant.engines.openvino_policy import Policy

    folder = job.folder / "policy"
    policy = Policy(base, folder)

    def write(model: Any, prompts: Sequence[Ids], seed: int, at_start: bool = False) -> list[Ids]:
        return of_all(job.crew, written(model, prompts, seed, at_start) if job.crew.rank == 0 else [])[0]

    def written(model: Any, prompts: Sequence[Ids], seed: int, at_start: bool) -> list[Ids]:
        adapter = job.start_adapter if at_start else save_adapter(model, folder / "adapter")
        sampling = Sampling(job.recipe.temperature, 1.0, job.recipe.answer_tokens, seed)
        try:
            return policy.answers(adapter, prompts, sampling, end_id)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            heap.give_back()  # of the graph, which the trainer's tensors would not fit

    return write


def by_model(job: Job, end_id: int) -> Writer:
    """Through transformers' generate; each process of a crew writes its part."""

    def write(model: Any, prompts: Sequence[Ids], seed: int, at_start: bool = False) -> list[Ids]:
        if at_start:
            with started_from(model):
                return write(model, prompts, seed)
        parts = [prompts[begin : begin + ROWS] for begin in range(0, len(prompts), ROWS)]
        own = [generated(model, part, seed + place) for place, part in job.crew.part(list(enumerate(parts)))]
        return [answer for part in collected(job.crew, own) for answer in part]

    def generated(model: Any, prompts: Sequence[Ids], seed: int) -> list[Ids]:
        import torch

        pad = job.tokenizer.pad_token_id
        ids, real = padded(prompts, model.device, pad, left=True)
        was = model.training
        model.eval()
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(seed)
            said = model.generate(
                input_ids=ids, attention_mask=real, do_sample=True,
                temperature=job.recipe.temperature, top_k=0, top_p=1.0, pad_token_id=pad, eos_token_id=end_id,
                max_new_tokens=job.recipe.answer_tokens,
            )  # fmt: skip
        model.train(was)
        answers = said[:, ids.shape[1] :].tolist()
        return [tuple(one[: one.index(end_id) + 1] if end_id in one else one) for one in answers]

    return write


def started_from(model: Any) -> AbstractContextManager[None]:
    """The policy as it was at the start, while the block runs: the base, or the champion's adapter."""
    from trl.trainer.utils import use_adapter

    found: AbstractContextManager[None] = use_adapter(model, "ref" if "ref" in model.peft_config else None)
    return found
