# SPDX-License-Identifier: Apache-2.0
"""What is written about the code: manual pages, links, and the table of log events."""

import re

import pytest

from tree import FILES, ROOT, each, files_with, name_of, run_tool

PAGES = [path for path in FILES if path.parent.name == "man" and path.suffix[1:].isdigit()]
MARKDOWN = files_with(".md")
LINK = re.compile(r"\[[^\]]+\]\((?!https?:|mailto:|#)(?P<to>[^)#\s]+)(?:#[^)]*)?\)")
EVENT = re.compile(r'^EVENT\((\w+),\s+"([\w-]+)",\s+(\w+),\s+"([^"]*)"\)$', re.M)


@each(PAGES)
def test_manual_page(path):
    result = run_tool("mandoc", "-Tlint", "-Wwarning", path)
    # A page may refer to one that this machine has not installed.
    words = [line for line in result.stdout.splitlines() if "STYLE" not in line]
    assert not words, "\n".join(words)


@each(MARKDOWN)
def test_links_lead_somewhere(path):
    broken = [link["to"] for link in LINK.finditer(path.read_text())
              if not (path.parent / link["to"]).exists()]
    assert not broken, f"{name_of(path)} points to {broken}"


@pytest.fixture(scope="module")
def events():
    text = (ROOT / "src/base/events.h").read_text()
    found = EVENT.findall(text)
    assert len(found) == text.count("\nEVENT("), "a row does not look like the others"
    return found


def test_events_have_ids_of_their_own(events):
    ids = [row[3] for row in events]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_catalogue_explains_every_event(events):
    text = (ROOT / "systemd/upperd.catalog").read_text()
    entries = re.findall(r"^-- (\w+)\nSubject: \S.*\nDefined-By: upperd\n(?:.+\n)*\n\S", text, re.M)
    assert len(entries) == text.count("\n-- "), "an entry does not look like the others"
    assert sorted(entries) == sorted(row[3] for row in events)


def test_events_are_named_after_themselves(events):
    assert [row[1] for row in events] == [row[0].lower().replace("_", "-") for row in events]
