"""Options that choose an environment."""

import pytest

from obd_jax import environments
from obd_jax.environments import EnvironmentSettings
from obd_jax.settings import from_options
from obd_jax.types import InvalidInputError


def settings(**options):
    return from_options(EnvironmentSettings, options)


def test_an_environment_is_named_with_its_arguments_and_references():
    assert settings().load() is settings(env="none").load() is None
    assert settings(env="hopper").load() is environments.get("hopper")
    given = settings(env="Pendulum-v1", env_kwargs='{"g": 5}', reference_returns=(-1600, -150))
    assert given.load() == environments.get("Pendulum-v1", {"g": 5}, (-1600, -150))


@pytest.mark.parametrize(
    ("options", "words"),
    {
        "no JSON": ({"env_kwargs": "g=5"}, "env_kwargs g=5 is not JSON"),
        "no object": ({"env_kwargs": "[5]"}, r"takes a JSON object, got \[5\]"),
        "one return": ({"reference_returns": (1.0,)}, "takes two numbers, the lower first"),
        "in the wrong order": ({"reference_returns": (2.0, 1.0)}, "the lower first"),
        "not finite": ({"reference_returns": (0.0, float("inf"))}, "the lower first"),
        "arguments of nothing": ({"env": None, "env_kwargs": "{}"}, "env_kwargs needs an env"),
        "references of nothing": (
            {"env": "none", "reference_returns": (0.0, 1.0)},
            "reference_returns needs an environment in env, got none",
        ),
    }.values(),
)
def test_unusable_options_are_refused(options, words):
    with pytest.raises(InvalidInputError, match=words):
        settings(**{"env": "Pendulum-v1", **options})
