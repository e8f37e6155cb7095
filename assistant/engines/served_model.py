"""A model in memory, its adapters, and the one thread that may touch them. Knows no text and no sampling.

Work is done in the order asked, one piece at a time. Each forward pass names the versions it is for: one for
all rows, or one a row, where PEFT's mixed batches can carry that.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from assistant import few_bits, registry
from assistant.adapters import attaching, stored
from assistant.adapters.attaching import Attached, Prefix
from assistant.adapters.stored import Stored
from assistant.engines import kv_rows, mixing
from assistant.engines.decode import Forward
from assistant.quiet import quiet
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import ModelVersionId

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

BASE = "__base__"
"""PEFT's name for a row without an adapter."""
IDLE_ADAPTERS = 4
"""Adapters kept though nobody uses them: the champion, the one before it, a candidate, and one to spare."""

T = TypeVar("T")


class ServedModel:
    """The base and whichever adapters are in use, applied unmerged (merging into 4-bit weights would lose
    them): LoRA by PEFT, other families for the length of a pass (`assistant/adapters/attaching.py`).
    """

    def __init__(self, model: "PreTrainedModel", base_id: str, home: Home) -> None:
        few_bits.let_pack(model)
        self._model: Any = model
        self._base_id, self._home = base_id, home
        self._peft: PeftModel | None = None
        self._active: str | None = None
        self._mixing: set[str] = {BASE}
        self._attached: dict[str, Attached] = {}
        self._prefixes: dict[str, Prefix] = {}
        self._lora_layers: list[nn.Module] = []
        self._loaded: dict[ModelVersionId, ModelVersion] = {}  # the least recently used first
        self._users: dict[ModelVersionId, int] = {}
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hone-model")

    @property
    def model(self) -> Any:
        """The causal language model; PEFT puts adapters into its layers. Used on the model's thread only."""
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
            with suppress(HoneError):  # closed meanwhile
                self.start(lambda: self._count(version, -1))

    def run(self, version: ModelVersion, work: Callable[[Forward], T]) -> T:
        """Do `work` on the model's thread, with the model as `version`, and wait for its result."""

        def as_version() -> T:
            with torch.inference_mode():
                return work(self.forward([version]))

        return self._submit(as_version)

    def start(self, work: Callable[[], object]) -> None:
        """Have `work` done on the model's thread, after all that was asked before. HoneError when closed."""
        self._ask(work)

    def forward(self, versions: Sequence[ModelVersion]) -> Forward:
        """The model for a batch whose rows are for these versions (one: all rows are), which must be held.
        Only on the model's thread, and only until the next call.
        """
        return self._as([_name(version) for version in versions])

    def mixes(self, version: ModelVersion) -> bool:
        """Whether its rows may stand beside those of other versions that do."""
        return _name(version) in self._mixing

    def prefix(self, version: ModelVersion) -> Prefix | None:
        """What the texts of this version, which must be held, begin with: its soft prompt, if it has one."""
        return self._prefixes.get(_name(version))

    def virtual_tokens(self, version: ModelVersion) -> int:
        """Places in the window that the soft prompt of `version` takes."""
        folder = registry.folder(self._home, version)
        return 0 if folder is None else _known(version, folder).virtual_tokens

    def close(self) -> None:
        """Finish the piece of work at hand and free the memory."""
        self._closed.set()
        self._thread.shutdown(wait=True)
        self._model = self._peft = None

    def _submit(self, work: Callable[[], T]) -> T:
        return self._ask(work).result()

    def _ask(self, work: Callable[[], T]) -> Future[T]:
        try:
            return self._thread.submit(work)
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
        if (folder := registry.folder(self._home, version)) is not None:
            try:
                self._attach_kind(folder, version.id)
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                raise HoneError(
                    f"The adapter of {version.name} does not fit the base.",
                    (str(error) or type(error).__name__).splitlines()[0],
                    "Train it again on this base.",
                ) from error
        self._loaded[version.id] = version
        self._drop_idle()

    def _attach_kind(self, folder: Path, name: str) -> None:
        """LoRA is PEFT's; whatever else there is, ours."""
        kept = stored.read(folder).kept_as
        if kept == "lora":
            self._attach_adapter(str(folder), name)
        elif kept in ("prompt", "prefix"):
            self._prefixes[name] = self._read_prefix(folder)
            self._mixing.add(name)
        else:
            self._attached[name] = attaching.attach(self._model, folder)

    def _read_prefix(self, folder: Path) -> Prefix:
        cache = kv_rows.new_cache(self._model.config)
        if not all(isinstance(layer, kv_rows.RoomyLayer) for layer in cache.layers):
            raise ValueError("A soft prompt needs layers that see the whole text, and this model has others.")
        self._choose(BASE)
        with torch.inference_mode():
            return attaching.prefix(self._model, folder, cache)

    def _attach_adapter(self, folder: str, name: str) -> None:
        if json.loads(Path(folder, "adapter_config.json").read_text("utf-8")).get("use_dora"):
            few_bits.keep_layout(self._model)
        with quiet():
            from peft import PeftModel
            from peft.tuners.lora import LoraLayer

            from assistant.adapters import quick_lora

            self._active = None
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self._model, folder, adapter_name=name)
            else:
                self._peft.load_adapter(folder, adapter_name=name)
            self._peft.eval()
            quick_lora.install(self._peft)
            self._lora_layers = [one for one in self._peft.modules() if isinstance(one, LoraLayer)]
        if self._sees_mixing(folder, name):
            self._mixing.add(name)

    def _sees_mixing(self, folder: str, name: str) -> bool:
        """Whether base and adapter side by side compute what each does alone. Its kind must allow it, and it
        is tried: not every architecture keeps the rows of a batch apart inside its layers.
        """
        if mixing.hindrance(json.loads(Path(folder, "adapter_config.json").read_text("utf-8"))):
            return False
        ids = torch.arange(1, 9, device=next(self._model.parameters()).device).repeat(2, 1)
        read = partial(self._logits, ids)
        try:
            base, alone, mixed = read([BASE]), read([name]), read([BASE, name])
        except Exception as error:  # noqa: BLE001 - whatever it is, each alone still computes
            log.info("Adapters are not mixed in one batch: %s", error)
            return False
        # Rounding is less than half of what the adapter changes, or nothing is lost by not mixing.
        bound = (alone - base).norm() / 2
        return bool((mixed[0] - base[0]).norm() <= bound and (mixed[1] - alone[1]).norm() <= bound)

    def _logits(self, ids: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = self._as(names)(input_ids=ids, use_cache=False).logits.float()
        return found

    def _drop_idle(self) -> None:
        idle = [v for v in self._loaded.values() if v.adapter_dir and not self._users.get(v.id)]
        for version in idle[:-IDLE_ADAPTERS]:
            del self._loaded[version.id]
            self._mixing.discard(version.id)
            ours = [self._attached.pop(version.id, None), self._prefixes.pop(version.id, None)]
            if ours == [None, None] and self._peft is not None:
                self._active = None
                self._peft.delete_adapter(version.id)

    def _as(self, names: Sequence[str]) -> Forward:
        # A soft prompt is in the cache: its rows are the base's.
        names = [BASE if name in self._prefixes else name for name in names]
        if names[0] in self._attached:
            self._choose(BASE)
            return partial(self._changed, self._attached[names[0]])
        if len(set(names)) == 1:
            self._choose(names[0])
            model: Forward = self._model
            return model
        if self._active not in names or self._active == BASE:  # PEFT ignores names while adapters are off
            self._choose(next(name for name in names if name != BASE))
        return partial(self._mixed, list(names))

    def _mixed(self, names: list[str], **inputs: Any) -> Any:
        """One forward pass whose rows are for these adapters. Each LoRA layer is told them as PEFT's own
        `adapter_names` argument would do; that one leaves its hooks behind when a pass fails, tells them to
        layers of adapters of another kind as well, and does nothing on an MPT.
        """

        def tell(_: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**given, "adapter_names": names}

        told = [layer.register_forward_pre_hook(tell, with_kwargs=True) for layer in self._lora_layers]
        try:
            return self._model(**inputs)
        finally:
            for one in told:
                one.remove()

    def _changed(self, version: Attached, **inputs: Any) -> Any:
        with version.on(self._model):
            return self._model(**inputs)

    def _choose(self, name: str) -> None:
        if self._active == name or self._peft is None:
            return
        adapters: Any = self._peft.base_model
        if name == BASE:
            adapters.disable_adapter_layers()
        else:
            adapters.enable_adapter_layers()
            self._peft.set_adapter(name)
        self._active = name


def _known(version: ModelVersion, folder: Path) -> Stored:
    try:
        return stored.read(folder)
    except (OSError, ValueError) as error:
        raise HoneError(f"The files of {version.name} cannot be read.", f"{error}") from error


def _name(version: ModelVersion) -> str:
    return BASE if version.adapter_dir is None else version.id
