"""The Space in a real browser: links, thresholds, errors, keyboard, phone, dark, and nothing that leaves this machine."""

import os
from pathlib import Path

import pytest


# Set where the browser is known to be there, so that a missing package is an error and no skip.
if not os.environ.get("HF_MEL_NEED_BROWSER"):
    pytest.importorskip("gradio", reason='needs pip install "hf-mel[space]"')
    pytest.importorskip("playwright", reason='needs pip install "hf-mel[test]"')

from playwright import sync_api  # noqa: E402

from tests.spaces.browser import (  # noqa: E402
    CHROMIUM,
    CONTRASTS,
    FLAGS,
    MOVING,
    OUTLINE,
    TOO_WIDE,
    Watched,
    nameless,
    save_screenshot,
    served,
)


pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("HF_MEL_NEED_BROWSER"),
        reason="needs Debian's chromium: apt-get install chromium",
    ),
]
DESKTOP, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
TEXT = "The monorail crossed the river before noon."
expect = sync_api.expect
expect.set_options(timeout=20_000)  # a busy machine is slow; nothing waits that long on an idle one


@pytest.fixture(scope="module")
def space(environ, tmp_path_factory):
    """One Space for all tests of the file; that which is named in the environment, where screenshots are asked for."""
    if os.environ.get("HF_MEL_SCREENSHOTS") and os.environ.get("HF_MEL_MODEL"):
        environ = {name: os.environ[name] for name in ("HF_MEL_MODEL", "HF_MEL_INDEX") if name in os.environ}
        environ = {name: os.path.abspath(value) for name, value in environ.items()}
    with served(environ, tmp_path_factory.mktemp("log") / "space.log") as ready:
        yield ready


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(space, browser):
    """Opens the page in a window of its own; at the end, no page may have had an error or asked another machine."""
    address, watched, contexts = space(), [], []

    def open_page(viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        watched.append(Watched(page))
        page.goto(address)
        page.locator("#mel-link").wait_for()
        return page

    yield open_page
    for each in watched:
        assert each.outside == []
        assert each.errors == []
    for context in contexts:
        context.close()


def link(page, sentence: str, mention: str) -> None:
    page.get_by_label("Sentence").fill(sentence)
    page.get_by_label("Mention", exact=True).fill(mention)
    page.get_by_role("button", name="Link", exact=True).click()


def marked(page, mention: str):
    """Waits for the answer about a mention."""
    expect(page.locator("#mel-answer mark")).to_have_text(mention)


def result(page):
    return page.locator("#mel-result")


def cards(page):
    return page.get_by_role("list", name="Candidates").get_by_role("listitem")


# ---- Linking ----


def test_a_link_and_its_candidates(visit):
    page = visit()
    link(page, TEXT, "river")
    marked(page, "river")
    expect(cards(page)).to_have_count(6)
    name = cards(page).first.locator(".mel-name").inner_text().split(maxsplit=1)[1]
    expect(result(page)).to_have_text(name)
    expect(page.locator("#mel-answer .mel-entity img")).to_have_attribute("alt", f"Picture of {name}")
    bars = cards(page).first.locator("dt").all_inner_texts()
    assert bars == ["Total", "Text", "Picture"]
    page.get_by_label("number input for Candidates").fill("3")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(3)


def test_an_example_with_its_picture_and_what_the_picture_does(visit):
    page = visit()
    page.get_by_role("button", name="This is how big the mouse is").click()
    marked(page, "mouse")
    expect(page.get_by_label("Sentence")).to_have_value("This is how big the mouse is.")
    expect(page.locator("#mel-answer .mel-share")).to_contain_text("picture")
    expect(page.locator("#mel-picture img")).to_be_visible()
    page.get_by_role("tab", name="What the picture does").click()
    columns = page.get_by_role("list", name="Pictures").locator("> li")
    expect(columns).to_have_count(3)
    expect(columns.nth(1)).to_contain_text("Blurred by 12 %")
    expect(columns.nth(2)).to_contain_text("no picture")
    blurred = columns.nth(1).locator("img").get_attribute("src")
    page.get_by_label("number input for Blur").fill("30")
    page.keyboard.press("Enter")
    expect(columns.nth(1)).to_contain_text("Blurred by 30 %")
    assert columns.nth(1).locator("img").get_attribute("src") != blurred
    assert columns.nth(0).locator("img").get_attribute("src") != blurred


def test_the_threshold_makes_a_link_nil_and_back(visit):
    page = visit()
    link(page, TEXT, "river")
    marked(page, "river")
    linked = result(page).inner_text()
    assert "NIL" not in linked
    threshold = page.get_by_label("number input for NIL threshold")
    threshold.fill("1")
    page.keyboard.press("Enter")
    expect(result(page)).to_have_text("NIL: nothing fits")
    expect(page.locator("#mel-answer")).to_contain_text("below the threshold 1.00")
    expect(cards(page)).to_have_count(6)
    expect(page.locator("#mel-candidates .mel-chosen")).to_have_count(0)
    page.locator("#mel-threshold").get_by_role("button", name="Reset").click()
    expect(result(page)).to_have_text(linked)


def test_a_picked_picture_is_used(visit):
    page = visit()
    page.get_by_role("button", name="The marimba player").click()
    marked(page, "marimba")
    expect(page.locator("#mel-answer .mel-share")).to_have_count(0)
    page.locator("#mel-gallery").get_by_role("button", name="tiger").click()
    expect(page.locator("#mel-picture img")).to_be_visible()
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.locator("#mel-answer .mel-share")).to_have_count(1)


# ---- Errors ----


def test_a_broken_picture_is_told_and_not_linked(visit, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"not a picture")
    page = visit()
    page.get_by_role("button", name="The marimba player").click()
    marked(page, "marimba")
    page.locator("#mel-picture input[type=file]").set_input_files(broken)
    alert = page.get_by_role("alert").filter(has_text="The picture cannot be used")
    expect(alert).to_be_visible()  # at once
    expect(result(page)).to_have_count(1)
    page.get_by_role("button", name="Link", exact=True).click()
    expect(result(page)).to_have_count(0)  # not linked without it
    expect(alert).to_contain_text("remove it to link by the text alone")
    page.get_by_label("Remove Image").click()
    expect(alert).to_have_count(0)
    page.get_by_role("button", name="Link", exact=True).click()
    marked(page, "marimba")
    expect(alert).to_have_count(0)


def test_what_is_missing_is_told_and_what_is_written_is_text(visit):
    page = visit()
    for sentence, mention, message in (
        ("", "river", "The sentence is empty"),
        (TEXT, "", "There is no mention"),
        (TEXT, "bridge", "does not occur in the sentence"),
    ):
        link(page, sentence, mention)
        expect(page.get_by_role("alert").filter(has_text=message)).to_be_visible()
        expect(result(page)).to_have_count(0)
    attack = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>${1+1}{{value}}"
    link(page, f"See {attack} now.", attack)
    marked(page, attack)
    link(page, "Nothing.", attack)
    expect(page.get_by_role("alert").filter(has_text=attack)).to_be_visible()
    assert page.title() != "run"
    assert page.locator("#mel-answer script, #mel-answer img[src=x], #mel-message img").count() == 0


# ---- For everybody ----


def test_by_keyboard_alone(visit):
    page = visit()
    page.get_by_label("Sentence").focus()
    page.keyboard.press("ControlOrMeta+a")
    before = "😀" * 12 + " "  # two UTF-16 units each, one character
    page.keyboard.type(f"{before}river, river")
    expect(page.get_by_label("Sentence")).to_have_value(f"{before}river, river")
    page.wait_for_timeout(
        500
    )  # faster than anybody types: the page is still at work, and would take the selection away
    for key in ["ArrowLeft"] * len(", river") + ["Shift+ArrowLeft"] * len("river"):
        page.keyboard.press(key, delay=20)
    expect(page.get_by_label("Mention", exact=True)).to_have_value("river")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        shown, style, width = page.evaluate(OUTLINE)
        reached.append(shown)
        assert style != "none" and width >= 1, f"no focus is seen on {shown}"
        if page.evaluate("document.activeElement.id") == "mel-link":
            break
    assert "mel-link" in reached[-1] and len(reached) > 10, reached
    page.keyboard.press("Enter")
    marked(page, "river")
    mark = page.locator("#mel-answer .mel-sentence mark")
    assert mark.evaluate("mark => mark.previousSibling.textContent") == before, "the first of the two was marked"
    page.get_by_role("tab", name="Answer").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("number input for Blur")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_look(visit, tmp_path, width, scheme):
    """Read in light and dark, at both widths: contrast, names of controls, nothing too wide, calm where that is asked."""
    folder = Path(os.environ.get("HF_MEL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    ending = "" if scheme == "light" else "-dark"
    page = visit(PHONE if width == "phone" else DESKTOP, color_scheme=scheme, reduced_motion="reduce")
    page.get_by_role("button", name="This is how big the mouse is").click()
    marked(page, "mouse")
    page.wait_for_function("() => document.images.length && [...document.images].every(image => image.complete)")
    assert page.evaluate(MOVING) == []
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    looked_at(page)
    if width == "desktop":
        page.evaluate("scrollTo(0, 0)")
    save_screenshot(page, folder / f"space-{width}{ending}.png")
    page.get_by_role("tab", name="What the picture does").click()
    page.get_by_role("list", name="Pictures").wait_for()
    looked_at(page)
    save_screenshot(page, folder / f"space-{width}-picture{ending}.png")
    link(page, "", "")
    page.get_by_role("alert").first.wait_for()
    looked_at(page)


def looked_at(page) -> None:
    """Contrast, names, width."""
    place = page.get_by_role("tabpanel").locator("#mel-answer, #mel-variants").filter(visible=True)
    assert place.locator("xpath=descendant-or-self::*[@aria-live='polite']").count() == 1, "what changes is read out"
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 20
    assert [each for each in texts if each["contrast"] < each["least"]] == []
    assert nameless(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(TOO_WIDE) == []
