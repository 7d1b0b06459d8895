"""Flags from settings: what they give, what their help says, and saved configurations."""

import dataclasses
import json
from typing import Any

import pytest
from absl import flags

from obd_jax import cli
from obd_jax.cli import flags as own
from obd_jax.cli.flags import print_help, read_config
from obd_jax.pipeline import RunSettings
from obd_jax.settings import (
    OptionError,
    choice,
    defaults_of,
    from_options,
    option,
    part,
    to_options,
    with_options,
)
from obd_jax.types import InvalidInputError
from tests.pipeline.first_versions import DEFAULTS


@dataclasses.dataclass(frozen=True)
class Plain:
    pass


@dataclasses.dataclass(frozen=True)
class Dotted:
    gap: float = option(0.5, "A gap.")


@dataclasses.dataclass(frozen=True)
class Line:
    width: int = option(1, "A width.")
    pattern: Any = choice({"plain": Plain, "dotted": Dotted}, "plain", "A pattern.")


@dataclasses.dataclass(frozen=True)
class Example:
    name: str | None = option(None, "A name.")
    count: int = option(3, "A count.")
    rate: float = option(0.5, "A rate.")
    budget: float | None = option(None, "A budget.")
    sizes: tuple[int, ...] = option((4, 5), "Sizes.")
    optional_sizes: tuple[int, ...] | None = option(None, "More sizes.")
    rates: tuple[float, ...] = option((), "Rates.")
    fast: bool = option(False, "Whether.")
    line: Line = part(Line, "the line")


@pytest.fixture
def parse(monkeypatch):
    """Parses arguments with flags of `Example` alone."""
    values = flags.FlagValues()
    for kind, define in own._DEFINERS.items():
        bound = lambda *given, define=define: define(*given, flag_values=values)  # noqa: E731
        monkeypatch.setitem(own._DEFINERS, kind, bound)
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(own, "_HEADINGS", {})
    cli.define_flags(Example)

    def parse(*arguments, base=None):
        values(["program", *arguments])
        return cli.settings_from_flags(Example, base)

    parse.values = values
    return parse


def test_without_flags_the_settings_are_the_records_defaults(parse):
    assert parse() == Example()


def test_flags_win_over_the_base_and_the_base_over_defaults(parse):
    base = Example(count=5, rate=0.1, fast=True, line=Line(2))
    found = parse("--count=7", "--nofast", base=base)
    assert found == Example(count=7, rate=0.1, fast=False, line=Line(2))


def test_every_type_is_read(parse):
    found = parse(
        *("--name=x", "--count=2", "--rate=1e-3", "--budget=9", "--sizes=1,2,3"),
        *("--optional_sizes=8", "--rates=1,0.5", "--fast", "--width=4"),
    )
    assert found == Example("x", 2, 1e-3, 9.0, (1, 2, 3), (8,), (1.0, 0.5), True, Line(4))


def test_zero_and_an_empty_list_are_values_and_not_absence(parse):
    found = parse("--count=0", "--rate=0", "--sizes=", "--name=")
    assert found == Example("", count=0, rate=0.0, sizes=())


def test_only_what_is_given_is_given(parse):
    parse("--count=3", "--sizes=1")
    assert cli.given_options(Example) == {"count": 3, "sizes": (1,)}


def test_a_path_may_start_at_home(parse, monkeypatch):
    monkeypatch.setenv("HOME", "/home/she")
    assert parse("--name=~/sets/a~b").name == "/home/she/sets/a~b"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--sizes=1,x", "--sizes takes integers separated by commas, got 1,x"),
        ("--rates=1,x", "--rates takes numbers separated by commas, got 1,x"),
        ("--gap=1", "--gap is for --pattern=dotted, not plain"),
        ("--pattern=wavy", "unknown pattern 'wavy'; known: plain, dotted"),
    ],
)
def test_flags_that_cannot_be_used_are_refused(parse, flag, message):
    with pytest.raises(OptionError) as refusal:
        parse(flag)
    assert refusal.value.spelled("--") == message


def test_a_flag_of_a_choice_goes_with_it(parse):
    assert parse("--pattern=dotted", "--gap=2").line == Line(1, Dotted(2.0))
    base = Example(line=Line(3, Dotted(0.1)))
    assert parse("--gap=4", base=base).line == Line(3, Dotted(4.0))


def test_flags_that_a_command_sets_itself_are_refused(parse):
    parse("--count=3")
    cli.refuse_given(("rate", "name"), "it is swept")
    with pytest.raises(OptionError) as refusal:
        cli.refuse_given(("rate", "count"), "it is swept")
    assert refusal.value.spelled("--") == "--count cannot be given: it is swept"


def test_help_tells_the_default_and_what_an_option_is_for(parse):
    names = ("name", "count", "sizes", "rates", "gap")
    assert {name: parse.values[name].help for name in names} == {
        "name": "A name.",
        "count": "A count. Default: 3.",
        "sizes": "Sizes. Default: 4, 5.",
        "rates": "Rates.",
        "gap": "A gap. For --pattern=dotted. Default: 0.5.",
    }


def test_help_lists_flags_by_component(parse, monkeypatch, capsys):
    monkeypatch.setattr(own.sys, "argv", ["program"])
    flags.DEFINE_bool("extra", False, "Own.", flag_values=parse.values, module_name="program")
    parse.values.register_key_flag_for_module("program", parse.values["extra"])
    print_help("  Draws.\n\n  program --count=3\n")
    said = capsys.readouterr().out
    assert said.startswith("Draws.\n\nprogram --count=3\n\n")
    sections = {}
    for line in said.splitlines()[3:]:
        if line.endswith(":") and not line.startswith(" "):
            sections[line] = []
        elif line.startswith("  --"):
            sections[[*sections][-1]].append(line.strip())
    plain = ["name", "count", "rate", "budget", "sizes", "optional_sizes", "rates", "fast"]
    assert sections == {
        "this command:": ["--extra", *(f"--{name}" for name in plain)],
        "the line:": ["--width", "--pattern", "--gap"],
    }
    assert "      A gap. For --pattern=dotted. Default: 0.5.\n" in said


# --- Saved configurations.

SETTINGS = from_options(
    RunSettings, {"dataset": "toy", "student": "mlp", "inner_steps": 5, "out": "a", "seed": 3}
)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_saved_configuration_is_settings_in_a_new_folder(tmp_path):
    path = write(tmp_path / "config.json", to_options(SETTINGS))
    assert read_config(path, RunSettings) == with_options(SETTINGS, out=None)


def test_a_configuration_of_the_first_versions_has_the_options_of_all_students(tmp_path):
    every = {**DEFAULTS, **to_options(SETTINGS)}
    assert len(every) > len(to_options(SETTINGS))
    path = write(tmp_path / "config.json", {**every, "ridge": 0.5, "depth": 7, "window": 3})
    assert read_config(path, RunSettings) == with_options(SETTINGS, out=None)


def test_a_value_scale_that_had_no_effect_is_left_out(tmp_path):
    """What `--config=paper --objective=pbc` wrote then."""
    settings = with_options(SETTINGS, objective="pbc", temperature=0.0)
    every = {**defaults_of(RunSettings), **to_options(settings), "value_scale": 0.02}
    path = write(tmp_path / "config.json", every)
    assert read_config(path, RunSettings) == with_options(settings, out=None)
    path = write(tmp_path / "new.json", {**to_options(settings), "value_scale": 0.02})
    with pytest.raises(OptionError, match="value_scale is for objective=av_pbc, not pbc"):
        read_config(path, RunSettings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"config\.json is no saved configuration: Expecting"),
        ("[1]", r"config\.json is no saved configuration: an object is needed"),
        ({"dataset": "toy", "colour": 1}, "unknown option 'colour'; known: out, seed"),
        ({"dataset": "toy", "pairs": 0}, "pairs must be at least 1, got 0"),
        ({"dataset": "toy", "pairs": "x"}, "pairs takes int, got 'x'"),
        ({"student": "tree"}, "unknown student 'tree'"),
    ],
)
def test_files_that_are_no_configuration_are_refused(tmp_path, content, message):
    with pytest.raises(InvalidInputError, match=message):
        read_config(write(tmp_path / "config.json", content), RunSettings)


def test_a_missing_configuration_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInputError, match=f"{tmp_path}/a.json is no saved .*No such file"):
        read_config("~/a.json", RunSettings)
    write(tmp_path / "a.json", to_options(SETTINGS))
    assert read_config("~/a.json", RunSettings).run.seed == 3
