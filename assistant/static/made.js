// How an answer came about: the votes of self-consistency, the examples that its prompt showed, the prompt that a step
// wrote and that can be kept. Plain text only, no HTML.
import { api, attempt, h, iconButton, toast } from "./dom.js";

/** How many said what, and in full what the others said. */
export function votesBody(made) {
  const said = (count) => `: ${count === 1 ? "1 vote" : `${count} votes`}`;
  const list = h("ul.hc-votes", {}, ...made.votes.map(([answer, count]) => h("li", {}, h("b", {}, answer), said(count))));
  const others = made.samples.filter((sample) => !sample.agrees);
  return [list, ...others.map((sample) => h("details.hc-fold", { testid: "other-answer" },
    h("summary", {}, `Another answer: ${sample.taken}`),
    sample.reasoning ? h("p.hc-plain", {}, sample.reasoning) : null,
    h("p.hc-plain", {}, sample.answer)))];
}

export function examplesTitle(examples) {
  return `${examples.length === 1 ? "1 example" : `${examples.length} examples`} that people here wrote or preferred`;
}

export function examplesBody(examples) {
  return examples.map((example) => h("div.hc-example", { testid: "example" },
    h("p.hc-plain", {}, h("b", {}, example.question)), h("p.hc-plain", {}, example.answer), h("small", {}, example.source)));
}

/** Whether the page of prompts is offered to this person. The server checks by itself. */
export function maySeePrompts() {
  return Boolean(document.querySelector('[data-testid="nav-prompts"]'));
}

/** A prompt that the model wrote becomes the draft of a strategy: it can be changed, and needs a name. */
export function keepPanel(reply, written) {
  const field = h("textarea", { "aria-label": "The prompt", testid: "keep-text", rows: "3", maxlength: "32000" });
  field.defaultValue = written;
  const words = written.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const name = h("input", { type: "text", "aria-label": "Name of the strategy", testid: "keep-name", maxlength: "60", required: true });
  name.defaultValue = words.slice(0, 3).join("-").slice(0, 60) || "prompt-1";
  const save = () => attempt(async () => {
    const kept = await api("POST", `/prompts/${encodeURIComponent(name.value.trim())}/written`, { text: field.value });
    reply.closePanel();
    toast(`${kept.name} is kept as a draft. Try it on the page Prompts, then put it in production.`, "good");
  });
  return h("form.hc-panel", { testid: "keep-panel", onsubmit: (event) => { event.preventDefault(); save(); } },
    h("div.hc-panel-head", {}, h("b", {}, "Keep this prompt: it is put after each question"),
      iconButton("close", "Close", "keep-close", () => reply.closePanel())),
    field,
    h("div.row", {}, name, h("button.primary", { type: "submit", testid: "keep-save" }, "Keep as a draft")));
}
