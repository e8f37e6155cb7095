// The thread on show: keeps one node a message, follows the reply that is being written, keeps the end in sight.
import { api, attempt, focusOn, h, icon } from "./dom.js";
import { Comparison } from "./compare.js";
import { questionNode, ReplyNode } from "./message.js";

const NEAR_PX = 90;
/** A long conversation is shown from its end; earlier messages come when one scrolls up to them, so many at a time. */
const AT_ONCE = 60;

export class Thread {
  /** `page`: {settings(), changed(), writing(id or null), ended(status), goOn()}: what the thread needs of the rest. */
  constructor(scroller, list, page) {
    this.scroller = scroller;
    this.list = list;
    this.page = page;
    this.nodes = new Map();
    this.following = null;
    this.down = h("button.hc-down", { type: "button", "aria-label": "To the end", testid: "to-end", hidden: true, onclick: () => this.toEnd() }, icon("arrow"));
    scroller.after(this.down);
    this.earlier = h("button.hc-earlier", { type: "button", testid: "earlier", hidden: true, onclick: () => this.loadEarlier() }, "Earlier messages");
    list.before(this.earlier);
    this.start = new IntersectionObserver((seen) => { if (seen.at(-1).isIntersecting) this.loadEarlier(); }, { root: scroller, rootMargin: "600px" });
    this.watchStart();
    scroller.addEventListener("scroll", () => { this.stick = this.near(); this.down.hidden = this.stick; }, { passive: true });
    this.stick = true;
  }

  /** Change the thread above `node` without moving it. The browser's own anchoring would do so too, unless at the very top. */
  holdStill(node, change) {
    const top = node.getBoundingClientRect().top;
    this.scroller.style.overflowAnchor = "none";
    change();
    this.scroller.scrollTop += node.getBoundingClientRect().top - top;
    requestAnimationFrame(() => requestAnimationFrame(() => { this.scroller.style.overflowAnchor = ""; }));
  }

  /** Tell me of the beginning when it is near; once more, if it is still near. */
  watchStart() {
    this.start.unobserve(this.earlier);
    this.start.observe(this.earlier);
  }

  near() {
    const box = this.scroller;
    return box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.stick = true;
    this.down.hidden = true;
  }

  clear(conversationId) {
    this.id = conversationId;
    this.unfollow();
    if (this.comparison) this.markComparing(this.comparison.reply, false);
    this.comparison?.end();
    this.comparison = null;
    this.nodes.clear();
    this.list.replaceChildren();
    this.items = [];
    this.earlier.hidden = true;
    this.stick = true;
  }

  /** Show the items of a thread; nodes of messages that have not changed are kept as they are. */
  show(items) {
    this.items = items;
    const kept = new Map(items.map((item) => [item.id, this.entry(item)]));
    const nodes = [...kept.values()].map((entry) => entry.node);
    const wanted = new Set(nodes);
    [...this.list.children].forEach((node) => { if (!wanted.has(node)) node.remove(); });
    nodes.forEach((node, index) => { if (this.list.children[index] !== node) this.list.insertBefore(node, this.list.children[index] ?? null); });
    this.nodes = kept;
    this.earlier.hidden = !items[0]?.parent_id;
    const last = items.at(-1);
    if (last?.status === "writing") this.follow(last.id);
    else this.unfollow();
    if (this.stick) this.toEnd();
  }

  /** The node of a message: made, brought up to date, or left alone. */
  entry(item) {
    let entry = this.nodes.get(item.id);
    // Whoever is followed is told of changes by the stream, and these build on each other.
    if (entry && (entry.item === item || this.following?.id === item.id)) return entry;
    const signature = JSON.stringify(item);
    if (entry?.reply) {
      if (entry.signature !== signature) entry.reply.update(item);
    } else if (entry?.signature !== signature) {
      const reply = item.role === "assistant" ? new ReplyNode(item, this.actions()) : null;
      entry = { reply, node: reply ? reply.node : questionNode(item, this.actions()) };
    }
    return Object.assign(entry, { item, signature });
  }

  /** What the server answers; null where one has opened another conversation meanwhile. */
  async here(ask) {
    const { id } = this;
    const said = await ask();
    return id === this.id ? said : null;
  }

  async reload() {
    const id = this.id;
    if (!id) return null;
    const found = await api("GET", `/conversations/${id}?last=${Math.max(AT_ONCE, this.items.length)}`);
    if (id === this.id) this.show(found.thread);
    return found;
  }

  /** Put what the server says is on show from some message on in place of what is shown there. */
  graft(tail, most = Infinity) {
    const kept = this.items.findIndex((item) => item.id === tail[0].parent_id) + 1;
    this.show([...this.items.slice(Math.max(0, kept - most), kept), ...tail]);
  }

  /** What stands before the first message shown; the one in sight stays where it is. */
  async loadEarlier() {
    const first = this.items[0];
    if (!first?.parent_id || this.loading) return;
    this.loading = true;
    const loaded = await attempt(async () => {
      const found = await this.here(() => api("GET", `/conversations/${this.id}?last=${AT_ONCE}&before=${first.id}`));
      if (!found || this.items[0] !== first) return;
      const { stick } = this;
      this.stick = false;
      this.holdStill(this.nodes.get(first.id).node, () => this.show([...found.thread, ...this.items]));
      this.stick = stick;
    });
    this.loading = false;
    if (loaded) this.watchStart();  // else once more when one asks, or comes by again: not at once
  }

  follow(replyId) {
    if (this.following?.id === replyId) return;
    this.unfollow();
    const source = new EventSource(`/api/replies/${replyId}/events`);
    this.following = { id: replyId, source };
    this.page.writing(replyId);
    let said = false;
    source.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      const reply = this.nodes.get(replyId)?.reply;
      reply?.update(state);
      if (this.stick) this.toEnd();
      if (!said && (state.waiting || state.steps.length || state.agreement || state.html.blocks.length || state.reasoning_html.blocks.length)) {
        said = true;
        this.page.changed();
      }
      if (state.status === "writing") return;
      this.items = this.items.map((item) => (item.id === replyId ? reply.item : item));
      this.unfollow();
      this.page.ended(state.status);
      this.page.changed();
    });
    source.addEventListener("error", () => this.nodes.get(replyId)?.reply?.lost(source.readyState === EventSource.CLOSED));
  }

  unfollow() {
    this.following?.source.close();
    this.following = null;
    this.page.writing(null);
  }

  get leaf() {
    return this.items?.at(-1)?.id ?? null;
  }

  actions() {
    return {
      select: (id) => attempt(async () => {
        const held = document.activeElement.dataset.testid;
        const found = await this.here(() => api("POST", `/messages/${id}/select`));
        if (!found) return;
        this.stick = false;
        this.graft(found.thread);
        focusOn(this.nodes.get(id).node.querySelector(".hc-branches"), held);
      }),
      edit: (id, content) => this.begin(() => api("POST", `/messages/${id}/edit`, { content, settings: this.page.settings() })),
      regenerate: (id) => this.begin(() => api("POST", `/replies/${id}/regenerate`, { settings: this.page.settings() })),
      compare: (reply) => this.compare(reply),
    };
  }

  /** Start a reply, then show it. Returns whether the server took it. */
  begin(ask) {
    return attempt(async () => {
      const begun = await this.here(ask);
      if (begun) this.begun(begun);
    });
  }

  /**
   * A reply has begun: follow it first, so that its first word is on its way while the page is drawn. One looks at the end now;
   * what one had scrolled up to is taken away, so that a long conversation is not carried along with each word.
   */
  begun({ reply_id: replyId, thread }) {
    this.stick = true;
    this.follow(replyId);
    this.graft(thread, AT_ONCE);
    if (document.activeElement === document.body) this.page.goOn();
  }

  compare(reply) {
    return attempt(async () => {
      const shown = await this.here(() => api("POST", `/replies/${reply.item.id}/compare`));
      if (!shown) return;
      this.comparison?.close();
      this.open(reply, shown);
    });
  }

  open(reply, shown) {
    reply.putAway();
    this.markComparing(reply, true);
    const comparison = new Comparison(reply, shown, (voted) => {
      this.markComparing(reply, false);
      this.comparison = null;
      this.page.comparing(null);
      attempt(async () => {
        if (voted) await this.reload();
        if (!this.comparison) focusOn(reply.node.isConnected ? reply.node : this.list.lastChild, "compare");
      });
    });
    this.comparison = comparison;
    this.page.comparing({ reply: reply.item.id, id: shown.id });
    reply.node.append(comparison.node);
    comparison.node.focus({ preventScroll: true });
    comparison.node.scrollIntoView({ block: "nearest" });
  }

  markComparing(reply, on) {
    for (const node of [reply.node, this.scroller.parentElement]) node.classList.toggle("comparing", on);
  }

  /** After a reload of the page: the comparison that was open, if its reply is on show. */
  async reopen(kept) {
    const reply = kept && this.nodes.get(kept.reply)?.reply;
    if (!reply) return;
    try {
      this.open(reply, await api("GET", `/comparisons/${kept.id}`));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.page.comparing(null);
    }
  }
}
