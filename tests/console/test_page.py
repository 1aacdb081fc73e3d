"""The console in a real Chromium, before a real router: what each view shows with data, without, and with nobody behind it."""

import os
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.console.conftest import DECISIONS, Site, Visitor

VIEWS = {
    "live": ("By plan", "small-vote"),
    "knob": ("Worth of a right answer", "always small-vote"),
    "decisions": ("Decisions", "of the latest 20,000"),
    "evaluation": ("Not judged yet", "Would another policy have earned more?"),
    "budgets": ("Budgets", "Requests a minute"),
    "learning": ("Calibration", "On the diagonal, beliefs are true."),
    "pools": ("Pools", "self_consistency"),
}
EMPTY = {
    "live": "This tenant has asked nothing so far",
    "knob": "The log of this tenant holds too few rated decisions",
    "decisions": "Each request leaves its reasons here",
    "budgets": "No budget is set",
    "learning": "No answers were rated yet",
}
_FAULTS = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map((one) => `${one.id}: ${one.nodes.map((at) => at.html).join(" ")}`);
}"""
_SCROLL = """async () => {
    const box = document.querySelector(".list"), took = [];
    let last = performance.now();
    for (let turn = 0; turn < 60; turn++) {
        box.scrollTop += 400;
        await new Promise(requestAnimationFrame);
        took.push(performance.now() - last);
        last = performance.now();
    }
    return took.sort((a, b) => a - b)[30];
}"""
"""The median of the milliseconds between two frames."""
_JUDGED = "200"  # decisions, so that the knob is there soon

pytestmark = pytest.mark.timeout(300)  # of which most is for the first, which has everything started


def waits(visitor: Visitor, words: str) -> None:
    visitor.page.get_by_text(words).first.wait_for(timeout=100_000)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_shows_what_there_is_and_everybody_can_use_it(visit: Any, installed: Path, view: str) -> None:
    visitor = visit()
    visitor.go(view, by=_JUDGED)
    for words in VIEWS[view]:
        waits(visitor, words)
    assert visitor.page.title().startswith(visitor.page.locator("main h1").inner_text())
    visitor.page.evaluate((installed / "node_modules" / "axe-core" / "axe.min.js").read_text())
    for scheme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert visitor.page.evaluate(_FAULTS) == [], scheme


def test_each_view_that_has_nothing_to_show_says_what_to_do(visit: Any) -> None:
    visitor = visit()
    for view, words in EMPTY.items():
        visitor.go(view, tenant="quiet")
        waits(visitor, words)
        assert visitor.page.locator(".copy code").first.inner_text().startswith("rheostat ")


def turned(visitor: Visitor) -> dict[str, str]:
    """What the readout says."""
    return {name: visitor.page.locator(f".readout {place}").inner_text() for name, place in {"at": "output", "quality": ".quality b"}.items()}


def test_the_knob_shows_what_would_be_and_changes_what_is_and_takes_it_back(visit: Any, site: Site) -> None:
    before = site.planned()
    visitor = visit()
    visitor.go("knob", by=_JUDGED)
    slider = visitor.page.get_by_role("slider", name="Worth of a right answer")
    slider.wait_for(timeout=90_000)
    seen = {turned(visitor)["at"]}
    slider.focus()
    for key in ("ArrowRight", "PageUp", "End", "PageDown", "Home"):
        visitor.page.keyboard.press(key)
        seen.add(turned(visitor)["at"])
        assert turned(visitor)["at"] in slider.get_attribute("aria-valuetext")
        assert re.search(r"quality [\d.]+ %, (from|by the model)", slider.get_attribute("aria-valuetext"))
    assert len(seen) == 6
    assert visitor.called("PreviewKnob") == 1, "what lies between is reckoned in the page"
    assert visitor.called("UpdateTenant") == 0
    assert site.planned()["valueMicrodollars"] == before["valueMicrodollars"] == 8_000, "nothing changes before it is applied"
    visitor.page.get_by_role("button", name="Apply").click()
    waits(visitor, "In force within a second")
    visitor.page.wait_for_timeout(1_000)  # as it says
    applied = site.planned()
    assert applied["valueMicrodollars"] == 250
    assert applied["decision"]["scores"] != before["decision"]["scores"]
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.page.get_by_role("button", name="Undo", exact=True, disabled=True).wait_for()
    visitor.page.wait_for_timeout(1_000)
    assert site.planned()["decision"]["scores"] == before["decision"]["scores"]


def test_a_change_that_somebody_else_made_meanwhile_is_not_written_over(visit: Any, site: Site) -> None:
    visitor, seen = visit(), site.call("TenantService/GetTenant", name="default")
    visitor.page.route("**/TenantService/GetTenant", lambda route: route.fulfill(json=seen))
    visitor.go("knob", knob="exploration", by=_JUDGED)
    slider = visitor.page.get_by_role("slider", name="Exploration")
    slider.wait_for(timeout=90_000)
    site.call("TenantService/UpdateTenant", tenant={"name": "default", "maxStages": 3}, updateMask="maxStages")
    slider.focus()
    visitor.page.keyboard.press("PageUp")
    visitor.page.get_by_role("button", name="Apply").click()
    waits(visitor, "Somebody else changed these terms meanwhile")


def test_the_explorer_finds_narrows_and_opens_the_tree_of_a_decision(visit: Any) -> None:
    visitor = visit()
    visitor.go("decisions")
    waits(visitor, "of the latest 20,000")
    visitor.page.get_by_label("wrong only").check()
    visitor.page.get_by_role("combobox", name="Plan", exact=True).select_option("small-vote")
    visitor.page.get_by_label("Search").fill("calculate")
    visitor.page.locator("#row-0", has_text="alculate").locator(".wrong").wait_for()
    assert "q=calculate" in visitor.page.url
    assert visitor.page.locator(".rows .row").count() > 3 > visitor.page.locator(".rows .right").count() == 0
    visitor.page.locator("#row-0").click()
    tree = visitor.page.get_by_role("complementary", name="How this answer came about")
    tree.get_by_text("gave the answer").first.wait_for()
    told = tree.inner_text()
    assert "alculate" in told
    for words in (
        "What it turned out to be worth",
        "said a verifier",
        "drawn with a chance of",
        "small-vote",
        "cancelled",
        "gave the answer",
        "score",
    ):
        assert words in told, words


def count(site: Site) -> int:
    """Decisions so far: the log's, and what tests have asked."""
    found = int(site.call("OperationsService/ListDecisions", pageSize=1)["total"])
    assert found >= DECISIONS
    return found


def test_ten_thousand_decisions_scroll_without_lag(visit: Any, site: Site) -> None:
    total, visitor = count(site), visit()
    visitor.go("decisions")
    waits(visitor, f"{total:,} decisions")
    assert min(visitor.page.evaluate(_SCROLL) for _ in range(3)) < 34, "30 frames a second, without a GPU"
    visitor.page.evaluate("document.querySelector('.list').scrollTop = 1e9")
    visitor.page.wait_for_selector(f"#row-{total - 1}")
    assert visitor.page.locator(".rows .row").count() < 80, "only what is seen is drawn"
    assert int(visitor.page.locator(".list").get_attribute("data-loaded")) == total
    site.planned()
    visitor.page.get_by_role("button", name=re.compile("Read again|There are newer ones")).click()
    waits(visitor, f"{total + 1:,} decisions")


def test_nothing_moves_while_it_lives_and_it_is_there_at_once(visit: Any, site: Site) -> None:
    visitor = visit()
    visitor.go("live")
    waits(visitor, "By plan")
    visitor.page.wait_for_timeout(300)
    visitor.page.evaluate("window.shifts.length = 0")
    before = visitor.called("SummarizeDecisions")
    visitor.page.get_by_role("button", name="latest 20,000").click()
    total = count(site)
    waits(visitor, f"{total:,}")
    for _ in range(3):
        site.planned()
    waits(visitor, f"{total + 3:,}")
    assert visitor.called("SummarizeDecisions") >= before + 2
    assert visitor.page.evaluate("window.shifts.reduce((sum, one) => sum + one, 0)") < 0.05
    paints = []
    for _ in range(3):
        visitor.page.reload()
        visitor.page.wait_for_selector("main h1")
        paints.append(visitor.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(paints) < 1_000


def test_hands_that_hold_no_mouse_get_everywhere(visit: Any) -> None:
    visitor = visit()
    visitor.go("live")
    press, focused = visitor.page.keyboard.press, "document.activeElement.textContent"
    press("Tab")
    assert visitor.page.evaluate(focused) == "To the content"
    press("Enter")
    assert visitor.page.evaluate("document.activeElement.id") == "main"
    link = visitor.page.get_by_role("navigation").get_by_role("link", name="Decisions")
    link.focus()
    press("Enter")
    visitor.page.get_by_role("heading", name="Decisions", level=1).wait_for()
    visitor.page.locator("#row-3").wait_for()
    for _ in range(30):
        press("Tab")
        if visitor.page.evaluate("document.activeElement.getAttribute('role')") == "grid":
            break
    assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "where one is can be seen"
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        press(key)
    visitor.page.get_by_role("complementary").wait_for()
    assert visitor.page.locator("#row-2").get_attribute("aria-selected") == "true"
    press("Escape")
    visitor.page.get_by_role("complementary").wait_for(state="detached")
    assert visitor.page.evaluate("document.activeElement.getAttribute('role')") == "grid"


def test_each_role_sees_what_it_may_and_is_told_why_not(visit: Any, site: Site) -> None:
    operator = visit("operator")
    operator.go("knob", by=_JUDGED)
    assert operator.page.get_by_label("Tenant").is_disabled()
    operator.page.get_by_role("slider").wait_for(timeout=90_000)
    operator.page.get_by_role("slider").press("Home")
    apply = operator.page.get_by_role("button", name="Apply")
    assert apply.is_disabled()
    waits(operator, "Applying takes an administrator's key")
    operator.go("learning")
    waits(operator, "Beginning and stopping takes an administrator's key.")
    assert operator.page.get_by_role("button", name="Begin in the shadow").is_disabled()

    caller = visit("caller")
    caller.page.goto(site.console)
    waits(caller, "Not with this key")
    assert caller.page.get_by_role("navigation").get_by_role("link").count() == 0

    nobody = visit("nobody")
    nobody.page.goto(site.console)
    nobody.page.get_by_label("API key").fill("wrong")
    nobody.page.get_by_role("button", name="Enter").click()
    waits(nobody, "This key is not accepted.")
    nobody.page.get_by_label("API key").fill(site.keys["admin"])
    nobody.page.get_by_role("button", name="Enter").click()
    nobody.page.get_by_role("heading", name="Live", level=1).wait_for()
    assert not [address for _, address in nobody.asked if site.keys["admin"] in address]
    nobody.page.evaluate("sessionStorage.setItem('left', 'yes')")
    nobody.page.get_by_role("button", name="Leave").click()
    waits(nobody, "Who is it?")


def test_a_candidate_is_begun_and_taken_back(visit: Any) -> None:
    visitor = visit()
    visitor.go("learning", tenant="quiet")
    visitor.page.get_by_label("Policy").select_option("threshold")
    visitor.page.get_by_role("button", name="Begin in the shadow").click()
    visitor.page.locator(".way .here", has_text="shadow").wait_for()
    visitor.page.get_by_role("button", name="Take it back").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Take it back").click()
    waits(visitor, "It was rolled back")


def test_a_policy_is_judged_beside_the_controls(visit: Any) -> None:
    visitor = visit()
    visitor.page.route("**/EvaluatePolicy", lambda route: route.continue_(post_data='{"tenant": "default", "decisions": 200}'))
    visitor.go("evaluation")
    visitor.page.get_by_role("button", name="Judge by the log").click()
    visitor.page.get_by_text("beside the controls").wait_for(timeout=90_000)
    told = visitor.page.locator("table.judged").inner_text()
    for words in ("this policy", "what the log's policies did", "whatever is asked"):
        assert words in told


def test_when_nobody_answers_it_says_so_and_keeps_what_it_knows_and_comes_back_by_itself(visit: Any, site: Site) -> None:
    visitor = visit()
    for view in VIEWS:
        if view not in ("knob", "evaluation"):
            visitor.go(view)
            waits(visitor, VIEWS[view][1])
    visitor.go("live")
    waits(visitor, "By plan")
    known = visitor.page.locator(".stat dd").first.inner_text()
    site.router.kill()
    try:
        waits(visitor, "It is asked again every second")
        assert visitor.page.locator("main").get_attribute("class") == "stale"
        assert visitor.page.locator(".stat dd").first.inner_text() == known
        for view, (_, words) in VIEWS.items():
            visitor.page.get_by_role("navigation").get_by_role("link", name=re.compile(view if view != "evaluation" else "Quality", re.I)).click()
            visitor.page.wait_for_selector("main h1")
            assert visitor.page.locator(".gone").is_visible()
            if view not in ("knob", "decisions"):
                waits(visitor, words)
    finally:
        site.router.start()
    visitor.page.locator(".gone").wait_for(state="hidden")
    visitor.page.get_by_role("navigation").get_by_role("link", name="Decisions").click()
    waits(visitor, "of the latest 20,000")
    assert visitor.page.locator("main").get_attribute("class") == ""


def taken(visitor: Visitor, name: str) -> None:
    """In 256 colours, which are enough, and a third of the size."""
    image = Image.open(BytesIO(visitor.page.screenshot()))
    image.quantize(256).save(Path(os.environ["RHEOSTAT_SCREENSHOTS"]) / f"console-{name}.png", optimize=True)


@pytest.mark.skipif("RHEOSTAT_SCREENSHOTS" not in os.environ, reason="RHEOSTAT_SCREENSHOTS names no folder")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots(visit: Any, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    visitor.go("live")
    waits(visitor, "By plan")
    visitor.page.wait_for_timeout(700)
    taken(visitor, f"live-{scheme}")
    visitor.go("decisions", order="DECISION_ORDER_COST")
    visitor.page.locator("#row-2").click()
    waits(visitor, "gave the answer")
    taken(visitor, f"decisions-{scheme}")
    visitor.go("knob", by="2000")
    visitor.page.get_by_role("slider").press("PageUp", timeout=100_000)
    taken(visitor, f"knob-{scheme}")
