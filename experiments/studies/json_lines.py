"""Results cached in a file of JSON lines."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def plain(options: Json) -> Json:
    """Options as JSON has them: lists in place of tuples."""
    return json.loads(json.dumps(options))


def compute_once(
    path: pathlib.Path,
    cell: Json,
    make: Callable[[], Json],
    defaults: Json | None = None,
) -> Json:
    """The result of a cell, read from a file of JSON lines or else computed and appended.

    Args:
        path: of the file.
        cell: what identifies the result, in plain values.
        make: () -> the result.
        defaults: entries that older cells of the file lack.
    """
    if path.exists():
        for line in path.read_text().splitlines():
            record = json.loads(line)
            found = {**(defaults or {}), **record["cell"]}
            if all(found.get(name) == value for name, value in cell.items()):
                return record["result"]
    result = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"cell": cell, "result": result}) + "\n")
    return result
