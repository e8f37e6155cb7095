"""Ends a reply before the first of some texts, even when pieces cut them. Pure: text in, text out."""

from collections.abc import Sequence

from prompts.answers import overlap


class StopTexts:
    """Feed it pieces of a reply, take the text that is safe to show. `found`: a stop text came; no more is
    wanted.
    """

    def __init__(self, stop_texts: Sequence[str]) -> None:
        self._stop_texts = [text for text in stop_texts if text]
        self._held = ""  # the end of what came, while it may still become a stop text
        self.found = False

    def push(self, piece: str) -> str:
        """The text that is now certain to stand before any stop text, perhaps none."""
        if self.found:
            return ""
        if not self._stop_texts:
            return piece
        text = self._held + piece
        places = [at for stop in self._stop_texts if (at := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        kept = max(overlap(text, stop) for stop in self._stop_texts)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """What was held back, when no more comes."""
        held, self._held = self._held, ""
        return held
