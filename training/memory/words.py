"""What parts and moments of a run's memory are called, in a terminal and on the page."""

PARTS = {
    "weights": "weights",
    "reward": "reward model",
    "gradients": "gradients",
    "optimiser": "optimiser's states",
    "activations": "activations",
    "logits": "logits",
    "graph": "OpenVINO's graph",
    "cache": "keys and values",
    "states": "texts' states",
    "working": "short-lived",
    "holes": "holes in the heap",
    "libraries": "libraries",
}
ALWAYS = ("libraries", "weights", "reward", "optimiser")
"""Parts that are there at every moment."""

MOMENTS = {
    "turn": "between forward and backward pass",
    "backward": "at the end of the backward pass",
    "step": "in the optimiser's step",
    "loading": "while the base is quantised",
    "merging": "while the policy is merged for OpenVINO",
    "writing": "while replies are written",
    "reading": "while the texts are read",
    "fitting": "while the head is fitted",
}


def gb(size_bytes: float) -> str:
    """`3.42 GB`."""
    return f"{size_bytes / 1e9:.2f} GB"
