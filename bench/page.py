"""How quick the chat page is in a real browser, with everything measured but the model.

`python bench/page.py [--rounds 7]` prints one table. The server is the real one on a socket of this machine,
with the real store on the disk; the model is a stand-in that writes words at a fixed pace, its first at once,
so that what is left is Hone's own: page, HTTP, queue, store, Markdown. Every figure is a median of the
rounds, but for the longest task and frame, which are the longest of three replies. Needs the packages of
requirements-dev.lock and a chromium.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402 - the checkout is found only now

from assistant import page as chat_page  # noqa: E402
from assistant.accounts import Access  # noqa: E402
from assistant.engines.interface import Completion, Request  # noqa: E402
from assistant.server import RolePage, Site, make_app  # noqa: E402
from assistant.turns import Turns  # noqa: E402
from feedback.store import Store  # noqa: E402
from tests import browser  # noqa: E402
from tests.scripted import ScriptedEngine, answering, long_conversation, on_a_socket  # noqa: E402

EXCHANGES = 500
WORDS_A_SECOND = 100
ANSWER = """The sky is blue because **air scatters** short waves most (see `scatter`).

- Red light goes straight through
- Blue light is scattered

```python
def scatter(nm): return (400 / nm) ** 4
```

| colour | nm |
|---|---|
| blue | 450 |

"""
SECTIONS = 8  # of ANSWER in the reply that is watched: about 300 words, 3 s
CHATS = 32

# In the page: when the reply that is being written first shows text, after Enter was pressed.
WATCH_FIRST_TOKEN = """() => {
  window.pressed = null; window.shown = null;
  const press = (event) => { if (event.key === "Enter") window.pressed = performance.now(); };
  document.addEventListener("keydown", press, true);
  const look = () => {
    const last = [...document.querySelectorAll("[data-testid=reply-text]")].at(-1);
    if (window.pressed && !window.shown && last?.textContent && last.closest("[data-status=writing]"))
      requestAnimationFrame(() => { window.shown ??= performance.now(); });
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
WATCH_TASKS = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask" });
  window.frames = []; let last = performance.now();
  const frame = (now) => { window.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


class PacedEngine(ScriptedEngine):
    """A stand-in for the model: the same reply at a fixed pace, its first word at once."""

    def __init__(self) -> None:
        super().__init__(ANSWER * SECTIONS, capacity=CHATS)

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        begun, written = time.monotonic(), 0
        for piece in self.says.split(" "):
            late = begun + written / WORDS_A_SECOND - time.monotonic()
            if late > 0:
                time.sleep(late)
            written += 1
            if request.stop.is_set():
                break
            yield f"{piece} "
        return Completion(self.says, written, "stopped" if request.stop.is_set() else "stop")


@contextmanager
def site(folder: Path) -> Iterator[tuple[str, Store]]:
    engine = PacedEngine()
    store = answering(folder, engine)
    access = Access(store)
    pages = [RolePage("/", "chatter", chat_page.build(store, access.current_user), chat_page.head())]
    with on_a_socket(make_app(Turns(store, engine), access, Site(), pages)) as address:
        yield address, store


def opened(page: Any, address: str) -> float:
    """Milliseconds from asking for a page to its first paint, and on to what one came for."""
    page.goto("about:blank")
    page.goto(address)
    page.get_by_test_id("composer").wait_for()
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def usable(page: Any, address: str, selector: str) -> float:
    """Milliseconds from asking for a page until `selector` is there."""
    page.goto("about:blank")
    page.add_init_script(f"""new MutationObserver((_, watcher) => {{
      if (!document.querySelector("{selector}")) return;
      window.usable ??= performance.now();
      watcher.disconnect();
    }}).observe(document, {{ subtree: true, childList: true }});""")
    page.goto(address)
    page.wait_for_function("window.usable")
    return float(page.evaluate("window.usable"))


def first_token(page: Any) -> float:
    """Milliseconds from Enter to the frame that shows the reply's first word."""
    page.evaluate(WATCH_FIRST_TOKEN)
    page.get_by_test_id("composer").fill("Why is the sky blue?")
    page.keyboard.press("Enter")
    page.wait_for_function("window.shown")
    return float(page.evaluate("window.shown - window.pressed"))


def streamed(page: Any) -> tuple[float, float]:
    """A whole reply watched: the longest task of the page's main thread, and its longest frame, in ms."""
    page.wait_for_timeout(500)
    page.evaluate(WATCH_TASKS)
    page.get_by_test_id("composer").fill("Go on")
    page.keyboard.press("Enter")
    page.get_by_test_id("stop").wait_for()
    page.get_by_test_id("send").wait_for()
    page.wait_for_timeout(300)
    return max(page.evaluate("window.tasks"), default=0.0), max(page.evaluate("window.frames"))


def scroll_to_start(page: Any) -> None:
    """Have all messages of the conversation in the page."""
    while page.get_by_test_id("message").count() < 2 * EXCHANGES:
        page.locator(".hc-scroll").evaluate("box => { box.scrollTop = 0; }")
        page.wait_for_timeout(50)
    page.locator(".hc-scroll").evaluate("box => { box.scrollTop = box.scrollHeight; }")


def many_at_once(address: str) -> float:
    """CPU seconds a second that the server and its watchers take while CHATS replies are streamed."""
    with httpx.Client(base_url=f"{address}/api", timeout=120) as api:
        body = {"message": {"content": "Why?"}}
        begun, cpu = time.monotonic(), time.process_time()
        replies = [api.post("/conversations", json=body).json()["reply_id"] for _ in range(CHATS)]

        def watch(reply_id: str) -> None:
            with api.stream("GET", f"/replies/{reply_id}/events") as stream:
                for _ in stream.iter_bytes():
                    pass

        threads = [threading.Thread(target=watch, args=(reply_id,)) for reply_id in replies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.process_time() - cpu) / (time.monotonic() - begun)


def rounds(count: int, one: Callable[[], float]) -> float:
    return median(one() for _ in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    count = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as folder,
        site(Path(folder)) as (address, store),
        browser.page() as page,
    ):
        answers = "Answer {}.\n\n" + ANSWER
        long = f"{address}/#{long_conversation(store, EXCHANGES, answers)}"
        say("first paint of the page", rounds(count, lambda: opened(page, address)))
        say("until one can type", rounds(count, lambda: usable(page, address, "[data-testid=composer]")))
        last = "[data-testid=message]:nth-child(2)"
        say("until a conversation of 1,000 messages is read", rounds(count, lambda: usable(page, long, last)))

        def new_chat() -> float:
            opened(page, address)
            return first_token(page)

        def in_long() -> float:
            usable(page, long, last)
            page.wait_for_timeout(300)
            took = first_token(page)
            page.get_by_test_id("stop").click()
            page.get_by_test_id("send").wait_for()
            return took

        say("Enter to the first word shown, new chat", rounds(count, new_chat))
        say("Enter to the first word shown, 1,000 messages", rounds(count, in_long))
        for shown in ("as opened", "all in the page"):
            if shown != "as opened":
                scroll_to_start(page)
            task, frame = map(max, zip(*(streamed(page) for _ in range(3)), strict=True))
            say(f"longest task while a reply streams, 1,000 messages, {shown}", task, "ms (0: under 50)")
            say(f"longest frame while a reply streams, 1,000 messages, {shown}", frame)
        say(
            f"{CHATS} replies streamed at once, {WORDS_A_SECOND} words/s each",
            100 * many_at_once(address),
            "% of a core",
        )


def say(what: str, value: float, unit: str = "ms") -> None:
    print(f"{what:<72}{value:8.0f} {unit}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
