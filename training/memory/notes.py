"""The notes' figures reproduced: why GPT-2 small trains in 3 to 4 GB at batch 1 and GPT-2 large not in 22.
Pure.
"""

from dataclasses import dataclass

from training.memory.formulas import Estimate, estimate
from training.memory.plan import Adapt, Precision, make
from training.memory.shape import GPT2, of_config


@dataclass(frozen=True)
class Case:
    """One line of the table; batch 1, AdamW."""

    model: str
    adapt: Adapt
    precision: Precision
    length: int
    device: str
    estimate: Estimate


HOW: tuple[tuple[Adapt, Precision, tuple[int, ...]], ...] = (
    ("full", "fp32", (128, 512, 1024)),
    ("lora", "bf16", (1024,)),
    ("qlora", "bf16", (1024,)),
)


def cases() -> list[Case]:
    """Both models, three adaptations, with attention that keeps its probabilities (cpu) and without
    (cuda)."""
    return [
        Case(name, adapt, precision, length, device, estimate(of_config(name, GPT2[name]), plan))
        for name in ("gpt2", "gpt2-large")
        for adapt, precision, lengths in HOW
        for length in lengths
        for device in ("cpu", "cuda")
        for plan in [make("sft", 1, length, 0, adapt=adapt, precision=precision, device=device, holes=0.0)]
    ]


def told() -> str:
    """The table in Markdown, and what it means."""
    head = (
        "| model | trained | length | on | weights | gradients | optimiser | activations | logits | peak GB |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for case in cases():
        parts = [case.estimate.part(name).most_bytes / 1e9 for name in
                 ("weights", "gradients", "optimiser", "activations", "logits")]  # fmt: skip
        figures = " | ".join(f"{size:.2f}" for size in parts)
        lines.append(
            f"| {case.model} | {case.adapt}, {case.precision} | {case.length} | {case.device} | {figures} "
            f"| **{case.estimate.peak_bytes / 1e9:.2f}** |"
        )
    return "\n".join([*lines, "", *explained()])


def explained() -> list[str]:
    """Where the notes' figures come from, with the numbers of the table."""
    peak = {(c.model, c.adapt, c.length, c.device): c.estimate.peak_bytes / 1e9 for c in cases()}
    small, large = (of_config(name, GPT2[name]).parameters / 1e6 for name in ("gpt2", "gpt2-large"))
    return [
        "Batch 1, AdamW. `cpu`: attention keeps its probabilities, which torch's fused kernel cannot spare a "
        "CPU while dropout is on, and which older code kept everywhere; `cuda`: a fused kernel. Parts are at "
        "their most, and never all at once; the peak holds the libraries too, but no holes in a heap.",
        "",
        f"- **GPT-2 small, full: 3 to 4 GB.** {small:.0f} M numbers at 16 bytes (weight, gradient, two "
        f"moments, in fp32) are {small * 16 / 1e3:.2f} GB at any length. With 512 tokens the peak is "
        f"{peak['gpt2', 'full', 512, 'cpu']:.1f} GB, with 1024 and fused attention "
        f"{peak['gpt2', 'full', 1024, 'cuda']:.1f} GB; 1024 with kept probabilities take "
        f"{peak['gpt2', 'full', 1024, 'cpu']:.1f} GB.",
        f"- **GPT-2 large, full: more than 22 to 24 GB.** {large:.0f} M numbers at 16 bytes are "
        f"{large * 16 / 1e3:.1f} GB, so that it is the length that decides: "
        f"{peak['gpt2-large', 'full', 128, 'cpu']:.1f} GB at 128 tokens, "
        f"{peak['gpt2-large', 'full', 1024, 'cpu']:.1f} GB at 1024 with kept probabilities, and "
        f"{peak['gpt2-large', 'full', 1024, 'cuda']:.1f} GB with fused attention. The notes' figure holds "
        "for AdamW in fp32 at the model's whole window of 1024, without checkpointing and with kept "
        "probabilities.",
        "- **QLoRA** freezes the weights in 4 bits and trains a LoRA of rank 16: "
        f"{peak['gpt2', 'qlora', 1024, 'cuda']:.1f} GB and {peak['gpt2-large', 'qlora', 1024, 'cuda']:.1f} "
        "GB at 1024 tokens with fused attention; gradients and moments all but vanish, activations stay.",
    ]
