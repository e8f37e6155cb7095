"""A model in memory, its adapters, and the one thread that may touch them. Knows no text and no sampling.

Work is done in the order asked, one piece at a time; each piece names the version it is for, and the adapter
is switched between pieces, never inside one.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from assistant import registry
from assistant.quiet import quiet
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import ModelVersionId

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

IDLE_ADAPTERS = 4
"""Adapters kept though nobody uses them: the champion, the one before it, a candidate, and one to spare."""

T = TypeVar("T")


class ServedModel:
    """The base and whichever adapters are in use, applied unmerged (merging into 4-bit weights would lose
    them).
    """

    def __init__(self, model: "PreTrainedModel", base_id: str, home: Home) -> None:
        self._model: Any = model
        self._base_id, self._home = base_id, home
        self._peft: PeftModel | None = None
        self._active: ModelVersionId | None = None
        self._loaded: dict[ModelVersionId, ModelVersion] = {}  # the least recently used first
        self._users: dict[ModelVersionId, int] = {}
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hone-model")

    @property
    def model(self) -> Any:
        """The causal language model; PEFT puts adapters into its layers. Used inside `run` only."""
        return self._model

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def load(self, version: ModelVersion) -> None:
        """Make `version` ready. Raises HoneError when its files are damaged or do not fit the base."""
        if version.adapter_dir is not None:
            registry.check_files(self._home, version)
        self._submit(lambda: self._attach(version))

    @contextmanager
    def held(self, version: ModelVersion) -> Iterator[None]:
        """Keep `version` loaded meanwhile, loading it first if need be."""
        if version.id not in self._loaded:
            self.load(version)
        self._submit(lambda: self._count(version, 1))
        try:
            yield
        finally:
            if not self.closed:
                self._submit(lambda: self._count(version, -1))

    def run(self, version: ModelVersion, work: Callable[[], T]) -> T:
        """Do `work` on the model's thread, as `version`, and wait for its result."""

        def as_version() -> T:
            with torch.inference_mode():
                self._choose(version)
                return work()

        return self._submit(as_version)

    def close(self) -> None:
        """Finish the piece of work at hand and free the memory."""
        self._closed.set()
        self._thread.shutdown(wait=True)
        self._model = self._peft = None

    def _submit(self, work: Callable[[], T]) -> T:
        try:
            return self._thread.submit(work).result()
        except RuntimeError as error:
            if not self.closed:
                raise
            raise HoneError("The model is shut down.", "", "Start Hone again.") from error

    def _count(self, version: ModelVersion, change: int) -> None:
        self._attach(version)  # another thread's load may have pushed it out in between
        self._users[version.id] = self._users.get(version.id, 0) + change
        self._loaded[version.id] = self._loaded.pop(version.id)

    def _attach(self, version: ModelVersion) -> None:
        if version.id in self._loaded:
            return
        if version.base_id != self._base_id:
            raise HoneError(
                f"The model version {version.name} cannot answer here.",
                f"It belongs to the base {version.base_id}, and {self._base_id} is loaded.",
                "Start Hone with that base.",
            )
        if version.adapter_dir is not None:
            try:
                self._attach_adapter(str(self._home.path / version.adapter_dir), version.id)
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                raise HoneError(
                    f"The adapter of {version.name} does not fit the base.",
                    (str(error) or type(error).__name__).splitlines()[0],
                    "Train it again on this base.",
                ) from error
        self._loaded[version.id] = version
        self._drop_idle()

    def _attach_adapter(self, folder: str, name: str) -> None:
        with quiet():
            from peft import PeftConfig, PeftModel

            if PeftConfig.from_pretrained(folder).is_prompt_learning:
                raise ValueError("Adapters that learn a prompt are not served by this engine.")
            self._active = None
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self._model, folder, adapter_name=name)
            else:
                self._peft.load_adapter(folder, adapter_name=name)
            self._peft.eval()

    def _drop_idle(self) -> None:
        idle = [v for v in self._loaded.values() if v.adapter_dir and not self._users.get(v.id)]
        for version in idle[:-IDLE_ADAPTERS]:
            del self._loaded[version.id]
            self._active = None
            if self._peft is not None:
                self._peft.delete_adapter(version.id)

    def _choose(self, version: ModelVersion) -> None:
        if self._active == version.id or self._peft is None:
            return
        adapters: Any = self._peft.base_model
        if version.adapter_dir is None:
            adapters.disable_adapter_layers()
        else:
            adapters.enable_adapter_layers()
            self._peft.set_adapter(version.id)
        self._active = version.id
