"""Titles and searches as text. Pure; knows no table.

A conversation is called after the first thing said in it; a search box takes anything without a syntax error.
"""

NEW_TITLE = "New conversation"
TITLE_CHARS = 60


def one_line(text: str) -> str:
    """The first TITLE_CHARS characters of a text on one line; a longer text is cut at a word."""
    line = " ".join(text.split())
    if len(line) <= TITLE_CHARS:
        return line
    cut = line[: TITLE_CHARS - 3]
    return (cut.rsplit(" ", 1)[0] if " " in cut[TITLE_CHARS // 2 :] else cut) + "..."


def words_query(search: str) -> str:
    """What a person typed, as an FTS5 query that cannot be a syntax error: all words, each as a prefix."""
    words = search.split()
    return " ".join('"' + word.replace('"', '""') + '"*' for word in words)
