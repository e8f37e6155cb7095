"""Which adapters may share a forward pass with others, by what their files say. Knows no library.

PEFT computes each row of a batch with the adapter named beside it, for plain LoRA only: DoRA, changed biases,
whole modules trained along and the like it refuses, or leaves out without a word. Versions with such adapters
answer in forward passes of their own. A soft prompt is keys and values that its texts begin with: the base
computes them.
"""

from collections.abc import Mapping
from typing import Any

HARMLESS = frozenset(
    [
        *("peft_type", "peft_version", "task_type", "base_model_name_or_path", "revision", "auto_mapping"),
        *("inference_mode", "r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out"),
        *("megatron_core", "qalora_group_size"),
    ]
)
"""Settings of LoRA with which, whatever their value, a row is computed alike alone and mixed."""
PLAIN = {"bias": "none", "init_lora_weights": True}


def hindrance(config: Mapping[str, Any]) -> str | None:
    """Why an adapter of this adapter_config.json answers in passes of its own, as the end of a sentence; None
    when it may share them. A setting that is not known here counts as a hindrance.
    """
    if config.get("peft_type") in ("PROMPT_TUNING", "PREFIX_TUNING"):  # in the cache, and the base computes
        return None
    if config.get("peft_type") != "LORA":
        return f"it is {config.get('peft_type')}, not LoRA"
    unlike = [
        key for key, value in config.items() if key not in HARMLESS and value and value != PLAIN.get(key)
    ]
    return f"it is no plain LoRA: {', '.join(sorted(unlike))}" if unlike else None
