# SPDX-License-Identifier: Apache-2.0
"""The page for a browser, in a real one. SCREENSHOTS=FOLDER also keeps what it looks like."""

import json
import os
import re
import threading
import time
from pathlib import Path

import pytest

import process
import rig
from browser import CHROMIUM, Browser
from ctl import status_of
from pki import Authority
from secure import tls
from settings import free_port, tcp, udp
from wire import tcp_ask, udp_ask

PAGE = rig.ROOT / "src/child/status_page.html"

pytestmark = [pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
              pytest.mark.skipif("SANDBOX" in os.environ, reason="once is enough")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


@pytest.fixture
def page(daemon, browser, tmp_path):
    """A daemon, and its page in the browser."""
    def start(*listeners, **settings):
        port = free_port()
        d = daemon(*(listeners or (tcp(), udp())), metrics={"address": "127.0.0.1", "port": port},
                   **settings)
        browser.complaints.clear()
        browser.emulate()
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait("document.querySelector('#verdict')?.className === 'good'", "an answer")
        return d

    return start


class Load:
    """Messages over UDP as fast as they are answered."""

    def __init__(self, listener):
        self.listener, self.over, self.n = listener, threading.Event(), 0
        self.thread = threading.Thread(target=self._send)

    def _send(self):
        while not self.over.is_set():
            udp_ask(self.listener, b"stra\xc3\x9fe")
            self.n += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


def test_page_loads_without_a_complaint(page, browser):
    page()
    time.sleep(2.5)  # in which it asks twice more
    assert browser.complaints == []
    assert browser.text("#verdict") == "all is well"
    assert browser.run("document.title") == "upperd: well"


def test_nothing_comes_from_elsewhere(page, browser):
    """And the policy would not let it: no other host, no script but its own."""
    page()
    names = browser.run("performance.getEntriesByType('resource').map(e => new URL(e.name).pathname)")
    assert set(names) == {"/status.json"}
    assert browser.run("fetch('http://127.0.0.1:1/').then(() => 'let', e => 'kept')") == "kept"
    assert browser.run("(() => { const s = document.createElement('script'); s.textContent = 'window.x = 1';"
                       "document.head.append(s); return window.x === undefined; })()")
    assert browser.run("(() => { const b = document.createElement('button');"
                       "b.setAttribute('onclick', 'window.x = 1'); document.body.append(b); b.click();"
                       "return window.x === undefined; })()")


def test_numbers_are_those_of_upperctl(page, browser):
    d = page()
    for _ in range(7):
        tcp_ask(d.listeners[0], b"a")
    for _ in range(5):
        udp_ask(d.listeners[1], b"a")
    cells = "[...document.querySelectorAll('#listeners tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    browser.wait(f"{cells}[0]?.[6] === '7' && {cells}[1]?.[6] === '5'", "the counts")
    rows = {row[0]: row for row in browser.run(cells)}
    for listener in status_of(d)["listeners"]:
        row = rows[listener["name"]]
        assert [int(n) for n in row[5:8]] == [
            listener.get("connections", 0), listener["messages"], listener["replies"]]
    assert browser.text("#open").startswith(f"{status_of(d)['connections']} of ")
    assert browser.text("#workers") == "2 of 2"
    pids = browser.run("[...document.querySelectorAll('#processes tbody tr')].map(r => +r.cells[1].textContent)")
    assert pids == [p["pid"] for p in status_of(d)["processes"]]
    assert "12 answers" in browser.text("#histogram-words")


def test_plot_moves_under_load(page, browser):
    d = page()
    points = "document.querySelector('#rate-plot polyline').getAttribute('points')"
    before = browser.run(points)
    with Load(d.listeners[1]):
        browser.wait("/[1-9]/.test(document.querySelector('#rate').textContent)", "a rate")
        browser.wait(f"{points} !== {json.dumps(before)}", "another plot")
    highest = min(float(p.split(",")[1]) for p in browser.run(points).split())
    assert highest == 10
    assert re.search(r"\d+ messages a second now", browser.text("#rate-words"))
    browser.wait("document.querySelectorAll('#histogram rect').length > 0", "a histogram")


def test_plot_of_one_listener(page, browser):
    d = page()
    browser.wait("document.querySelectorAll('#which option').length === 3", "the listeners")
    browser.run("(() => { const w = document.querySelector('#which'); w.value = 'tcp';"
                "w.dispatchEvent(new Event('change')); })()")
    with Load(d.listeners[1]) as load:
        process.wait_until(lambda: load.n > 50, what="some load")
    assert browser.text("#rate-words").startswith("tcp: 0 messages a second")


def test_trouble_is_told(page, browser):
    d = page()
    good = d.config.read_text()
    d.config.write_text("nonsense")
    rig.run_upperctl(d, "reload")
    browser.wait("document.querySelector('#verdict').className === 'bad'", "the bad news")
    assert browser.text("#verdict").startswith("not well: the last reload failed")
    assert "reload-failed" in browser.text("#errors")
    d.config.write_text(good)
    rig.run_upperctl(d, "reload")
    browser.wait("document.querySelector('#verdict').className === 'good'", "the good news")


def test_page_survives_a_restart_of_the_daemon(start, browser):
    port = free_port()
    place = {"address": "127.0.0.1", "port": port}
    first = start(tcp(), metrics=place)
    first.wait_ready()
    browser.open(f"http://127.0.0.1:{port}/")
    browser.wait("document.querySelector('#verdict')?.className === 'good'", "an answer")
    first.stop()
    browser.wait("/no answer/.test(document.querySelector('#verdict').textContent)", "the silence")
    second = start(tcp(), metrics=place)
    second.wait_ready()
    browser.wait("document.querySelector('#verdict').className === 'good'", "another daemon")
    browser.wait(f"document.querySelector('#processes').textContent.includes({second.workers()[0]})", "it")


def test_names_are_text(daemon, browser, tmp_path):
    """Whatever a certificate says, it is no markup."""
    if not rig.has_feature("tls"):
        pytest.skip("this build has no TLS")
    folder = tmp_path / "pki"
    folder.mkdir()
    port = free_port()
    daemon(tls(Authority(folder).issue(sans=["<b id=x>"])),
           metrics={"address": "127.0.0.1", "port": port})
    browser.open(f"http://127.0.0.1:{port}/")
    browser.wait("document.querySelector('#certificates tbody tr') !== null", "a certificate")
    assert browser.run("document.querySelector('#x') === null")
    assert "<b id=x>" in browser.text("#certificates")


def test_phone_shows_all_of_it(page, browser):
    """Tables scroll by themselves, and the page does not."""
    page()
    browser.emulate(width=360, height=740)
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_keyboard_reaches_every_control(page, browser):
    page()
    reached = []
    for _ in range(2):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.run("document.activeElement.id"))
    assert reached == ["large", "which"]
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9,
                     modifiers=8)
    for kind in ("keyDown", "char", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", text=" ",
                     windowsVirtualKeyCode=32)
    assert browser.run("document.querySelector('#large').getAttribute('aria-pressed')") == "true"


def test_screen_reader_gets_names_and_headings(page, browser):
    page()
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [(n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n["ignored"]]
    assert ("status", None) not in named and any(role == "status" for role, _ in named)
    tables = {name for role, name in named if role == "table"}
    assert {"Listeners", "Processes", "Refused and ended since the start"} <= tables
    assert all(name for role, name in named if role in ("image", "button", "combobox", "table"))
    assert any(role == "image" and "messages a second now" in name for role, name in named)


def test_colours_can_be_read_in_light_and_dark(page, browser):
    """At least 4.5 to 1, as WCAG asks for text."""
    page()
    script = """(() => {
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
            return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
            return .2126 * r + .7152 * g + .0722 * b; };
        const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        const ground = light(getComputedStyle(document.body).backgroundColor);
        return ['body', '.dim', '#verdict'].map(s =>
            ratio(light(getComputedStyle(document.querySelector(s)).color), ground)); })()"""
    for dark in (False, True):
        browser.emulate(dark=dark)
        assert min(browser.run(script)) >= 4.5
    assert browser.run("getComputedStyle(document.body).backgroundColor") != "rgb(252, 252, 250)"


def test_page_is_one_small_file_without_handlers():
    text = PAGE.read_text(encoding="ascii")
    assert len(text.splitlines()) <= 600
    assert not re.search(r"\son\w+=|javascript:|style=|https?://(?!www\.w3\.org/2000/svg)|innerHTML|eval\(", text)


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="SCREENSHOTS is not set")
def test_screenshots(page, browser):
    folder = Path(os.environ["SCREENSHOTS"])
    d = page(tcp(), udp())
    with Load(d.listeners[1]):
        for _ in range(30):
            tcp_ask(d.listeners[0], b"hello")
            time.sleep(0.5)
        for name, width, height, dark in (("light", 1280, 1100, False), ("dark", 1280, 1100, True),
                                          ("phone", 390, 844, False)):
            browser.emulate(width, height, dark)
            browser.screenshot(folder / f"status-{name}.png")
