// One message on show: a question with its edit, a reply with its text, steps, notes and tools. Told what to show by thread.js.
import { api, attempt, autosize, copyText, focusOn, h, iconButton, showHtml, toast } from "./dom.js";
import { detailsPanel, demonstrationPanel, ratingPopover } from "./judge.js";
import { examplesBody, examplesTitle, keepPanel, maySeePrompts, votesBody } from "./made.js";

/** The `< 2/3 >` switcher, or nothing where there is one branch. */
function switcher(item, page) {
  if (item.branches.length < 2) return null;
  const go = (step) => page.select(item.branches[item.position + step]);
  const first = item.position === 0, last = item.position === item.branches.length - 1;
  return h("span.hc-branches", { role: "group", "aria-label": "Branches" },
    iconButton("left", "Previous branch", "branch-previous", () => go(-1), { disabled: first }),
    h("span", { testid: "branch-position" }, `${item.position + 1}/${item.branches.length}`),
    iconButton("right", "Next branch", "branch-next", () => go(1), { disabled: last }));
}

export function questionNode(item, page) {
  const text = h("div.hc-question", { testid: "question-text" }, item.content);
  const node = h("article.hc-message.user", { "data-id": item.id, "data-role": "user", testid: "message", "aria-label": "You" }, text);
  const tools = h(item.branches.length > 1 ? "div.hc-tools.branched" : "div.hc-tools", {},
    switcher(item, page),
    iconButton("copy", "Copy", "copy", () => copyText(item.content)),
    iconButton("pen", "Edit and ask again", "edit", () => edit()));
  const edit = () => {
    const field = h("textarea", { "aria-label": "Edit your message", testid: "edit-field", maxlength: "32000", rows: "2" });
    field.value = item.content;
    field.addEventListener("input", () => autosize(field, 400));
    const close = () => { box.remove(); text.hidden = tools.hidden = false; };
    const cancel = () => { close(); focusOn(tools, "edit"); };
    const send = async () => {
      const content = field.value.trim();
      if (content && (await page.edit(item.id, content))) close();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") cancel();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
    });
    const box = h("div.hc-edit", {}, field, h("div.row", {},
      h("button.plain", { type: "button", testid: "edit-cancel", onclick: cancel }, "Cancel"),
      h("button.primary", { type: "button", testid: "edit-send", onclick: send }, "Ask again")));
    text.hidden = tools.hidden = true;
    node.append(box);
    autosize(field, 400);
    field.focus();
  };
  node.append(tools);
  return node;
}

/** A reply. `update(state)` shows a newer state of it without touching what has not changed. */
export class ReplyNode {
  constructor(item, page) {
    this.item = item;
    this.page = page;
    this.unsaved = new Map();
    this.steps = h("div.hc-steps");
    this.reasoning = h("details.hc-fold", { testid: "reasoning", hidden: true }, h("summary", {}, "Reasoning"), h("div.hone-md"));
    this.votes = h("details.hc-fold", { testid: "votes", hidden: true }, h("summary"), h("div"));
    this.examples = h("details.hc-fold", { testid: "examples", hidden: true }, h("summary"), h("div"));
    this.body = h("div.hone-md.hc-body", { testid: "reply-text" });
    this.notes = h("div.hc-notes", { "aria-live": "polite" });
    this.tools = h("div.hc-tools");
    this.panels = h("div.hc-panels", { onkeydown: (event) => { if (event.key === "Escape" && !this.typed()) this.closePanel(); } });
    this.node = h("article.hc-message.reply",
      { "data-id": item.id, "data-role": "assistant", testid: "message", "aria-label": "Reply" },
      this.steps, this.votes, this.reasoning, this.body, this.examples, this.notes, this.tools, this.panels);
    this.update(item);
  }

  update(state) {
    this.item = { ...this.item, ...state };
    const writing = state.status === "writing";
    this.node.dataset.status = state.status;
    this.node.setAttribute("aria-busy", String(writing));
    showHtml(this.body, state.html);
    this.says = this.body.childElementCount > 0;
    this.showSteps(state, writing);
    this.showMade(state, writing);
    this.showReasoning(state.reasoning_html, writing);
    this.showNotes(state, writing);
    const signature = JSON.stringify([state.status, this.item.rating, this.item.branches, this.item.demonstration]);
    if (signature !== this.shownTools) {
      this.shownTools = signature;
      this.showTools(writing);
    }
  }

  showReasoning(html, writing) {
    const text = this.reasoning.lastChild;
    if (html) showHtml(text, html);
    else text.replaceChildren();
    this.reasoning.hidden = !text.childElementCount;
    if (this.reasoning.hidden) return;
    const thinking = writing && !this.says;
    if (!this.touched) this.reasoning.open = thinking;
    this.reasoning.firstChild.onclick = () => { this.touched = true; };
    this.reasoning.firstChild.textContent = thinking ? "Thinking" : "Reasoning";
  }

  showSteps(state, writing) {
    state.steps.forEach((step, index) => {
      let fold = this.steps.children[index];
      if (!fold) {
        fold = h("details.hc-fold", { testid: "step", open: !step.done },
          h("summary", {}, step.title, h("span.hc-remark")), h("div.hone-md"));
        this.steps.append(fold);
      }
      if (step.done && !fold.dataset.done) {
        fold.dataset.done = "yes";
        fold.open = false;
        if (step.prompt && maySeePrompts()) {
          const keep = () => this.toggle("keep", () => keepPanel(this, step.prompt));
          fold.append(h("button.link", { type: "button", testid: "keep-prompt", onclick: keep }, "Keep this prompt"));
        }
      }
      fold.classList.toggle("running", writing && !step.done);
      fold.firstChild.lastChild.textContent = step.remark && ` (${step.remark})`;
      showHtml(fold.children[1], step.html);
    });
  }

  showMade({ made, agreement }, writing) {
    this.votes.hidden = !agreement;
    this.examples.hidden = !made.examples.length;
    this.votes.firstChild.textContent = agreement;
    this.votes.classList.toggle("running", writing);
    this.examples.firstChild.textContent = examplesTitle(made.examples);
    const signature = JSON.stringify([made.votes, made.samples.length, made.examples.length]);
    if (signature === this.shownMade) return;
    this.shownMade = signature;
    this.votes.lastChild.replaceChildren(...votesBody(made));
    this.examples.lastChild.replaceChildren(...examplesBody(made.examples));
  }

  showNotes(state, writing) {
    const said = [];
    if (writing && !this.says && this.reasoning.hidden && this.votes.hidden && !state.steps.length) {
      const waits = state.waiting ? busySentence(state.waiting) : "Reading your message";
      said.push(h("p.hc-waiting", { testid: "waiting" }, waits, h("span.dots", { "aria-hidden": "true" }, h("i"), h("i"), h("i"))));
    }
    for (const [testid, sentence] of state.notes) said.push(h("p.hc-note", { testid }, sentence));
    if (state.status === "stopped" || state.status === "failed") {
      const sentence = state.error || (this.says ? "Stopped. What was written is kept." : "Stopped before the first word.");
      said.push(h(`p.hc-note.${state.status}`, { testid: state.status, role: state.status === "failed" ? "alert" : null },
        sentence, " ", h("button.link", { type: "button", testid: "retry", onclick: () => this.page.regenerate(this.item.id) }, "Retry")));
    }
    const signature = said.map((one) => one.textContent).join("|");
    if (signature !== this.shownNotes) {
      this.shownNotes = signature;
      this.notes.replaceChildren(...said);
    }
  }

  /** The server is out of reach while it writes; the next state takes this sentence away. */
  lost(forGood) {
    this.shownNotes = null;
    this.notes.replaceChildren(h("p.hc-note", { testid: "lost" }, lostSentence(forGood)));
  }

  showTools(writing) {
    const item = this.item;
    if (writing) return this.tools.replaceChildren();
    const usable = Boolean(item.content.trim());
    const thumb = (name, value, label) => iconButton(name, label, `thumbs-${name}`, () => this.rate(value),
      { "aria-pressed": String(item.rating?.value === value) });
    const held = this.tools.contains(document.activeElement) && document.activeElement.dataset.testid;
    this.tools.replaceChildren(...[
      switcher(item, this.page),
      usable && thumb("up", 1, "Good reply"),
      usable && thumb("down", -1, "Bad reply"),
      usable && iconButton("pen", item.demonstration ? "Your better answer" : "Write a better answer", "demonstrate",
        () => this.toggle("better", () => demonstrationPanel(this)), { "aria-pressed": String(Boolean(item.demonstration)) }),
      usable && iconButton("columns", "Compare with a second reply", "compare", () => this.page.compare(this)),
      iconButton("again", "Write another reply", "regenerate", () => this.page.regenerate(item.id)),
      usable && iconButton("copy", "Copy", "copy", () => copyText(item.content)),
      iconButton("info", "Details: what made this reply", "details", () => this.toggle("details", () => detailsPanel(this))),
    ].filter(Boolean));
    if (held) focusOn(this.tools, held);
    return undefined;
  }

  /** Make room for another panel. One in which somebody has typed is kept, and is what opens the next time. */
  putAway() {
    const open = this.panels.firstChild;
    if (open && this.typed()) this.unsaved.set(open.dataset.panel, open);
    this.panels.replaceChildren();
    return open?.dataset.panel;
  }

  /** Show a panel under the reply, or take it away when it is the one that is open. The focus goes into it. */
  toggle(name, make) {
    this.opener = document.activeElement.dataset.testid;
    if (this.putAway() === name) return;
    const panel = this.unsaved.get(name) ?? make();
    this.unsaved.delete(name);
    panel.dataset.panel = name;
    panel.setAttribute("role", "group");
    panel.setAttribute("aria-label", panel.querySelector("b").textContent);
    this.panels.append(panel);
    (panel.querySelector("textarea, .chip") ?? panel.querySelector("button")).focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  }

  /** Take the panel away; the focus goes back to the button that it came from. */
  closePanel() {
    this.panels.replaceChildren();
    focusOn(this.node, this.opener);
  }

  /** Whether somebody has typed into the open panel: Escape must not take that away, nor another panel. */
  typed() {
    return [...this.panels.querySelectorAll("textarea, input")].some((field) => field.value !== field.defaultValue);
  }

  async rate(value) {
    const withdraw = this.item.rating?.value === value;
    await attempt(async () => {
      const path = `/replies/${this.item.id}/rating`;
      const { rating } = withdraw ? await api("DELETE", path) : await api("PUT", path, { value });
      this.update({ ...this.item, rating });
      this.putAway();
      if (withdraw) toast("Your thumb is withdrawn.", "good");
      else this.toggle(`rating ${value}`, () => ratingPopover(this, value));
    });
  }
}

/** The model has its hands full: how many start before this reply. */
export function busySentence(before) {
  return `Busy: ${before === 1 ? "1 reply is" : `${before} replies are`} before yours`;
}

/** The server is out of reach while a reply is written. `forGood`: the browser has given up. */
export function lostSentence(forGood) {
  const next = forGood ? "Reload this page." : "This page goes on by itself when it does.";
  return `The server does not answer. ${next}`;
}
