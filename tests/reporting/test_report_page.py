"""A page about runs of every kind: read as HTML, and opened in a real Chromium where there is one."""

import io
import itertools
import json
import os
import re
import shutil

import numpy as np
import pytest
import soundfile
from page_reader import PageReader
from PIL import Image
from shown_runs import SENTENCE, STRANGE, make_broken, make_runs

from seqgen_core.evaluation.likelihood import evaluate
from seqgen_core.library import Run
from seqgen_core.library.blueprint import blueprint
from seqgen_core.progress import Silent
from seqgen_core.reporting.report import report
from seqgen_core.reporting.tables import size
from seqgen_core.settings.report import ReportSettings

BROWSER = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
BROWSER += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
COUNT, SECONDS = 2, 0.3


class Shown:
    """The page of all runs, in its folder, and what it was made of."""

    def __init__(self, folder):
        self.runs = {**make_runs(folder), **make_broken(folder)}
        settings = ReportSettings(out=folder / "all runs.html", count=COUNT, seconds=SECONDS, device="cpu", threads=1)
        self.page, self.facts = report([Run(run) for run in self.runs.values()], settings, Silent())
        self.text = self.page.path.read_text(encoding="utf-8")
        self.root = PageReader(self.text).root
        self.of = {facts.name: facts for facts in self.facts}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return Shown(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("SEQGEN_CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium; set SEQGEN_CHROMIUM")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=BROWSER)
        yield opened
        opened.close()


def section_of(shown, name):
    """The section of a run's samples."""
    place = list(shown.runs).index(name) + 1
    return next(one for one in shown.root.all("section") if one.attributes["aria-labelledby"] == f"run-{place}")


def until(page, expression):
    """Wait for something to be true; the page's own policy forbids what playwright does for that."""
    for _ in range(1000):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"{expression} never came true")


# what stands there


def test_headings_are_in_order(shown):
    levels = [int(one.tag[1]) for one in shown.root.inside if re.fullmatch("h[1-6]", one.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_landmarks_names_and_labels_are_there(shown):
    root = shown.root
    assert [len(root.all(tag)) for tag in ("main", "header", "footer", "nav", "title")] == [1] * 5
    assert root.all("html")[0].attributes["lang"] == "en"
    ids = [one.attributes["id"] for one in root.inside if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    links = [one.attributes["href"] for one in root.all("a")]
    assert links
    assert all(link.removeprefix("#") in ids for link in links)
    assert root.all("a")[0].attributes["class"] == "skip"
    named = [one.attributes["aria-labelledby"] for one in root.inside if "aria-labelledby" in one.attributes]
    assert set(named) <= set(ids)
    for one in root.inside:
        if one.tag in ("img", "audio"):
            assert one.attributes.get("alt") or one.attributes.get("aria-label")
        if one.tag == "svg" and one.attributes.get("role") == "img":
            assert one.attributes["aria-label"]
        elif one.tag == "svg":
            assert one.attributes["aria-hidden"] == "true"
        if "tabindex" in one.attributes and one.tag != "main":
            assert one.attributes["role"] == "region"
            assert one.attributes["aria-label"]
    assert all(one.all("caption") for one in root.all("table"))
    assert all(one.all("figcaption") for one in root.all("figure"))


def test_nothing_is_loaded_from_anywhere(shown):
    for one in shown.root.inside:
        for name in ("src", "href", "poster", "data", "srcset", "action"):
            assert one.attributes.get(name, "#").startswith(("#", "data:")), one
    assert not shown.root.all("iframe") + shown.root.all("object") + shown.root.all("form")
    assert [one.attributes for one in shown.root.all("script")] == [{}]
    assert "http:" not in shown.text
    assert "url(" not in shown.root.all("style")[0].text
    assert "@import" not in shown.root.all("style")[0].text


def test_what_is_no_html_stays_text(shown):
    assert {"b", "labelled", "i"}.isdisjoint(one.tag for one in shown.root.inside)
    assert STRANGE in shown.root.text
    assert "it's <labelled>" in shown.root.text
    assert "<i>the</i>" in section_of(shown, "text").text


def test_every_run_is_there_with_its_figures(shown):
    table = shown.root.all("table")[0]
    assert [one.text for one in table.all("th") if one.attributes.get("scope") == "col"] == list(shown.runs)
    rows = {}
    for row in table.all("tr"):
        rows.setdefault(row.all("th")[0].text if row.all("th") else "", [one.text for one in row.all("td")])
    for place, (name, run) in enumerate(shown.runs.items()):
        valid = [line for line in run.metrics() if line["kind"] == "valid"]
        best = min((line["bits"] for line in valid), default=None)
        assert rows["held-out, best"][place].startswith("–" if best is None else f"{best:.3f} (step "), name
        assert rows["uniform yardstick"][place] == f"{run.settings.tokens.uniform_bits:.3f}"
        assert rows["steps"][place] == f"{max([run.status['step'], *(line['step'] for line in run.metrics())])}"
    memory = [max((line.get("memory", 0) for line in run.metrics()), default=0) for run in shown.runs.values()]
    assert rows["memory"] == [size(most) for most in memory]
    assert memory[0] > 2**20
    assert rows["state"] == [run.status["status"] for run in shown.runs.values()]
    assert rows["parameters"] == [f"{blueprint(run.settings).parameter_count:,}" for run in shown.runs.values()]


def test_settings_are_there_and_those_that_differ_stand_out(shown):
    differing = next(one for one in shown.root.all("table") if "not the same" in one.all("caption")[0].text)
    names = {row.all("th")[0].text: [one.text for one in row.all("td")] for row in differing.all("tr")[1:]}
    assert names["model.kind"][:2] == ["sequnet", "tcn"]
    assert names["train.learning_rate"][:2] == ["0.01", "0.003"]
    assert all(len(set(values)) > 1 for values in names.values())
    assert "train.beta1" not in names
    every = [one for one in shown.root.all("details") if "train.beta1" in one.text]
    assert len(every) == len(shown.runs)
    marked = {row.all("th")[0].text for row in every[0].all("tr", "differs")}
    assert {"model.kind", "train.learning_rate"} <= marked <= set(names)


def test_sounds_last_as_long_as_they_say(shown):
    players = [one for one in shown.root.all("figure", "player") if one.all("audio")]
    assert len(players) == shown.page.sounds > 0
    for player in players:
        sound, rate = soundfile.read(io.BytesIO(player.all("audio")[0].bytes()))
        seconds, ring = float(player.attributes["data-seconds"]), 0.08 if "roll" in player.classes else 0
        assert len(sound) / rate == pytest.approx(seconds + ring, abs=1e-3)
    # Two clips continued, two from nothing, and the real one beside each of them; of classes, one from nothing each.
    for name in ("tones", "tones-tcn", "it's <labelled>", "notes"):
        assert len(section_of(shown, name).all("audio")) == 2 * 2 * COUNT, name


def test_pictures_are_pictures(shown):
    images = shown.root.all("img")
    assert len(images) > 4 * COUNT
    for one in images:
        Image.open(io.BytesIO(one.bytes())).verify()
    pixels = [one for one in section_of(shown, "images").all("img")]
    real = [one for group in shown.of["images"].groups if not group.continued for one in group.pairs if one.real]
    assert len(pixels) == 3 * 4 * COUNT + len(real)
    assert len({one.origin for one in real}) == len(real) == 4  # as many as are held out, none of them twice
    assert {Image.open(io.BytesIO(one.bytes())).size for one in pixels} == {(2, 3)}


def test_a_continuation_stands_beside_how_it_really_goes_on(shown):
    group = next(one for one in shown.of["tones"].groups if one.continued)
    sheets = (shown.runs["tones"].path / "samples").glob("*/sheet.json")
    clips = next(sheet["clips"] for file in sheets if "prime" in (sheet := json.loads(file.read_text()))["clips"][0])
    assert len(group.pairs) == len(clips) == COUNT
    for pair, clip in zip(group.pairs, clips, strict=True):
        assert pair.origin == clip["prime"]["origin"]
        assert pair.drawn.bits == clip["bits_per_token"]
        seam = round(pair.drawn.content.seam * 1000)
        assert seam == clip["prime"]["tokens"]
        given, real = pair.drawn.content.waveform[:seam], pair.real.content.waveform[:seam]
        assert np.allclose(given, real, atol=1e-4)  # 16 bits, once more
        assert not np.array_equal(pair.drawn.content.waveform[seam:], pair.real.content.waveform[seam:])


def test_real_excerpts_are_scored_by_the_model(shown):
    run = Run(shown.runs["tones"])
    data, model = run.data(), run.model()[0]
    pair = next(one for one in shown.of["tones"].groups if one.continued).pairs[0]
    item = next(one for one in data.items("test") if one.origin == pair.origin)
    start, given = round(pair.start * 1000), round(pair.real.content.seam * 1000)
    stop = start + len(pair.real.content.waveform)
    stream = data.stream(item)
    scored = evaluate(model, [type(stream)(item.origin, stream.tokens[start:stop], given=given)]).total
    assert pair.real.bits == pytest.approx(scored.bits_per_token, abs=1e-5)


def test_classes_come_one_by_one(shown):
    group = next(one for one in shown.of["it's <labelled>"].groups if not one.continued)
    assert [pair.label for pair in group.pairs] == ["plain", STRANGE]
    assert all(pair.drawn and pair.real for pair in group.pairs)


def test_text_sets_apart_what_was_given(shown):
    words = section_of(shown, "text").all("div", "words")
    assert len(words) == 2 * 2 * COUNT
    continued = [one for one in words if one.all("span", "given")]
    assert len(continued) == 2 * COUNT
    assert continued[0].all("span", "given")[0].text == continued[1].all("span", "given")[0].text
    real = continued[1].all("span", "given")[0].text + continued[1].all("span", "new")[0].text
    assert real in SENTENCE * 12


def test_the_reach_over_an_image_is_said_to_be_an_upper_bound(shown):
    part = next(one for one in shown.root.all("section") if one.attributes["aria-labelledby"] == "reach")
    assert "at most" in part.all("figure", "image")[0].all("figcaption")[0].text


def test_rolls_are_drawn_and_images_split_where_the_model_begins(shown):
    rolls = section_of(shown, "notes").all("svg", "roll")
    assert len(rolls) == 2 * 2 * COUNT
    paths = [one.attributes["class"] for one in rolls[1].all("path")]
    assert paths == ["black", "given", "new"]
    lines = section_of(shown, "images").all("span", "line")
    assert {one.attributes["style"] for one in lines} == {"top:33.33%"}


def test_the_receptive_field_lies_over_an_excerpt(shown):
    part = next(one for one in shown.root.all("section") if one.attributes["aria-labelledby"] == "reach")
    sound = part.all("figure", "sound")[0]
    bars = [one.text for one in sound.all("span", "label")]
    for bar, name in zip(bars, ("tones", "tones-tcn"), strict=True):
        reach = Run(shown.runs[name]).model()[0].receptive_field
        assert bar.startswith(f"{name}: {reach} ms ({reach} samples)")
    reach = Run(shown.runs["text"]).model()[0].receptive_field
    assert len(part.all("mark")[0].text) == reach
    assert {one.classes[1] for one in part.all("figure", "reach")} == {"sound", "roll", "text", "image"}


def test_what_is_missing_is_said(shown):
    said = {name: " ".join(one.text for one in section_of(shown, name).all("li")) for name in shown.runs}
    assert "The data are not here" in said["lost"]
    assert "knows no prepared data" in said["imported"]
    assert "no checkpoint yet" in said["new"]
    assert "Training logged nothing" in said["new"]
    assert "never validated" in said["failed"]
    assert "The loss is no number any more" in said["failed"]
    assert shown.of["tones"].missing == ()
    for name in ("lost", "imported"):  # what needs no data is there
        assert [group.continued for group in shown.of[name].groups] == [False], name
        assert all(pair.drawn and not pair.real for pair in shown.of[name].groups[0].pairs)


def test_it_says_how_to_make_it_again(shown):
    lines = [one.text for one in shown.root.all("pre")[0].all("code")]
    assert lines[-1].startswith("seqgen report ")
    assert any(
        line.startswith("seqgen train") and "--model sequnet" in line and "train.steps=8" in line for line in lines
    )
    assert """'runs/it'"'"'s <labelled>'""" in " ".join(lines)
    drawn = [line for line in lines if line.startswith("seqgen generate runs/tones ")]
    assert [("generate.conditional=true" in line, f"generate.count={COUNT}" in line) for line in drawn] == [
        (True, True),
        (False, True),
    ]


def test_a_second_page_shows_the_same_clips(shown, tmp_path):
    settings = ReportSettings(out=tmp_path / "again.html", count=1, device="cpu", threads=1)
    before = sorted(shown.runs["tones"].path.glob("samples/*"))
    page, facts = report([Run(shown.runs["tones"])], settings, Silent())
    assert sorted(shown.runs["tones"].path.glob("samples/*")) == before
    assert page.sounds == 4
    first = [shown.of["tones"].groups[0].pairs[0], facts[0].groups[0].pairs[0]]
    assert first[0].drawn.content.recording == first[1].drawn.content.recording


# in a browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chromium_shows_it(shown, browser, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(shown.page.path.as_uri())
    until(page, "[...document.querySelectorAll('audio')].every((one) => one.readyState >= 1)")
    assert told == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    widths = page.evaluate("[...document.images].map((one) => one.naturalWidth)")
    assert len(widths) == len(shown.root.all("img"))
    assert all(width > 0 for width in widths)
    if scheme == "light":
        durations = page.evaluate("[...document.querySelectorAll('audio')].map((one) => one.duration)")
        written = [soundfile.info(io.BytesIO(one.bytes())).duration for one in shown.root.all("audio")]
        assert durations == pytest.approx(written, abs=1e-3)
        assert all(duration > 0 for duration in durations)
    text = page.inner_text("main")
    assert all(name in text for name in shown.runs)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 60) == (scheme == "dark")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        below = page.evaluate("document.documentElement.scrollHeight - document.querySelector('footer').offsetTop")
        assert below < 900  # nothing hangs out below the end
    table = page.locator(".scroll").first
    assert table.evaluate("(one) => one.scrollWidth > one.clientWidth")
    assert table.evaluate("(one) => getComputedStyle(one).backgroundAttachment").endswith(
        "scroll"
    )  # a shade: more there
    left = page.locator(".reach .across span").first
    assert left.bounding_box()["x"] >= page.locator(".reach .strip").first.bounding_box()["x"] - 10
    context.close()


def test_chromium_reaches_everything_by_tab_and_plays(shown, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(shown.page.path.as_uri())
    wanted = page.evaluate(
        """() => { const all = [...document.querySelectorAll('a, button, audio, summary, [tabindex="0"]')]
        .filter((one) => one.checkVisibility()); all.forEach((one, k) => one.dataset.k = k); return all.length; }"""
    )
    reached, order = set(), []
    for _ in range(12 * wanted):  # the controls of a player take several each
        page.keyboard.press("Tab")
        now = page.evaluate("document.activeElement.dataset.k ?? ''")
        if now == "" and reached:
            break
        if now and now not in reached:
            reached.add(now)
            order.append(int(now))
    assert len(reached) == wanted
    assert order == sorted(order)
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") in ("solid", "auto")
    player = page.locator(".player.sound").first
    player.locator("button", has_text="Continuation").click()
    seam = float(player.locator("button", has_text="Continuation").get_attribute("data-from"))
    until(page, "document.querySelector('.player.sound audio').ended")
    assert float(player.locator(".cursor").evaluate("(one) => one.style.getPropertyValue('--at')")) == pytest.approx(
        100, abs=2
    )
    box = player.locator(".stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 5)
    heard = page.evaluate("document.querySelector('.player.sound audio').currentTime")
    assert heard >= 0.4 * float(player.get_attribute("data-seconds"))
    assert seam > 0
    context.close()
