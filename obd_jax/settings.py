"""Settings: frozen records of options that check themselves, nested into a tree.

A component keeps its options in a record beside it. A run's settings are a record of such records.
Option names are unique in a tree, so a tree is equivalent to a flat mapping: `to_options` and
`from_options` translate. Command lines and JSON files use the flat form.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from obd_jax.types import InvalidInputError

_NAME = re.compile(r"\{(\w+)\}")


class OptionError(InvalidInputError):
    """An option that cannot be used.

    `{name}` in the message stands for an option, so that a command line can show its own spelling.
    """

    def __init__(self, message: str):
        super().__init__(_NAME.sub(r"\1", message))
        self.message = message

    def spelled(self, prefix: str) -> str:
        """The message with `prefix` before the names of options."""
        return _NAME.sub(rf"{prefix}\1", self.message)


def option(default: Any, help_text: str, name: str | None = None) -> Any:
    """Field of a settings record: one option.

    Args:
        default: its value unless given.
        help_text: one or two sentences.
        name: of the option, unique in a tree; None: the field's name.
    """
    return dataclasses.field(default=default, metadata={"help": help_text, "name": name})


def choice(
    kinds: Mapping[str, type],
    default: str,
    help_text: str,
    name: str | None = None,
    title: str = "",
) -> Any:
    """Field whose value is one record of several kinds; its option is the name of the kind.

    Args:
        kinds: name -> settings record, all of whose fields have defaults.
        default: a name.
        help_text: one or two sentences.
        name: of the option; None: the field's name.
        title: of it and of the records' options in a list of all; "": as for `part`.
    """
    return dataclasses.field(
        default_factory=kinds[default],
        metadata={
            "help": help_text,
            "name": name,
            "kinds": kinds,
            "default": default,
            "title": title,
        },
    )


def part(kind: type, title: str = "", **defaults: Any) -> Any:
    """Field whose value is a settings record of its own.

    Args:
        kind: the record.
        title: of its options in a list of all; "": they are listed with those around them.
        **defaults: fields whose defaults here are not the record's own.
    """
    return dataclasses.field(
        default_factory=lambda: kind(**defaults), metadata={"part": kind, "title": title}
    )


class Option(NamedTuple):
    """What is known of an option without its value.

    name:    unique in a tree, or the same in several kinds of one choice.
    kind:    str, int, float, bool or tuple.
    item:    of what, for a tuple: int or float.
    default: as the record has it; for a choice, the name of the default kind.
    help:    text.
    title:   of the part that it belongs to.
    needs:   choices that must be made for it to be there: (option, names of kinds) each.
    """

    name: str
    kind: type
    item: type | None
    default: Any
    help: str
    title: str
    needs: tuple[tuple[str, tuple[str, ...]], ...]


def options_of(kind: type) -> dict[str, Option]:
    """All options of a settings record, those of kinds not chosen included, in their order."""
    found: dict[str, Option] = {}
    for one in _walk(kind, kind(), "", ()):
        if one.name in found:
            one = found[one.name]._replace(needs=_either(found[one.name].needs, one.needs))
        found[one.name] = one
    return found


def _walk(kind: type, defaults: Any, title: str, needs: tuple) -> Iterator[Option]:
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        about, value = entry.metadata, getattr(defaults, entry.name)
        if "part" in about:
            yield from _walk(about["part"], value, about["title"] or title, needs)
            continue
        name = about["name"] or entry.name
        if "kinds" not in about:
            yield Option(name, *_plain(hints[entry.name]), value, about["help"], title, needs)
            continue
        own = about["title"] or title
        yield Option(name, str, None, about["default"], about["help"], own, needs)
        for key, one in about["kinds"].items():
            yield from _walk(one, one(), own, (*needs, (name, (key,))))


def _either(first: tuple, second: tuple) -> tuple:
    """The needs of an option that several kinds of one choice have."""
    *same, (name, keys) = first
    *_, (_, more) = second
    return (*same, (name, (*keys, *more)))


def _plain(hint: Any) -> tuple[type, type | None]:
    """The type behind `X`, `X | None` or `tuple[X, ...]`, and of a tuple's items."""
    if isinstance(hint, types.UnionType):
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        return tuple, typing.get_args(hint)[0]
    return hint, None


def defaults_of(kind: type) -> dict[str, Any]:
    """Default of every option, those of kinds not chosen included."""
    return {name: one.default for name, one in options_of(kind).items()}


def to_options(settings: Any) -> dict[str, Any]:
    """Settings as a flat mapping: option -> value, plain values or tuples."""
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(settings):
        value, about = getattr(settings, entry.name), entry.metadata
        if "part" in about:
            found |= to_options(value)
            continue
        name = about["name"] or entry.name
        if "kinds" not in about:
            found[name] = value
            continue
        found[name] = _key(about["kinds"], value)
        found |= to_options(value)
    return found


def from_options(kind: type, values: Mapping[str, Any], base: Any = None) -> Any:
    """Settings from a flat mapping.

    Args:
        kind: of the settings record.
        values: option -> value; lists, which JSON has in place of tuples, and NumPy's numbers are
            accepted.
        base: settings that have all other values; None: the defaults.

    Raises:
        OptionError: an option that there is not, or not with the choices made.
        InvalidInputError: a value that cannot be used.
    """
    left = {name: _plain_value(value) for name, value in values.items()}
    refuse_inapplicable(kind, left, base)
    return _build(kind, left, kind() if base is None else base)


def _plain_value(value: Any) -> Any:
    """A value as Python's own, which JSON can hold; of a list, the tuple."""
    if isinstance(value, list | tuple):
        return tuple(_plain_value(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def with_options(settings: Any, **values: Any) -> Any:
    """Settings with some options changed; errors as of `from_options`."""
    return from_options(type(settings), values, settings)


def refuse_inapplicable(kind: type, values: Mapping[str, Any], base: Any = None) -> None:
    """Refuse options that there are not, or not with the choices made.

    Raises:
        OptionError: there is one.
    """
    known = options_of(kind)
    chosen = defaults_of(kind) | ({} if base is None else to_options(base)) | dict(values)
    for name, value in values.items():
        if name not in known:
            raise OptionError(f"unknown option {name!r}; known: {', '.join(known)}")
        _check_type(known[name], value)
        for choice_name, keys in known[name].needs:
            if chosen.get(choice_name) not in keys:
                raise OptionError(
                    f"{{{name}}} is for {{{choice_name}}}={' or '.join(keys)}, "
                    f"not {chosen.get(choice_name)}"
                )


def _check_type(one: Option, value: Any) -> None:
    if value is None and one.default is None:
        return
    if not _is(one.kind, value):
        raise OptionError(f"{{{one.name}}} takes {one.kind.__name__}, got {value!r}")
    if one.item is not None and not all(_is(one.item, item) for item in value):
        raise OptionError(f"{{{one.name}}} takes {one.item.__name__} each, got {value!r}")


def _is(kind: type, value: Any) -> bool:
    """Whether a value is of a kind; whole numbers are floats too, and truth values no numbers."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (float, int) if kind is float else kind)


def applicable(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among `values` that there are with the choices made there."""
    known = options_of(kind)
    chosen = defaults_of(kind) | dict(values)
    return {
        name: value
        for name, value in values.items()
        if name in known and all(chosen[choice] in keys for choice, keys in known[name].needs)
    }


def _build(kind: type, left: dict[str, Any], base: Any) -> Any:
    """A record from the options that are left, of which it takes its own, and a base."""
    given: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        about, value = entry.metadata, getattr(base, entry.name)
        if "part" in about:
            given[entry.name] = _build(about["part"], left, value)
            continue
        name = about["name"] or entry.name
        if "kinds" not in about:
            given[entry.name] = left.pop(name, value)
            continue
        kinds, key = about["kinds"], _key(about["kinds"], value)
        chosen = left.pop(name, key)
        one_of(name, chosen, kinds)
        given[entry.name] = _build(kinds[chosen], left, value if chosen == key else kinds[chosen]())
    return kind(**given)


def _key(kinds: Mapping[str, type], record: Any) -> str:
    return next(key for key, kind in kinds.items() if type(record) is kind)


def one_of(name: str, value: Any, known: Any, label: str | None = None) -> None:
    """Refuse a value of an option that is none of those known."""
    if value not in known:
        raise OptionError(f"unknown {label or name} {value!r}; known: {', '.join(map(str, known))}")


def at_least(least: int, **values: Any) -> None:
    """Refuse numbers of options, by name, below a bound."""
    for name, value in values.items():
        if not value >= least:
            raise OptionError(f"{{{name}}} must be at least {least}, got {value}")


def not_negative(**values: Any) -> None:
    """Refuse numbers of options that are negative or not finite."""
    for name, value in values.items():
        if not 0 <= value < np.inf:
            raise OptionError(f"{{{name}}} must be finite and not be negative, got {value}")


def positive(**values: Any) -> None:
    """Refuse numbers of options that are neither None nor positive."""
    for name, value in values.items():
        if value is not None and not 0 < value < np.inf:
            raise OptionError(f"{{{name}}} must be positive, got {value}")


def within(low: float, high: float, **values: Any) -> None:
    """Refuse numbers of options outside [low, high]."""
    for name, value in values.items():
        if not low <= value <= high:
            raise OptionError(f"{{{name}}} must be in [{low:g}, {high:g}], got {value}")
