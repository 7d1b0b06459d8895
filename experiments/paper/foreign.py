"""Learners of other libraries: they see a set as NumPy arrays, and nothing of this package."""

import contextlib
import importlib
import io
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# Training steps of the networks that are trained by steps; scikit-learn's have its own criterion.
STEPS = 2000

# Normalised observations [B, D] -> actions [B, A].
Predict = Callable[[np.ndarray], np.ndarray]


class Pairs(NamedTuple):
    """What `distilled.npz` holds.

    observations: [N, D] normalised.
    actions:      [N, A].
    mean, scale:  [D], of the normalisation.
    """

    observations: np.ndarray
    actions: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


class ForeignLearner(NamedTuple):
    """A learner of another library.

    about:   what it is, in a line.
    fit:     (normalised observations [N, D], actions [N, A], seed) -> predictor.
    needs:   what is to be installed.
    module:  what is imported.
    random:  whether its seed changes it; else it is trained once.
    many:    whether it takes hundreds of thousands of pairs.
    """

    about: str
    fit: Callable[[np.ndarray, np.ndarray, int], Predict]
    needs: tuple[str, ...] = ("scikit-learn",)
    module: str = "sklearn"
    random: bool = False
    many: bool = False


def read(path: pathlib.Path) -> Pairs:
    """A distilled set by NumPy alone, from observations in raw units."""
    with np.load(path, allow_pickle=False) as archive:
        names = ("observations", "actions", "observation_mean", "observation_std")
        raw, actions, mean, scale = (archive[name].astype(np.float32) for name in names)
    return Pairs((raw - mean) / scale, actions, mean, scale)


def missing(learner: ForeignLearner) -> str | None:
    """Why what it needs cannot be imported; None if it can."""
    try:
        importlib.import_module(learner.module)
    except ImportError as error:
        return str(error)
    return None


def train(
    learner: ForeignLearner, pairs: Pairs, seeds: Sequence[int]
) -> tuple[list[Predict], list[str]]:
    """Policies on raw observations, one for every seed, and what the library warned of.

    A learner that is not random is trained once.
    """

    def policy(predict: Predict) -> Predict:
        return lambda raw: predict((raw - pairs.mean) / pairs.scale)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        policies = [
            policy(learner.fit(pairs.observations, pairs.actions, seed))
            for seed in (seeds if learner.random else seeds[:1])
        ]
    return policies, sorted({f"{one.category.__name__}: {one.message}" for one in caught})


def _estimator(make: Callable[[int], Any]) -> Callable[[np.ndarray, np.ndarray, int], Predict]:
    """`fit` of a scikit-learn estimator, made with a seed."""
    return lambda observations, actions, seed: make(seed).fit(observations, actions).predict


def _mlp(**options: Any) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        from sklearn.neural_network import MLPRegressor

        return MLPRegressor(**options, random_state=seed)

    return make


def _plain_gaussian_process(_: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    return GaussianProcessRegressor()


def _gaussian_process(_: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    return GaussianProcessRegressor(RBF() + WhiteKernel())


def _support_vectors(_: int) -> Any:
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.svm import SVR

    return MultiOutputRegressor(SVR())


def _neighbours(_: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor()


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(random_state=seed)


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.multioutput import MultiOutputRegressor

    return MultiOutputRegressor(GradientBoostingRegressor(random_state=seed))


def _torch_bc(observations: np.ndarray, actions: np.ndarray, seed: int) -> Predict:
    import torch
    from torch import nn

    torch.set_num_threads(1)  # Several threads are slower on batches of this size.
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(observations.shape[1], 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, actions.shape[1]),
        nn.Tanh(),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inputs, targets = torch.from_numpy(observations), torch.from_numpy(actions)
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (64,))
        loss = nn.functional.mse_loss(network(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def predict(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(observations)).numpy()

    return predict


def _d3rlpy_bc(observations: np.ndarray, actions: np.ndarray, seed: int) -> Predict:
    import d3rlpy
    import torch

    torch.set_num_threads(1)
    d3rlpy.seed(seed)
    # One episode of all pairs: BC looks at no reward and no next state.
    ends = np.zeros(len(actions), np.float32)
    ends[-1] = 1.0
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = d3rlpy.dataset.MDPDataset(
            observations,
            actions,
            rewards=np.zeros(len(actions), np.float32),
            terminals=ends,
            action_space=d3rlpy.ActionSpace.CONTINUOUS,
        )
        learner = d3rlpy.algos.BCConfig().create()
        learner.fit(
            dataset,
            n_steps=STEPS,
            n_steps_per_epoch=STEPS,
            logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
            show_progress=False,
        )
    return learner.predict


FOREIGN: Mapping[str, ForeignLearner] = {
    "sklearn-mlp": ForeignLearner("MLPRegressor()", _estimator(_mlp()), random=True, many=True),
    "sklearn-mlp-2x256": ForeignLearner(
        "MLPRegressor(hidden_layer_sizes=(256, 256))",
        _estimator(_mlp(hidden_layer_sizes=(256, 256))),
        random=True,
        many=True,
    ),
    "sklearn-gp": ForeignLearner(
        "GaussianProcessRegressor(RBF() + WhiteKernel())", _estimator(_gaussian_process)
    ),
    "sklearn-gp-plain": ForeignLearner(
        "GaussianProcessRegressor()", _estimator(_plain_gaussian_process)
    ),
    "sklearn-svr": ForeignLearner("MultiOutputRegressor(SVR())", _estimator(_support_vectors)),
    "sklearn-knn": ForeignLearner("KNeighborsRegressor()", _estimator(_neighbours), many=True),
    "sklearn-forest": ForeignLearner("RandomForestRegressor()", _estimator(_forest), random=True),
    "sklearn-boosting": ForeignLearner(
        "MultiOutputRegressor(GradientBoostingRegressor())", _estimator(_boosting), random=True
    ),
    "torch-bc": ForeignLearner(
        f"2x256 ReLU, tanh output, Adam 1e-3, {STEPS:,} batches of 64, squared error",
        *(_torch_bc, ("torch",), "torch"),
        random=True,
        many=True,
    ),
    "d3rlpy-bc": ForeignLearner(
        f"BCConfig(), {STEPS:,} steps",
        *(_d3rlpy_bc, ("d3rlpy", "torch"), "d3rlpy"),
        random=True,
        many=True,
    ),
}
