"""Pages of the documentation and the code in them."""

import pathlib
import re
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# Written from templates by `make results-doc`.
GENERATED = ("results.md", "pairs.md", "studies.md", "one_set_table.md")


def python_blocks(page: pathlib.Path) -> list[str]:
    """The Python code blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run(code: str, source: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names after code ran, in those given."""
    names = {} if names is None else names
    exec(compile(code, source, "exec"), names)
    return names
