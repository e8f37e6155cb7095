// The ranking board. Runs inside Gradio's gr.HTML: `element` is our root, `server` the page's Python functions.
// Holds no rules about votes: it collects an order and hands it over with the order in which the replies were shown.
const SETTLE_MS = 300; // keys are ignored this long after a new task appears: a double press must not vote twice
const SKIP_REASONS = ["I cannot judge this", "The prompt makes no sense", "The replies are too alike", "Harmful or private"];

let state = null; // what the server said last: {task, progress, can_undo, operator}
let groups = []; // places in the order, best first; each a list of positions on screen that tie
let joinNext = false; // the next reply ties with the last place
let allBad = false;
let skipping = false;
let busy = false;
let shownAt = 0;

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "html") node.innerHTML = value; // only ever HTML that the server's Markdown renderer made
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
};
const key = (name) => el("kbd", {}, name);

const count = () => (state && state.task ? state.task.replies.length : 0);
const placed = () => groups.flat();
const isPair = () => count() === 2;
// The last reply left over can only stand in one place, so nobody is asked for it.
const order = () => {
  const left = [...Array(count()).keys()].filter((i) => !placed().includes(i));
  if (left.length !== 1 || groups.length === 0) return { places: groups, implied: null, complete: left.length === 0 };
  const places = joinNext ? [...groups.slice(0, -1), [...groups.at(-1), left[0]]] : [...groups, left];
  return { places, implied: left[0], complete: true };
};

function show(next) {
  state = next;
  groups = []; joinNext = false; allBad = false; skipping = false;
  shownAt = performance.now();
  draw();
}

function say(text, kind = "info", undoable = false) {
  const bar = element.querySelector(".lb-toast");
  bar.className = `lb-toast ${kind} on`;
  bar.replaceChildren(el("span", {}, text));
  if (undoable) bar.append(el("button", { type: "button", onclick: undo }, "Undo ", key("U")));
  clearTimeout(say.timer);
  say.timer = setTimeout(() => bar.classList.remove("on"), kind === "bad" ? 9000 : 6000);
}

async function ask(name, data, done) {
  if (busy) return;
  busy = true;
  element.querySelector(".lb").classList.add("busy");
  try {
    const answer = await server[name](data);
    if (!answer || answer.error || !answer.progress) say((answer && (answer.error || answer.detail)) || "The server refused.", "bad");
    else { show(answer); if (done) say(done, "info", answer.can_undo); }
  } catch (problem) {
    say("Not saved: the server did not answer. What you chose is still here; try again.", "bad");
  } finally {
    busy = false;
    element.querySelector(".lb").classList.remove("busy");
  }
}

function place(i) {
  if (allBad) allBad = false;
  const at = groups.findIndex((group) => group.includes(i));
  if (at >= 0) { // pressed again: take it out
    groups[at] = groups[at].filter((other) => other !== i);
    groups = groups.filter((group) => group.length);
    joinNext = false;
  } else if (joinNext && groups.length) { groups.at(-1).push(i); joinNext = false; }
  else groups.push([i]);
  if (isPair() && groups.length) submit();
  else draw();
}

function tie() {
  if (allBad) return;
  if (groups.length === 0) { groups = [[...Array(count()).keys()]]; if (isPair()) return submit(); }
  else if (placed().length < count()) joinNext = !joinNext;
  draw();
}

function bad() {
  groups = []; joinNext = false; allBad = !allBad;
  if (isPair() && allBad) submit();
  else draw();
}

function back() {
  if (allBad) allBad = false;
  else if (joinNext) joinNext = false;
  else if (groups.length) { groups.at(-1).pop(); if (!groups.at(-1).length) groups.pop(); }
  else return undo();
  draw();
}

function submit() {
  const { places, complete } = order();
  if (!allBad && !complete) return say("Place the other replies first, or press 0 if all are bad.", "bad");
  const ranks = allBad ? null : state.task.replies.map((_, i) => places.findIndex((group) => group.includes(i)) + 1);
  ask("rank", { task_id: state.task.id, shown: state.task.replies.map((reply) => reply.id), ranks }, said(places));
}

function said(places) {
  if (allBad) return "Saved: all bad.";
  return `Saved: ${places.map((group) => group.map((i) => i + 1).join(" = ")).join(" > ")}.`;
}

function undo() {
  if (state.can_undo) ask("undo", {}, null);
  else say("There is nothing to take back.");
}

function skip(reason) { ask("skip", { task_id: state.task.id, reason }, "Skipped."); }

// ---- drawing ----
function draw() {
  const board = element.querySelector(".lb-board");
  const sameTask = board.dataset.task === (state.task ? state.task.id : "");
  const folds = sameTask ? [...board.querySelectorAll("details")].map((fold) => fold.open) : [];
  const scrolls = sameTask ? [...board.querySelectorAll(".lb-card")].map((card) => card.scrollTop) : [];
  const held = board.contains(document.activeElement) ? [document.activeElement.dataset.testid, skipping ? "skip-1" : "skip"] : null;
  board.replaceChildren(header(), ...(state.task ? task() : [empty()]));
  board.dataset.task = state.task ? state.task.id : "";
  // Somebody is reading: what was folded out or scrolled to stays so.
  board.querySelectorAll("details").forEach((fold, i) => { if (i in folds) fold.open = folds[i]; });
  board.querySelectorAll(".lb-card").forEach((card, i) => { card.scrollTop = scrolls[i] || 0; });
  // So does the focus; a new task is read from its prompt on, so that Enter held down does not judge it.
  const named = (name) => board.querySelector(`[data-testid="${name}"]:not(:disabled)`);
  if (held) (sameTask ? named(held[0]) || named(held[1]) : named("prompt") || named("again"))?.focus({ preventScroll: sameTask });
}

function header() {
  const { done, skipped, open } = state.progress;
  const share = done + skipped + open ? Math.round((100 * (done + skipped)) / (done + skipped + open)) : 0;
  return el("div", { class: "lb-head" },
    el("div", { class: "lb-progress", role: "progressbar", "aria-valuenow": share, "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Tasks done" },
      el("i", { style: `width:${share}%` })),
    el("span", { class: "lb-counts", "data-testid": "progress" },
      el("b", {}, String(done)), " done", skipped ? `, ${skipped} skipped` : "", ", ", el("b", {}, String(open)), " to go"),
    el("button", { type: "button", class: "quiet", "data-testid": "undo-vote", disabled: !state.can_undo, onclick: undo }, "Undo last ", key("U")));
}

function turnView(turn) {
  const body = el("div", { class: "hone-md", html: turn.html });
  const who = el("span", { class: "who" }, turn.role === "user" ? "Person" : "Assistant");
  return el("div", { class: `lb-turn ${turn.role}` }, who, body);
}

function task() {
  const turns = state.task.turns, last = turns.at(-1), before = turns.slice(0, -1);
  const parts = [];
  if (before.length) parts.push(el("details", { class: "lb-before", open: before.length <= 2 },
    el("summary", {}, `Earlier in this conversation (${before.length} messages)`), ...before.map(turnView)));
  const prompt = turnView(last);
  prompt.classList.add("lb-prompt");
  prompt.dataset.testid = "prompt";
  prompt.tabIndex = -1;
  parts.push(last.long ? el("details", { class: "lb-before", open: true }, el("summary", {}, "The prompt"), prompt) : prompt);
  if (state.task.guidelines_html) parts.push(el("details", { class: "lb-guide" }, el("summary", {}, "Guidelines"),
    el("div", { class: "hone-md", html: state.task.guidelines_html })));
  parts.push(el("div", { class: `lb-replies n${count()}`, role: "group", "aria-label": "Replies" }, ...state.task.replies.map(card)));
  parts.push(skipping ? skipPanel() : actions());
  return parts;
}

function card(reply, i) {
  const { places, implied } = order();
  const at = places.findIndex((group) => group.includes(i));
  const tied = at >= 0 && places[at].length > 1;
  const badge = allBad ? "bad" : at < 0 ? "" : at === 0 ? (tied ? "best, tied" : "best") : `${ordinal(at + 1)}${tied ? ", tied" : ""}`;
  const pick = () => { if (!String(getSelection())) place(i); }; // selecting text to read it is not a choice
  return el("article", { class: `lb-card${at === 0 && !allBad ? " best" : ""}${allBad ? " bad" : ""}${at >= 0 ? " placed" : ""}`, "data-testid": `reply-${i + 1}`, "aria-label": `Reply ${i + 1}`, onclick: pick },
    el("header", {},
      el("button", { type: "button", class: "pick", "data-testid": `pick-${i + 1}`, "aria-label": `Place reply ${i + 1} next`, "aria-pressed": String(at >= 0),
        onclick: (event) => { event.stopPropagation(); place(i); } }, String(i + 1)),
      badge ? el("span", { class: `badge${i === implied ? " implied" : ""}`, "data-testid": `badge-${i + 1}` }, badge) : null,
      el("span", { class: "words" }, `${reply.words} ${reply.words === 1 ? "word" : "words"}`)),
    el("div", { class: "hone-md", html: reply.html }));
}

const ordinal = (n) => `${n}${["th", "st", "nd", "rd"][n] || "th"}`;

function actions() {
  const button = (name, text, keyName, onclick, extra = {}) => el("button", { type: "button", "data-testid": name, onclick, ...extra }, `${text} `, key(keyName));
  const tieText = isPair() ? "Equally good" : groups.length ? "Tie the next with this place" : "All equal";
  const ready = allBad || order().complete;
  return el("div", { class: "lb-actions" },
    el("p", { class: "hint" }, hint()),
    el("div", { class: "row" },
      button("tie", tieText, "=", tie, { class: joinNext ? "on" : "", "aria-pressed": String(joinNext) }),
      button("all-bad", "All bad", "0", bad, { class: allBad ? "on" : "", "aria-pressed": String(allBad) }),
      button("skip", "Skip", "S", () => { skipping = true; draw(); }),
      isPair() ? null : button("back", "Back", "\u232b", back, { disabled: !groups.length && !allBad }),
      isPair() ? null : button("submit", "Submit", "\u21b5", submit, { class: "primary", disabled: !ready })));
}

function hint() {
  if (matchMedia("(pointer: coarse)").matches) return isPair() ? "Tap the better reply. It is saved at once." : "Tap the replies from best to worst, then Submit.";
  if (isPair()) return "Press the number of the better reply, or click it. It is saved at once; U takes it back.";
  if (allBad) return "All replies are marked bad. Enter submits, 0 takes the mark away.";
  if (joinNext) return "The next reply you pick ties with the last place.";
  if (order().complete) return "The order is complete. Enter submits, Backspace takes the last place back.";
  return groups.length ? "Now the next best." : "Press the number of the best reply, then the next best, and so on. = makes a tie.";
}

function skipPanel() {
  const box = el("input", { type: "text", maxlength: 300, placeholder: "Another reason", "aria-label": "Another reason", "data-testid": "skip-other" });
  const close = () => { skipping = false; draw(); };
  return el("form", { class: "lb-skip", onsubmit: (event) => { event.preventDefault(); if (box.value.trim()) skip(box.value.trim()); } },
    el("p", { class: "hint" }, "Why skip this one? Nobody is blamed; the reason helps to mend the queue."),
    el("div", { class: "row" }, ...SKIP_REASONS.map((reason, i) => el("button", { type: "button", "data-testid": `skip-${i + 1}`, onclick: () => skip(reason) }, `${reason} `, key(String(i + 1))))),
    el("div", { class: "row" }, box, el("button", { type: "submit" }, "Skip"), el("button", { type: "button", class: "quiet", onclick: close }, "Cancel ", key("Esc"))));
}

function empty() {
  const done = state.progress.done > 0;
  return el("div", { class: "lb-empty", "data-testid": "empty" },
    el("h2", {}, done ? "All done. Thank you." : "Nothing to rank yet."),
    el("p", {}, done ? "Every open task has your judgement. New ones appear here by themselves." : "When there are replies to compare, they appear here by themselves."),
    state.operator
      ? el("p", {}, "To fill the queue, open ", el("a", { href: "/operate" }, "Operate"), ", choose Data, and draw label tasks: Hone asks a set of prompts and queues two or more replies to each.")
      : el("p", {}, "An operator can add tasks on the Operate page, under Data."),
    el("button", { type: "button", "data-testid": "again", onclick: () => ask("load", {}, null) }, "Look again"));
}

// ---- keys ----
function onKey(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", onKey);
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state || busy) return;
  const typing = event.target.closest && event.target.closest("input, textarea, select, [contenteditable]");
  if (skipping && event.key === "Escape") { skipping = false; event.preventDefault(); return draw(); }
  if (typing) return;
  if (event.key === "Enter" && event.target.closest && event.target.closest("button, a, summary")) return; // it presses that
  if (performance.now() - shownAt < SETTLE_MS) return;
  const action = actionOf(event.key);
  if (action) { event.preventDefault(); action(); }
}

function actionOf(name) {
  if (name === "u" || name === "U") return undo;
  if (!state.task) return null;
  const digit = /^[1-9]$/.test(name) ? Number(name) : null;
  if (skipping) return digit && digit <= SKIP_REASONS.length ? () => skip(SKIP_REASONS[digit - 1]) : null;
  if (digit) return digit <= count() ? () => place(digit - 1) : null;
  const others = { "=": tie, t: tie, 0: bad, b: bad, Backspace: back, Enter: isPair() ? null : submit, s: () => { skipping = true; draw(); } };
  return others[name.length === 1 ? name.toLowerCase() : name] || null;
}

document.addEventListener("keydown", onKey);
// An empty queue looks again by itself, gently, while somebody is there to see it.
setInterval(() => { if (element.isConnected && state && !state.task && !document.hidden && !busy) ask("load", {}, null); }, 15000);
ask("load", {}, null);
