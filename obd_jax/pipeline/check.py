"""A page on a recording: what was understood, what is suspicious, what a run would take."""

import dataclasses
import pathlib
import shlex
import textwrap
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from obd_jax import data, density
from obd_jax.artefacts import draw_histograms
from obd_jax.data.files import provenance_of
from obd_jax.data.layouts import read_recording
from obd_jax.data.names import listed
from obd_jax.data.summary import Summary, summarize
from obd_jax.pipeline.settings import Distillation
from obd_jax.settings import OptionError, option

_WIDTH = 100
_BINS, _BAR = 8, 24
# States that the density is estimated from, in a second.
_STATES = 5_000


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    """What is checked.

    columns: of a table.
    out:     of a picture.
    """

    columns: str | None = option(
        None,
        "Columns of a CSV or Parquet table: 'observations:x,y,v_*; actions:u; rewards:r; "
        "terminals:done'.",
    )
    out: str | None = option(None, "PNG file to draw the lengths and returns of episodes in.")

    def __post_init__(self) -> None:
        if self.out is not None and pathlib.Path(self.out).suffix != ".png":
            raise OptionError(f"{{out}} is a PNG file, got {self.out}")


def check(path: str, settings: CheckSettings) -> tuple[str, bool]:
    """The page on a file or folder, and whether anything in it is suspicious.

    Raises:
        InvalidInputError: it cannot be read.
    """
    source = pathlib.Path(path)
    recording = read_recording(source, settings.columns)
    summary = summarize(recording, provenance_of(source, recording))
    page = "\n".join(
        [
            *_read(path, summary),
            "",
            *_episodes(summary),
            "",
            _spread(summary),
            "",
            *_suspicious(summary),
            "",
            *_run(path, summary, settings),
        ]
    )
    if settings.out is not None:
        try:
            draw_histograms(pathlib.Path(settings.out), source.name, _distributions(summary))
        except OSError as error:
            raise OptionError(f"{{out}} {settings.out} cannot be written: {error}") from error
        page += f"\nwritten to {settings.out}"
    return page, bool(summary.findings)


def _read(path: str, summary: Summary) -> Iterator[str]:
    """What was read, and as what."""
    recording, offline = summary.recording, summary.data
    yield (
        f"{path}: {recording.layout}, {summary.rows:,} rows of {offline.observation_size} "
        f"observations and {offline.action_size} actions, {len(offline):,} transitions"
    )
    yield f"  {'task':<18} {recording.environment or 'not named'}"
    plain = [field for field, source in recording.sources.items() if field == source]
    if plain:
        yield from _wrapped(f"  {'read':<18} ", ", ".join(plain))
    for field, source in recording.sources.items():
        if field != source:
            yield from _wrapped(f"  {field:<18} ", source)
    if "rewards" not in recording.fields:
        yield f"  {'rewards':<18} none, read as 0"
    if recording.others:
        yield from _wrapped(f"  {'not read':<18} ", listed(recording.others))
    for remark in recording.remarks:
        yield from _wrapped(f"  {'note':<18} ", remark)


def _episodes(summary: Summary) -> Iterator[str]:
    """How many episodes, why they end, their lengths and returns."""
    if not len(summary.lengths):
        yield "single transitions out of order, so episodes are unknown"
        return
    yield f"{len(summary.lengths):,} episodes, which end by"
    for end in summary.ends:
        yield f"  {end.reason:<52} {end.number:>8,}   first in row {end.row:,}"
    yield ""
    columns = [
        [
            f"{name}: mean {values.mean():.4g}, median {np.median(values):.4g}",
            *_bars(values),
        ]
        for name, values in _distributions(summary).items()
    ]
    for row in range(max(map(len, columns))):
        cells = [column[row] if row < len(column) else "" for column in columns]
        yield "  ".join(f"{cell:<48}" for cell in cells).rstrip()


def _distributions(summary: Summary) -> dict[str, np.ndarray]:
    """Lengths and, where there are some, returns."""
    found = {"lengths": summary.lengths.astype(np.float64)} if len(summary.lengths) else {}
    if len(summary.data.episode_returns):
        found["returns"] = summary.data.episode_returns
    return found


def _bars(values: np.ndarray) -> Iterator[str]:
    """A histogram as text."""
    if values.min() == values.max():
        yield f"  {values[0]:>9.5g}{'':<12} {'#' * _BAR} {len(values):,}"
        return
    counts, edges = np.histogram(values, _BINS)
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        bar = "#" * int(np.ceil(_BAR * count / counts.max() - 1e-9))
        yield f"  {low:>9.4g} .. {high:<9.4g}{bar} {count:,}"


def _spread(summary: Summary) -> str:
    """How unevenly density weights would spread over the states."""
    settings = Distillation().density
    rows = np.random.default_rng(0).permutation(len(summary.data))[:_STATES]
    observations = summary.data.observations[rows]
    # Neighbours are few in small data.
    name = "knn" if len(rows) >= 100 else "gaussian"
    estimator = density.make(name)
    states = np.asarray(data.normalizer(observations).normalize(observations))
    params = estimator.init(jax.random.key(0), jnp.asarray(states))
    log_density = density.log_prob_chunked(estimator, params, states)
    weights = density.reciprocal_weights(log_density, settings.temperature, settings.floor_quantile)
    return (
        f"density weights at temperature {settings.temperature}: effective share "
        f"{float(weights.effective_sample_fraction):.2f} of {len(rows):,} states, by {name}"
    )


def _suspicious(summary: Summary) -> Iterator[str]:
    """What is suspicious, and what to do."""
    if not summary.findings:
        yield "nothing suspicious"
        return
    yield "suspicious"
    for number, finding in enumerate(summary.findings, 1):
        yield from _wrapped(f"  {number}. ", finding.text)
        if finding.advice:
            yield from _wrapped("     -> ", finding.advice)


def _run(path: str, summary: Summary, settings: CheckSettings) -> Iterator[str]:
    """Teacher and student that a run would take, and its command."""
    offline = summary.data
    rewarded = np.ptp(offline.rewards) > 0
    flags = [f"--dataset_path={shlex.quote(path)}"]
    if settings.columns is not None:
        flags.append(f"--columns={shlex.quote(settings.columns)}")
    task = summary.recording.environment
    flags.append(f"--env={task or 'none'}")
    yield "a run would use"
    if task is None:
        yield "  task     none is named, so students are judged on held-out episodes; --env=ID"
        yield "           scores them in a task of Gymnasium as well"
    if rewarded:
        yield "  teacher  none comes with these data: td3_bc is trained on them for pi* and q*"
        yield "           (rebrac, iql, cal_ql, or a file of yours), for three minutes as a"
        yield "           first look; without --teacher_minutes it takes longer and is better"
        flags += ["--teacher=td3_bc", "--teacher_minutes=3"]
    else:
        yield "  teacher  none: without rewards that vary, the data's own actions are cloned"
        yield "           (or one of yours)"
        flags.append("--objective=dbc")
    returns = offline.episode_returns
    if rewarded and len(returns) > 1 and np.median(returns) < 0.5 * returns.max():
        yield "  states   half of the episodes have less than half of the best return:"
        yield "           those with a third of it or more are distilled; --least_return=0"
        yield "           distils all"
    pairs = min(Distillation().start.pairs, len(offline))
    yield f"  student  kernel, {pairs} pairs"
    if pairs < Distillation().start.pairs:
        flags.append(f"--pairs={pairs}")
    yield f"  obd-jax run {' '.join(flags)}"


def _wrapped(head: str, text: str) -> list[str]:
    """Text in lines behind a head."""
    lines = textwrap.wrap(
        text, _WIDTH - len(head), break_long_words=False, break_on_hyphens=False
    ) or [""]
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]
