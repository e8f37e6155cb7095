// The list of conversations: new, search, open, rename, delete. Tells the page which one is wanted; keeps nothing itself.
import { api, attempt, confirmed, h, icon, iconButton, toast } from "./dom.js";

export class Sidebar {
  /** `open(id or null)` shows a conversation, or a new one; `listed()` is called when the list is there anew. */
  constructor(root, open, listed) {
    this.open = open;
    this.listed = listed;
    this.current = null;
    this.items = [];
    this.search = h("input", {
      type: "search", placeholder: "Search", "aria-label": "Search conversations", testid: "search", maxlength: "200",
      oninput: () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.refresh(), 180); },
    });
    this.list = h("ul.hc-list", { testid: "conversations" });
    root.replaceChildren(
      h("div.hc-side-top", {},
        h("button.new-chat", { type: "button", testid: "new-chat", onclick: () => this.pick(null) }, icon("plus"), "New chat"),
        iconButton("close", "Close the list", "close-sidebar", () => this.close(), { class: "icon-button only-narrow" })),
      h("label.hc-search", {}, icon("search"), this.search),
      this.list);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
  }

  toggle() {
    document.body.classList.toggle("hc-drawer");
    if (document.body.classList.contains("hc-drawer")) requestAnimationFrame(() => this.search.focus());
  }

  close() {
    document.body.classList.remove("hc-drawer");
  }

  pick(id) {
    this.close();
    this.open(id);
  }

  mark(id) {
    this.current = id;
    for (const row of this.list.children) row.classList.toggle("current", row.dataset.id === id);
  }

  titleOf(id) {
    return this.items.find((one) => one.id === id)?.title;
  }

  async refresh() {
    const asked = this.search.value;
    await attempt(async () => {
      const { conversations } = await api("GET", `/conversations?search=${encodeURIComponent(asked)}`);
      if (asked !== this.search.value) return; // a later search is on its way
      this.items = conversations;
      const empty = asked.trim() ? "Nothing found." : "Your conversations will be listed here.";
      this.list.replaceChildren(...(conversations.length ? conversations.map((one) => this.row(one)) : [h("li.hc-none", {}, empty)]));
      this.mark(this.current);
      this.listed();
    });
  }

  row(one) {
    const row = h("li", { "data-id": one.id, testid: "conversation" },
      h("button.hc-title", { type: "button", title: one.title, onclick: () => this.pick(one.id) }, one.title),
      iconButton("pen", `Rename ${one.title}`, "rename", () => this.rename(row, one)),
      iconButton("trash", `Delete ${one.title}`, "delete", () => this.remove(one)));
    return row;
  }

  rename(row, one) {
    const field = h("input", { "aria-label": "New title", testid: "rename-field", maxlength: "200" });
    field.value = one.title;
    let over = false;
    const done = async (save) => {
      if (over) return;
      over = true;
      const title = field.value.trim();
      if (save && title && title !== one.title) await attempt(() => api("PATCH", `/conversations/${one.id}`, { title }));
      await this.refresh();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") done(true);
      if (event.key === "Escape") done(false);
    });
    field.addEventListener("blur", () => done(true));
    row.replaceChildren(field);
    field.focus();
    field.select();
  }

  async remove(one) {
    if (!(await confirmed(`Delete "${one.title}"? Votes you gave in it no longer count for training.`, "Delete"))) return;
    await attempt(async () => {
      await api("DELETE", `/conversations/${one.id}`);
      toast("Deleted.", "good");
      if (this.current === one.id) this.open(null);
      await this.refresh();
    });
  }
}
