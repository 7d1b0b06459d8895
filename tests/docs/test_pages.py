"""The documentation holds together: links, pages, commands, code and the API reference."""

import ast
import importlib
import pathlib
import re
import shlex
import types

import pytest
import yaml

import obd_jax
from obd_jax.__main__ import COMMANDS
from obd_jax.pipeline import MemberSettings, RunSettings
from obd_jax.settings import options_of
from tests.docs.pages import DOCS, GENERATED, ROOT, python_blocks, run

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_code(text: str) -> str:
    """Text without code blocks and code spans."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", "", text)


def anchors(page: pathlib.Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_and_their_anchors_exist(name):
    page = ROOT / name
    for link in LINK.findall(without_code(page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("name", NAMES)
def test_files_that_pages_name_exist(name):
    text = (ROOT / name).read_text()
    named = re.findall(
        r"\b((?:docs|experiments|benchmarks|examples|jobs|tests)/[\w./-]+\.\w+)", text
    )
    for path in set(named) - {"tests/data/test_x.py"}:  # A pattern.
        assert (ROOT / path).exists(), path


def commands(text: str) -> list[list[str]]:
    """Commands of this package in a page: words of each, broken lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    starts = r"^\s*(?:\w+=\S+ )*(?:python experiments/run_(?:sdw|population)\.py|obd-jax \w+).*$"
    return [shlex.split(line.strip(), comments=True) for line in re.findall(starts, joined, re.M)]


@pytest.mark.parametrize("name", NAMES)
def test_flags_of_runs_and_populations_exist(name):
    known = {*options_of(RunSettings), "config", "config_file"}
    known_members = known | {*options_of(MemberSettings), "distributed"}
    for words in commands((ROOT / name).read_text()):
        if words[0] == "obd-jax":
            assert words[1] in COMMANDS, words
        population = "population" in " ".join(words[:2])
        if population or "run" in words[1]:
            flags = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
            assert flags <= (known_members if population else known), words


def navigation(entry) -> list[str]:
    """Files of the navigation in mkdocs.yml."""
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [file for value in values for file in navigation(value)]


class Loader(yaml.SafeLoader):
    """YAML of MkDocs, which names Python objects."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)


def test_the_navigation_lists_every_page_once():
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    pages = [*DOCS.rglob("*.md"), *(DOCS / "tutorials").glob("*.py")]
    assert sorted(navigation(config["nav"])) == sorted(str(p.relative_to(DOCS)) for p in pages)


ROOMS = [name for name in obd_jax.__all__ if isinstance(getattr(obd_jax, name), types.ModuleType)]


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_has_every_public_name(room):
    """A function named as its module is hidden by that from mkdocstrings, and so has an entry."""
    page = (DOCS / f"api/{room}.md").read_text()
    assert f"\n::: obd_jax.{room}\n" in page
    package = importlib.import_module(f"obd_jax.{room}")
    folder = pathlib.Path(package.__file__).parent
    hidden = [
        name
        for name in getattr(package, "__all__", [])
        if package.__file__.endswith("__init__.py") and (folder / f"{name}.py").exists()
    ]
    for name in hidden:
        assert f"\n::: obd_jax.{room}.{name}.{name}\n" in page
    # Constants assigned together, which mkdocstrings does not see.
    for module in folder.glob("*.py") if package.__file__.endswith("__init__.py") else []:
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
                names = {target.id for target in node.targets[0].elts}
                for name in names & {*getattr(package, "__all__", [])}:
                    assert f"`{name}`" in page


RUN = ["index.md", "data.md", "own_task.md", "own_parts.md", "architecture.md"]


@pytest.mark.parametrize("name", RUN)
def test_the_code_of_a_page_runs_in_order(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for i, block in enumerate(python_blocks(DOCS / name)):
        run(block, f"{name}, block {i}", names)
    assert names


def test_no_page_with_code_is_left_out():
    with_code = {page.name for page in DOCS.glob("*.md") if python_blocks(page)}
    assert with_code == {*RUN, "use_a_set.md"}  # The last by test_use_a_set.py.


HOME_MADE = ("goes on", "so far as", "made anew", "shared out", "is told")


@pytest.mark.parametrize("name", [n for n in NAMES if pathlib.Path(n).name not in GENERATED])
def test_pages_use_standard_terms(name):
    text = " ".join((ROOT / name).read_text().split())
    assert [words for words in HOME_MADE if words in text] == []
