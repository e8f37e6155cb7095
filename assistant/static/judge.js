// What a person says about one reply: the reason for a thumb, a better answer; and what the reply says of itself.
import { api, attempt, autosize, copyText, h, iconButton, toast } from "./dom.js";

const REASONS = { 1: ["Correct", "Clear", "Right length", "Kind"], [-1]: ["Wrong", "Unclear", "Too long", "Too short", "Not what I asked"] };

/** Asks why, after a thumb was recorded. */
export function ratingPopover(reply, value) {
  const field = h("input", {
    type: "text", "aria-label": "Reason", placeholder: "Say why, if you like", maxlength: "2000", testid: "rating-reason",
  });
  field.defaultValue = reply.item.rating?.reason ?? "";
  const save = () => attempt(async () => {
    const { rating } = await api("PUT", `/replies/${reply.item.id}/rating`, { value, reason: field.value });
    reply.update({ ...reply.item, rating });
    reply.closePanel();
    toast("Thank you. Your reason is kept.", "good");
  });
  const chips = REASONS[value].map((reason) => h("button.chip", { type: "button", onclick: () => {
    field.value = field.value ? `${field.value}, ${reason.toLowerCase()}` : reason;
    field.focus();
  } }, reason));
  return h("form.hc-panel", { testid: "rating-panel", onsubmit: (event) => { event.preventDefault(); save(); } },
    h("div.hc-panel-head", {}, h("b", {}, value === 1 ? "What was good?" : "What was wrong?"),
      iconButton("close", "Close", "rating-close", () => reply.closePanel())),
    h("div.chips", {}, ...chips),
    h("div.row", {}, field, h("button.primary", { type: "submit", testid: "rating-save" }, "Save")));
}

/** A better answer, begun from the reply or from one's earlier one. */
export function demonstrationPanel(reply) {
  const field = h("textarea", { "aria-label": "A better answer", testid: "better-field", rows: "4", maxlength: "32000" });
  field.defaultValue = reply.item.demonstration ?? reply.item.content;
  field.addEventListener("input", () => autosize(field, 480));
  requestAnimationFrame(() => autosize(field, 480));
  const path = `/replies/${reply.item.id}/demonstration`;
  const finish = (demonstration, said) => {
    reply.update({ ...reply.item, demonstration });
    reply.closePanel();
    toast(said, "good");
  };
  const save = () => attempt(async () => {
    const content = field.value.trim();
    if (!content) return toast("The better answer is empty.");
    if (content === reply.item.content.trim()) return toast("This is the reply as it was. Change it first.");
    return finish((await api("PUT", path, { content })).demonstration, "Thank you. The next training can learn from it.");
  });
  const withdraw = () => attempt(async () => finish((await api("DELETE", path)).demonstration, "Your better answer is withdrawn."));
  return h("div.hc-panel", { testid: "better-panel" },
    h("div.hc-panel-head", {}, h("b", {}, "How should the reply have been?"),
      iconButton("close", "Close", "better-close", () => reply.closePanel())),
    field,
    h("div.row", {},
      reply.item.demonstration ? h("button.plain", { type: "button", testid: "better-withdraw", onclick: withdraw }, "Withdraw it") : null,
      h("button.primary", { type: "button", testid: "better-save", onclick: save }, "Save")));
}

/** The rows of "what made this reply", from its record. */
export function recordRows(record) {
  const speed = record.reply_tokens && record.duration_s && !record.steps.length ? `, ${(record.reply_tokens / record.duration_s).toFixed(1)} a second` : "";
  const { temperature, top_p, max_tokens, seed } = record.settings;
  return [
    ["Model version", record.model_version?.name ?? "unknown", "record-version"],
    ["Strategy", record.chosen_because ? `${record.strategy}, chosen by auto` : record.strategy, "record-strategy"],
    ["Prompt version", record.prompt_version.id, "record-prompt-version"],
    ["Settings", `temperature ${temperature}, top-p ${top_p}, at most ${max_tokens} tokens`, "record-settings"],
    ["Seed", seed, "record-seed"],
    ["Length", record.reply_tokens === null ? null : `${record.reply_tokens} tokens${speed}`, "record-length"],
    ["Read", record.prompt_tokens ? `${record.prompt_tokens} tokens` : null, "record-read"],
    ["Time", record.duration_s === null ? null : `${record.duration_s.toFixed(1)} s`, "record-time"],
    ["Engine", record.engine, "record-engine"],
    ["Examples", record.examples.join(", "), "record-examples"],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

/** `only`: the names of the rows to show; all of them when left out. */
export function recordList(record, only) {
  const rows = recordRows(record).filter(([name]) => !only || only.includes(name));
  return h("dl.hc-record", {}, ...rows.flatMap(([name, value, testid]) => [h("dt", {}, name), h("dd", { testid }, String(value))]));
}

/** What made the reply, and on demand the exact text that the model received. */
export function detailsPanel(reply) {
  const panel = h("div.hc-panel", { testid: "details-panel" },
    h("div.hc-panel-head", {}, h("b", {}, "What made this reply"),
      iconButton("close", "Close", "details-close", () => reply.closePanel())),
    h("p.hc-note", {}, "Looking it up."));
  attempt(async () => {
    const record = await api("GET", `/replies/${reply.item.id}`);
    panel.lastChild.replaceWith(recordList(record));
    const prompts = [...record.steps.map((step) => [step.title, step.prompt_text]), ["", record.prompt_text]].filter(([, text]) => text);
    if (prompts.length) panel.append(exactPrompt(prompts));
  });
  return panel;
}

/** `prompts`: [title of the step or "", exact text], in the order asked. */
function exactPrompt(prompts) {
  const parts = prompts.map(([title, text]) => h("div.hc-exact", {},
    h("div.hc-panel-head", {}, h("span", {}, title || (prompts.length > 1 ? "The answer" : "")),
      h("button.plain", { type: "button", testid: "copy-prompt", onclick: () => copyText(text) }, "Copy")),
    h("pre", { tabindex: "0", testid: title ? "exact-step-prompt" : "exact-prompt" }, text)));
  const fold = h("details.hc-fold", {}, h("summary", { testid: "show-exact-prompt" }, "Show the exact prompt"), ...parts);
  return fold;
}
