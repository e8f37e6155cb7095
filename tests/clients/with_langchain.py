"""LangChain's OpenAI class against the server at argv[1]; writes what it got as JSON."""

import json
import sys

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="hone", base_url=f"{sys.argv[1]}/v1", api_key="sk-none", max_tokens=24, seed=5, max_retries=0
)
asked = [("system", "Answer briefly."), ("human", "Why is the sky blue?")]
plain = model.invoke(asked)
streamed = "".join(str(chunk.content) for chunk in model.stream(asked))
sys.stdout.write(
    json.dumps(
        {"plain": plain.content, "streamed": streamed, "tokens": plain.usage_metadata["output_tokens"]}
    )
)
