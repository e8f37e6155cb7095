"""How Hone looks: one theme, one set of CSS variables, one header, for every page. Knows no page's content.

Nothing here is fetched from another origin: fonts are the system's own. The theme is made on first use,
because importing Gradio takes seconds and a command line must not pay for it.
"""

from collections.abc import Collection
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feedback.people import Role

if TYPE_CHECKING:
    import gradio as gr

Page = Literal["chat", "label", "prompts", "operate"]

PAGES: tuple[tuple[Page, str, str, Role], ...] = (
    ("chat", "Chat", "/", "chatter"),
    ("label", "Label", "/label", "labeller"),
    ("prompts", "Prompts", "/prompts", "engineer"),
    ("operate", "Operate", "/operate", "operator"),
)

FONT = (
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
)
FONT_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")

LIGHT = """
  --hone-bg: #f7f7f5; --hone-surface: #ffffff; --hone-sunken: #efefec; --hone-line: #dededa;
  --hone-line-strong: #c3c3bd;
  --hone-text: #1c1d1f; --hone-muted: #5c5f66; --hone-accent: #0b6e63; --hone-accent-strong: #095a51;
  --hone-accent-soft: #e0f1ee; --hone-on-accent: #ffffff; --hone-warm: #a8501c; --hone-warm-soft: #fbecdf;
  --hone-good: #17713a; --hone-good-soft: #e2f3e7; --hone-bad: #b3261e; --hone-bad-soft: #fbe7e5;
  --hone-unsure: #7a5a00; --hone-unsure-soft: #f8efcf;
  --hone-shadow: 0 1px 2px rgba(20, 22, 25, .06), 0 4px 14px rgba(20, 22, 25, .05);
"""
DARK = """
  --hone-bg: #121416; --hone-surface: #1b1e21; --hone-sunken: #16181b; --hone-line: #2c3035;
  --hone-line-strong: #444a51;
  --hone-text: #e9eaec; --hone-muted: #a0a5ad; --hone-accent: #4fc3b3; --hone-accent-strong: #7ad8cb;
  --hone-accent-soft: #16332f; --hone-on-accent: #06211d; --hone-warm: #f0a36e; --hone-warm-soft: #38261a;
  --hone-good: #6fcf8e; --hone-good-soft: #173022; --hone-bad: #f28b82; --hone-bad-soft: #3b1f1d;
  --hone-unsure: #e3c565; --hone-unsure-soft: #332c15;
  --hone-shadow: 0 1px 2px rgba(0, 0, 0, .4), 0 4px 14px rgba(0, 0, 0, .25);
"""
SHAPE = f"""
  --hone-radius-s: 6px; --hone-radius: 10px; --hone-radius-l: 16px;
  --hone-s1: 4px; --hone-s2: 8px; --hone-s3: 12px; --hone-s4: 16px; --hone-s5: 24px; --hone-s6: 40px;
  --hone-font: {", ".join(f'"{f}"' if " " in f else f for f in FONT)};
  --hone-mono: {", ".join(f'"{f}"' if " " in f else f for f in FONT_MONO)};
"""

CLOSE_LISTS = """<script>
document.addEventListener("focusout", ({ target: box }) => setTimeout(() => {
  if (box.role !== "combobox" || box.ariaExpanded !== "true" || document.activeElement === box) return;
  box.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
}, 100));
</script>"""
"""When one goes on with Tab, Gradio (6.31) closes a dropdown's list and at once opens it again, over what
stands below: Escape closes it for good.
"""

CLOSE_QUESTIONS = """<script>
document.addEventListener("keydown", ({ key, isTrusted, target }) => {
  if (key !== "Escape" || !isTrusted || target.ariaExpanded === "true") return;
  for (const no of document.querySelectorAll(".hone-confirm .hone-no")) if (no.checkVisibility()) no.click();
});
</script>"""
"""Escape answers an open question with No, as it does a browser's own."""


@cache
def _sheet() -> str:
    return (Path(__file__).parent / "static" / "look.css").read_text(encoding="utf-8")


def css() -> str:
    """The shared style sheet for Gradio pages; dark follows Gradio's `.dark`, which follows the system."""
    return f":root {{{SHAPE}{LIGHT}}}\n.dark {{{DARK}}}\n{_sheet()}"


def plain_css() -> str:
    """The same for a page without Gradio (the login page); dark follows the system directly."""
    return f":root {{{SHAPE}{LIGHT}}}\n@media (prefers-color-scheme: dark) {{ :root {{{DARK}}} }}\n{_sheet()}"


def head() -> str:
    """For `mount_gradio_app(head=...)`: the viewport, the sheet, which `css=` would scope and so break, and
    the scripts.
    """
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f"{viewport}\n<style>{css()}</style>\n{CLOSE_LISTS}\n{CLOSE_QUESTIONS}"


def nav(current: Page, roles: Collection[Role], name: str = "") -> str:
    """The header as HTML: the pages these roles may open, the current one marked.

    `name`: who is logged in, shown with a way out; empty on a server without accounts.
    """
    links = "".join(
        f'<a href="{href}" data-testid="nav-{page}"{" aria-current=page" if page == current else ""}>'
        f"{title}</a>"
        for page, title, href, role in PAGES
        if role in roles
    )
    way_out = (
        f'<form class="hone-nav-who" method="post" action="/logout"><span>{escape(name)}</span>'
        '<button type="submit">Log out</button></form>'
        if name
        else ""
    )
    return (
        '<header class="hone-nav"><a class="hone-brand" href="/" aria-label="Hone">'
        '<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">'
        '<path d="M3 18 15 4l4 3.4L8.6 20Z" fill="currentColor"/>'
        '<path d="M12 21h9" stroke="currentColor" stroke-width="2" stroke-linecap="round"/></svg>'
        f"<b>Hone</b></a><nav aria-label=Pages>{links}</nav>{way_out}</header>"
    )


@cache
def theme() -> "gr.themes.Base":
    """Gradio's theme in our colours, with system fonts."""
    import gradio as gr

    base = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="md",
        font=FONT,
        font_mono=FONT_MONO,
    )
    both = {
        "body_background_fill": "var(--hone-bg)",
        "body_text_color": "var(--hone-text)",
        "body_text_color_subdued": "var(--hone-muted)",
        "background_fill_primary": "var(--hone-surface)",
        "background_fill_secondary": "var(--hone-sunken)",
        "block_background_fill": "var(--hone-surface)",
        "block_border_color": "var(--hone-line)",
        "block_label_text_color": "var(--hone-muted)",
        "block_title_text_color": "var(--hone-text)",
        "block_info_text_color": "var(--hone-muted)",
        "border_color_primary": "var(--hone-line)",
        "border_color_accent": "var(--hone-accent)",
        "color_accent": "var(--hone-accent)",
        "color_accent_soft": "var(--hone-accent-soft)",
        "link_text_color": "var(--hone-accent)",
        "link_text_color_hover": "var(--hone-accent-strong)",
        "input_background_fill": "var(--hone-surface)",
        "input_border_color": "var(--hone-line-strong)",
        "input_border_color_focus": "var(--hone-accent)",
        "button_primary_background_fill": "var(--hone-accent)",
        "button_primary_background_fill_hover": "var(--hone-accent-strong)",
        "button_primary_text_color": "var(--hone-on-accent)",
        "button_secondary_background_fill": "var(--hone-surface)",
        "button_secondary_background_fill_hover": "var(--hone-sunken)",
        "button_secondary_border_color": "var(--hone-line-strong)",
        "button_secondary_text_color": "var(--hone-text)",
        "button_border_width": "1px",
        "input_border_width": "1px",
        "slider_color": "var(--hone-accent)",
    }
    # Both modes name the same variables; the variables themselves change with `.dark`.
    dark = {f"{key}_dark": value for key, value in both.items() if key != "color_accent"}
    return base.set(**both, **dark)
