"""A person at a real terminal, with `hone chat` in front of them."""

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

HONE = "from app import cli; cli(prog_name='hone')"
# As a shell starts a program in front of a person. The first terminal of a session is asked for: Ctrl-C comes
# from there. What a script runs in its background ignores Ctrl-C, and so would all that it starts.
AT_A_TERMINAL = """
import faulthandler, fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
faulthandler.register(signal.SIGUSR1)
"""
WAIT_S = 30


class Terminal:
    """A person at a terminal: types lines, reads what is on the screen."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._screen, inside = pty.openpty()
        command = [sys.executable, "-c", AT_A_TERMINAL + HONE, "chat", *arguments]
        self.process = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
            env=os.environ | {"TERM": "dumb"} | environment,
        )  # fmt: skip
        os.close(inside)
        self.shown, self._read = "", 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a letter may come in two reads

    def type(self, line: str) -> None:
        os.write(self._screen, f"{line}\n".encode())

    def press(self, key: str) -> None:
        """Once the program sleeps: a Ctrl-C that comes just before it falls asleep over its keys wakes it no
        more (CPython looks for signals, then waits in readline without an end).
        """
        program, until = psutil.Process(self.process.pid), time.monotonic() + WAIT_S
        for _ in range(2):
            while program.status() == psutil.STATUS_RUNNING and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(0.01)
        os.write(self._screen, {"Ctrl-C": b"\x03", "Ctrl-D": b"\x04"}[key])

    def sees(self, pattern: str) -> str:
        """Wait until `pattern` comes up after what was seen before; returns what matched."""
        until = time.monotonic() + WAIT_S
        while not (found := re.compile(pattern).search(self.shown, self._read)):
            try:
                if not self._more(until - time.monotonic()):
                    raise AssertionError(f"no {pattern!r} in {self.shown[self._read :]!r}\n{self._stack()}")
            except OSError as error:  # the other end is closed
                raise AssertionError(f"ended before {pattern!r}: {self.shown!r}") from error
        self._read = found.end()
        return found.group()

    def leave(self) -> int:
        self.press("Ctrl-D")
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"still there, showing {self.shown!r}\n{self._stack()}") from error

    def _more(self, timeout_s: float) -> bool:
        """Read what comes up next; False when nothing does."""
        ready, _, _ = select.select([self._screen], [], [], max(0.0, timeout_s))
        if ready:
            self.shown += self._decoder.decode(os.read(self._screen, 65536))
        return bool(ready)

    def _stack(self) -> str:
        """Where the program is at this moment, as it says itself."""
        before = len(self.shown)
        self.process.send_signal(signal.SIGUSR1)
        while self._more(1.0):
            pass
        return self.shown[before:]


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*arguments)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait(WAIT_S)
