"""LlamaIndex's OpenAI-like class against the server at argv[1]; writes what it got as JSON."""

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(
    model="hone",
    api_base=f"{sys.argv[1]}/v1",
    api_key="sk-none",
    is_chat_model=True,
    max_tokens=24,
    max_retries=0,
    additional_kwargs={"seed": 5},
)
asked = [ChatMessage(role="user", content="Why is the sky blue?")]
plain = model.chat(asked).message.content
streamed = "".join(part.delta or "" for part in model.stream_chat(asked))
sys.stdout.write(json.dumps({"plain": plain, "streamed": streamed}))
