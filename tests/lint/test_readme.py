# SPDX-License-Identifier: Apache-2.0
"""src/README.md names functions with their files: each is defined there."""

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
