"""The families of changes that a run may make to a base, as data: the one place that says what each can do.

Knows no library. `kept_as` is what a version's folder holds (`stored.py`), which need not be what trained: an
AdaLoRA is kept as the LoRA that it came to, a P-tuning as the soft prompt that its encoder came to say.
"""

from dataclasses import dataclass
from typing import Literal

Kept = Literal["lora", "ia3", "weights", "bottleneck", "prompt", "prefix"]


@dataclass(frozen=True)
class Family:
    """One way to adapt a model.

    `rate`: how much higher than LoRA's its learning rate should be. `quantised`: bitsandbytes' number types
    of a base that it trains on, as PEFT's layers can (its DoRA and AdaLoRA fail on int8, its IA3
    on both). `paper`: where it is from.
    """

    name: str
    kind: Literal["reparameterised", "additive", "selective", "soft prompt", "full"]
    says: str
    kept_as: Kept
    rate: float
    quantised: tuple[str, ...]
    paper: str

    @property
    def merges(self) -> bool:
        """Whether a version can become plain weights of the base's own shape."""
        return self.kept_as in MERGED


MERGED: frozenset[Kept] = frozenset(("lora", "ia3", "weights"))
"""What can be merged into plain weights. A bottleneck has a nonlinearity, and a soft prompt is no weight."""

WHY_NOT_MERGED: dict[Kept, str] = {
    "bottleneck": "a bottleneck adapter has a nonlinearity between its two matrices",
    "prompt": "a soft prompt is read like text, and is no weight",
    "prefix": "a learnt prefix is keys and values, and is no weight",
}

BOTH = ("nf4", "int8")

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "lora", "reparameterised", "a product of two narrow matrices added to each linear layer",
            "lora", 1.0, BOTH, "https://arxiv.org/abs/2106.09685",
        ),
        Family(
            "rslora", "reparameterised", "LoRA scaled by the root of its rank",
            "lora", 1.0, BOTH, "https://arxiv.org/abs/2312.03732",
        ),
        Family(
            "dora", "reparameterised", "LoRA for the direction of each row, a learnt number for its length",
            "lora", 1.0, ("nf4",), "https://arxiv.org/abs/2402.09353",
        ),
        Family(
            "adalora", "reparameterised", "LoRA whose rank goes to the layers where it matters",
            "lora", 15.0, ("nf4",), "https://arxiv.org/abs/2303.10512",
        ),
        Family(
            "ia3", "additive", "learnt factors for keys, values and the inner activations",
            "ia3", 50.0, (), "https://arxiv.org/abs/2205.05638",
        ),
        Family(
            "bottleneck", "additive", "a small network after each sub-layer",
            "bottleneck", 3.0, (), "https://arxiv.org/abs/1902.00751",
        ),
        Family(
            "bias", "selective", "the biases alone, added at zero where the base has none",
            "weights", 10.0, (), "https://arxiv.org/abs/2106.10199",
        ),
        Family(
            "layer-norm", "selective", "the layer norms alone",
            "weights", 10.0, (), "https://arxiv.org/abs/2312.11420",
        ),
        Family(
            "layers", "selective", "the layers named, and nothing else",
            "weights", 1.0, (), "https://arxiv.org/abs/1911.03090",
        ),
        Family(
            "prompt", "soft prompt", "learnt embeddings before the text",
            "prompt", 100.0, BOTH, "https://arxiv.org/abs/2104.08691",
        ),
        Family(
            "p-tuning", "soft prompt", "learnt embeddings before the text, from an encoder while it trains",
            "prompt", 10.0, BOTH, "https://arxiv.org/abs/2103.10385",
        ),
        Family(
            "prefix", "soft prompt", "learnt keys and values before the text, in each layer",
            "prefix", 100.0, BOTH, "https://arxiv.org/abs/2101.00190",
        ),
        Family("full", "full", "every weight", "weights", 0.1, (), "https://arxiv.org/abs/1801.06146"),
    )
}  # fmt: skip
