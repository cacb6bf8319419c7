"""The worked examples of docs/benchmark.md are what the code gives."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "benchmark.md"


def test_every_example_of_the_page_holds() -> None:
    # A closing fence would be read as output that is expected.
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, "benchmark.md", str(PAGE), 0)
    assert len(examples.examples) > 20
    found: list[str] = []
    doctest.DocTestRunner().run(examples, out=found.append)
    assert not found, "".join(found)
