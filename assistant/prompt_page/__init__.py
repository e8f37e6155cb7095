"""The prompt page, /prompts: for a prompt engineer, who has ten seconds.

In that time they see which strategies there are, which version of each answers people now, and how it does
with them; and they reach what they came for: change a version, look at the exact tokens that it makes, try it
against the present one on a question, and put it in service, or take it back. The rest of the page is for the
hour after: trials, prompt or retrain, files.

It stands in this room because it needs the engine; what it shows and does is `prompts`' and `prompt_bench`'s.
Every handler asks for the role engineer itself.
"""

from assistant.prompt_page.layout import build

__all__ = ["build"]
