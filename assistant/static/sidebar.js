// The list of conversations: new, search, open, rename, delete. Tells the page which one is wanted; keeps nothing itself.
import { api, attempt, confirmed, focusOn, h, icon, iconButton, toast } from "./dom.js";

export class Sidebar {
  /** `open(id or null)` shows a conversation, or a new one; `listed()` is called when the list is there anew. */
  constructor(root, open, listed) {
    this.open = open;
    this.listed = listed;
    this.current = null;
    this.items = [];
    this.asked = 0;
    this.search = h("input", {
      type: "search", placeholder: "Search", "aria-label": "Search conversations", testid: "search", maxlength: "200",
      oninput: () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.refresh(), 180); },
    });
    this.list = h("ul.hc-list", { testid: "conversations" });
    this.newChat = h("button.new-chat", { type: "button", testid: "new-chat", onclick: () => this.pick(null) }, icon("plus"), "New chat");
    root.replaceChildren(
      h("div.hc-side-top", {}, this.newChat,
        iconButton("close", "Close the list", "close-sidebar", () => this.drawer(false), { class: "icon-button only-narrow" })),
      h("label.hc-search", {}, icon("search"), this.search),
      this.list);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.drawer(false); });
    matchMedia("(max-width: 768px)").addEventListener("change", () => this.drawer(false));
  }

  /** On a narrow screen the list is a drawer: while it is open the page behind it is out of reach, and the focus comes back after. */
  drawer(open) {
    if (open === document.body.classList.contains("hc-drawer")) return;
    if (open) this.opener = document.activeElement;
    document.body.classList.toggle("hc-drawer", open);
    for (const behind of ["hone-header", "hone-chat-box", "hone-settings"]) document.getElementById(behind).inert = open;
    if (open) this.newChat.focus();
    else this.opener.focus();
  }

  pick(id) {
    this.drawer(false);
    this.open(id);
  }

  mark(id) {
    this.current = id;
    for (const row of this.list.querySelectorAll("[data-id]")) {
      row.classList.toggle("current", row.dataset.id === id);
      if (row.dataset.id === id) row.firstChild.setAttribute("aria-current", "true");
      else row.firstChild.removeAttribute("aria-current");
    }
  }

  titleOf(id) {
    return this.items.find((one) => one.id === id)?.title;
  }

  async refresh() {
    const asked = this.search.value;
    const number = ++this.asked;
    await attempt(async () => {
      const { conversations } = await api("GET", `/conversations?search=${encodeURIComponent(asked)}`);
      // A newer list or a later search is on its way, or a title is being written.
      if (number !== this.asked || asked !== this.search.value || this.renaming) return;
      this.items = conversations;
      const empty = asked.trim() ? "Nothing found." : "Your conversations will be listed here.";
      this.draw(conversations.length ? conversations.map((one) => this.row(one)) : [h("li.hc-none", {}, empty)]);
      this.mark(this.current);
      this.listed();
    });
  }

  /** The rows anew. Whoever was on one of them stays there, or comes to the one in its place. */
  draw(rows) {
    const at = document.activeElement;
    const row = this.list.contains(at) ? at.closest("li") : null;
    const place = [...this.list.children].indexOf(row);
    this.list.replaceChildren(...rows);
    if (!row) return;
    focusOn(rows.find((one) => one.dataset.id === row.dataset.id) ?? rows[Math.min(place, rows.length - 1)], at.dataset.testid);
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
    this.renaming = true;
    let over = false;
    const done = async (save) => {
      if (over) return;
      over = true;
      this.renaming = false;
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
