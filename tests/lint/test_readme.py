# SPDX-License-Identifier: Apache-2.0
"""src/README.md names functions with their files: each is defined there. Files that a page names are there, too."""

import re

import pytest

from tree import ROOT

NAMED = re.compile(r"`(?P<function>\w+)\(\)`\s+in\s+(?P<file>[\w/]+\.[ch])")
PAGE = (ROOT / "src/README.md").read_text()
PAIRS = sorted({(found["function"], found["file"]) for found in NAMED.finditer(PAGE)})


def test_every_function_has_its_file():
    assert len(PAIRS) > 20
    assert PAGE.count("()`") == len(NAMED.findall(PAGE))


@pytest.mark.parametrize("function, file", PAIRS)
def test_function_is_defined_in_that_file(function, file):
    text = (ROOT / "src" / file).read_text()
    assert re.search(rf"^\w[^;\n]*\b{function}\($|^\w[^;\n]*\b{function}\([^;]*$", text, re.M)


NAMES_A_FILE = re.compile(r"`((?:src|tests|scripts|docs|bench|conf|fuzz|container|systemd|man)/[\w./-]+)`")


@pytest.mark.parametrize("page", [ROOT / "README.md", *ROOT.glob("[CS]*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    named = NAMES_A_FILE.findall(page.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]
