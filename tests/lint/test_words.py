# SPDX-License-Identifier: Apache-2.0
"""Words: comments and messages of the code, manual pages, links, and the table of log events."""

import re

import pytest

from tree import FILES, ROOT, each, files_with, name_of, run_tool

PAGES = [path for path in FILES if path.parent.name == "man" and path.suffix[1:].isdigit()]
MARKDOWN = files_with(".md")
LINK = re.compile(r"\[[^\]]+\]\((?!https?:|mailto:|#)(?P<to>[^)#\s]+)(?:#[^)]*)?\)")
EVENT = re.compile(r'^EVENT\((\w+),\s+"([\w-]+)",\s+(\w+),\s+"([^"]*)"\)$', re.M)

# A comment or a message has a thing as its subject, and the field's own words for it.
TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)
BEGINNING = re.compile(r"(?:^\W*|[.:;?!]\s+)(?:What|Who|Whoever|Whom|Whose|Such|That|Those)\b")
PERSON = re.compile(r"\b(?:nobody|somebody|anybody|whoever|whom|whomever)\b", re.I)


def odd_words(text):
    """Yields line and text of each comment and string that is not written so."""
    for found in TEXT.finditer(text):
        words = re.sub(r"\s*\n[\s*]*", " ", found[0].strip("/*\" "))
        if found[0][0] != "'" and (BEGINNING.search(words) or PERSON.search(words)):
            yield text.count("\n", 0, found.start()) + 1, words[:100]


@each(files_with(".c", ".h", under="src/") + files_with(".h", under="include/"))
def test_words_of_the_code(path):
    wrong = [f"{name_of(path)}:{line}: {words}" for line, words in odd_words(path.read_text())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("text", [
    "/* What it does. */", "/* Fine. Such things are not. */", "/* It tells\n * whoever asks. */",
    "// That it holds.", 'say("nobody is let in");', 'say("fine"); say("closed: Who knows?");'])
def test_odd_words_are_seen(text):
    assert list(odd_words(text))


@pytest.mark.parametrize("text", [
    "/* A peer that is gone. */", 'say("the name of the user");', "if (c == '\"') /* It's \"fine\". */"])
def test_plain_words_pass(text):
    assert not list(odd_words(text))


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
