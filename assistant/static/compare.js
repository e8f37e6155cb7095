// Two replies to one question, side by side and blind; a vote by click or by the keys 1 2 3 4; names only after it.
import { api, attempt, h, iconButton, showHtml, toast, typing } from "./dom.js";
import { recordList } from "./judge.js";
import { busySentence, lostSentence } from "./message.js";

const NAMES = ["Model version", "Strategy", "Prompt version", "Seed"];
const CHOICES = [["left", "Left"], ["right", "Right"], ["tie", "Tie"], ["both_bad", "Both bad"]];

export class Comparison {
  /** Shown inside `reply` (a ReplyNode). `closed(voted)` is called when the person is done. */
  constructor(reply, shown, closed) {
    this.reply = reply;
    this.closed = closed;
    this.id = shown.id;
    this.sides = {};
    this.status = h("p.hc-note", { "aria-live": "polite", testid: "compare-status" });
    this.buttons = CHOICES.map(([verdict, label], index) => h("button.choice", {
      type: "button", testid: `compare-${verdict.replace("_", "-")}`, "data-verdict": verdict, "aria-pressed": "false",
      "aria-keyshortcuts": String(index + 1), onclick: () => this.vote(verdict),
    }, h("kbd", {}, String(index + 1)), label));
    this.withdraw = h("button.plain", { type: "button", testid: "compare-withdraw", hidden: true, onclick: () => this.takeBack() }, "Withdraw my vote");
    const escape = (event) => { if (event.key === "Escape") this.close(); };
    this.node = h("section.hc-compare", { testid: "compare-panel", "aria-label": "Compare two replies", tabindex: "-1", onkeydown: escape },
      h("div.hc-panel-head", {}, h("b", {}, "Which reply is better?"), iconButton("close", "Close", "compare-close", () => this.close())),
      h("div.hc-columns", {}, this.column("left", "Left"), this.column("right", "Right")),
      h("div.hc-choices", { role: "group", "aria-label": "Your vote" }, ...this.buttons),
      h("div.row.start", {}, this.status, this.withdraw));
    this.keys = (event) => {
      if (typing() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const button = this.buttons[Number(event.key) - 1];
      if (button && !button.disabled) { event.preventDefault(); button.click(); }
    };
    document.addEventListener("keydown", this.keys);
    this.show(shown);
  }

  column(side, title) {
    const body = h("div.hone-md.hc-body");
    const note = h("p.hc-note");
    const names = h("div");
    this.sides[side] = { body, note, names };
    return h("div.hc-column", { testid: `compare-${side}-text` }, h("h3", {}, title), body, note, names);
  }

  show(shown) {
    this.shown = shown;
    for (const side of ["left", "right"]) {
      this.side(side, shown[side]);
      this.sides[side].names.replaceChildren(...(shown[side].record ? [recordList(shown[side].record, NAMES)] : []));
      if (shown[side].status === "writing" && !this.sides[side].source) this.follow(side, shown[side].id);
    }
    this.refresh();
  }

  side(side, state) {
    const { body, note } = this.sides[side];
    this.shown[side] = { ...this.shown[side], ...state };
    showHtml(body, state.html);
    this.sides[side].says = body.childElementCount > 0;
    const written = state.waiting ? `${busySentence(state.waiting)}.` : "Being written.";
    const waits = state.status === "writing" && !this.sides[side].says ? written : "";
    note.textContent = state.status === "failed" ? state.error : waits;
    note.hidden = !note.textContent;
  }

  follow(side, id) {
    const source = new EventSource(`/api/replies/${id}/events`);
    this.sides[side].source = source;
    source.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      this.side(side, state);
      if (state.status !== "writing") source.close();
      this.refresh();
    });
    source.addEventListener("error", () => this.lost(side, source.readyState === EventSource.CLOSED));
  }

  /** The next state takes this sentence away. */
  lost(side, forGood) {
    const { note } = this.sides[side];
    note.textContent = lostSentence(forGood);
    note.hidden = false;
  }

  refresh() {
    const both = ["left", "right"];
    const writing = both.some((side) => this.shown[side].status === "writing");
    const broken = both.some((side) => this.shown[side].status === "failed" || (this.shown[side].status !== "writing" && !this.sides[side].says));
    const { verdict } = this.shown;
    for (const button of this.buttons) {
      button.disabled = writing || broken;
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    this.withdraw.hidden = !verdict;
    const label = CHOICES.find(([name]) => name === verdict)?.[1];
    if (broken) this.status.textContent = "One of the replies was not written, so there is nothing to compare. Close this and try again.";
    else if (writing) this.status.textContent = "You can vote when both are written.";
    else if (verdict) this.status.textContent = `Your vote: ${label}. Choose again to change it.`;
    else this.status.textContent = "Who wrote which is told after your vote.";
  }

  vote(verdict) {
    return attempt(async () => {
      this.show(await api("PUT", `/comparisons/${this.id}/vote`, { verdict }));
      this.voted = true;
      this.withdraw.scrollIntoView({ block: "nearest" });
    });
  }

  takeBack() {
    return attempt(async () => {
      this.show(await api("DELETE", `/comparisons/${this.id}/vote`));
      this.node.focus({ preventScroll: true }); // its button is gone
      toast("Your vote is withdrawn.", "good");
    });
  }

  /** Leave the page's keys and streams alone from here on. */
  end() {
    document.removeEventListener("keydown", this.keys);
    for (const side of Object.values(this.sides)) side.source?.close();
    this.node.remove();
  }

  close() {
    const unfinished = Object.values(this.shown).find((one) => one?.status === "writing");
    if (unfinished) attempt(() => api("POST", `/replies/${unfinished.id}/stop`));
    this.end();
    this.closed(Boolean(this.voted));
  }
}
