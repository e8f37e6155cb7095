"""What bench/serving.py compares Hone's door with, inside a process of its own: a line in, a line out.

`bare` is Hone's own engine with nothing around it; `transformers` is its eager generate() in bfloat16.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from assistant import base as bases
from assistant.base import Base, BaseChoice
from feedback.home import Home


class Bare:
    """OpenVinoEngine called directly."""

    def __init__(self, base: Base, home: Home) -> None:
        from assistant.engines.openvino_engine import OpenVinoEngine
        from tests.tiny_models import base_version

        self._engine, self._version = OpenVinoEngine(base, home), base_version(base)
        self._engine.warm_up(self._version)

    def write(self, prompts: list[str], tokens: int) -> dict[str, float]:
        from assistant.engines.interface import Request
        from feedback.conversations import Sampling

        began, first = time.perf_counter(), 0.0
        stream = self._engine.stream(Request(prompts[0], Sampling(0.0, 1.0, tokens, 0), self._version))
        while True:
            try:
                next(stream)
            except StopIteration as end:
                took = time.perf_counter() - began
                return {"seconds": took, "first_s": first, "tokens": end.value.tokens}
            first = first or time.perf_counter() - began


class Transformers:
    """generate(), eager attention and all, with the same weights in bfloat16."""

    def __init__(self, base: Base, home: Home) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._torch = torch
        self._tokenizer: Any = bases.load_tokenizer(base)
        self._tokenizer.padding_side = "left"
        self._model: Any = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.bfloat16).eval()

    def write(self, prompts: list[str], tokens: int) -> dict[str, float]:
        began = time.perf_counter()
        given = self._tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with self._torch.inference_mode():
            self._model.generate(
                **given, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens,
                pad_token_id=self._tokenizer.pad_token_id,
            )  # fmt: skip
        return {"seconds": time.perf_counter() - began, "tokens": tokens * len(prompts)}


def main() -> None:
    kind, home = sys.argv[1], Home(Path(sys.argv[2]))
    base = bases.resolve(home, BaseChoice())
    peer = Bare(base, home) if kind == "bare" else Transformers(base, home)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(peer.write(asked["prompts"], asked["tokens"])), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
