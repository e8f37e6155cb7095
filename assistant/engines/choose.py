"""Which engine answers for a base on this machine, and why. Imports nothing heavy before it is chosen."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from assistant.adapters import stored
from assistant.base import Base, BaseChoice
from assistant.engines.interface import Engine
from feedback.errors import HoneError
from feedback.home import Home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Name = Literal["openvino", "transformers", "remote"]

INSTALL = "pip install openvino==2026.4.1"


@dataclass(frozen=True)
class Chosen:
    """An engine by name, and a sentence that says why it is this one."""

    name: Name
    why: str


def choose(base: Base, choice: BaseChoice, version_folder: "Path | None" = None) -> Chosen:
    """The engine as asked for, else the fastest that can run `base` here, and answer as the version in
    `version_folder` where one is given. HoneError when it cannot be had.
    """
    check_asked(choice)
    if choice.remotes:
        return Chosen("remote", f"Answers come from {', '.join(choice.remotes)}, as --remote says.")
    hindrance = openvino_hindrance(base) or version_hindrance(version_folder)
    if choice.engine == "openvino":
        if hindrance:
            raise HoneError(
                f"OpenVINO cannot run {base.title} here.", f"{hindrance[0].upper()}{hindrance[1:]}.",
                "Leave --engine out, or choose transformers.",
            )  # fmt: skip
        return Chosen("openvino", "OpenVINO computes, with weights in 8 bits, as asked.")
    if choice.engine == "transformers":
        return Chosen("transformers", "transformers computes, as asked.")
    if hindrance:
        return Chosen(
            "transformers", f"transformers computes; OpenVINO, faster on CPUs, cannot: {hindrance}."
        )
    return Chosen("openvino", "OpenVINO computes, with weights in 8 bits: the fastest on a CPU.")


def check_asked(choice: BaseChoice) -> None:
    """HoneError when engine and servers do not belong together, whatever the base is: said before it is
    looked at.
    """
    if choice.engine == "remote" and not choice.remotes:
        raise HoneError(
            "The remote engine needs a server.",
            "No --remote says where it is.",
            "Add --remote URL, such as http://127.0.0.1:8000, or choose another --engine.",
        )
    if not choice.remotes:
        return
    if choice.engine not in ("auto", "remote"):
        raise HoneError(
            f"The engine {choice.engine} and --remote exclude each other.",
            "It computes on this machine, and --remote names a server that does.",
            "Leave one of them out.",
        )
    from assistant.engines.remote_http import address

    for one in choice.remotes:
        address(one)


def openvino_hindrance(base: Base) -> str | None:
    """Why OpenVINO cannot run `base` here, as the end of a sentence; None when it can."""
    if find_spec("openvino") is None:
        return f"it is not installed ({INSTALL})"
    from assistant.engines.openvino_engine import unsuited

    return unsuited(base)


def version_hindrance(folder: "Path | None") -> str | None:
    """Why OpenVINO cannot answer as the version in `folder`, as the end of a sentence; None when it can."""
    if folder is None:
        return None
    try:
        return stored.why_not_merged(folder)
    except (OSError, ValueError) as error:
        return str(error).rstrip(".")


def open_engine(home: Home, base: Base, chosen: Chosen, remotes: "Sequence[str]" = ()) -> Engine:
    """The engine of `chosen`, loaded. Raises HoneError for a base that it cannot load."""
    if chosen.name == "remote":
        from assistant.engines.remote_engine import RemoteEngine

        return RemoteEngine(base, home, remotes)
    if chosen.name == "openvino":
        from assistant.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(base, home)
    from assistant.engines.torch_engine import TorchEngine

    return TorchEngine(base, home)
