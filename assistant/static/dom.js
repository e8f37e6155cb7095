// Small tools of the page: elements, icons, the API, toasts and dialogs. Knows nothing of conversations.

/** h("button.primary", { onclick }, "Send"): an element with classes, properties, attributes and children. */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "html") node.innerHTML = value;
    else node.setAttribute(key === "testid" ? "data-testid" : key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  up: "M7 11v9H4v-9h3Zm0 0 4-7c1.5 0 2.3 1 2 2.5L12.3 10H18a2 2 0 0 1 2 2.3l-1 6A2 2 0 0 1 17 20H7",
  down: "M17 13V4h3v9h-3Zm0 0-4 7c-1.5 0-2.3-1-2-2.5l.7-3.5H6a2 2 0 0 1-2-2.3l1-6A2 2 0 0 1 7 4h10",
  pen: "M4 20h4L19 9l-4-4L4 16v4ZM13.5 6.5l4 4",
  columns: "M4 5h16v14H4V5Zm8 0v14",
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7",
  copy: "M9 9h11v11H9V9ZM5 15H4V4h11v1",
  info: "M12 11v6M12 7.5v.1M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  menu: "M4 7h16M4 12h16M4 17h16",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  close: "M6 6l12 12M18 6 6 18",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 4 4",
  arrow: "M12 5v14M6 13l6 6 6-6",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and says what it does. */
export function iconButton(name, label, testid, onclick, extra = {}) {
  return h("button.icon-button", { type: "button", "aria-label": label, title: label, testid, onclick, ...extra }, icon(name));
}

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Call the API; the answer's JSON, or an ApiError with the server's own sentence. */
export async function api(method, path, body) {
  let answer;
  try {
    answer = await fetch(`/api${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError("The server does not answer. Check that it is running, then try again.", 0);
  }
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(said?.error?.message || `The server answered with status ${answer.status}.`, answer.status);
  return said;
}

let toasts;
/** Say a sentence at the edge of the page for a while. */
export function toast(text, kind = "error") {
  if (!toasts?.isConnected) {
    toasts = h("div.hc-toasts", { role: "status", "aria-live": "polite" });
    document.body.append(toasts);
  }
  const shown = h(`div.hc-toast.${kind}`, { testid: "toast" }, h("span", {}, text), iconButton("close", "Dismiss", "toast-close", () => shown.remove()));
  toasts.append(shown);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => shown.remove(), kind === "error" ? 9000 : 3500);
}

/** Run an action; what goes wrong becomes a toast. Returns whether it went well. */
export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    toast(error instanceof ApiError ? error.message : "Something went wrong on this page. Reload it, please.");
    if (!(error instanceof ApiError)) console.error(error);
    return false;
  }
}

/** Ask before something is taken away. Resolves to true or false. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog.hc-dialog", { testid: "confirm", "aria-label": question },
      h("p", {}, question),
      h("div.row", {},
        h("button.plain", { type: "button", testid: "confirm-no", onclick: () => dialog.close("no") }, "Keep it"),
        h("button.danger", { type: "button", testid: "confirm-yes", onclick: () => dialog.close("yes") }, action)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard API: select in a hidden field instead.
    const field = h("textarea", { style: "position:fixed;opacity:0" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  toast("Copied.", "good");
}

/** Let a textarea be as tall as its text, up to `most` pixels. */
export function autosize(field, most = 240) {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, most)}px`;
  field.style.overflowY = field.scrollHeight > most ? "auto" : "hidden";
}

/**
 * Show HTML (made safe by the server) in `node`: a whole text, or from an event `{from, blocks}`: keep the first blocks, put these
 * after them. Only blocks that differ are touched, so that a selection above survives.
 */
export function showHtml(node, html) {
  if (typeof html === "string") return patchBlocks(node, html);
  while (node.children.length > html.from + html.blocks.length) node.lastChild.remove();
  html.blocks.forEach((block, index) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = block;
    const child = fresh.content.firstElementChild;
    finish(child);
    const old = node.children[html.from + index];
    if (old) old.replaceWith(child);
    else node.append(child);
  });
  return undefined;
}

function patchBlocks(node, html) {
  const wanted = document.createElement("template");
  wanted.innerHTML = html;
  const fresh = [...wanted.content.children];
  const old = [...node.children];
  let same = 0;
  while (same < old.length && same < fresh.length && old[same].honeSource === fresh[same].outerHTML) same += 1;
  old.slice(same).forEach((child) => child.remove());
  fresh.slice(same).forEach((child) => {
    finish(child);
    node.append(child);
  });
}

/** What the page adds to a block of a text; its source is kept to compare with later. */
function finish(block) {
  block.honeSource = block.outerHTML;
  if (block.matches("pre")) addCopy(block);
  block.querySelectorAll("pre").forEach(addCopy);
}

function addCopy(pre) {
  const text = pre.querySelector("code")?.textContent ?? pre.textContent;
  pre.append(h("button.copy-code", { type: "button", "aria-label": "Copy code", onclick: () => copyText(text) }, "Copy"));
}

/** Put the focus on the control in `root` that has this test id; on its first one, where that is gone or at rest. */
export function focusOn(root, testid) {
  const named = testid && root.querySelector(`[data-testid="${testid}"]:not(:disabled)`);
  (named || root.querySelector("button:not(:disabled)"))?.focus({ preventScroll: true });
}

/** Whether the person is typing somewhere, so that single keys must not act. */
export function typing() {
  const at = document.activeElement;
  return Boolean(at && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)));
}
