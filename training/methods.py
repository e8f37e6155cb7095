"""The methods of training: what each reads and what it makes. Plain data; knows no trainer."""

from dataclasses import dataclass
from typing import Literal

Reads = Literal["pairs", "answers", "thumbs", "prompts", "text", "labels"]
Makes = Literal["version", "head", "classifier"]
BESIDE = ("lora", "rslora", "dora", "ia3")
"""What a reward model's layer can lie beside, and RLHF can switch off to see where it began."""


@dataclass(frozen=True)
class Method:
    """One way to train.

    `reads`, of a snapshot: pairs; answers (the chosen ones and demonstrations); thumbs; prompts alone, which
    the model answers itself. A dataset may stand in its place that holds what the method reads; text and
    labels come of datasets alone. `makes`: a model version that may answer people, a head that judges, or a
    classifier. `shows`: the metrics that are told of each step, in a terminal and as curves. `adapts`: what
    of the model it can train; empty: any family of changes.
    """

    name: str
    title: str
    preset: str
    reads: Reads
    makes: Makes
    shows: tuple[str, ...]
    adapts: tuple[str, ...] = ()


METHODS = {
    method.name: method
    for method in (
        Method(
            "dpo", "Preference training on pairs of answers (DPO).", "dpo", "pairs", "version",
            ("loss", "margin", "accuracy", "chosen_reward"),
        ),
        Method(
            "sft", "Imitation of answers: chosen ones and demonstrations, or a dataset's (SFT).", "sft",
            "answers", "version", ("loss", "token_accuracy"),
        ),
        Method(
            "clm", "Continued pretraining on plain text: the causal LM objective.", "clm", "text", "version",
            ("loss", "token_accuracy"),
        ),
        Method(
            "kto", "Training on thumbs alone: answers liked or not, none compared (KTO).", "kto", "thumbs",
            "version", ("loss", "margin", "kl"),
        ),
        Method(
            "reward", "A reward model: a number for each answer, learnt from pairs.", "reward", "pairs",
            "head", ("loss", "margin", "accuracy"), BESIDE,
        ),
        Method(
            "rlhf", "Online RL on a reward: the model answers, is scored, and learns (RLOO or GRPO).", "rlhf",
            "prompts", "version", ("reward", "kl", "answer_tokens", "judge"), BESIDE,
        ),
        Method(
            "classify", "A classifier: a linear head on the last token's state, learnt from labelled texts.",
            "classify", "labels", "classifier", ("loss", "calibration_loss", "calibration_accuracy"),
            ("lora", "frozen", "full"),
        ),
    )
}  # fmt: skip
