"""What a recording holds, why its episodes end, and what in it is suspicious."""

import numpy as np
import pytest

from obd_jax.data.recording import Recording, with_ends
from obd_jax.data.summary import End, summarize
from obd_jax.types import InvalidInputError, Provenance


def fields_of(rows=600, **more):
    """Episodes of 100 rows that timed out; observations move by small steps."""
    rng = np.random.default_rng(0)
    starts = np.repeat(rng.normal(size=(rows // 100, 4)), 100, axis=0)
    steps = np.concatenate([np.cumsum(rng.normal(size=(100, 4)), 0) for _ in range(rows // 100)])
    return {
        "observations": (starts + 0.02 * steps).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": np.arange(rows) % 100 == 99,
        **more,
    }


def summary_of(fields, **about):
    recording = Recording("npz", fields, dict.fromkeys(fields, ""), [], **about)
    return summarize(recording, Provenance("npz", "data.npz", ""))


def changed(name, rows, columns, value):
    """The fields with some values of one replaced."""
    fields = fields_of()
    array = fields[name].copy()
    array[rows, columns] = value
    return {**fields, name: array}


def test_ordinary_data_are_not_suspicious():
    summary = summary_of(fields_of())
    assert summary.findings == []
    assert (summary.rows, len(summary.data)) == (600, 594)
    np.testing.assert_array_equal(summary.lengths, [100] * 6)
    assert summary.ends == [End("timeout, or the recording was cut", 6, 99)]


def test_reasons_of_all_ends():
    fields = fields_of(terminals=np.isin(np.arange(600), [49, 249]))
    fields["timeouts"][[299, 599]] = False
    fields["observations"][300:400] = np.random.default_rng(1).normal(size=(100, 4))
    following = np.roll(fields["observations"], -1, axis=0)
    following[[49, *range(99, 600, 100), 249]] += 5.0
    summary = summary_of({**fields, "next_observations": following})
    assert summary.ends == [
        End("terminal", 2, 49),
        End("timeout, or the recording was cut", 4, 99),
        End("jump: the next observation is not the following row", 1, 299),
        End("end of the file", 1, 599),
    ]
    np.testing.assert_array_equal(summary.lengths, [50, 50, 100, 50, 50, 100, 100, 100])
    (finding,) = summary.findings
    assert "not the following row in 1 rows inside episodes, first in row 299" in finding.text


def test_guessed_time_limits_are_named():
    rows = 2500
    rng = np.random.default_rng(0)
    fields = {
        "observations": rng.normal(size=(rows, 3)),
        "actions": rng.uniform(-1, 1, (rows, 2)),
        "rewards": rng.normal(size=rows),
    }
    summary = summary_of({**fields, "terminals": np.arange(rows) == 300})
    assert summary.ends == [
        End("terminal", 1, 300),
        End("time limit of 1000 steps, assumed", 2, 1300),
        End("end of the file", 1, 2499),
    ]
    assert "no timeouts are recorded" in summary.findings[0].text
    summary = summary_of({**fields, "terminals": np.arange(rows) % 1000 == 999})
    assert summary.ends == [
        End("terminal at the time limit, read as a timeout", 2, 999),
        End("end of the file", 1, 2499),
    ]


def test_a_terminal_in_the_last_row_of_an_episode_that_is_known_is_counted_once():
    fields = fields_of(terminals=np.arange(600) == 599)
    del fields["timeouts"]
    fields = with_ends(fields, np.arange(600) // 100)
    summary = summary_of(fields, by_episode=True)
    assert (summary.rows, len(summary.data)) == (600, 595)
    assert summary.ends == [
        End("terminal", 1, 599),
        End("timeout, or the recording was cut", 5, 99),
    ]
    np.testing.assert_array_equal(summary.lengths, [100] * 6)
    assert len(summary.data.episode_returns) == 6


def test_rows_that_are_no_transitions_do_not_shift_others():
    """Rows 99 and 100 are padding."""
    fields = fields_of(valids=~np.isin(np.arange(600), [99, 100]))
    fields["timeouts"][99] = False
    summary = summary_of(fields)
    assert summary.ends == [End("timeout, or the recording was cut", 6, 98)]


def test_single_transitions_have_no_episodes():
    fields = fields_of()
    order = np.random.default_rng(0).permutation(600)
    fields["next_observations"] = fields["observations"] + 0.01
    shuffled = {name: array[order] for name, array in fields.items() if name != "timeouts"}
    summary = summary_of(shuffled)
    assert len(summary.lengths) == len(summary.ends) == len(summary.data.episode_returns) == 0
    assert "rows are single transitions out of order" in summary.findings[0].text


SUSPICIOUS = {
    "not finite": (
        changed("observations", [7, 9], [1, 2], np.nan),
        "observations are NaN or infinite in 2 rows (first 7, 9), columns 1, 2",
        "remove these rows",
    ),
    "actions not finite": (
        changed("actions", 7, 1, np.inf),
        "actions are NaN or infinite in 1 row (first 7)",
        "remove these rows",
    ),
    "constant": (
        changed("observations", slice(None), 2, 3.0),
        "observations 2 are constant",
        "not scaled up",
    ),
    "twice": (
        changed("observations", slice(None), 3, fields_of()["observations"][:, 0]),
        "observations that equal another column: 3 = 0",
        "leave one of each out",
    ),
    "huge": (
        changed("observations", slice(None), 1, 1e5 * np.arange(600)),
        "observations 1 are huge, up to 5.99e+07, first in row 599",
        "clocks, counters",
    ),
    "outlier": (
        changed("observations", 250, 1, 9e3),
        "from its median in 1 row (first 250), and no more than",
        "broken sensor",
    ),
    "actions out of bounds": (
        changed("actions", [20, 30], 1, [2.5, -3.0]),
        "actions are beyond [-1, 1] by up to 2 in 2 rows (first 20, 30); action 1 in [-3, 2.5]",
        "give the bounds that they were recorded in",
    ),
    "actions rounded": (
        changed("actions", 20, 1, 1.00001),
        "actions are beyond [-1, 1] by up to 1e-05 in 1 row (first 20)",
        "rounding: clip",
    ),
    "one action": (
        changed("actions", slice(None), 0, 0.0),
        "actions 0 are constant",
        "learns nothing",
    ),
    "one reward": (
        fields_of(rewards=np.full((600, 1), -1.0)),
        "rewards are -1 in every row",
        "--objective=dbc",
    ),
    "huge rewards": (
        fields_of(rewards=np.where(np.arange(600) == 5, 1e9, 0.0)),
        "rewards are huge, up to 1e+09, in row 5",
        "divide them",
    ),
    "rewards not finite": (
        fields_of(rewards=np.where(np.arange(600) == 5, np.nan, np.arange(600.0))),
        "rewards are NaN or infinite in 1 row (first 5)",
        "remove these rows",
    ),
    "terminals of one length": (
        fields_of(terminals=np.arange(600) % 100 == 99, timeouts=np.zeros(600, bool)),
        "6 of 6 episodes end by a terminal after 100 steps",
        "",
    ),
}


@pytest.mark.parametrize("case", SUSPICIOUS)
def test_what_is_suspicious_is_found_with_rows_and_advice(case):
    fields, text, advice = SUSPICIOUS[case]
    summary = summary_of(fields)
    texts = [finding.text for finding in summary.findings]
    assert sum(text in found for found in texts) == 1, texts
    finding = next(one for one in summary.findings if text in one.text)
    assert advice in finding.advice
    # One value is one finding; an outlier is a jump too.
    assert len(texts) == (2 if case == "outlier" else 1), texts
    assert summary.rows == 600


def test_actions_are_judged_by_the_bounds_of_the_task_that_is_named():
    torques = fields_of()
    torques["actions"] = 2 * torques["actions"][:, :1]
    assert summary_of(torques, environment="Pendulum-v1").findings == []
    torques["actions"][7] = 2.5
    (finding,) = summary_of(torques, environment="Pendulum-v1").findings
    assert finding.text.startswith("actions are beyond [-2, 2] by up to 0.25 of half the range in")


def test_jumps_inside_episodes_are_found():
    fields = fields_of()
    fields["timeouts"][299] = False
    fields["observations"][300:400] += 50.0
    (finding,) = summary_of(fields).findings
    assert "the observation jumps 1 times inside an episode, first after row 299" in finding.text


def test_what_cannot_be_transitions_is_refused():
    with pytest.raises(InvalidInputError, match="arrays differ in length"):
        summary_of(fields_of(rewards=np.zeros(599)))
    with pytest.raises(InvalidInputError, match="observations have shape"):
        summary_of(fields_of(observations=np.zeros((600, 4, 4))))
    with pytest.raises(InvalidInputError, match="actions have type"):
        summary_of(fields_of(actions=np.full((600, 2), "left")))
