"""The report in a real browser: on a desk and on a phone, light and dark, with scripts and without."""

import base64
import re
from pathlib import Path

import made_up
import pytest
from formatted import rendered

from provisioner.report import model
from provisioner.report.formats import html

FLEETS = {1: 1, 3: 12, 100: 10}
"""Runs of each host, by how many hosts there are."""
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.querySelector("body"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.getClientRects().length) continue;
    const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""
"""Texts whose contrast is below what WCAG AA asks for."""


@pytest.fixture(scope="module", params=FLEETS, ids=lambda hosts: f"{hosts}-hosts")
def page_file(request, tmp_path_factory) -> tuple[int, Path]:
    """A report of so many hosts."""
    path = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    path.write_text(rendered(html, model.build(made_up.runs(request.param, FLEETS[request.param]))), encoding="utf-8")
    return request.param, path


class Opened:
    """A page in the browser, with all that it said and asked for."""

    def __init__(self, browser, path, **settings):
        self.said, self.asked = [], []
        self._context = browser.new_context(**settings)
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._context.close()

    def texts(self, selector):
        return self.page.locator(selector).all_text_contents()

    def overflow(self):
        """By how many pixels the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_is_quiet_fits_and_is_legible(browser, page_file, viewport, scheme):
    hosts, path = page_file
    with Opened(browser, path, viewport=viewport, color_scheme=scheme) as opened:
        assert opened.said == []
        assert [url for url in opened.asked if not url.startswith("data:")] == [path.as_uri()]
        opened.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert opened.overflow() <= 0
        assert opened.page.evaluate(CONTRAST) == []
        dark = opened.page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        rows = opened.page.locator("#fleet-list li")
        assert rows.count() == hosts
        # What was drawn has a size: a bar as wide as its share, dots and boxes within their charts.
        assert min(bar["width"] for bar in (each.bounding_box() for each in rows.locator(".bar").all())) > 100
        assert opened.page.locator(".boxes .row").count() == 9
        assert opened.page.locator(".card figcaption").count() == (hosts if FLEETS[hosts] > 1 else 0)
        assert opened.page.locator(".gantt span").first.bounding_box()["width"] > 10


def test_sorting_and_finding_hosts(browser, page_file):
    hosts, path = page_file
    with Opened(browser, path, viewport=DESK) as opened:
        opened.page.select_option("#fleet-sort", "total")
        totals = opened.page.eval_on_selector_all(
            "#fleet-list li", "all => all.map((one) => Number(one.dataset.total))"
        )
        assert totals == sorted(totals, reverse=True)
        opened.page.select_option("#fleet-sort", "name")
        names = opened.texts("#fleet-list .name")
        assert names == sorted(names)
        if hosts > 10:
            opened.page.fill("#fleet-filter", "GPU-07")
            assert opened.page.locator("#fleet-list li:visible").count() == 10
        opened.page.evaluate("document.querySelector('#runs').parentElement.querySelector('details').open = true")
        opened.page.get_by_role("button", name="total").click()
        column = [float(text) for text in opened.texts("table.sortable td:nth-child(6)") if text[0].isdigit()]
        assert column == sorted(column)
        assert opened.said == []


def test_without_scripts_nothing_is_missing(browser, page_file):
    hosts, path = page_file
    with Opened(browser, path, viewport=PHONE, java_script_enabled=False) as opened:
        assert opened.page.locator("#fleet-list li:visible").count() == hosts
        assert not opened.page.locator(".controls").is_visible(), "what needs a script is not offered"
        assert opened.page.locator("h2").count() == 8


def test_a_script_that_came_in_with_a_name_does_not_run(browser, tmp_path):
    run = made_up.runs(1, 1)[0]
    run.record["host"] = "<img src=x onerror=document.title='run'><script>document.title='run'</script>"
    text = rendered(html, model.build([run]))
    escaped, raw = tmp_path / "escaped.html", tmp_path / "raw.html"
    escaped.write_text(text, encoding="utf-8")
    with Opened(browser, escaped) as opened:
        assert opened.said == []
        assert opened.page.title() == "Scenario A: 1 host, 1 run"
        assert opened.texts("#fleet-list .name") == [run.record["host"]]
    # And were it not escaped, the page's policy would still refuse to run it, or to ask for anything.
    raw.write_text(text.replace("</main>", run.record["host"] + "</main>"), encoding="utf-8")
    with Opened(browser, raw) as opened:
        assert opened.page.title() == "Scenario A: 1 host, 1 run"
        assert any("Content Security Policy" in line for line in opened.said)


def test_the_policy_names_the_script_that_is_there():
    text = rendered(html, model.build(made_up.runs(1, 1)))
    named = re.search(r"script-src &#39;sha256-([^&]+)|script-src 'sha256-([^']+)", text)
    assert named and len(base64.b64decode(named[1] or named[2])) == 32
