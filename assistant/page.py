"""The chat page: Gradio gives the shell and the settings, our script the thread and the list. Layout only.

Gradio's own chat box names messages by index and draws the whole history anew for each token; a tree of
messages needs neither, so the two lists are elements of ours (static/chat.js) that talk to the API.
"""

import gradio as gr

from assistant import static_files
from assistant.api.bodies import Settings
from assistant.turns import DEFAULT_STRATEGY
from feedback import look
from feedback.ids import LOCAL_USER
from feedback.people import ROLES, CurrentUser, allowed
from feedback.store import Store
from prompts import service

SIDEBAR = '<aside id="hone-sidebar" aria-label="Conversations"></aside>'
THREAD = '<section id="hone-chat" aria-label="Chat"></section>'
KEYS = ("strategy", "temperature", "top_p", "max_tokens", "seed")

# Before the module: Gradio may ask for the settings as soon as its controls are there.
SETTINGS_SCRIPT = """<script>
window.honeSettings = {
  kept() { try { return JSON.parse(localStorage.getItem("hone.settings") || "{}"); } catch { return {}; } },
  keep(key, value) {
    const all = { ...this.kept(), [key]: value };
    localStorage.setItem("hone.settings", JSON.stringify(all));
    window.dispatchEvent(new CustomEvent("hone-settings"));
  },
};
</script>"""


def head() -> str:
    """For the page's <head>: the style sheet, the settings' memory, and the script."""
    return (
        f'<link rel="stylesheet" href="{static_files.url("chat.css")}">'
        f'{SETTINGS_SCRIPT}<script type="module" src="{static_files.url("chat.js")}"></script>'
    )


def build(store: Store, current_user: CurrentUser) -> gr.Blocks:
    """The page, to be mounted at / with `head()`. Strategies are read each time it opens."""
    with gr.Blocks(title="Hone", analytics_enabled=False, fill_width=True) as page:
        header = gr.HTML(look.nav("chat", ROLES[:1]), padding=False, elem_id="hone-header")
        with gr.Row(elem_id="hone-app"):
            gr.HTML(SIDEBAR, padding=False, elem_id="hone-sidebar-box", apply_default_css=False)
            gr.HTML(THREAD, padding=False, elem_id="hone-chat-box", apply_default_css=False)
            with gr.Column(elem_id="hone-settings", scale=0, min_width=0):
                controls = _settings(store)
        _remember(page, controls)

        def greet(request: gr.Request) -> tuple[str, object]:
            person = allowed(current_user(request), "chatter")
            name = "" if person.id == LOCAL_USER else person.name
            return look.nav("chat", person.roles, name), gr.update(choices=_strategies(store))

        page.load(
            greet, None, [header, controls[0]], show_progress="hidden", queue=False, api_visibility="private"
        )
    return page


def _strategies(store: Store) -> list[tuple[str, str]]:
    """What can be asked for, as (title, name)."""
    return [(one.title, one.name) for one in service.offered(store)]


def _settings(store: Store) -> list[gr.components.Component]:
    """The controls, in the order of KEYS."""
    defaults = Settings()
    gr.Markdown("### Settings")
    strategy = gr.Dropdown(
        _strategies(store),
        value=DEFAULT_STRATEGY,
        label="Strategy",
        info="How your question is put to the model.",
        filterable=False,
        elem_id="hone-strategy",
    )
    temperature = gr.Slider(
        0, 2, defaults.temperature, step=0.05, label="Temperature", info="0 always takes the likeliest word."
    )
    top_p = gr.Slider(
        0.05, 1, defaults.top_p, step=0.05, label="Top-p", info="Share of likely words to draw from."
    )
    max_tokens = gr.Slider(16, 2048, defaults.max_tokens, step=16, label="Longest reply, in tokens")
    seed = gr.Number(None, label="Seed", info="Empty: a new one each time.", precision=0, minimum=0)
    return [strategy, temperature, top_p, max_tokens, seed]


def _remember(page: gr.Blocks, controls: list[gr.components.Component]) -> None:
    """Settings live in the browser, where the script reads them; the server has no part in it."""
    for key, control in zip(KEYS, controls, strict=True):
        control.change(  # type: ignore[attr-defined]
            None, control, None, js=f"(value) => {{ window.honeSettings.keep('{key}', value); }}"
        )
    keys = ", ".join(f"'{key}'" for key in KEYS)
    # Gradio hands the controls' own values in; what was kept from an earlier visit goes first. An empty
    # number field arrives as 0, which would be a seed: the seed is kept or empty.
    script = (
        f"(...values) => [{keys}].map((key, i) =>"
        " window.honeSettings.kept()[key] ?? (key === 'seed' ? null : values[i]))"
    )
    page.load(None, controls, controls, js=script)
