"""What a reply looks like in a terminal while it grows. Knows streams of text, not Hone.

A model's text is data: control characters are taken out, so that no reply can move the cursor, rename the
window or answer the terminal's questions.
"""

import shutil
import sys
import unicodedata
from collections.abc import Iterable
from typing import TextIO

from assistant.terminal.door import Growing, Step
from feedback.errors import HoneError

KEPT = {"\n", "\t"}
CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in KEPT}
DIM, PLAIN, WIPE = "\x1b[2m", "\x1b[0m", "\r\x1b[K"


def clean(text: str) -> str:
    """`text` without control characters, but for newlines and tabs."""
    return text.translate(CONTROLS)


def _one_row(line: str, columns: int) -> str:
    """As much of `line` as stands in one row, so that it can be wiped. A Chinese character, or an emoji, is
    two columns wide.
    """
    room = columns - 1
    for at, character in enumerate(line):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0:
            return line[:at]
    return line


def _part(step: Step) -> str:
    text = f"[{step.title}] {step.text.strip()}"
    return f"{text}\n({step.remark})" if step.remark else text


class Screen:
    """Prints replies as they grow to `out`: with steps and reasoning, dimmed, on a terminal; else bare."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.is_terminal = self._out.isatty()
        self._encoding = self._out.encoding or "utf-8"
        self._thought, self._said, self._busy, self._within_line = "", "", False, False

    def say(self, text: str = "") -> None:
        """A line of its own, even when a reply was cut within one."""
        if text:
            self._end_line()
        self._put(clean(text) + "\n")

    def follow(self, states: Iterable[Growing]) -> Growing:
        """Print what comes until the reply is finished; returns its last state. May be broken off and begun
        again with the same reply: `resume` prints only what is new.
        """
        self._thought, self._said, self._busy, self._within_line = "", "", False, False
        return self.resume(states)

    def resume(self, states: Iterable[Growing]) -> Growing:
        state = Growing("writing")
        try:
            for state in states:
                self._show(state)
        except HoneError:
            self._end_line()
            raise
        self._end_line()
        remarks = [line for line in (state.agreement, *state.notes) if line] if state.finished else []
        if self.is_terminal and remarks:
            self._put(f"{DIM}{clean(chr(10).join(remarks))}{PLAIN}\n")
        return state

    def _show(self, state: Growing) -> None:
        if self.is_terminal:
            self._show_line(state)
            self._show_thoughts(state)
        self._said = self._grow(self._said, clean(state.content))

    def _show_line(self, state: Growing) -> None:
        line = f"Busy: {state.waiting} before you" if state.waiting else ""
        if state.agreement and not (state.finished or self._thought or self._said):
            line = state.agreement
        if line:
            line = _one_row(clean(line), shutil.get_terminal_size().columns)
            self._put(f"{WIPE}{DIM}{line}{PLAIN}")
        elif self._busy:
            self._put(WIPE)
        self._busy = bool(line)

    def _show_thoughts(self, state: Growing) -> None:
        parts = [_part(step) for step in state.steps] + ([state.reasoning] if state.reasoning else [])
        thought = clean("\n".join(parts))
        if self._said or self._thought.startswith(thought):
            return
        new = thought[len(self._thought) :]
        if not thought.startswith(self._thought):  # the last step is asked again: its text begins anew
            new = "\n" + clean(parts[-1])
        self._put(f"{DIM}{new}{PLAIN}")
        self._thought = thought

    def _grow(self, shown: str, text: str) -> str:
        """Print what `text` has beyond `shown`; all of it on a line of its own when it is another text."""
        if text == shown or shown.startswith(text):
            return shown
        if not shown and self._thought:
            self._put("\n\n")
        elif not text.startswith(shown):
            self._put("\n")
            shown = ""
        self._put(text[len(shown) :])
        return text

    def _end_line(self) -> None:
        if self._busy:
            self._put(WIPE)
            self._busy = False
        if self._within_line:
            self._put("\n")

    def _put(self, text: str) -> None:
        """Characters that the other end's encoding does not have become question marks."""
        self._out.write(text.encode(self._encoding, "replace").decode(self._encoding))
        self._out.flush()
        shown = text.removesuffix(PLAIN).removesuffix(WIPE)
        if text.endswith(WIPE):
            self._within_line = False
        elif shown:
            self._within_line = not shown.endswith("\n")
