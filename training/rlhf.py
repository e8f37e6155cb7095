"""RLHF: the policy answers prompts, a reward scores its answers, and what scores above the other answers
to the same prompt becomes likelier (RLOO: Ahmadian et al., 2024; GRPO: Shao et al., 2024), through TRL.

Both do without a value model: the other answers are the baseline. Knows rows, a reward and the judge's
pairs; no store.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feedback.statistics import Interval, bootstrap_mean
from training.answering import Writer, started_from
from training.crew import collected, of_all
from training.data import Row
from training.judge import Judgement, best, hacked
from training.memory import heap
from training.padding import labelled
from training.trainers import Hooks, Job, run, save_adapter

Reward = Callable[[Sequence[tuple[tuple[int, ...], tuple[int, ...]]]], list[float]]
"""(prompt, answer) in token ids -> a number each; more is better."""
UNSEEN, UNSEEN_ANSWERS = 48, 4
"""Held-out prompts that the finished policy is compared with its start on, at most, and answers to each."""
SEEDS_A_STEP = 2**16
TO_DO = "Raise beta, lower learning_rate, or train the reward model on more votes."
"""When the reward is being hacked."""


@dataclass(frozen=True)
class Told:
    """What a run of RLHF is told beside its job.

    `judge`: pairs for `training.judge`. `unseen`: held-out prompts in token ids, only measured on. `end_id`
    ends an answer.
    """

    reward: Reward
    write: Writer
    judge: Sequence[Row]
    unseen: Sequence[tuple[int, ...]]
    end_id: int
    say: Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """The folder of the adapter, the steps taken, and by how much the reward of answers to unseen prompts
    rose over the start's (95 % bootstrap interval over prompts); None without unseen prompts, and in all
    processes of a crew but the first.
    """

    folder: Path
    steps: int
    gain: Interval | None


def train_rlhf(job: Job, hooks: Hooks, told: Told) -> Finished:
    """Train online until the recipe's steps are done, or the judge says that the reward is being hacked: then
    the adapter is the one that the judge found best. Each process of a crew scores and learns from its part
    of every step's answers, and reads its part of the judge's pairs.
    """
    from datasets import Dataset

    job.model.generation_config.eos_token_id = told.end_id
    keys = [str(place) for place in range(len(job.rows))]
    trainer_class, config_class = _classes(job, told)
    watch = _watch(job, hooks, told)
    folder = run(job, hooks, trainer_class, config_class, Dataset.from_dict({"prompt": keys}), None, [watch])
    if watch.hacked:
        if job.crew.rank == 0:
            shutil.rmtree(folder)
            shutil.copytree(watch.best_folder, folder)
        watch.trained.load_adapter(str(watch.best_folder), "default")
    return Finished(folder, watch.steps, _gain(watch.trained, job, told))


def _classes(job: Job, told: Told) -> tuple[Any, Any]:
    """TRL's trainer and config; its prompts are those of the job's rows, by number, its reward is ours."""
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    trainer, config = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}[
        job.recipe.algorithm
    ]
    return _on_our_tokens(trainer, job, told), config


def _on_our_tokens(trainer_class: Any, job: Job, told: Told) -> Any:
    class OnOurTokens(trainer_class):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, reward_funcs=_scored(job, told), **named)

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(job.rows[int(key)].prompt_ids) for key in prompts], None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any) -> Any:
            seed = job.recipe.seed + SEEDS_A_STEP * (1 + self.state.global_step)
            asked = of_all(job.crew, [tuple(ids) for ids in prompt_ids])
            before = sum(map(len, asked[: job.crew.rank]))
            written = told.write(self.model, [prompt for part in asked for prompt in part], seed)
            answers = [list(answer) for answer in written[before : before + len(prompt_ids)]]
            # GRPO also asks what who wrote them says of their probability, which the trainer counts itself.
            return answers if job.recipe.algorithm == "rloo" else (answers, None)

    return OnOurTokens


def _scored(job: Job, told: Told) -> Callable[..., list[float]]:
    """The reward as TRL calls it, less the penalty for an answer that did not come to its end, or is empty.

    Stiennon et al. (2020) gave the former a fixed low score: a beginning does not tell how it goes on. The
    latter a reward model has not seen, and whoever likes short answers seems to like it best.
    """

    def no_answer(ids: Sequence[int]) -> bool:
        return told.end_id not in ids or not job.tokenizer.decode(ids, skip_special_tokens=True).strip()

    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        asked = [job.rows[int(key)].prompt_ids for key in prompts]
        scores = told.reward([(p, tuple(ids)) for p, ids in zip(asked, completion_ids, strict=True)])
        heap.give_back()  # training is to begin with a heap that reading and scoring have left no gaps in
        penalty = job.recipe.cut_off_penalty
        return [score - penalty * no_answer(ids) for score, ids in zip(scores, completion_ids, strict=True)]

    return reward


def _watch(job: Job, hooks: Hooks, told: Told) -> Any:
    from transformers import TrainerCallback

    @dataclass
    class Watch(TrainerCallback):
        """Asks the judge every few steps, keeps the best policy so far, and stops when it is hacked. Gives
        the heap back after each batch: what comes next, writing or another batch, fits none of its gaps.
        """

        best_folder: Path = job.folder / "best"
        hacked: bool = False
        trained: Any = None
        steps: int = 0
        history: list[Judgement] = field(default_factory=list)
        rewards: list[float] = field(default_factory=list)
        start: list[float] = field(default_factory=list)
        first: tuple[int, tuple[float, ...]] = (0, ())

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            with started_from(model):
                self.start = self.margins(model)
            resumed = state.global_step > 0  # what was best before is not known any more
            self.first = state.global_step, self.gains(model) if resumed else (0.0,) * len(self.start)
            self.keep(model)

        def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.trained, self.steps = model, state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "reward" in (logs or {}):
                self.rewards.append(float(logs["reward"]))

        def gains(self, model: Any) -> tuple[float, ...]:
            """By how many nats each judged pair's margin has grown since the start."""
            return tuple(now - then for now, then in zip(self.margins(model), self.start, strict=True))

        def margins(self, model: Any) -> list[float]:
            return collected(job.crew, margins(model, job.crew.part(told.judge)))

        def keep(self, model: Any) -> None:
            if job.crew.rank == 0:
                save_adapter(model, self.best_folder)

        def on_substep_end(self, *_: Any, **__: Any) -> None:
            heap.give_back()

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            heap.give_back()
            if state.global_step % job.recipe.judge_every or not told.judge:
                return
            seen = self.rewards or [0.0]
            if not self.history:  # the first answers are those of the policy as it began
                self.history.append(Judgement(*self.first, seen[0]))
            self.history.append(Judgement(state.global_step, self.gains(model), sum(seen) / len(seen)))
            self.rewards = []
            hooks.on_metrics(state.global_step, {"judge": self.history[-1].mean})
            if best(self.history) is self.history[-1]:
                self.keep(model)
            if (why := hacked(self.history)) is not None:
                hooks.on_warning(f"{why} The run was stopped, and that policy is kept. {TO_DO}")
                self.hacked = control.should_training_stop = True

    return Watch()


def margins(model: Any, pairs: Sequence[Row]) -> list[float]:
    """log p(chosen) - log p(rejected) of each pair, in nats."""
    import torch

    was, found = model.training, list[float]()
    model.eval()
    with torch.inference_mode():
        for row in pairs:
            both = [(row.prompt_ids, answer) for answer in (row.chosen_ids, row.rejected_ids)]
            ids, real, labels = labelled(both, model.device)
            said = model(input_ids=ids, attention_mask=real, labels=labels, fused_lm_head=True).log_probs
            chosen, rejected = said.sum(-1).tolist()
            found.append(chosen - rejected)
    model.train(was)
    return found


def _gain(model: Any, job: Job, told: Told) -> Interval | None:
    """What the training is for, on prompts that it never saw: the same dice for both policies."""
    prompts = list(told.unseen)[:UNSEEN]
    if not prompts:
        return None
    told.say(f"The policy and its start answer {len(prompts)} held-out prompts, {UNSEEN_ANSWERS} times each.")
    asked = [prompt for prompt in prompts for _ in range(UNSEEN_ANSWERS)]
    written = [told.write(model, asked, job.recipe.seed, start) for start in (True, False)]
    if job.crew.rank:
        return None
    then, now = (_means(told.reward(list(zip(asked, answers, strict=True)))) for answers in written)
    return bootstrap_mean([after - before for after, before in zip(now, then, strict=True)])


def _means(rewards: Sequence[float]) -> list[float]:
    """Of the answers to each prompt."""
    groups = (rewards[begin : begin + UNSEEN_ANSWERS] for begin in range(0, len(rewards), UNSEEN_ANSWERS))
    return [sum(group) / len(group) for group in groups]
