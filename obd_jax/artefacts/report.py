"""The report of a run: one HTML page that loads nothing."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from obd_jax.artefacts.curve import NAMES
from obd_jax.artefacts.snippets import snippets


class Figure(NamedTuple):
    """A picture with words.

    title:   above it, and its text for those who do not see it.
    caption: below it.
    png:     the bytes of the file.
    """

    title: str
    caption: str
    png: bytes


def report_page(
    title: str, results: Mapping[str, Any], pairs: int, states: int, figures: Sequence[Figure]
) -> str:
    """The page of a run, HTML that a browser shows without any other file.

    A section whose numbers are absent is left out.

    Args:
        title: of the run.
        results: content of `results.json`.
        pairs: N, synthetic ones.
        states: M, those distilled.
        figures: in the order in which they are shown.
    """
    sections = [
        _section("Scores", _scores(results)),
        _section("Measures on held-out episodes", _measures(results.get("offline"))),
        _section("Figures", _figures(figures)),
        _section("Ten worst episodes", _worst(results)),
        _section("Use the set", _use(results)),
        _section("Configuration", _configuration(results["config"])),
        _section("Provenance", _provenance(results)),
    ]
    return _PAGE.format(
        title=_text(title),
        style=_STYLE,
        lead=_lead(results, pairs, states),
        tiles=_tiles(results, pairs, states),
        sections="\n".join(sections),
    )


def _text(value: Any) -> str:
    """Any value as text of HTML; bytes of a file's name that are no UTF-8 as question marks."""
    return html.escape(str(value).encode(errors="replace").decode())


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{body}\n</section>" if body else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The first column holds names, the others numbers."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "\n".join(
        f'<tr><th scope="row">{_text(name)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _entries(values: Mapping[str, Any]) -> str:
    """Names and values of any kind."""
    items = "\n".join(f"<dt>{_text(k)}</dt><dd>{_text(_plain(v))}</dd>" for k, v in values.items())
    return f"<dl>\n{items}\n</dl>"


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _synthetic(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return results["returns"].get("synthetic")


def _share_of_teacher(results: Mapping[str, Any]) -> float | None:
    """Of the teacher's normalised return; raw ones may have any zero."""
    own, teacher = _synthetic(results), results["returns"].get("teacher")
    normalised = str(results["unit"]).startswith("normalised")
    if own is None or teacher is None or not normalised or teacher["mean"] <= 0:
        return None
    return own["mean"] / teacher["mean"]


def _lead(results: Mapping[str, Any], pairs: int, states: int) -> str:
    student = results["student"]["name"].replace("_", " ")
    words = (
        f"{pairs:,} synthetic (state, action) pairs, distilled from {states:,} states of the data. "
        f"Objective: {results['objective']}, "
        f"{'with' if results['density'] else 'without'} density weights. Student: {student}."
    )
    return f"<p>{_text(words)}</p>"


def _tiles(results: Mapping[str, Any], pairs: int, states: int) -> str:
    own, share = _synthetic(results), _share_of_teacher(results)
    tiles = []
    if own is not None:
        low, high = own["ci95"]
        tiles.append((f"{own['mean']:.1f}", f"{results['unit']} (95%: {low:.1f} to {high:.1f})"))
    if share is not None:
        tiles.append((f"{share:.0%}", "of the teacher's return"))
    tiles.append((f"1 : {states / pairs:,.0f}", "pairs to states of the data"))
    tiles.append((_duration(results["seconds"]["distil"]), "minutes of distillation"))
    items = "".join(f"<li><b>{_text(n)}</b> {_text(about)}</li>" for n, about in tiles)
    return f'<ul class="tiles">{items}</ul>'


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


_ABOUT_SCORES = (
    "Pairs: students fitted to them. Data: their own episodes. IQM: mean of the middle half. The "
    "interval is over students, or over episodes of one policy. Episodes: policies × those of each."
)


def _scores(results: Mapping[str, Any]) -> str:
    rows = []
    for name, row in results["returns"].items():
        about = NAMES.get(name, name)
        if row is None:
            rows.append((about, "no complete episode", "", "", ""))
            continue
        low, high = row["ci95"]
        count = f"{len(row['per_student'])} × {row['episodes']}"
        mean, middle = f"{row['mean']:.1f}", f"{row['iqm']:.1f}"
        rows.append((about, mean, middle, f"{low:.1f} to {high:.1f}", count))
    if not rows:
        return ""
    heads = (str(results["unit"]), "mean", "IQM", "95% interval", "episodes")
    return f'{_table(heads, rows)}\n<p class="note">{_text(_ABOUT_SCORES)}</p>'


def _measures(offline: Mapping[str, Any] | None) -> str:
    if offline is None:
        return ""
    columns = {
        f"error to the {offline['error_to']}'s actions": ("action_error", ".4f"),
        "teacher preferred": ("teacher_preferred", ".0%"),
        "advantage lost": ("advantage_lost", ".3g"),
        "fitted Q": ("fitted_q", ".4g"),
    }
    policies = {name: row for name, row in offline["policies"].items() if row}
    shown = {
        head: entry
        for head, entry in columns.items()
        if any(entry[0] in row for row in policies.values())
    }
    rows = [
        (NAMES.get(name, name), *(_measure(row.get(key), form) for key, form in shown.values()))
        for name, row in policies.items()
    ]
    held = offline["held_out"]
    words = f"{held['states']:,} states of {held['episodes']:,} episodes that were not distilled."
    return f"<p>{_text(words)}</p>\n{_table(('policy', *shown), rows)}"


def _measure(value: Any, form: str) -> str:
    """Of a policy; fitted Q evaluation has more than its mean."""
    if value is None:
        return ""
    return format(value["mean"] if isinstance(value, Mapping) else value, form)


def _figures(figures: Sequence[Figure]) -> str:
    items = []
    for figure in figures:
        content = base64.b64encode(figure.png).decode()
        items.append(
            f"<figure><h3>{_text(figure.title)}</h3>"
            f'<img alt="{_text(figure.title)}" src="data:image/png;base64,{content}">'
            f"<figcaption>{_text(figure.caption)}</figcaption></figure>"
        )
    return f'<div class="grid">{"".join(items)}</div>' if items else ""


def _worst(results: Mapping[str, Any]) -> str:
    episodes = results.get("worst_episodes")
    if not episodes:
        return ""
    rows = [
        (i + 1, f"{row['return']:.1f}", f"{row['length']:,}", row["student"], row["episode"])
        for i, row in enumerate(episodes)
    ]
    return _table(("rank", str(results["unit"]), "steps", "student", "episode"), rows)


def _use(results: Mapping[str, Any]) -> str:
    parts = ["<p>Run these in the folder of this page, where <code>distilled.npz</code> is.</p>"]
    bounds = results["provenance"].get("action_bounds")
    if bounds is not None:
        words = (
            f"Actions of the set are within [-1, 1]. The environment's are within {bounds['low']} "
            f"and {bounds['high']}. low + (action + 1) / 2 * (high - low) is an action in its "
            "units; the JAX code and an exported policy return those already."
        )
        parts.append(f"<p>{_text(words)}</p>")
    for snippet in snippets(results):
        parts.append(
            f"<h3>{_text(snippet.title)}</h3>\n<p>{_text(snippet.note)}</p>\n"
            f"<pre><code>{_text(snippet.code)}</code></pre>"
        )
    return "\n".join(parts)


def _configuration(config: Mapping[str, Any]) -> str:
    count = f"{len(config)} options"
    return f"<details><summary>{count}</summary>\n{_entries(config)}</details>"


def _provenance(results: Mapping[str, Any]) -> str:
    entries: dict[str, Any] = {}
    for name, value in results["provenance"].items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        entries |= {f"{name} {key}".strip(): each for key, each in inner}
    for name, value in (results["density"] or {}).items():
        entries[f"density {name}"] = value
    seconds = _table(
        ("phase", "seconds"), [(name, f"{value:.1f}") for name, value in results["seconds"].items()]
    )
    return f"{_entries(entries)}\n<h3>Time</h3>\n{seconds}"


_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c2430; --soft: #5a6675; --line: #d5dbe3;
  --tint: #f3f5f8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181e; --ink: #e4e8ee; --soft: #9aa6b5; --line: #333c48; --tint: #1d232b; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; border-bottom: 1px solid var(--line);
  padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem;
  list-style: none; margin: 1rem 0 0; padding: 0; }
.tiles li { background: var(--tint); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; color: var(--soft); font-size: .875rem; }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.3; color: var(--ink); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr));
  gap: 1.5rem; align-items: start; }
figure { margin: 0; }
figure h3 { margin-top: 0; }
img { display: block; width: 100%; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; }
figcaption, .note { color: var(--soft); font-size: .875rem; margin-top: .25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem 1.25rem .35rem 0; text-align: right;
  white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: .875rem; vertical-align: bottom; }
tbody th { font-weight: 400; }
dl { display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr; gap: .25rem 1rem; margin: 0;
  font-size: .875rem; }
dt { color: var(--soft); }
dd { margin: 0; }
summary { cursor: pointer; }
details dl { margin-top: .75rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: .5rem; margin: 0;
  overflow-x: auto; padding: .75rem 1rem; font: .8125rem/1.5 ui-monospace, monospace;
  overflow-wrap: normal; }
@media (max-width: 40rem) {
  body { padding-top: 1rem; }
  h1 { font-size: 1.35rem; }
  table { font-size: .875rem; }
  thead th { font-size: .8125rem; }
  th, td { padding-right: .6rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{lead}
{tiles}
</header>
<main>
{sections}
</main>
</body>
</html>
"""
