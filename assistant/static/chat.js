// The chat page: which conversation is on show, the composer, the settings. Puts sidebar and thread together.
import { api, attempt, autosize, h, icon, iconButton, toast } from "./dom.js";
import { Sidebar } from "./sidebar.js";
import { Thread } from "./thread.js";

const STARTERS = [
  "Explain why the sky is blue to a ten-year-old.",
  "Give me three ideas for a rainy Sunday.",
  "Write a short, polite email asking to move a meeting.",
  "What is the difference between weather and climate?",
];
const ENDED = { complete: "The reply is written.", stopped: "The reply was stopped.", failed: "The reply failed." };
const SETTINGS = ["strategy", "temperature", "top_p", "max_tokens", "seed"];

class Chat {
  constructor(sidebarRoot, chatRoot) {
    this.id = null;
    this.replyId = null;
    this.sidebar = new Sidebar(sidebarRoot, (id) => this.go(id), () => this.retitle());
    this.buildChat(chatRoot);
    window.addEventListener("hashchange", () => this.show());
    window.addEventListener("focus", () => this.catchUp());
    // Before Gradio hears of it: Escape closes an open list first, and the settings only after that.
    document.addEventListener("keydown", ({ key, target }) => {
      if (key === "Escape" && target.closest?.("#hone-settings") && target.ariaExpanded !== "true") this.toggleSettings();
    }, true);
    // Before Gradio sets the least there is: a setting that was emptied is the usual one again.
    document.addEventListener("blur", ({ target }) => {
      if (target.type === "number" && !target.value) target.closest("#hone-settings .block")?.querySelector(".reset-button")?.click();
    }, true);
    this.status();
    this.sidebar.refresh();
    this.show();
  }

  buildChat(root) {
    this.title = h("h1.hc-heading", { testid: "title" }, "New chat");
    this.champion = h("span.hc-champion", { testid: "champion", title: "The model version that answers" });
    this.menuButton = iconButton("menu", "Conversations", "open-sidebar", () => this.sidebar.drawer(true), { class: "icon-button only-narrow" });
    this.settingsButton = iconButton("sliders", "Settings", "settings", () => this.toggleSettings(), { "aria-expanded": "false" });
    const top = h("header.hc-top", {}, this.menuButton, this.title, this.champion, this.settingsButton);
    this.empty = h("div.hc-empty", { testid: "empty" },
      h("h2", {}, "What would you like to know?"),
      h("p", {}, "Rate what you get: your votes train the next version."),
      h("div.hc-starters", {}, ...STARTERS.map((text) => h("button", { type: "button", testid: "starter", onclick: () => this.send(text) }, text))));
    this.list = h("div.hc-thread", { testid: "thread", role: "log", "aria-label": "Messages", "aria-live": "off" });
    this.scroller = h("div.hc-scroll", { tabindex: "-1" }, this.empty, this.list);
    this.field = h("textarea", { rows: "1", placeholder: "Ask something", "aria-label": "Your message", testid: "composer", maxlength: "32000" });
    this.sendButton = h("button.hc-send", { type: "submit", "aria-label": "Send", title: "Send (Enter)", testid: "send" }, icon("send"));
    this.stopButton = h("button.hc-send.stop", { type: "button", "aria-label": "Stop", title: "Stop writing", testid: "stop", hidden: true, onclick: () => this.stop() }, icon("stop"));
    const form = h("form.hc-composer", { onsubmit: (event) => { event.preventDefault(); this.submit(); } }, this.field, this.sendButton, this.stopButton);
    this.field.addEventListener("input", () => { autosize(this.field); this.keepDraft(); });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); this.submit(); }
      if (event.key === "Escape" && this.replyId) this.stop();
    });
    this.how = h("button.hc-how", { type: "button", testid: "how", title: "How your question is put to the model", onclick: () => this.toggleSettings() });
    const foot = h("p.hc-foot", {}, this.how, h("span", {}, "Hone can be wrong. Enter sends, Shift+Enter starts a new line."));
    window.addEventListener("hone-settings", () => this.sayHow());
    attempt(async () => {
      this.strategies = new Map((await api("GET", "/strategies")).strategies.map((one) => [one.name, one.title]));
      this.sayHow();
    });
    this.news = h("p.hc-unseen", { role: "status", testid: "news" });
    root.replaceChildren(top, h("div.hc-middle", {}, this.scroller), h("div.hc-bottom", {}, form, foot), this.news);
    this.thread = new Thread(this.scroller, this.list, {
      settings: () => this.settings(),
      changed: () => { this.sidebar.refresh(); this.status(); },
      writing: (id) => this.writing(id),
      ended: (status) => { this.news.textContent = ENDED[status]; },
      goOn: () => this.toField(),
      comparing: (kept) => this.keep("comparing", kept ? JSON.stringify(kept) : ""),
    });
  }

  /** Which strategy the next question is put by, beside the composer, where it is chosen with one click. */
  sayHow() {
    const name = this.settings().strategy ?? "zero-shot";
    this.how.textContent = this.strategies?.get(name) ?? name;
    this.how.setAttribute("aria-label", `Strategy: ${this.how.textContent}`);
  }

  /** The button stands for what can be done: send, or stop what is being written. */
  writing(id) {
    const held = [this.sendButton, this.stopButton].includes(document.activeElement);
    if (id) this.news.textContent = "A reply is being written.";
    this.replyId = id;
    this.sendButton.hidden = Boolean(id);
    this.stopButton.hidden = !id;
    if (held) this.toField();
  }

  /** The focus to where one types. On a screen that is touched it would bring up the keyboard unasked. */
  toField() {
    if (!matchMedia("(pointer: coarse)").matches) this.field.focus({ preventScroll: true });
  }

  /** Settings, to the right: the focus goes to them, and back to where it was. */
  toggleSettings() {
    const box = document.getElementById("hone-settings");
    const held = document.activeElement;
    const open = document.body.classList.toggle("hc-settings");
    this.settingsButton.setAttribute("aria-expanded", String(open));
    if (open) {
      this.settingsOpener = held;
      for (const [name, value] of [["role", "region"], ["aria-label", "Settings"], ["tabindex", "-1"]]) box.setAttribute(name, value);
      box.focus();
    } else if (box.contains(held)) this.settingsOpener.focus();
  }

  /** The settings to send: what was chosen on this page's controls; the server's default for the rest. */
  settings() {
    const kept = window.honeSettings.kept();
    return Object.fromEntries(SETTINGS.filter((key) => kept[key] !== undefined && kept[key] !== null && kept[key] !== "").map((key) => [key, kept[key]]));
  }

  async status() {
    await attempt(async () => {
      const said = await api("GET", "/status");
      this.champion.textContent = said.champion.name;
      this.champion.title = `The model version that answers. ${said.device}`.trim();
    });
  }

  go(id) {
    const wanted = id ? `#${id}` : "";
    if (location.hash === wanted) this.show();
    else if (wanted) location.hash = wanted;
    else { history.pushState(null, "", location.pathname + location.search); this.show(); }
  }

  /** A conversation that has just begun here: all there is of it is at hand, nothing need be loaded. */
  enter({ id, title }) {
    history.pushState(null, "", `#${id}`);
    this.id = id;
    this.thread.clear(id);
    this.empty.hidden = true;
    this.sidebar.mark(id);
    this.heading(title);
  }

  /** Show what the address names. */
  async show() {
    const id = location.hash.slice(1) || null;
    if (this.id !== id || !id) this.thread.clear(id);
    this.id = id;
    this.sidebar.mark(id);
    this.empty.hidden = Boolean(id);
    this.restoreDraft();
    this.retitle();
    this.toField();
    if (!id) return;
    const found = await attempt(async () => {
      const got = await this.thread.reload();
      if (this.id !== id) return;
      this.heading(got.title);
      await this.thread.reopen(JSON.parse(this.kept("comparing") || "null"));
    });
    if (!found && this.id === id && !this.thread.items.length) this.go(null);
  }

  heading(text) {
    this.title.textContent = text;
    document.title = this.id ? `${text} - Hone` : "Hone";
  }

  retitle() {
    const known = this.sidebar.titleOf(this.id);
    if (known || !this.id) this.heading(known ?? "New chat");
  }

  /** Another tab, or another device, may have gone on with this conversation, and another version may answer now. */
  catchUp() {
    if (!this.replyId) this.status();
    if (this.id && !this.replyId && !this.thread.comparison) attempt(() => this.thread.reload());
  }

  /** What is remembered of the conversation on show, or of another. */
  kept(what, id = this.id) { return localStorage.getItem(`hone.${what}.${id ?? "new"}`); }

  keep(what, value, id = this.id) {
    const key = `hone.${what}.${id ?? "new"}`;
    if (value) localStorage.setItem(key, value);
    else localStorage.removeItem(key);
  }

  keepDraft() { this.keep("draft", this.field.value); }

  restoreDraft() {
    this.field.value = this.kept("draft") ?? "";
    autosize(this.field);
  }

  async submit() {
    const text = this.field.value.trim();
    if (text) await this.send(text);
  }

  async send(text) {
    if (this.replyId) {
      toast("A reply is still being written. Your text is kept: send it when the reply is done, or stop the reply.", "info");
      return;
    }
    if (this.sending) return;
    this.sending = true;
    const { id } = this;
    const held = document.activeElement === this.sendButton;
    this.sendButton.disabled = true;
    await attempt(async () => {
      const said = { content: text, parent_id: this.thread.leaf, settings: this.settings() };
      const begun = id ? await api("POST", `/conversations/${id}/messages`, said) : await api("POST", "/conversations", { message: said });
      if (this.kept("draft", id)?.trim() === text) this.keep("draft", "", id);
      if (this.id !== id) return this.sidebar.refresh();  // one has gone elsewhere meanwhile: the reply is found there
      if (this.field.value.trim() === text) { this.field.value = ""; autosize(this.field); }
      if (!id) this.enter(begun);
      return this.thread.begun(begun);
    });
    this.sending = false;
    this.sendButton.disabled = false;
    if (held) this.toField();
  }

  stop() {
    return attempt(() => api("POST", `/replies/${this.replyId}/stop`));
  }
}

/** Gradio draws the page's shell when it likes: begin once both of our elements are there. */
function begin() {
  const sidebar = document.getElementById("hone-sidebar");
  const chat = document.getElementById("hone-chat");
  if (!sidebar || !chat || chat.dataset.ready) return Boolean(chat?.dataset.ready);
  chat.dataset.ready = "yes";
  document.body.classList.add("hc-page");
  // Inside the shell: it lies between the thread and the drawer.
  document.getElementById("hone-app").append(h("div.hc-scrim", { onclick: () => window.hone.sidebar.drawer(false) }));
  window.hone = new Chat(sidebar, chat);
  return true;
}

if (!begin()) {
  const watcher = new MutationObserver(() => { if (begin()) watcher.disconnect(); });
  watcher.observe(document.documentElement, { childList: true, subtree: true });
}
