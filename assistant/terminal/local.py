"""A home opened in this process: the local person's chats, without a server. Knows the rooms, no terminal."""

from collections.abc import Iterator, Sequence

from assistant import compare, registry, remarks
from assistant.engines.interface import Engine
from assistant.terminal.door import Growing, Listed, Pair, Said, Step, Way
from assistant.turns import Turns, TurnSettings
from feedback import comparisons, conversations, demonstrations, ratings
from feedback.comparisons import Verdict
from feedback.ids import LOCAL_USER, ConversationId, MessageId
from feedback.store import Store
from prompts import service


class LocalDoor:
    """The rooms of a home that is open for serving. `close()` stops what is being written, and the engine."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store, self._engine = store, engine
        self._turns = Turns(store, engine)

    def model(self) -> str:
        return registry.champion(self._store).name

    def ways(self) -> Sequence[Way]:
        return [Way(one.name, one.title) for one in service.offered(self._store)]

    def listing(self, search: str = "") -> Sequence[Listed]:
        found = conversations.listing(self._store, LOCAL_USER, search)
        return [Listed(one.id, one.title, one.updated_at) for one in found]

    def thread(self, conversation_id: ConversationId) -> Sequence[Said]:
        conversations.get(self._store, LOCAL_USER, conversation_id)
        shown = [item.message for item in conversations.thread(self._store, conversation_id)]
        return [Said(one.id, one.role, one.content) for one in shown]

    def create(self) -> ConversationId:
        return conversations.create(self._store, LOCAL_USER)

    def send(
        self, conversation_id: ConversationId, parent_id: MessageId | None, text: str, strategy: str
    ) -> MessageId:
        return self._turns.send(LOCAL_USER, conversation_id, parent_id, text, TurnSettings(strategy))

    def regenerate(self, reply_id: MessageId, strategy: str) -> MessageId:
        return self._turns.regenerate(LOCAL_USER, reply_id, TurnSettings(strategy))

    def watch(self, reply_id: MessageId) -> Iterator[Growing]:
        for state in self._turns.events(reply_id):
            yield Growing(
                state.status,
                state.content,
                state.reasoning,
                tuple(Step(step.title, step.text, remarks.step_remark(step)) for step in state.steps),
                state.waiting,
                state.error,
                remarks.agreement(state),
                tuple(sentence for _, sentence in remarks.notes(state)),
            )

    def stop(self, reply_id: MessageId) -> None:
        self._turns.stop(reply_id)

    def rate(self, reply_id: MessageId, value: int, reason: str) -> None:
        ratings.record(self._store, LOCAL_USER, reply_id, value, reason)

    def demonstrate(self, reply_id: MessageId, text: str) -> None:
        demonstrations.record(self._store, LOCAL_USER, reply_id, text)

    def compare(self, reply_id: MessageId) -> Pair:
        pair = comparisons.get(self._store, LOCAL_USER, compare.start(self._turns, LOCAL_USER, reply_id))
        return Pair(pair.id, pair.left_id, pair.right_id)

    def vote(self, pair: Pair, verdict: Verdict) -> tuple[str, str]:
        comparisons.vote(self._store, LOCAL_USER, pair.id, verdict)
        return self._writer(pair.left_id), self._writer(pair.right_id)

    def close(self) -> None:
        self._turns.close()
        self._engine.close()

    def _writer(self, reply_id: MessageId) -> str:
        version_id = conversations.message(self._store, reply_id).model_version_id
        return registry.get(self._store, version_id).name if version_id else ""
