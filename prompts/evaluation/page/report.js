"use strict";
// Fills "Every answer" from the data in this file. All texts go in as text, never as markup.
const PAGE = 50;
const MARKS = { right: "✓", wrong: "✗", failed: "–" };
const SHOWN = {
  share: { all: "all", wrong: "wrong", right: "right", failed: "not judged" },
  nats: { all: "all", low: "lowest first", high: "highest first", failed: "not judged" },
};
const ORDERS = { low: (a, b) => a.value - b.value, high: (a, b) => b.value - a.value };
const cells = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
let shown = PAGE;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function state(cell, value) {
  if (value === null) return "failed";
  if (cell.unit === "nats") return "number";
  return value >= 0.5 ? "right" : "wrong";
}

function belongs(cell, which, value) {
  if (which in ORDERS) return value !== null;
  return which === "all" || state(cell, value) === which;
}

function signed(value) {
  return `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
}

function read(cell, row) {
  const [id, question, gold, answer, said, reasoning, value, rest, seconds, tokens] = row;
  return { id, question, gold, answer, said, reasoning, value, prompt: cell.opening + rest, seconds, tokens };
}

function body(item) {
  const list = element("dl");
  const parts = [
    ["Right answer", item.gold], ["Read in the answer", item.answer], ["Answer", item.said],
    ["Reasoning", item.reasoning], ["Exact prompt", item.prompt],
    ["Cost", `${item.seconds} s, ${item.tokens} tokens written`],
  ];
  for (const [label, text] of parts) {
    if (!text) continue;
    const place = element("dd");
    place.append(element("pre", text));
    list.append(element("dt", label), place);
  }
  return list;
}

function line(cell, item) {
  const details = element("details");
  const summary = element("summary");
  const kind = state(cell, item.value);
  const mark = element("span", kind === "number" ? signed(item.value) : MARKS[kind], kind);
  mark.title = { failed: "not judged", number: "reward in nats" }[kind] || kind;
  const graded = kind === "right" || kind === "wrong";
  const answer = graded ? `${item.answer || "nothing"} (right: ${item.gold})` : item.said;
  summary.append(mark, element("span", item.question), element("span", answer));
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(body(item));
  });
  return details;
}

function draw() {
  const cell = cells[at("cell").value];
  if (!cell) return;
  const which = at("which").value;
  const words = at("find").value.toLowerCase();
  const found = cell.rows.map((row) => read(cell, row)).filter((item) =>
    belongs(cell, which, item.value)
    && (!words || [item.question, item.gold, item.answer, item.said, item.prompt, item.id]
      .some((text) => text.toLowerCase().includes(words))));
  if (which in ORDERS) found.sort(ORDERS[which]);
  at("rows").replaceChildren(...found.slice(0, shown).map((item) => line(cell, item)));
  at("count").textContent = `${found.length} of ${cell.rows.length}`;
  at("more").hidden = found.length <= shown;
}

function option(value, text) {
  const made = element("option", text);
  made.value = value;
  return made;
}

// What can be shown of a cell; the choice stays where the next cell has it too.
function offer() {
  const cell = cells[at("cell").value];
  const chosen = at("which").value;
  const offered = Object.entries(SHOWN[cell ? cell.unit : "share"]);
  at("which").replaceChildren(...offered.map(([value, text]) => option(value, text)));
  if (offered.some(([value]) => value === chosen)) at("which").value = chosen;
}

at("cell").append(...cells.map((cell, place) => option(place, `${cell.dataset}: ${cell.column}`)));
at("cell").addEventListener("input", offer);
for (const id of ["cell", "which", "find"]) {
  at(id).addEventListener("input", () => { shown = PAGE; draw(); });
}
at("more").addEventListener("click", () => { shown += PAGE; draw(); });
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
offer();
draw();
