// The thread on show: keeps one node a message, follows the reply that is being written, keeps the end in sight.
import { api, attempt, h, icon } from "./dom.js";
import { Comparison } from "./compare.js";
import { questionNode, ReplyNode } from "./message.js";

const NEAR_PX = 90;

export class Thread {
  /** `page`: {settings(), changed(), writing(id or null)}: what the thread needs of the rest. */
  constructor(scroller, list, page) {
    this.scroller = scroller;
    this.list = list;
    this.page = page;
    this.nodes = new Map();
    this.following = null;
    this.down = h("button.hc-down", { type: "button", "aria-label": "To the end", testid: "to-end", hidden: true, onclick: () => this.toEnd() }, icon("arrow"));
    scroller.after(this.down);
    scroller.addEventListener("scroll", () => { this.stick = this.near(); this.down.hidden = this.stick; }, { passive: true });
    this.stick = true;
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
    this.comparison?.end();
    this.comparison = null;
    this.nodes.clear();
    this.list.replaceChildren();
    this.items = [];
    this.stick = true;
  }

  /** Show the items of a thread; nodes of messages that have not changed are kept as they are. */
  show(items) {
    this.items = items;
    const kept = new Map();
    items.forEach((item, index) => {
      const signature = JSON.stringify(item);
      let entry = this.nodes.get(item.id);
      if (entry?.reply) {
        if (entry.signature !== signature && item.status !== undefined) entry.reply.update(item);
      } else if (!entry || entry.signature !== signature) {
        const reply = item.role === "assistant" ? new ReplyNode(item, this.actions()) : null;
        entry = { reply, node: reply ? reply.node : questionNode(item, this.actions()) };
      }
      entry.signature = signature;
      kept.set(item.id, entry);
      if (this.list.children[index] !== entry.node) this.list.insertBefore(entry.node, this.list.children[index] ?? null);
    });
    this.nodes = kept;
    while (this.list.children.length > items.length) this.list.lastChild.remove();
    const last = items.at(-1);
    if (last?.status === "writing") this.follow(last.id);
    else this.unfollow();
    if (this.stick) this.toEnd();
  }

  async reload() {
    const id = this.id;
    if (!id) return null;
    const found = await api("GET", `/conversations/${id}`);
    if (id === this.id) this.show(found.thread);
    return found;
  }

  follow(replyId) {
    if (this.following?.id === replyId) return;
    this.unfollow();
    const source = new EventSource(`/api/replies/${replyId}/events`);
    this.following = { id: replyId, source };
    this.page.writing(replyId);
    source.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      this.nodes.get(replyId)?.reply?.update(state);
      if (this.stick) this.toEnd();
      if (state.status !== "writing") {
        this.unfollow();
        attempt(() => this.reload());
        this.page.changed();
      }
    });
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
        await api("POST", `/messages/${id}/select`);
        this.stick = false;
        await this.reload();
      }),
      edit: (id, content) => this.begin(() => api("POST", `/messages/${id}/edit`, { content, settings: this.page.settings() })),
      regenerate: (id) => this.begin(() => api("POST", `/replies/${id}/regenerate`, { settings: this.page.settings() })),
      compare: (reply) => this.compare(reply),
    };
  }

  /** Start a reply, then show it. Returns whether the server took it. */
  begin(ask) {
    return attempt(async () => {
      await ask();
      this.stick = true;
      await this.reload();
      this.page.changed();
    });
  }

  compare(reply) {
    return attempt(async () => {
      const shown = await api("POST", `/replies/${reply.item.id}/compare`);
      this.comparison?.close();
      this.open(reply, shown);
    });
  }

  open(reply, shown) {
    reply.panels.replaceChildren();
    reply.node.classList.add("comparing");
    const comparison = new Comparison(reply, shown, (voted) => {
      reply.node.classList.remove("comparing");
      this.comparison = null;
      this.page.comparing(null);
      if (voted) attempt(() => this.reload());
    });
    this.comparison = comparison;
    this.page.comparing({ reply: reply.item.id, id: shown.id });
    reply.node.append(comparison.node);
    comparison.node.scrollIntoView({ block: "nearest" });
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
