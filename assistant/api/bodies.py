"""What may be sent to the API, with its limits. Unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from assistant.turns import DEFAULT_STRATEGY, TurnSettings
from feedback.conversations import NEW_TITLE, SEEDS, Sampling
from feedback.ids import MessageId

LONGEST_MESSAGE = 32_000
LONGEST_TITLE = 200
LONGEST_REASON = 2_000

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_MESSAGE)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TITLE)]


def example(**fields: Any) -> ConfigDict:
    """What is sent, as the description of the API shows it; a test sends each."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Settings(Body):
    """How a reply is wanted. Left out: the default of `Sampling`. A seed of null is drawn."""

    strategy: Annotated[str, StringConstraints(max_length=80)] = DEFAULT_STRATEGY
    temperature: float = Field(default=Sampling().temperature, ge=0.0, le=2.0)
    top_p: float = Field(default=Sampling().top_p, gt=0.0, le=1.0)
    max_tokens: int = Field(default=Sampling().max_tokens, ge=1, le=8192)
    seed: int | None = Field(default=None, ge=0, lt=SEEDS)

    def turn(self) -> TurnSettings:
        return TurnSettings(self.strategy, Sampling(self.temperature, self.top_p, self.max_tokens, self.seed))


class Rename(Body):
    model_config = example(title="Rope")

    title: Title


class NewMessage(Body):
    """`parent_id`: the message that this one follows; null: the first of the conversation."""

    model_config = example(
        content="What is rope?", settings={"strategy": "zero-shot", "max_tokens": 32, "seed": 1}
    )

    content: Text
    parent_id: MessageId | None = None
    settings: Settings = Settings()


class NewConversation(Body):
    """`message`: what it begins with. Without a title it takes one from its first message."""

    model_config = example(title="Rope", message={"content": "What is rope?"})

    title: Title = NEW_TITLE
    message: NewMessage | None = None


class Edit(Body):
    model_config = example(content="What is a rope made of?")

    content: Text
    settings: Settings = Settings()


class Again(Body):
    model_config = example(settings={"strategy": "chain-of-thought", "temperature": 0.9})

    settings: Settings = Settings()


class Rating(Body):
    model_config = example(value=-1, reason="It is not true.")

    value: Literal[-1, 1]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REASON)] = ""


class Vote(Body):
    """`ranks` stand in the order of `replies`: 1 is best, equal ranks are ties; null: all bad."""

    model_config = example(replies=["m_0a1b2c3d4e5f", "m_6a7b8c9d0e1f"], ranks=[1, 2])

    replies: Annotated[list[MessageId], Field(min_length=2, max_length=8)]
    ranks: Annotated[list[int], Field(min_length=2, max_length=8)] | None


class Ranking(Vote):
    """A vote on all the replies of a label task."""


class Skip(Body):
    model_config = example(reason="I cannot read French.")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_REASON)]


class Demonstration(Body):
    model_config = example(content="A rope is strands of fibre, twisted together.")

    content: Text


class Verdict(Body):
    model_config = example(verdict="left")

    verdict: Literal["left", "right", "tie", "both_bad"]
