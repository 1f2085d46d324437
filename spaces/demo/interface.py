"""The page: fields, what happens when they are used, and how it looks."""

import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import gradio as gr
from PIL import Image

import views
from hf_mel import MentionQuery
from linking import MAX_TEXT, Demo, Example, Unusable


TITLE = "Which entity is meant?"
START = "Enter a sentence and mark a mention in it, or take an example. The answer will stand here."
NO_PICTURE = "There is no picture. With one, the answers with it, with it blurred and without it will stand here."
BLIND = "This model looks at texts alone: a picture changes nothing."
_ANNOUNCED = "element.setAttribute('aria-live', 'polite')"  # screen readers read out what changes in it
_SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Page:
    """The fields of the page that several events use."""

    sentence: gr.Textbox
    mention: gr.Textbox
    start: gr.Number
    picture: gr.Image
    threshold: gr.Slider
    shown: gr.Slider
    blur: gr.Slider
    answer: gr.HTML
    candidates: gr.HTML
    variants: gr.HTML
    message: gr.HTML
    asked: gr.State

    @property
    def fields(self) -> list:
        return [self.sentence, self.mention, self.start, self.picture]

    @property
    def settings(self) -> list:
        return [self.threshold, self.shown, self.blur]

    @property
    def results(self) -> list:
        return [self.message, self.answer, self.candidates, self.variants]


def launch_options() -> dict:
    """How the page is served: everything from here, with the fonts of the reader's system."""
    fonts = {"font": [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]}
    fonts["font_mono"] = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    colours = {
        "body_text_color_subdued": "*neutral_600",
        "body_text_color_subdued_dark": "*neutral_300",
        "block_info_text_color": "*neutral_600",
        "block_info_text_color_dark": "*neutral_300",
        "block_label_text_color": "*neutral_700",
        "block_title_text_color": "*neutral_700",
        "input_placeholder_color": "*neutral_500",
        "input_placeholder_color_dark": "*neutral_400",
        "color_accent": "*primary_700",
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_800",
        "button_primary_background_fill_dark": "*primary_700",
        "button_primary_background_fill_hover_dark": "*primary_800",
        "slider_color": "*primary_700",
        "slider_color_dark": "*primary_400",
    }
    return {
        "theme": gr.themes.Default(primary_hue="teal", neutral_hue="slate", **fonts).set(**colours),
        "css_paths": [Path(__file__).with_name("style.css")],
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "pwa": False,
        "max_file_size": "20mb",
    }


def build(demo: Demo) -> gr.Blocks:
    """The page of a demo. It opens with the first example, already answered."""
    first = demo.examples[0] if demo.examples else Example("", "", 0, None)
    query = _query(first) if demo.examples else None
    with gr.Blocks(title=f"hf-mel: {TITLE}", analytics_enabled=False) as blocks:
        gr.HTML(_header(demo))
        with gr.Row(equal_height=False, elem_id="mel-columns"):
            with gr.Column(scale=5, min_width=280):
                inputs = _inputs(first, demo.sees)
                gallery = _gallery(demo)
                button = gr.Button("Link", variant="primary", elem_id="mel-link")
                message = gr.HTML(elem_id="mel-message")
                buttons = _examples(demo)
            with gr.Column(scale=7, min_width=280, elem_id="mel-results"):
                outputs = _outputs(demo)
        page = Page(*inputs, *outputs, message, gr.State(query))
        if query is not None:
            settings = [slider.value for slider in page.settings]
            for field, value in zip(page.results, _shown(demo, query, *settings), strict=True):
                field.value = value
        _connect(demo, page, button)
        _connect_examples(demo, page, buttons, gallery)
        blocks.load(None, js=_SCRIPT)
    return blocks


# ---- Parts of the page ----


def _header(demo: Demo) -> str:
    return (
        f'<header class="mel-header"><h1>{TITLE}</h1><p>A sentence, a picture beside it, and a mention: '
        f"this page finds the entity that is meant, among {len(demo.linker.index):,} entities, or says that none fits. "
        f"Model: {views.text(demo.model_name)}.</p></header>"
    )


def _inputs(first: Example, sees: bool) -> tuple[gr.Textbox, gr.Textbox, gr.Number, gr.Image]:
    sentence = gr.Textbox(
        first.text,
        label="Sentence",
        info="Select words in it, with the mouse or with Shift and the arrow keys, to mark the mention.",
        lines=3,
        max_length=MAX_TEXT,
        elem_id="mel-sentence",
    )
    mention = gr.Textbox(first.mention, label="Mention", max_lines=1, max_length=MAX_TEXT, elem_id="mel-mention")
    start = gr.Number(first.start, label="Start of the mention", precision=0, visible=False)
    picture = gr.Image(
        first.picture,
        label="Picture (optional)" if sees else "Picture (this model looks at texts alone)",
        type="filepath",
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        height=180,
        alt_text="The picture beside the sentence",
        elem_id="mel-picture",
    )
    # The file as it was sent: gradio would decode it first, and what is wrong with it would not be told.
    picture.preprocess = lambda sent: None if sent is None else sent.path
    return sentence, mention, start, picture


def _gallery(demo: Demo) -> gr.Gallery | None:
    if not demo.pictures:
        return None
    return gr.Gallery(
        [(_saved(picture, f"picture-{number}"), name) for number, (picture, name) in enumerate(demo.pictures)],
        label="Or pick one",
        columns=6,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="mel-gallery",
    )


def _examples(demo: Demo) -> list[gr.Button]:
    if not demo.examples:
        return []
    gr.HTML('<h2 class="mel-heading">Examples from EmojiMEL</h2>')
    with gr.Column(elem_id="mel-examples", min_width=200):
        return [
            gr.Button(_label(example), size="sm", icon=_saved(example.picture, f"example-{number}"))
            for number, example in enumerate(demo.examples)
        ]


def _outputs(demo: Demo) -> tuple[gr.Component, ...]:
    """The sliders and the places of the answers, in the order of `Page`."""
    limit = demo.threshold
    with gr.Tabs():
        with gr.Tab("Answer"):
            answer = gr.HTML(views.hint(START), elem_id="mel-answer", js_on_load=_ANNOUNCED)
            with gr.Row(elem_id="mel-settings"):
                threshold = gr.Slider(
                    limit.lowest,
                    limit.highest,
                    limit.default,
                    step=0.01,
                    label="NIL threshold",
                    info=limit.meaning,
                    elem_id="mel-threshold",
                )
                shown = gr.Slider(
                    1,
                    demo.max_shown,
                    min(6, demo.max_shown),
                    step=1,
                    label="Candidates",
                    info="How many are shown.",
                    elem_id="mel-shown",
                )
            candidates = gr.HTML(elem_id="mel-candidates")
        with gr.Tab("What the picture does"):
            blur = gr.Slider(
                1, 30, 12, step=1, label="Blur", info="In percent of the picture's shorter side.", elem_id="mel-blur"
            )
            variants = gr.HTML(views.hint(START), elem_id="mel-variants", js_on_load=_ANNOUNCED)
    return threshold, shown, blur, answer, candidates, variants


def _label(example: Example) -> str:
    return example.text if not example.note else f"{example.text} ({example.note})"


# ---- What happens ----


def _connect(demo: Demo, page: Page, button: gr.Button) -> None:
    """Linking; the sliders answer the same question anew."""

    def link(sentence, mention, start, picture, *settings):
        try:
            query = demo.query(sentence, mention, start, picture)
        except Unusable as error:
            return [views.alert(str(error)), views.hint(START), "", views.hint(START), None]
        return [*_shown(demo, query, *settings), query]

    def again(query: MentionQuery | None, *settings):
        return [gr.skip()] * 3 if query is None else _shown(demo, query, *settings)[1:]

    asked = {"fn": link, "inputs": page.fields + page.settings, "outputs": [*page.results, page.asked]}
    for event in (button.click, page.mention.submit):
        event(**asked, **_busy(page)).then(None, js="() => window.melShow()")
    for slider in page.settings:
        slider.change(
            again,
            [page.asked, *page.settings],
            page.results[1:],
            trigger_mode="always_last",
            **_busy(page) | {"show_progress": "hidden"},
        )

    def look(file):
        try:
            demo.picture(file)
        except Unusable as error:
            return views.alert(str(error))
        return ""

    page.picture.upload(look, page.picture, page.message, show_progress="hidden", api_visibility="private")
    page.picture.clear(lambda: "", None, page.message, show_progress="hidden", api_visibility="private")
    page.mention.input(None, None, page.start, js="() => 0")  # typed, not marked: the first occurrence
    # In the browser alone, so that a click on "Link" straight afterwards finds it marked.
    page.sentence.select(
        None,
        [page.mention, page.start],
        [page.mention, page.start],
        js="(...given) => window.melMark(...given)",
        trigger_mode="always_last",  # a selection grows letter by letter: the last one counts
    )


def _busy(page: Page) -> dict:
    """While it is computed, the answer alone shows it; the fields stay as they are. One at a time: tokenizers cannot more."""
    shown = {"show_progress": "minimal", "show_progress_on": page.answer}
    return shown | {"concurrency_id": "linker", "concurrency_limit": 1, "api_visibility": "private"}


def _query(example: Example) -> MentionQuery:
    return MentionQuery(example.mention, example.text, example.start, example.picture)


def _shown(demo: Demo, query: MentionQuery, threshold: float, shown: int, blur: float) -> list[str]:
    """Message, answer, candidates and variants."""
    explanation = demo.answer(query, threshold, shown)
    found = demo.variants(query, threshold, blur)
    beside = views.variants(found) if found else views.hint(NO_PICTURE if demo.sees else BLIND)
    return ["", views.answer(explanation), views.candidates(explanation), beside]


def _connect_examples(demo: Demo, page: Page, buttons: list[gr.Button], gallery: gr.Gallery | None) -> None:
    """An example fills the fields and is linked; a picture of the gallery goes to the picture's place."""

    def take(example: Example, *settings):
        query = _query(example)
        fields = [example.text, example.mention, example.start, example.picture]
        return [*fields, *_shown(demo, query, *settings), query]

    for example, button in zip(demo.examples, buttons, strict=True):
        button.click(
            partial(take, example), page.settings, [*page.fields, *page.results, page.asked], **_busy(page)
        ).then(None, js="() => window.melShow()")
    if gallery is not None:

        def pick(event: gr.SelectData):
            return demo.pictures[event.index][0], ""

        gallery.select(pick, None, [page.picture, page.message], show_progress="hidden", api_visibility="private")


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="hf-mel-space-")


def _saved(picture: Image.Image | None, name: str) -> str | None:
    """A picture as a file, which gradio wants for icons and galleries; they go when the page does."""
    if picture is None:
        return None
    path = Path(_folder().name) / f"{name}.png"
    picture.save(path)
    return str(path)
