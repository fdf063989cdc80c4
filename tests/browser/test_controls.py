"""What the page's controls do: keys, undo, focus, margins, names, narrow windows, contrast."""

import numpy as np
import pytest
from browser.annotator import Page, expect, objects_in

pytestmark = pytest.mark.browser

LONG = "a name of a class that is far too long for the place that there is beside the image"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def page(tab, annotating, photos, out):
    """With one image, and the classes "cup" and LONG."""
    address = annotating(photos / "1.jpg", "-o", out, "--classes", f"cup,{LONG}")
    return Page(tab, address, (600, 400))


def accept(page, number):
    page.press("Enter", "/objects")
    page.status(f"Saved object {number}")


def test_what_is_ready_and_done_is_said(tab, page):
    page.status("Ready: 1.jpg")
    page.click(300, 150)
    expect(tab.locator("#status")).to_be_empty()
    expect(tab.locator("#figures")).to_contain_text("pixels")
    accept(page, 1)
    page.press("f", "/done")
    page.status("This image is done")
    page.press("1")
    expect(tab.locator("#status")).to_be_empty()


def test_boxes_and_strokes_by_keys_alone(tab, page, out):
    page.press("ArrowUp")
    page.press("b")
    for _ in range(8):
        page.press("ArrowLeft")
        page.press("ArrowUp")
    page.press("Space", "/mask")
    page.press("s")
    page.press("Space")
    for _ in range(3):
        page.press("ArrowLeft")
    page.press("Enter", "/mask")  # which ends the stroke, and accepts nothing
    assert not out.exists()
    page.press("Shift+Space")
    page.press("ArrowDown")
    page.press("Shift+Space", "/mask")
    page.press("p")
    page.press("Space")
    page.press("ArrowDown")
    page.press("Space", "/mask")
    page.press("e")
    page.press("Space")
    page.press("Escape")  # only the stroke
    page.press("Space")
    page.press("Space", "/mask")
    accept(page, 1)

    (kept,) = objects_in(out)
    box, yes, no = kept["steps"]
    x0, y0, x1, y1 = box["box"]
    assert x1 == pytest.approx(300)
    assert y1 < 200
    assert x1 - x0 == pytest.approx(y1 - y0)
    np.testing.assert_allclose([yes["points"][0], no["points"][0]], [[x0, y0], yes["points"][-1]])
    assert [yes["labels"], no["labels"]] == [[1] * 4, [0] * 2]
    painted, erased = kept["strokes"]
    assert [painted["erase"], erased["erase"]] == [False, True]
    assert len(painted["points"]) == 2
    assert erased["points"] == [painted["points"][-1]]


def test_escape_leaves_what_was_begun_with_keys(tab, page):
    page.press("b")
    page.press("ArrowLeft")
    page.press("Escape")
    page.press("Enter")
    expect(tab.locator("#accept")).to_be_disabled()
    page.press("Space", "/mask")  # the cross is where it was
    expect(tab.locator("#accept")).to_be_enabled()


def test_the_margin_is_not_the_image(tab, page, out):
    tab.set_viewport_size({"width": 1280, "height": 900})  # above and below
    # The page learns of its size between two frames of the screen.
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.tab.mouse.click(*page.at(300, -5))
    page.press("p")
    page.tab.mouse.click(*page.at(300, -5))
    page.press("c")
    expect(tab.locator("#accept")).to_be_disabled()
    page.drag((100, -5), (300, 200))
    accept(page, 1)
    (kept,) = objects_in(out)
    np.testing.assert_allclose(kept["steps"][0]["box"], [100, 0, 300, 200], atol=1)


def test_deleting_can_be_undone(tab, page, annotating, photos, out):
    page.click(300, 150)
    page.press("p")
    page.drag((140, 300), (200, 340))
    page.press("1")
    accept(page, 1)
    page.press("c")
    page.press("a", "/everything")
    page.status("found")
    page.click(300, 150)
    accept(page, 2)
    before = objects_in(out)

    tab.click('#objects button[aria-label="Delete cup 1"]')
    page.status("Deleted object 1")
    assert tab.evaluate("document.activeElement.id") == "view"
    page.press("Control+z", "/objects")
    page.status("Object 1 is back as object 3")
    assert [one["id"] for one in objects_in(out)] == [2, 3]
    page.press("Control+z")  # nothing is left to be undone
    expect(tab.locator("#undo")).to_be_disabled()

    # Of one that everything mode found, also after the server has forgotten what it found.
    tab.goto(annotating(photos / "1.jpg", "-o", out))
    page.wait_for(0)
    for _ in range(2):
        tab.locator('#objects button[aria-label^="Delete"]').first.click()
        page.status("Deleted")
    expect(tab.locator("#objects li")).to_have_count(0)
    with page.answer("/objects"):
        tab.click("#undo")
    page.status("is back")
    page.press("Control+z", "/everything")
    expect(tab.locator("#objects li")).to_have_count(2)
    after = objects_in(out)
    same = ("rle", "steps", "strokes", "candidate", "found", "base", "category", "name")
    for one in before:
        assert any(all(one[key] == other[key] for key in same) for other in after)

    # Whatever is done in between is undone first.
    tab.locator('#objects button[aria-label^="Delete"]').first.click()
    page.status("Deleted")
    page.click(50, 50)
    page.press("Control+z")
    expect(tab.locator("#accept")).to_be_disabled()
    expect(tab.locator("#undo")).to_be_disabled()
    assert len(objects_in(out)) == 1


def test_names_and_where_the_keys_go(tab, page, out):
    page.click(300, 150)
    page.press("2")
    accept(page, 1)
    name = tab.locator("#objects input")
    name.fill("mine")
    page.press("Escape")
    assert tab.evaluate("document.activeElement.id") == "view"
    assert name.input_value() == ""
    name.fill("yours")
    page.press("Enter", "/objects/1")
    assert tab.evaluate("document.activeElement.id") == "view"
    tab.focus("#class-name")
    tab.keyboard.type("spoon")
    page.press("Enter", "/classes")
    expect(tab.locator("#classes button").last).to_have_attribute("aria-pressed", "true")
    assert tab.evaluate("document.activeElement.id") == "view"
    (kept,) = objects_in(out)
    assert (kept["name"], kept["category"]) == ("yours", LONG)

    # Hiding by keys can be taken back by the same key.
    shown = tab.locator('#objects button[aria-label="Hide yours 1"]')
    shown.focus()
    page.press("Enter", "/objects/1")
    hidden = tab.locator('#objects button[aria-label="Show yours 1"]')
    expect(hidden).to_be_focused()


def test_windows_of_all_sizes(tab, page):
    page.click(300, 150)
    page.press("2")
    accept(page, 1)
    for width, height in ((420, 800), (800, 600), (1280, 720), (3840, 2160)):
        tab.set_viewport_size({"width": width, "height": height})
        for part in ("html", "header", "aside", "footer"):
            found = tab.locator(part).evaluate("one => [one.scrollWidth, one.clientWidth]")
            assert found[0] <= found[1], (width, part)
        image, header = (tab.locator(one).bounding_box()["height"] for one in ("#view", "header"))
        assert image > height / 3
        if width >= 1280:
            assert header < 60  # one row


# Contrast of all texts with what is behind them, as WCAG 2 defines it, but for what is disabled.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (...colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = {};
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if ((!own && !one.placeholder) || one.disabled || !one.checkVisibility()) continue;
    const backs = [];
    for (let at = one; at; at = at.parentElement) {
      backs.unshift(getComputedStyle(at).backgroundColor);
    }
    const style = getComputedStyle(one, own ? null : "::placeholder");
    canvas.globalAlpha = 1;
    const behind = over("#fff", ...backs);
    canvas.globalAlpha = Number(style.opacity);
    const [a, b] = [light(over(style.color)), light(behind)].sort((x, y) => y - x);
    found[`${one.tagName} ${one.id} ${one.textContent}`] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""


def test_texts_can_be_read_and_controls_have_names(tab, page):
    page.click(300, 150)
    page.press("1")
    accept(page, 1)
    page.press("?")
    said = tab.locator("#status")
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        for is_error in (False, True):
            said.evaluate("(one, isError) => one.classList.toggle('error', isError)", is_error)
            found = tab.evaluate(CONTRASTS)
            assert len(found) > 50
            assert {text: ratio for text, ratio in found.items() if ratio < 4.5} == {}

    page.press("Escape")
    session = tab.context.new_cdp_session(tab)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]

    def can_have_focus(node):
        return any(
            one["name"] == "focusable" and one["value"].get("value") for one in node["properties"]
        )

    controls = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if not node.get("ignored")
        and can_have_focus(node)
        and node["role"]["value"] != "RootWebArea"
    ]
    assert len(controls) > 15
    assert len(set(controls)) == len(controls)  # and can be told apart
    assert all(name for _, name in controls)
