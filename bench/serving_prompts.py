"""What is asked in bench/serving.py. Every prompt differs from all others from its first word on, so that no
cache helps where none shall, and prompt `number` is the same for every peer.
"""

SHOTS = (
    ("Why is the sky blue?", "Air scatters the short waves of sunlight most, and blue is short. So blue "
     "light reaches the eye from every side, while red light mostly goes straight through the air."),
    ("How does bread rise?", "Yeast eats the sugar that is in the dough and gives off a gas. The gas is "
     "caught in the net of gluten that kneading has made, and the warm dough swells until it is baked."),
    ("Why do leaves fall in autumn?", "A tree would lose too much water through its leaves in winter, when "
     "the ground is frozen. It takes back what it can use, closes the stem with cork, and lets the leaf go."),
    ("What makes a rainbow?", "Sunlight enters a drop of rain, bends, is thrown back from the far side and "
     "bends again on its way out. Each colour bends by another angle, so each is seen at another height."),
    ("How do bees find their hive?", "They learn the land around it on their first flights. Later they steer "
     "by the sun, whose path they know, and by landmarks, and close to home they follow its smell."),
    ("Why is the sea salty?", "Rain washes salts out of the rocks, and rivers carry them to the sea. The "
     "water goes up again as vapour while the salts stay, and so over long ages they have become many."),
    ("What is a tide?", "The moon pulls at the side of the earth that is near to it more than at the other. "
     "The sea swells towards the moon and away from it, and the turning earth carries us through both."),
    ("How does a sail boat go against the wind?", "It goes zigzag. The sail works as a wing does, with a "
     "pull forward and sideways; the keel resists the sideways part, and what is left drives the boat on."),
)  # fmt: skip
TOPICS = (
    "a lighthouse", "an old violin", "a mountain village", "a lost letter", "the first snow", "a night train",
    "a baker's daughter", "a walled garden", "a broken clock", "the harbour market", "a travelling circus",
    "an island school", "a long drought", "a painter's winter", "the ferryman", "a wild goose",
)  # fmt: skip


def story(number: int) -> str:
    """About 100 tokens when rendered, and a long answer."""
    topic = TOPICS[number % len(TOPICS)]
    return (
        f"{number + 1000} is the number of this story. Write a long and detailed story about {topic}. Begin "
        "with the place and the weather, then tell who lives there and what they wish for, how something "
        "unexpected happens one morning, what each of them does about it, and how it all ends many years "
        "later. Use full sentences and no headings, and do not stop early."
    )


def eight_shots(number: int) -> str:
    """About 600 tokens, as a prompt with eight examples is."""
    shift = number % len(SHOTS)
    shots = (*SHOTS[shift:], *SHOTS[:shift])
    told = "\n\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in shots)
    return f"{number + 1000} is the number of this sheet.\n\n{told}\n\nQuestion: {story(number)}\nAnswer:"


def long(number: int) -> str:
    """About 1,000 tokens."""
    told = " ".join(answer for _, answer in (*SHOTS, *SHOTS)[number % 8 : number % 8 + 8])
    return f"{number + 1000} is the number of this text. {told} {told} Tell it all again in your own words."


def short(number: int) -> str:
    """About 20 tokens."""
    return f"{number + 1000}: what do you know about {TOPICS[number % len(TOPICS)]}?"


def turn(number: int, place: int) -> str:
    """One of the messages of a long conversation: about 20 tokens, as people write (HH's: 14 in the mean)."""
    question, _ = SHOTS[(number + place) % len(SHOTS)]
    return f"{question} Tell me more of it than you would tell a child."


def quoting(number: int, place: int) -> str:
    """The same with a text put into it: about 100 tokens."""
    question, answer = SHOTS[(number + place) % len(SHOTS)]
    return (
        f"Message {place}. I asked a friend: {question} The friend said: {answer} I am not sure that this "
        "is the whole truth. What would you add to it, and what would you say to a child who asks the same?"
    )
