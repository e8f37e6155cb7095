// The official JavaScript client against the server at argv[2]; writes what it got as JSON.
const { OpenAI } = require("openai");

async function main() {
  const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "sk-none", maxRetries: 0 });
  const asked = {
    model: "hone",
    messages: [{ role: "user", content: "Why is the sky blue?" }],
    max_tokens: 24,
    seed: 5,
  };
  const plain = await client.chat.completions.create(asked);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const unknown = await client.chat.completions
    .create({ ...asked, model: "gpt-4" })
    .catch((error) => ({ status: error.status, code: error.code }));
  process.stdout.write(
    JSON.stringify({
      plain: plain.choices[0].message.content,
      reply_id: plain.hone.reply_id,
      streamed,
      unknown: { status: unknown.status, code: unknown.code },
    }),
  );
}

main();
