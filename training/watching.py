"""What is heard of a training at each step, which checkpoint of it is the best, and what becomes of one that
has lost its way. Knows no store.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from feedback.errors import HoneError
from training import adaptations
from training.crew import wait_for_all
from training.divergence import STEPS, TOO_FAST, climbing, no_number, slower

if TYPE_CHECKING:
    from training.trainers import Hooks, Job

METRICS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "num_tokens": "tokens",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "logps/chosen": "chosen_logprob",
    "logps/rejected": "rejected_logprob",
    "mean_token_accuracy": "token_accuracy",
    "entropy": "entropy",
    "kl": "kl",
    "margin": "margin",
    "accuracy": "accuracy",
    "mean_reward": "reward",
    "reward": "reward",
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_off",
}
"""TRL's name of a metric: ours."""

COMPLETE = "complete"
"""A checkpoint with this file in it was written to its end."""


def watch(trainer: Any, job: Job, hooks: Hooks) -> Any:
    """Tells `hooks` what happens, and ends a training whose loss is no number any more or climbs.

    A checkpoint is judged by the mean loss of the steps from it to the next, as are the weights before the
    first step. The best is spared when old ones are dropped, and is what remains of a training that lost its
    way. HoneError there where none was better than the start.
    """
    from transformers import TrainerCallback

    @dataclass
    class Watch(TrainerCallback):
        tokens_before: float = 0.0
        saved: int = 0
        losses: list[float] = field(default_factory=list)
        lost: str = ""

        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            self.saved = state.global_step
            self.losses = [float(told["loss"]) for told in state.log_history if "loss" in told]
            hooks.on_step(state.global_step, state.max_steps)

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            adaptations.after_step(rest["model"], state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            hooks.on_step(state.global_step, state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            found = {METRICS[key]: float(value) for key, value in (logs or {}).items() if key in METRICS}
            if not found:
                return
            if (why := no_number(state.global_step, found)) is not None:
                self.lose(state, control, why, len(self.losses))
                return
            if (
                "tokens" in found
            ):  # TRL counts from the start of this process; a curve needs what each step read
                found["tokens"], self.tokens_before = found["tokens"] - self.tokens_before, found["tokens"]
            hooks.on_metrics(state.global_step, found)
            # The loss of rlhf is no measure of anything: its judge watches it, and keeps its best.
            if "loss" not in found or job.recipe.method == "rlhf":
                return
            self.losses.append(found["loss"])
            if (why := climbing(self.losses)) is not None:
                self.lose(state, control, why, len(self.losses) - STEPS)
            elif control.should_save:
                self.judge(state, state.global_step)

        def judge(self, state: Any, last: int) -> None:
            """Whether the newest checkpoint, by the losses of the steps after it up to `last`, is the best.
            The trainer keeps which is with each checkpoint, and reads it when a training goes on.
            """
            after = self.losses[self.saved : last]
            if after and (state.best_metric is None or fmean(after) < state.best_metric):
                state.best_metric, state.best_global_step = fmean(after), self.saved

        def lose(self, state: Any, control: Any, why: str, last: int) -> None:
            """Stop, with the best checkpoint; nothing later stays, from which the run might go on."""
            self.judge(state, last)
            best = state.best_global_step or 0
            if job.crew.rank == 0:
                drop_after(Path(trainer.args.output_dir), best)
            # Weights in parts come back with their optimiser's state only, as a run that goes on begins.
            if not best or job.crew.sharded:
                raise HoneError(why, TOO_FAST, slower(job.recipe))
            self.lost = why
            control.should_training_stop, control.should_save = True, False

        def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            wait_for_all(job.crew)  # each process has its own part of a checkpoint
            if args.process_index == 0:
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
            self.saved = state.global_step

        def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if not self.lost or job.crew.rank:  # the first alone writes what was trained
                return
            best = state.best_global_step
            trainer._load_from_checkpoint(str(Path(args.output_dir) / f"checkpoint-{best}"))
            hooks.on_warning(
                f"{self.lost} Training was stopped, and the weights of step {best}, the best by their loss,"
                f" are kept. {slower(job.recipe)}"
            )

    return Watch()


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints that were written after that step."""
    for checkpoint in folder.glob("checkpoint-*"):
        if int(checkpoint.name.rpartition("-")[2]) > step:
            shutil.rmtree(checkpoint)
