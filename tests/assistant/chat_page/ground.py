"""What the tests of the chat page do again and again."""

from typing import Any


def ask(page: Any, text: str = "Why is the sky blue?") -> None:
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Enter")


def answered(page: Any) -> None:
    page.get_by_test_id("thumbs-up").last.wait_for()


def chats(page: Any, *questions: str) -> None:
    """A conversation for each question, answered; the last one is on show."""
    for question in questions:
        page.get_by_test_id("new-chat").click()
        ask(page, question)
        answered(page)
