"use strict";
// Fills "Every answer" from the data in this file. All texts go in as text, never as markup.
const PAGE = 50;
const MARKS = { right: "✓", wrong: "✗", failed: "–" };
const cells = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
let shown = PAGE;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function state(value) {
  if (value === null) return "failed";
  return value >= 0.5 ? "right" : "wrong";
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

function line(item) {
  const details = element("details");
  const summary = element("summary");
  const kind = state(item.value);
  const mark = element("span", MARKS[kind], kind);
  mark.title = kind === "failed" ? "not judged" : kind;
  const answer = kind === "failed" ? item.said : `${item.answer || "nothing"} (right: ${item.gold})`;
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
    (which === "all" || state(item.value) === which)
    && (!words || [item.question, item.gold, item.answer, item.said, item.prompt, item.id]
      .some((text) => text.toLowerCase().includes(words))));
  at("rows").replaceChildren(...found.slice(0, shown).map(line));
  at("count").textContent = `${found.length} of ${cell.rows.length}`;
  at("more").hidden = found.length <= shown;
}

cells.forEach((cell, place) => {
  const option = element("option", `${cell.dataset}: ${cell.column}`);
  option.value = place;
  at("cell").append(option);
});
for (const id of ["cell", "which", "find"]) {
  at(id).addEventListener("input", () => { shown = PAGE; draw(); });
}
at("more").addEventListener("click", () => { shown += PAGE; draw(); });
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
draw();
