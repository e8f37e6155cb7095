"""A conversation in a terminal: messages, slash commands, Ctrl-C and Ctrl-D. Knows a door, no server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from assistant.terminal.door import Door, Growing, Listed, Said
from assistant.terminal.screen import Screen
from feedback.comparisons import Verdict
from feedback.errors import HoneError, NotFoundError
from feedback.ids import ConversationId, MessageId

PROMPT, MORE = "> ", "... "
HELP = """\
/regenerate        the last reply again
/up [REASON]       the reply is good
/down [REASON]     the reply is bad
/better [TEXT]     write a better one
/compare           another reply, blind,
                   and 1, 2, tie or bad
/strategy [NAME]   how questions are put
/history [WORDS]   your conversations
/open NUMBER|ID    go on with one
/new               begin a new one
/quit or Ctrl-D    leave
Ctrl-C stops a reply. A line that ends
with \\ goes on in the next. //text sends
"/text"."""
VERDICTS: dict[str, Verdict] = {"1": "left", "2": "right", "tie": "tie", "bad": "both_bad"}


@dataclass
class Talk:
    """Where a person is: the conversation, its last reply, the way to ask. `read(prompt)` gives a line."""

    door: Door
    screen: Screen
    read: Callable[[str], str]
    strategy: str
    conversation_id: ConversationId | None = None
    leaf_id: MessageId | None = None
    listed: Sequence[Listed] = field(default_factory=tuple)

    def enter(self, conversation_id: ConversationId) -> Sequence[Said]:
        """Go on with a conversation, at the end of what is on show; returns that."""
        shown = self.door.thread(conversation_id)
        self.conversation_id = conversation_id
        self.leaf_id = shown[-1].id if shown else None
        return shown

    def show_end(self, shown: Sequence[Said]) -> None:
        """Print the last question and reply or two of a conversation, to find one's way back into it."""
        for message in shown[-4:]:
            self.screen.say(f"{PROMPT if message.role == 'user' else ''}{message.content.strip()}\n")

    def last_conversation(self) -> ConversationId:
        found = self.door.listing()
        if not found:
            raise NotFoundError("There is no conversation to go on with.", todo="Leave out --continue.")
        return found[0].id

    def ask(self, text: str) -> Growing:
        """Say `text` and show its reply as it is written; Ctrl-C stops it. Returns how it ended."""
        if self.conversation_id is None:
            self.conversation_id = self.door.create()
        reply_id = self.door.send(self.conversation_id, self.leaf_id, text, self.strategy)
        return self._show(reply_id)

    def loop(self) -> None:
        """Talk until the end of the input. An error is one sentence, and the talk goes on."""
        while True:
            try:
                line = self._line()
            except EOFError:
                self.screen.say()
                return
            except KeyboardInterrupt:
                self.screen.say("\nCtrl-D leaves.")
                continue
            try:
                if line.split(" ")[0] in ("/quit", "/exit"):
                    return
                self._take(line)
            except EOFError:
                self.screen.say()
            except HoneError as error:
                self.screen.say(f"Error: {error}")
            except KeyboardInterrupt:
                self.screen.say()

    def _line(self) -> str:
        line = self.read(PROMPT)
        while line.endswith("\\"):
            line = f"{line[:-1]}\n{self.read(MORE)}"
        return line.strip()

    def _take(self, line: str) -> None:
        if not line:
            return
        if not line.startswith("/") or line.startswith("//"):
            self._ended(self.ask(line.removeprefix("/") if line.startswith("//") else line))
            return
        name, _, rest = line[1:].partition(" ")
        deeds: dict[str, Callable[[str], None]] = {
            "help": lambda _: self.screen.say(HELP),
            "new": lambda _: self._new(),
            "history": self._history,
            "open": self._open,
            "strategy": self._strategy,
            "regenerate": lambda _: self._regenerate(),
            "up": lambda reason: self._rate(1, reason),
            "down": lambda reason: self._rate(-1, reason),
            "better": self._better,
            "compare": lambda _: self._compare(),
        }
        if name not in deeds:
            raise HoneError(f"There is no command /{name}.", todo="/help lists them; //text sends a slash.")
        deeds[name](rest.strip())

    def _show(self, reply_id: MessageId) -> Growing:
        self.leaf_id = reply_id
        return self._watched(reply_id, self.screen)

    def _watched(self, reply_id: MessageId, screen: Screen) -> Growing:
        try:
            return screen.follow(self.door.watch(reply_id))
        except KeyboardInterrupt:
            self.door.stop(reply_id)
            return screen.resume(self.door.watch(reply_id))

    def _ended(self, state: Growing) -> None:
        if state.status == "failed":
            raise HoneError(state.error)
        if state.status == "stopped":
            self.screen.say("[stopped]")

    def _last_reply(self) -> MessageId:
        if self.leaf_id is None:
            raise HoneError("There is no reply yet.", todo="Ask something first.")
        return self.leaf_id

    def _new(self) -> None:
        self.conversation_id = self.leaf_id = None
        self.screen.say("A new conversation.")

    def _history(self, words: str) -> None:
        self.listed = self.door.listing(words)[:20]
        for number, one in enumerate(self.listed, 1):
            mark = "*" if one.id == self.conversation_id else " "
            when = one.updated_at[:16].replace("T", " ")
            self.screen.say(f"{mark}{number:>3}  {when}  {one.title}  ({one.id})")
        self.screen.say("/open NUMBER goes on with one." if self.listed else "Nothing found.")

    def _open(self, which: str) -> None:
        if not which:
            raise HoneError("Which conversation?", todo="/history lists them; /open NUMBER goes on with one.")
        if which.isdecimal():
            if not 0 < int(which) <= len(self.listed):
                raise HoneError(f"There is no conversation {which} in the list.", todo="/history shows it.")
            self.show_end(self.enter(self.listed[int(which) - 1].id))
        else:
            self.show_end(self.enter(ConversationId(which)))

    def _strategy(self, name: str) -> None:
        ways = self.door.ways()
        if name:
            check_strategy(self.door, name)
            self.strategy = name
        widest = max(len(way.name) for way in ways)
        for way in ways:
            self.screen.say(f"{'*' if way.name == self.strategy else ' '} {way.name:<{widest}}  {way.title}")

    def _regenerate(self) -> None:
        self._ended(self._show(self.door.regenerate(self._last_reply(), self.strategy)))

    def _rate(self, value: int, reason: str) -> None:
        self.door.rate(self._last_reply(), value, reason)
        self.screen.say("Kept: a thumb up." if value > 0 else "Kept: a thumb down.")

    def _better(self, text: str) -> None:
        reply_id = self._last_reply()
        if not text:
            self.screen.say("Write the better answer; a line with only a dot ends it, Ctrl-C leaves it.")
            lines: list[str] = []
            while (line := self.read(MORE)) != ".":
                lines.append(line)
            text = "\n".join(lines).strip()
        if not text:
            raise HoneError("The better answer is empty.", todo="Type something first.")
        self.door.demonstrate(reply_id, text)
        self.screen.say("Kept: your better answer.")

    def _compare(self) -> None:
        pair = self.door.compare(self._last_reply())
        for number, reply_id in ((1, pair.left_id), (2, pair.right_id)):
            self.screen.say(f"--- {number} ---")
            state = self._watched(reply_id, self.screen)
            if state.status == "failed" or not state.content.strip():
                raise HoneError("One of the replies was not written, so there is nothing to compare.")
        while (said := self.read("Which is better? 1, 2, tie, bad (Enter: no vote) ").strip()) != "":
            if said in VERDICTS:
                left, right = self.door.vote(pair, VERDICTS[said])
                self.screen.say(f"Kept: your vote. 1 was written by {left}, 2 by {right}.")
                return
        self.screen.say("No vote.")


def check_strategy(door: Door, name: str) -> None:
    """HoneError for a strategy that is not there."""
    names = [way.name for way in door.ways()]
    if name not in names:
        raise HoneError(f"There is no strategy {name}.", todo=f"Choose one of: {', '.join(names)}.")
