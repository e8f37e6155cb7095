"""How fast Hone answers, beside llama.cpp and transformers on the same weights, each figure with its bar.

`python bench/serving.py [--only turn] [--repeats 5] [--peers hone,llamacpp,transformers]` prints one table a
section; `make bench-serving` builds llama.cpp's server first. Everything is greedy, every prompt is new to
whoever answers it, every figure a median. Hone and llama.cpp (the 4-bit GGUF that Hone unpacks) are asked
through their own doors, over HTTP; transformers is called in a process of its own, in bfloat16, eager.

llama-cpp-python is left out: it is the same engine, takes minutes to compile, and llama-server is llama.cpp's
own and faster door. An answer that ends before its 128 tokens counts as if it had gone on at its pace.
"""

import argparse
import os
import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import serving_crowd  # noqa: E402 - the checkout is found only now
import serving_single  # noqa: E402
from serving_peers import LLAMA_SERVER, prepared  # noqa: E402
from serving_table import Plan, show  # noqa: E402

SECTIONS = {
    "turn": ("A chat turn: eight examples, 128 tokens of answer", serving_single.turn),
    "decode": ("One chat, tokens a second after the first", serving_single.decode),
    "conversation": ("The tenth turn of a conversation", serving_single.conversation),
    "crowd": ("32 chats at once, 200 in line", serving_crowd.crowd),
    "overhead": ("What Hone adds: overhead, start, memory", serving_single.overhead),
    "promotion": ("A promotion while 8 chats stream", serving_crowd.promotion),
}
PEERS = ("hone", "llamacpp", "transformers")


def processor() -> str:
    """The model of the CPU, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=SECTIONS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS))
    args = parser.parse_args()
    peers = frozenset(args.peers.split(","))
    if strange := peers - set(PEERS):
        sys.exit(f"There is no peer {sorted(strange)[0]}: choose from {', '.join(PEERS)}.")
    if "llamacpp" in peers and not LLAMA_SERVER.is_file():
        sys.exit(
            "llama.cpp's server is not built: run `make bench-serving`, or leave it out with --peers hone."
        )
    print(f"{processor()}, {os.cpu_count()} cores, {date.today()}, medians of {args.repeats}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        home, version = prepared(Path(folder))
        plan = Plan(home, version, args.repeats, peers)
        for name in [args.only] if args.only else SECTIONS:
            title, section = SECTIONS[name]
            show(title, section(plan))


if __name__ == "__main__":
    main()
