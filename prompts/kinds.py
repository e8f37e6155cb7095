"""Kinds of questions, told by stated rules: what `auto` compares strategies within. Pure; knows no store.

The first rule that holds gives the kind, so that a text has exactly one. Rules look at words and marks, not
at meaning: they are cheap, the same everywhere, and anybody can read why a question is what it is.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["sum", "yes-no", "choice", "code", "list", "writing", "question", "other"]

KINDS: tuple[Kind, ...] = get_args(Kind)

PLURAL: dict[Kind, str] = {
    "sum": "sums",
    "yes-no": "yes-or-no questions",
    "choice": "questions with options",
    "code": "requests for code",
    "list": "requests for a list",
    "writing": "requests to write",
    "question": "open questions",
    "other": "other requests",
}
"""What several of a kind are called."""

READ = 2_000
"""Characters that are looked at, at the beginning and at the end of a longer text: there questions stand."""


@dataclass(frozen=True)
class Rule:
    """What makes a question one of `kind`: each of `patterns` is found in it. `words`: said to people."""

    kind: Kind
    words: str
    patterns: tuple[re.Pattern[str], ...]

    def holds(self, text: str) -> bool:
        return all(pattern.search(text) for pattern in self.patterns)


def _rule(kind: Kind, words: str, *patterns: str) -> Rule:
    return Rule(kind, words, tuple(re.compile(one, re.IGNORECASE | re.MULTILINE) for one in patterns))


# No quantifier below repeats what another one repeats, and few are without a bound: a hostile text costs
# milliseconds (a test asks).
_NUMBER = (
    r"(?<!\w)(?<!\d[.,])(?<!\[)(?:(?!1[5-9]\d[1-9]\b|1[5-9][1-9]\d\b|20[0-2][1-9]\b)\d|(?:one|two|three|four"
    r"|five|six|seven|eight|nine|ten|eleven|twelve|dozen|half|twice|thrice|double|triple|quarter)\b)"
)
"""A number, in digits or words; neither a year nor a mark such as [3]."""
_MORE = r"[\s\S]*?"
_BEGINS = (
    r"\A\W*(?:(?:please|hey|hi|hello|now|so|ok|okay|(?:can|could|would|will) you|i want you to|help me)"
    r"\b\W*)*"
)
"""The beginning, after what is only polite."""
_OPENS = r"(?:\A\W*|[.!?:,]\s{1,3}|^[ \t]*)"
"""The beginning of a sentence or line."""

RULES = (
    _rule(
        "yes-no",
        "its options are yes and no, or true and false",
        r"^[^\w\n]*(?:yes|true|valid)[^\w\n]*$",
        r"^[^\w\n]*(?:no|false|invalid)[^\w\n]*$",
    ),
    _rule(
        "yes-no",
        'it says "yes or no" or "true or false", or joins true and false by and, or, not',
        r"\b(?:yes or no|true or false|valid or invalid)\b|\b(?:and|or|not) \(? ?(?:true|false)\b",
    ),
    _rule(
        "choice",
        "it offers answers under A and B, each in a line or in brackets",
        r"^[ \t]*\(?A[.):]\s|\(A\)",
        r"^[ \t]*\(?B[.):]\s|\(B\)",
    ),
    _rule(
        "choice",
        'it asks "is it this or that?", or has something classified as this or that',
        rf"{_OPENS}(?:is|are|was|were|does|do|which|who|what)\b[^?.!\n]{{0,120}} or [^?.!\n]{{1,60}}\?"
        rf"|{_BEGINS}(?:classify|categori[sz]e|identify|label|decide|determine|order|assign)\b"
        r"[^?\n]{0,160} (?:or|as) ",
    ),
    _rule(
        "code",
        "it holds code, or asks for a program, a function, a query or the like",
        r"^[ \t]*```|^[ \t]*(?:def |class |import |#include|select\b.{1,80}\bfrom\b|function\b.{0,40}\()"
        r"|\b(?:write|implement|create|develop|design|fix|debug|give)\b[^?.\n]{0,60}\b(?:code|function|program"
        r"|script|regex|regular expression|algorithm|sql|html|python|c\+\+|java|javascript|bash)\b",
    ),
    _rule(
        "sum",
        "it is an expression: numbers with a sign of arithmetic between them",
        r"(?<![\w.,-])\d[\d.,]{0,20}"
        r"(?: {0,3}[+*×÷^−] {0,3}| {1,3}[-/] {1,3}| (?:plus|minus|times|divided by) )[(-]?\d",
    ),
    _rule(
        "sum",
        "it has two numbers or more, or a list to count, and asks how many, how much, how long, what total",
        rf"{_NUMBER}{_MORE}{_NUMBER}|,[^,]{{1,60}},[^,]{{1,60}},"
        r"|\bhow many\b[^?\n]{1,80}\b(?:in total|in all|altogether|left|do i have)\b",
        r"\bhow (?:many|much|long|far|old|tall|fast|big|heavy|high)\b|\b(?:what|calculate|find|compute"
        r"|determine)\b[^?.\n]{0,80}\b(?:total|sum|average|mean|percent|percentage|fraction|ratio"
        r"|difference(?! between)|product|probability|area|volume|speed|amount|cost|price|profit|distance"
        r"|perimeter|remainder)\b|\bsolve\b",
    ),
    _rule(
        "sum",
        "it has three numbers or more, and ends with a question that asks what",
        rf"{_NUMBER}{_MORE}{_NUMBER}{_MORE}{_NUMBER}",
        r"\bwhat\b[^?\n]{1,160}\?+[^?\w]*\Z",
    ),
    _rule(
        "choice",
        'it says "options:", "which of the following" or "choose one"',
        r"^[^\w\n]*(?:options|choices)[^\w\n]*$|\b(?:which|one) of (?:the following|these)\b"
        r"|\bchoose (?:between|from|one)\b",
    ),
    _rule(
        "list",
        "it asks for several things: list, name, sort, give me five, what are some",
        rf"{_BEGINS}(?:list|name|enumerate|sort|rank|brainstorm)\b|\b(?:write|make|generate|create)\b"
        r"[^?.\n]{0,24}\blist\b|\b(?:list|give|name|suggest|provide|come up with|tell me|recommend|what are"
        r"|generate|propose)\b[^?.\n]{0,24}\b(?:list|some|few|several|two|three"
        r"|four|five|six|seven|eight|nine|ten|\d{1,3}) "
        r"(?!(?:words?|sentences?|paragraphs?|percent|people)\b)[a-z]",
    ),
    _rule(
        "writing",
        "it asks for a text, or for one put otherwise: write, rewrite, summarise, translate",
        rf"{_BEGINS}(?:write|rewrite|re-write|compose|draft|create|craft|summari[sz]e|translate|paraphrase|edit"
        r"|rephrase|shorten|expand|describe|correct|proofread|convert|imagine|pretend|generate|produce)\b"
        r"|\b(?:write|compose|draft|rewrite|summari[sz]e|translate|paraphrase)\b[^?.\n]{0,60}\b(?:essay|poem"
        r"|story|song|letter|e-?mail|blog|article|summary|paragraph|sentences?|speech|review|text|post|resume"
        r"|dialogue|haiku|limerick|riddle|joke|advertisement|ad|itinerary|proposal|words)\b",
    ),
    _rule(
        "yes-no",
        'a question in it begins with is, are, do, does, can, should or the like, and not with "can you"',
        rf"{_OPENS}(?:is|are|was|were|am|do|does|did|has|have|had|should|may|might|must|can|could|will|would"
        r"|isn't|aren't|don't|doesn't|didn't|can't)\s(?!you\s)[^?\n]{1,300}\?",
    ),
    _rule(
        "question",
        "it has a question mark, or begins with what, why, how, who, explain or the like",
        rf"\?|{_BEGINS}(?:what|why|how|who|whom|whose|when|where|which|explain|tell me|define|discuss"
        r"|compare)\b",
    ),
)
"""The rules in their order; where none holds, the question is of the kind `other`."""


def kind_of(question: str) -> Kind:
    """The kind of a question. Blank space around it says nothing."""
    text = question.strip()
    if len(text) > 2 * READ:
        text = f"{text[:READ]}\n{text[-READ:]}"
    return next((rule.kind for rule in RULES if rule.holds(text)), "other")
