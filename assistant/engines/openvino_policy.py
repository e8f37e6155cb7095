"""Answers of a policy that changes from call to call, as reinforcement learning draws them: from token ids to
token ids, by the graph that serves. No thread, no version and no store.

They come from weights in 8 bits, as what is served does; who trains on them counts their probabilities anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import openvino as ov

from assistant.base import Base
from assistant.engines import openvino_graph
from assistant.engines.openvino_lane import open_lane
from assistant.engines.sampling import Sampler
from assistant.engines.sequences import Drawing
from feedback.conversations import Sampling
from feedback.errors import HoneError


class Policy:
    """`scratch`: a folder that holds the merged weights of one call, about a byte a parameter."""

    def __init__(self, base: Base, scratch: Path) -> None:
        shape = openvino_graph.read_shape(base.folder)
        if isinstance(shape, str):
            raise HoneError(f"OpenVINO cannot run {base.title}.", f"In Hone {shape}.")
        self._base, self._shape = base, shape
        self._kept = scratch / "policy.safetensors"
        self._core = ov.Core()

    def answers(
        self, adapter: Path | None, prompts: Sequence[Sequence[int]], sampling: Sampling, end_id: int
    ) -> list[tuple[int, ...]]:
        """An answer to each prompt, with its end token where it came to an end.

        `adapter`: the folder of the policy's; None: the base itself. `sampling.seed`: the first answer's, the
        next one's is one more. Raises what the engine raises.
        """
        self._kept.unlink(missing_ok=True)  # it would be the last call's policy
        lane = open_lane(self._core, self._base, self._shape, adapter, self._kept)
        first = sampling.seed or 0
        drawings = [
            Drawing(prompt, Sampler(replace(sampling, seed=first + place)), sampling.max_tokens, end_id)
            for place, prompt in enumerate(prompts)
        ]
        for drawing in drawings:
            lane.add(drawing)
        while lane.busy:
            lane.step()
        for drawing in drawings:
            if drawing.error is not None:
                raise drawing.error
        return [tuple(drawing.answer) for drawing in drawings]
