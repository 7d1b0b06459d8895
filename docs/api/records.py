"""What the API reference reads besides docstrings: fields of records, comments above constants."""

import re
import textwrap

import griffe

# Where calls that make a field of settings (`obd_jax.settings`) have its default.
_DEFAULTS = {"option": 0, "choice": 1, "part": None}
_FIELD = re.compile(r"^(\w+(?:, \w+)*):\s+(\S.*)$")


class Records(griffe.Extension):
    """Fields that a class docstring lists, and constants, become documented attributes."""

    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        """Turn `name: text` lines of the docstring into an Attributes section."""
        if cls.docstring is not None:
            blocks = textwrap.dedent(cls.docstring.value).split("\n\n")
            cls.docstring.value = "\n\n".join(_attributes(block) for block in blocks)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: object) -> None:
        """Show an option as its default."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) in _DEFAULTS:
            position = _DEFAULTS[str(value.function)]
            attr.value = value.arguments[position] if position is not None else "..."

    def on_attribute(self, *, attr: griffe.Attribute, **_: object) -> None:
        """Take the comment above a module's constant as its docstring."""
        module = attr.parent
        public = not attr.name.startswith("_") and attr.name[0].isupper()
        if isinstance(module, griffe.Module) and public and not attr.docstring and attr.lineno:
            comment: list[str] = []
            for line in reversed(attr.lines_collection[attr.filepath][: attr.lineno - 1]):
                if not line.startswith("#"):
                    break
                comment.insert(0, line.removeprefix("#").strip())
            text = " ".join(comment) or "Constant."
            attr.docstring = griffe.Docstring(text, parent=attr, lineno=attr.lineno)


def _attributes(block: str) -> str:
    """A block of fields as an Attributes section; any other block unchanged."""
    if not _FIELD.match(block.partition("\n")[0]):
        return block
    lines = ["Attributes:"]
    for line in block.splitlines():
        field = _FIELD.match(line)
        if field:
            names, text = field.groups()
            lines.extend(f"    {name}: {text}" for name in names.split(", "))
        else:  # The text of the last field continues.
            lines.append(f"        {line.strip()}")
    return "\n".join(lines)
