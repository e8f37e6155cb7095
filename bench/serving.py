"""How fast Hone answers, beside llama.cpp and transformers on the same weights, each figure with its bar.

`python bench/serving.py [--only turn] [--repeats 5] [--peers hone,llamacpp,transformers]` prints one table a
section; `make bench-serving` builds llama.cpp's server first. Everything is greedy, every prompt is new to
whoever answers it, every figure a median. Hone and llama.cpp (the 4-bit GGUF that Hone unpacks) are asked
through their own doors, over HTTP; transformers is called in a process of its own, in bfloat16, eager.

llama-cpp-python is left out: it is the same engine, takes minutes to compile, and llama-server is llama.cpp's
own and faster door. An answer that ends before its 128 tokens counts as if it had gone on at its pace.

Run it on a machine that does nothing else: programs of the same priority slow peers unequally (two of
them made llama.cpp seven times slower). What others took of the CPU stands under each table.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402 - the checkout is found only now
import serving_crowd  # noqa: E402
import serving_single  # noqa: E402
from serving_peers import LLAMA_SERVER, prepared  # noqa: E402
from serving_table import Plan, failure, show  # noqa: E402

SECTIONS = {
    "turn": ("A chat turn: eight examples, 128 tokens of answer", serving_single.turn),
    "decode": ("One chat, tokens a second after the first", serving_single.decode),
    "conversation": ("The tenth turn of a conversation", serving_single.conversation),
    "crowd": ("32 chats at once", serving_crowd.crowd),
    "short": ("A short chat while 31 prompts of 1,000 tokens are read", serving_crowd.short),
    "line": ("200 requests at once", serving_crowd.line),
    "overhead": ("What Hone adds to its engine", serving_single.overhead),
    "start": ("Start and memory", serving_single.start),
    "promotion": ("A promotion while 8 chats stream", serving_crowd.promotion),
}
PEERS = ("hone", "llamacpp", "transformers")


def processor() -> str:
    """The model of the CPU, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def others_s() -> float:
    """CPU seconds that everybody else on this machine has taken; right while no child of ours runs."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    ours = os.times()
    busy = sum(spent[:8]) - idle  # the first eight: guests are counted in them already
    return busy - (ours.user + ours.system + ours.children_user + ours.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=SECTIONS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS))
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peers are ended too
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
        failed = False
        plan = Plan(home, version, args.repeats, peers)
        for name in [args.only] if args.only else SECTIONS:
            title, section = SECTIONS[name]
            before, began = others_s(), time.perf_counter()
            try:
                figures = section(plan)
            except RuntimeError as error:  # the other sections can still be measured
                figures, failed = [failure(str(error))], True
            show(title, figures, others_s() - before, time.perf_counter() - began)
    sys.exit(failed)


if __name__ == "__main__":
    main()
