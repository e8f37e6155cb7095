"""The base model: which weights, on which device, in which precision, and why. Knows no adapter and no chat.

`resolve` decides and says so; `load_model` and `load_tokenizer` open what it chose.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from assistant import device, embedded, plain_tokenizer, weights
from assistant.quiet import quiet
from feedback.errors import HoneError
from feedback.home import Home
from prompts.chat import DEFAULT_TEMPLATE, ChatTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Quantize = Literal["auto", "nf4", "int8", "none"]
EngineName = Literal["auto", "openvino", "transformers", "remote"]

BYTES_A_PARAMETER = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "nf4": 0.6}
WORKING_BYTES = 400_000_000
"""What a loaded model needs beside its weights before the first token: library code, one chat's cache,
logits.
"""

WINDOW_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len")
WINDOW_WHEN_UNSAID = 1024

HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "merges.txt"]


@dataclass(frozen=True)
class BaseChoice:
    """What a person asked for. `model` is `embedded`, a folder, or a Hub id such as `org/name`; `remotes` are
    the addresses of servers that compute instead of this machine.
    """

    model: str = "embedded"
    quantize: Quantize = "auto"
    engine: EngineName = "auto"
    remotes: tuple[str, ...] = ()

    @property
    def weights(self) -> dict[str, str]:
        """Which numbers the base has, under a recipe's names: a run stands on them."""
        return {"model": self.model, "quantize": self.quantize}


@dataclass(frozen=True)
class Base:
    """What was chosen. `id` names the weights and their quantisation: an adapter fits one id only.

    `dtype` is torch's name for it (`bfloat16`), `quantization` what is applied while loading (`none`, `nf4`,
    `int8`), `device` `cpu` or `cuda`, and `why` the reasons for people.
    """

    id: str
    title: str
    folder: Path
    dtype: str
    quantization: str
    device: str
    why: str


def resolve(home: Home, choice: BaseChoice) -> Base:
    """Find the weights, decide how they are loaded, and check that they can be; loads nothing.

    The embedded model is unpacked on its first use (about 15 s). Raises HoneError: unknown model, damaged
    file, unusable quantisation, too little memory.
    """
    if choice.quantize not in get_args(Quantize):
        raise HoneError(
            f"There is no quantisation called {choice.quantize}.",
            "",
            f"Choose one of: {', '.join(get_args(Quantize))}.",
        )
    if choice.model == "embedded":
        folder, unpacked_now = embedded.prepare(home)
        found = weights.Weights(embedded.ID, embedded.PARAMETERS, None)
        title = embedded.TITLE
        origin = "the embedded 4-bit weights" + (", unpacked just now," if unpacked_now else ",")
    else:
        folder, title = _folder(choice.model)
        found = weights.inspect(home, folder)
        _check_kind(folder)
        origin = f"the weights in {folder}"
    base = _decide(choice, folder, title, found, origin)
    if not choice.remotes:
        _check_memory(base, found.parameters)
    return base


def load_tokenizer(base: Base) -> PreTrainedTokenizerBase:
    """The tokenizer, always with a chat template, an end token and a padding token. Raises HoneError."""
    with quiet():
        from transformers import AutoTokenizer

        # The tokenizers library raises bare Exception for a file it cannot read.
        try:
            tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
        except Exception as error:
            raise _unloadable(base, "tokenizer", error) from error
    if tokenizer.eos_token is None:
        raise HoneError(
            f"{base.title} cannot chat.",
            "Its tokenizer has no end token, so its replies would never end.",
            "Choose another model with --model.",
        )
    if not tokenizer.chat_template:
        tokenizer.chat_template = DEFAULT_TEMPLATE
    elif isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = tokenizer.chat_template.get("default", DEFAULT_TEMPLATE)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@lru_cache(maxsize=8)
def chat_template(base: Base) -> ChatTemplate:
    """How this base wants a conversation written, for the one renderer."""
    if (plain := plain_tokenizer.read(base.folder)) is not None:
        return plain.template
    tokenizer = load_tokenizer(base)
    control = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    control.update(tokenizer.all_special_tokens)
    return ChatTemplate(
        source=str(tokenizer.chat_template),
        bos=str(tokenizer.bos_token or ""),
        eos=str(tokenizer.eos_token),
        control_tokens=tuple(sorted(control)),
    )


def limits(base: Base) -> tuple[int, list[int]]:
    """The window in tokens and the ids that end a reply, by the folder's own settings; reads no weights."""
    config = _json(base.folder / "config.json")
    sizes = {**config, **config.get("text_config", {})}
    named = [sizes[name] for name in WINDOW_NAMES if isinstance(sizes.get(name), int)]
    listed = _json(base.folder / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
    ends = [] if listed is None else list(listed) if isinstance(listed, list) else [listed]
    return (named or [WINDOW_WHEN_UNSAID])[0], ends


def _json(file: Path) -> dict[str, Any]:
    """What a JSON file says; nothing where there is none."""
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found


def load_model(base: Base) -> PreTrainedModel:
    """The causal language model on its device, in evaluation mode, quantised where chosen. Or HoneError."""
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        options: dict[str, Any] = {"dtype": getattr(torch, base.dtype), "local_files_only": True}
        if base.quantization == "nf4":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_compute_dtype=options["dtype"],
                bnb_4bit_use_double_quant=True,
            )
        elif base.quantization == "int8":
            options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        if base.device != "cpu" or "quantization_config" in options:
            options["device_map"] = {"": base.device}
        try:
            model = AutoModelForCausalLM.from_pretrained(base.folder, **options)
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise _unloadable(base, "model", error) from error
    if "quantization_config" in options:
        from assistant import few_bits

        _let_go_of_file(model)
        few_bits.keep_layout(model)
    model.eval()
    return model


def _let_go_of_file(model: PreTrainedModel) -> None:
    """Copy what quantising left as it was: on a CPU one such tensor keeps the whole file mapped."""
    for part in model.parameters():
        if part.is_floating_point():
            part.data = part.data.clone()


def _folder(model: str) -> tuple[Path, str]:
    """The folder of a model named by path or Hub id, and what to call it."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve(), path.resolve().name
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith(("/", ".", "~")):
        raise HoneError(
            f"There is no model folder {model}.",
            "",
            "Give an existing folder, a Hub id, or leave --model out.",
        )
    return _from_hub(model), model


def _from_hub(model: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError as UnknownError

    todo = "Check the name, or give an existing folder, or leave --model out."
    try:
        return Path(snapshot_download(model, allow_patterns=HUB_FILES))
    except (UnknownError, HFValidationError) as error:
        raise HoneError(
            f"There is no model called {model}.", "It is neither a folder here nor known to the Hub.", todo
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise HoneError(
            f"The model {model} cannot be fetched.",
            "It is no folder here, it was not fetched before, and the Hub cannot be reached.",
            todo,
        ) from error


def _check_kind(folder: Path) -> None:
    """Refuse what is not a causal language model that the installed transformers knows by itself."""
    with quiet():
        from transformers import AutoConfig, AutoModelForCausalLM

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise HoneError(
                f"The model in {folder} cannot be used.",
                f"Its config.json is not understood: {_first_line(error)}",
                "Choose another model with --model.",
            ) from error
        known = type(config) in AutoModelForCausalLM._model_mapping
    if not known:
        raise HoneError(
            f"The model in {folder} cannot chat.",
            f"A {config.model_type} model does not continue text.",
            "Choose a causal language model with --model.",
        )


def _decide(choice: BaseChoice, folder: Path, title: str, found: weights.Weights, origin: str) -> Base:
    """Device, precision and quantisation, each with its reason."""
    place, dtype, reason = device.choose()
    base = Base(found.id, title, folder, dtype, "none", place, "")
    if found.quantized is not None:
        if choice.quantize not in ("auto", "none"):
            raise HoneError(
                f"{title} cannot be quantised to {choice.quantize}.",
                f"It already carries {found.quantized} quantisation.",
                "Leave --quantize out.",
            )
        return replace(base, why=f"Using {origin} {found.quantized} as stored, {reason}.")
    if choice.quantize == "auto":
        quantization = "nf4" if place == "cuda" else "none"
        because = "the default on a GPU" if place == "cuda" else ""
    else:
        quantization, because = choice.quantize, "as asked"
    if quantization == "none":
        return replace(base, why=f"Using {origin} without further quantisation, {reason}.")
    how = f"quantised {'again ' if choice.model == 'embedded' else ''}to {quantization} by bitsandbytes"
    slow = ", which is slow on a CPU" if place == "cpu" else ""
    return replace(
        base,
        id=f"{found.id}+{quantization}",
        title=f"{title}, {quantization}",
        quantization=quantization,
        why=f"Using {origin} {how} ({because}{slow}), {reason}.",
    )


def _check_memory(base: Base, parameters: int) -> None:
    kind = base.quantization if base.quantization != "none" else base.dtype
    needed = parameters * BYTES_A_PARAMETER[kind] + WORKING_BYTES
    available = device.free_bytes(base.device)
    if needed > available:
        raise HoneError(
            f"There is too little memory for {base.title}.",
            f"It needs about {needed / 1e9:.1f} GB on the {base.device}; {available / 1e9:.1f} GB are free.",
            "Close other programs, choose a smaller model, or try --quantize nf4.",
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _unloadable(base: Base, part: str, error: BaseException) -> HoneError:
    return HoneError(
        f"The {part} of {base.title} cannot be loaded.",
        f"{base.folder}: {_first_line(error)}",
        "Fetch it again.",
    )
