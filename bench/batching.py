"""Replies of the transformers engine one after the other beside all at once, and versions mixed in one
forward pass beside a pass for each, measured once.

`python bench/batching.py [--chats 8] [--tokens 32]` prints one table, on the embedded model. One at a time is
what turns token by token come to.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from assistant import base as bases
from assistant import registry
from assistant.base import BaseChoice
from assistant.engines.interface import Request
from assistant.engines.served_model import ServedModel
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.home import Home
from feedback.store import Store
from prompts.chat import ChatMessage

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests import tiny_models  # noqa: E402 - the checkout is found only now


def ask(engine: TorchEngine, versions: list[ModelVersion], args: argparse.Namespace) -> list[Request]:
    """One request a chat, the versions in turn; none ends early but by its own choice."""
    return [
        Request(
            engine.template.text([ChatMessage("user", f"Write a story about the number {number}.")]),
            Sampling(0.7, 0.95, args.tokens, number),
            versions[number % len(versions)],
        )
        for number in range(args.chats)
    ]


def tokens_a_second(write: Callable[[], int]) -> float:
    """`write` gives its number of tokens."""
    began = time.perf_counter()
    return write() / (time.perf_counter() - began)


def one_by_one(engine: TorchEngine, requests: list[Request]) -> int:
    return sum(engine.batch([request])[0].tokens for request in requests)


def at_once(engine: TorchEngine, requests: list[Request]) -> int:
    return sum(one.tokens for one in engine.batch(requests))


@contextmanager
def unmixed() -> Iterator[None]:
    with patch.object(ServedModel, "mixes", lambda *_: False):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chats", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "bench")
    args = parser.parse_args()
    base = bases.resolve(Home(args.home), BaseChoice(quantize="none"))
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        store = Store(home.store_file)
        versions = [tiny_models.base_version(base)]
        for seed in range(2):
            made = tiny_models.save_adapter(base, Path(folder) / str(seed), seed, 0.02, r=16)
            versions.append(registry.add(store, home, base, made, None, "dpo"))
        engine = TorchEngine(base, home)
        print(f"{args.chats} chats of {args.tokens} tokens, {base.dtype}, tokens/s together:", flush=True)  # noqa: T201
        for what, among in (("base", versions[:1]), ("base and two versions", versions)):
            requests = ask(engine, among, args)
            engine.batch(requests[: len(among)])
            alone = tokens_a_second(lambda requests=requests: one_by_one(engine, requests))  # type: ignore[misc]
            shared = tokens_a_second(lambda requests=requests: at_once(engine, requests))  # type: ignore[misc]
            with unmixed():
                apart = tokens_a_second(lambda requests=requests: at_once(engine, requests))  # type: ignore[misc]
            told = f"{alone:.0f} one by one, {shared:.0f} at once ({shared / alone:.1f} times)"
            print(f"- {what}: {told}; a pass a version {apart:.0f}", flush=True)  # noqa: T201
        engine.close()


if __name__ == "__main__":
    main()
