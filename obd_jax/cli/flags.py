"""Flags from settings: one for every option, listed by component."""

import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags

from obd_jax.settings import (
    Option,
    OptionError,
    applicable,
    from_options,
    options_of,
    refuse_inapplicable,
    to_options,
)
from obd_jax.types import InvalidInputError

_DEFINERS: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    tuple: flags.DEFINE_list,
}
# Flag -> heading in the list of all.
_HEADINGS: dict[str, str] = {}


def define_flags(kind: type, base: Any = None) -> None:
    """Define a flag for every option of a settings record; flags not given are None.

    A tuple is written as a comma-separated list.

    Args:
        kind: of the record.
        base: whose values are shown as defaults; None: those of the record.
    """
    shown = {} if base is None else to_options(base)
    for one in options_of(kind).values():
        _DEFINERS[one.kind](one.name, None, _help_of(one, shown.get(one.name, one.default)))
        _HEADINGS[one.name] = one.title


def hide_flags(*names: str) -> None:
    """Leave flags that a command refuses out of the list of all."""
    for name in names:
        del _HEADINGS[name]


def _help_of(one: Option, default: Any) -> str:
    needs = "".join(
        f" For --{choice}={' or '.join(kinds)}."
        for choice, kinds in one.needs[-1:]  # Those before it follow from it.
    )
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    shown = "" if default in (None, "") else f" Default: {default}."
    return f"{one.help}{needs}{shown}"


def given_options(kind: type) -> dict[str, Any]:
    """Options of a settings record that flags give; `~` in front of a path is the home folder.

    Raises:
        OptionError: a list of something else than numbers.
    """
    found: dict[str, Any] = {}
    for one in options_of(kind).values():
        value = flags.FLAGS[one.name].value
        if value is None:
            continue
        if one.kind is tuple:
            assert one.item is not None
            try:
                value = tuple(one.item(item) for item in value)
            except ValueError as error:
                what = "integers" if one.item is int else "numbers"
                raise OptionError(
                    f"{{{one.name}}} takes {what} separated by commas, got {','.join(value)}"
                ) from error
        elif isinstance(value, str):
            value = os.path.expanduser(value)
        found[one.name] = value
    return found


def settings_from_flags(kind: type, base: Any = None) -> Any:
    """Settings from the flags given, then `base`, then the record's defaults.

    Raises:
        InvalidInputError: an option that cannot be used.
    """
    return from_options(kind, given_options(kind), base)


def refuse_given(names: tuple[str, ...], reason: str) -> None:
    """Refuse flags that a command sets itself.

    Raises:
        OptionError: one of them is given.
    """
    for name in names:
        if flags.FLAGS[name].present:
            raise OptionError(f"{{{name}}} cannot be given: {reason}")


def read_config(path: str, kind: type) -> Any:
    """Settings of a saved `config.json`, in a new folder.

    Raises:
        InvalidInputError: no such file, or options that there are not.
    """
    file = pathlib.Path(path).expanduser()
    try:
        saved = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{file} is no saved configuration: {error}") from error
    if not isinstance(saved, dict):
        raise InvalidInputError(f"{file} is no saved configuration: an object is needed")
    saved.pop("out", None)
    if saved.get("data_rows", 0) is None:  # As many rows as D4RL has, before 0.2.
        saved["data_rows"] = 0
    # Versions before 0.2 wrote the options of all students, and a value scale of no effect.
    known = applicable(kind, saved)
    if len(known) < len(saved) and known.get("objective") not in (None, "av_pbc"):
        known.pop("value_scale", None)
    refuse_inapplicable(kind, {k: v for k, v in saved.items() if k not in options_of(kind)})
    return from_options(kind, known)


def print_help(text: str) -> None:
    """Print what a command does and its flags, by component."""
    print(textwrap.dedent(text).strip())
    groups: dict[str, list[str]] = {}
    for name in flags.FLAGS:
        if name in _HEADINGS:
            groups.setdefault(_HEADINGS[name], []).append(name)
    main = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    own = [flag.name for flag in main if flag.name not in _HEADINGS]
    for heading, names in {"": [*own, *groups.pop("", [])], **groups}.items():
        if names:
            print(f"\n{heading or 'this command'}:")
        for name in names:
            flag = flags.FLAGS[name]
            print(f"  --{flag.name}")
            text = " ".join((flag.help or "").split())
            lines = textwrap.fill(text, 90, break_long_words=False, break_on_hyphens=False)
            print(textwrap.indent(lines, " " * 6))
