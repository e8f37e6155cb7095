"""A tokenizer read from its own files, for folders that need no more: transformers takes seconds to import.

Only the kind that transformers itself reads from `tokenizer.json` as it stands; of any other, `read` says
None and transformers is asked. A test holds both readings against each other.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompts.chat import DEFAULT_TEMPLATE, ChatTemplate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

READ_AS_IT_STANDS = ("TokenizersBackend", "PreTrainedTokenizerFast")
LOOK_AT_THEIR_PART_ALONE = frozenset(("ByteLevel", "Digits", "Split", "Sequence", "NFC", "NFKC"))
"""Steps before the model's own that do the same to a part of a text wherever it stands."""
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class PlainTokenizer:
    """What Hone needs of a tokenizer."""

    tokenizer: "Tokenizer"
    template: ChatTemplate
    eos_id: int

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`, none added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def parts(self, text: str) -> list[str]:
        """`text`, cut so that the ids of the whole are those of its parts: at the tokens that a chat template
        puts around each message. Whole where this tokenizer does not promise that.
        """
        return [text] if self._marks is None else [part for part in self._marks.split(text) if part]

    @cached_property
    def _marks(self) -> "re.Pattern[str] | None":
        """The added tokens, the longest of those that begin alike first, as the tokenizer finds them."""
        added = list(self.tokenizer.get_added_tokens_decoder().values())
        steps = [one for one in (self.tokenizer.normalizer, self.tokenizer.pre_tokenizer) if one is not None]
        kinds = {kind for one in steps for kind in _kinds(json.loads(one.__getstate__()))}
        wide = any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in added)
        if not added or wide or not kinds <= LOOK_AT_THEIR_PART_ALONE:
            return None
        contents = sorted((one.content for one in added), key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, contents))})")


@lru_cache(maxsize=8)
def read(folder: Path) -> PlainTokenizer | None:
    """The tokenizer of `folder`, or None when it has to be read by transformers."""
    files = [folder / "tokenizer.json", folder / "tokenizer_config.json"]
    if not all(file.is_file() for file in files):
        return None
    try:
        config: dict[str, Any] = json.loads(files[1].read_text("utf-8"))
    except ValueError:
        return None
    special: dict[str, Any] = {key: config.get(key) for key in SPECIAL}
    source = _chat_template(folder, config)
    more = config.get("additional_special_tokens") or config.get("extra_special_tokens")
    simple = all(token is None or isinstance(token, str) for token in special.values())
    known = config.get("tokenizer_class") in READ_AS_IT_STANDS and special["eos_token"]
    if not known or not simple or more or source is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(files[0]))
    except Exception:  # noqa: BLE001 - the library raises nothing better; transformers will say what is wrong
        return None
    eos_id = tokenizer.token_to_id(special["eos_token"])
    if eos_id is None:
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    control = {str(one) for one in tokenizer.get_added_tokens_decoder().values() if one.special}
    control |= {token for token in special.values() if token}
    template = ChatTemplate(source, special["bos_token"] or "", special["eos_token"], tuple(sorted(control)))
    return PlainTokenizer(tokenizer, template, eos_id)


def _kinds(step: dict[str, Any]) -> set[str]:
    """What kinds of step are in a normaliser or a pre-tokeniser, as `tokenizer.json` has it."""
    parts = step.get("normalizers") or step.get("pretokenizers") or []
    return {step["type"]}.union(*(_kinds(part) for part in parts))


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """Its source; Hone's own where there is none; None for a kind of file that is not read here."""
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text("utf-8")
    found = config.get("chat_template") or DEFAULT_TEMPLATE
    unread = (folder / "chat_template.json").is_file() or (folder / "additional_chat_templates").is_dir()
    return None if unread or not isinstance(found, str) else found
