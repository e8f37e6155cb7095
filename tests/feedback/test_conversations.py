"""Conversations as their owner meets them: a tree that only grows, of which one path is on show."""

import pytest

from feedback import conversations
from feedback.conversations import NEW_TITLE, Partial, ReplyEnd
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.ids import LOCAL_USER
from tests import build


def on_show(store, conversation_id):
    return [item.message.content for item in conversations.thread(store, conversation_id)]


def titles(store, search=""):
    return [item.title for item in conversations.listing(store, LOCAL_USER, search)]


def test_a_conversation_is_called_after_the_first_thing_said_in_it(store):
    about = build.asked(store, "What is\n tea?", "A drink.")
    conversations.add_user_message(store, about.conversation_id, about.replies[0], "And coffee?")
    assert titles(store) == ["What is tea?"]


def test_a_long_first_message_gives_a_short_title(store):
    build.asked(store, "word " * 100)
    (title,) = titles(store)
    assert title.endswith("word...")
    assert len(title) <= 60


def test_a_renamed_conversation_keeps_its_name(store):
    conversation_id = conversations.create(store, LOCAL_USER)
    assert titles(store) == [NEW_TITLE]
    conversations.rename(store, LOCAL_USER, conversation_id, "  My   tea ")
    conversations.add_user_message(store, conversation_id, None, "What is tea?")
    assert titles(store) == ["My tea"]


def test_only_the_owner_sees_a_conversation(store):
    about, stranger = build.asked(store, "secret tea"), build.person(store, "bo")
    assert conversations.listing(store, stranger) == conversations.listing(store, stranger, "secret") == []
    for act in (conversations.get, conversations.delete):
        with pytest.raises(NotFoundError):
            act(store, stranger, about.conversation_id)
    with pytest.raises(NotFoundError):
        conversations.rename(store, stranger, about.conversation_id, "mine")


def test_a_deleted_conversation_is_gone_for_its_owner(store):
    about = build.asked(store, "What is tea?", "A drink.")
    conversations.delete(store, LOCAL_USER, about.conversation_id)
    assert titles(store) == titles(store, "tea") == []
    with pytest.raises(NotFoundError):
        conversations.get(store, LOCAL_USER, about.conversation_id)
    with pytest.raises(NotFoundError):
        conversations.add_user_message(store, about.conversation_id, about.replies[0], "Still there?")


def test_search_finds_words_of_messages_and_pieces_of_titles(store):
    build.asked(store, "What is tea?", "Camellia sinensis, in hot water.")
    build.asked(store, "What is ink?", "A liquid.")
    assert titles(store, "camel") == titles(store, "WATER hot") == titles(store, "is te") == ["What is tea?"]
    assert titles(store, "camellia ink") == []
    build.asked(store, "Übung und Straße", "Ja.")
    assert titles(store, "übung UND STRASSE") == titles(store, "ÜBUNG") == ["Übung und Straße"]


@pytest.mark.parametrize(
    "search", ['"', "'", "*", "a*b", "NEAR(", "AND", "-x", "a:b", "(", "%", "_", "\\", "^q", "{", '""']
)
def test_anything_may_be_typed_into_the_search_box(store, search):
    build.asked(store, "What is tea?", "A drink.")
    assert titles(store, search) == []


def test_a_hidden_reply_is_not_found_by_search(store):
    about = build.asked(store, "What is tea?", "A drink.")
    build.reply(store, about.prompt_id, "unspeakable", hidden=True)
    assert titles(store, "unspeakable") == []


def test_regenerating_and_editing_add_branches_and_overwrite_nothing(store):
    about = build.asked(store, "What is tea?", "one", "two")
    assert on_show(store, about.conversation_id) == ["What is tea?", "two"]
    reply = conversations.thread(store, about.conversation_id)[1]
    assert (reply.branches, reply.position) == (about.replies, 1)
    edited = conversations.add_user_message(store, about.conversation_id, None, "What is ink?")
    (question,) = conversations.thread(store, about.conversation_id)
    assert (question.branches, question.position) == ((about.prompt_id, edited), 1)


def test_choosing_a_branch_shows_it_down_to_its_latest_message(store):
    about = build.asked(store, "What is tea?", "one", "two")
    deeper = conversations.add_user_message(store, about.conversation_id, about.replies[0], "More?")
    build.reply(store, deeper, "deep")
    conversations.select(store, about.conversation_id, about.replies[1])
    assert on_show(store, about.conversation_id) == ["What is tea?", "two"]
    conversations.select(store, about.conversation_id, about.replies[0])
    assert on_show(store, about.conversation_id) == ["What is tea?", "one", "More?", "deep"]


def test_a_hidden_reply_becomes_a_branch_only_when_revealed(store):
    about = build.asked(store, "What is tea?", "one")
    hidden = build.reply(store, about.prompt_id, "two", hidden=True)
    assert on_show(store, about.conversation_id) == ["What is tea?", "one"]
    with pytest.raises(NotFoundError):
        conversations.select(store, about.conversation_id, hidden)
    conversations.reveal(store, hidden)
    reply = conversations.thread(store, about.conversation_id)[1]
    assert (reply.message.content, len(reply.branches)) == ("one", 2)


def test_a_second_reply_is_refused_while_one_is_being_written(store):
    about = build.asked(store, "What is tea?")
    first = conversations.start_reply(store, about.prompt_id, build.START)
    with pytest.raises(ConflictError):
        conversations.start_reply(store, about.prompt_id, build.START)
    with pytest.raises(ConflictError):
        conversations.add_user_message(store, about.conversation_id, None, "Wait")
    conversations.finish_reply(store, first, ReplyEnd("stopped", "A"))
    conversations.start_reply(store, about.prompt_id, build.START)


def test_a_hidden_reply_being_written_stops_nobody(store):
    about = build.asked(store, "What is tea?", "one")
    conversations.start_reply(store, about.prompt_id, build.START, hidden=True)
    conversations.add_user_message(store, about.conversation_id, about.replies[0], "Go on")


def test_a_reply_ends_once(store):
    about = build.asked(store, "What is tea?", "A drink.")
    with pytest.raises(ConflictError):
        conversations.finish_reply(store, about.replies[0], ReplyEnd("complete", "Another."))
    assert conversations.save_partials(store, [Partial(about.replies[0], "Another.")]) == 0
    assert conversations.message(store, about.replies[0]).content == "A drink."


def test_a_reply_remembers_how_it_was_made(store):
    about = build.asked(store, "What is tea?")
    reply_id = conversations.start_reply(store, about.prompt_id, build.START)
    steps = ({"name": "draft", "output": "A d"},)
    conversations.finish_reply(
        store, reply_id, ReplyEnd("complete", "A drink.", "Hm.", steps, "<text>", 9, 3, 1, 0.5, None)
    )
    reply = conversations.message(store, reply_id)
    assert (reply.model_version_id, reply.prompt_version_id) == (build.MODEL_VERSION, build.PROMPT_VERSION)
    assert (reply.strategy, reply.seed, reply.engine, reply.temperature) == ("zero-shot", 7, "torch", 0.7)
    assert (reply.reasoning, reply.trace, reply.prompt_text) == ("Hm.", list(steps), "<text>")
    assert (reply.prompt_tokens, reply.reply_tokens, reply.dropped_turns, reply.duration_s) == (9, 3, 1, 0.5)


def test_what_a_killed_server_was_writing_is_kept_and_marked_stopped(store):
    about = build.asked(store, "What is tea?")
    reply_id = conversations.start_reply(store, about.prompt_id, build.START)
    assert conversations.save_partials(store, [Partial(reply_id, "A dr")]) == 1
    assert conversations.recover(store) == 1
    reply = conversations.message(store, reply_id)
    assert (reply.status, reply.content) == ("stopped", "A dr")
    assert conversations.recover(store) == 0


def test_messages_only_go_where_they_belong(store):
    about, other = (
        build.asked(store, "What is tea?", "A drink."),
        build.asked(store, "What is ink?", "A liquid."),
    )
    for parent_id in (about.prompt_id, other.replies[0]):
        with pytest.raises(HoneError):
            conversations.add_user_message(store, about.conversation_id, parent_id, "Hello")
    with pytest.raises(HoneError):
        conversations.start_reply(store, about.replies[0], build.START)
    with pytest.raises(HoneError):
        conversations.add_user_message(store, about.conversation_id, None, " \n")


def test_a_conversation_of_a_thousand_messages_is_read_whole_and_in_order(store):
    about = build.asked(store, "0", "1")
    leaf = about.replies[0]
    with store.transaction():
        for number in range(2, 1000, 2):
            asked = conversations.add_user_message(store, about.conversation_id, leaf, str(number))
            leaf = build.reply(store, asked, str(number + 1))
    expected = [str(number) for number in range(1000)]
    assert on_show(store, about.conversation_id) == expected
    assert [message.content for message in conversations.path(store, leaf)] == expected
