# %% [markdown]
# # Many learners, offline
#
# A set is made for one kind of student, but others may train on it. This tutorial distils sets for
# two kinds, trains scikit-learn's regressors on them, and compares these by their error to the
# teacher on held-out states. No simulator is needed. It runs in a few minutes.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

import obd_jax

STEPS = 1_000  # outer steps of each distillation
STATES = 3_000
PAIRS = 64

# %% [markdown]
# ## Data and teacher

# %%
rng = np.random.default_rng(0)
mixing = rng.normal(size=(6, 6)) / np.sqrt(6)


def teacher(states):
    hidden = np.sin(2.0 * states @ mixing)
    return np.tanh(hidden[..., :2] + hidden[..., 2:4] * hidden[..., 4:])


states = rng.normal(size=(STATES, 6)).astype(np.float32)
train, held_out = np.split(states, [int(0.8 * STATES)])
noisy = np.clip(teacher(train) + 0.3 * rng.normal(size=(len(train), 2)), -1, 1)
problem = obd_jax.Problem(obd_jax.data.from_arrays(train, noisy), teacher)

# %% [markdown]
# ## Sets
#
# One for the kernel student, one for a small MLP, and two baselines: as many random states with
# the teacher's actions, and all states of the data with the recorded, noisy actions.

# %%
shared = {
    "pairs": PAIRS,
    "outer_steps": STEPS,
    "temperature": 0.0,
    "reporter": obd_jax.reporting.SILENT,
}
kernel_set = obd_jax.synthesize(jax.random.key(0), problem, **shared)
mlp_set = obd_jax.synthesize(
    jax.random.key(0), problem, student="mlp", hidden_sizes=(64, 64), batch_size=256, **shared
)
normalizer = kernel_set.distilled.normalizer


def normalized(states):
    return np.asarray(normalizer.normalize(states))


rows = rng.choice(len(train), PAIRS, replace=False)
sets = {
    "for the kernel student": tuple(map(np.asarray, kernel_set.synthetic)),
    "for an MLP": tuple(map(np.asarray, mlp_set.synthetic)),
    "random pairs": (normalized(train[rows]), teacher(train[rows])),
    "all data": (normalized(train), noisy),
}

# %% [markdown]
# ## Learners
#
# Each is trained on the action before the tanh.

# %%
learners = {
    "kernel ridge": lambda: KernelRidge(kernel="rbf", gamma=1 / 12, alpha=0.01),
    "Gaussian process": lambda: GaussianProcessRegressor(
        RBF(np.sqrt(6)) + WhiteKernel(1e-3), normalize_y=True, optimizer=None
    ),
    "nearest neighbours": lambda: KNeighborsRegressor(3, weights="distance"),
    "extra trees": lambda: ExtraTreesRegressor(50, random_state=0),
    "MLP 64, 64": lambda: MLPRegressor(
        hidden_layer_sizes=(64, 64),
        learning_rate_init=0.01,
        tol=1e-3,
        max_iter=2_000,
        random_state=0,
    ),
}


def error_of(learner, inputs, actions):
    """Mean absolute error to the teacher on held-out states."""
    labels = np.arctanh(np.clip(actions, -0.999, 0.999))
    predicted = np.tanh(learner.fit(inputs, labels).predict(normalized(held_out)))
    return np.abs(predicted - teacher(held_out)).mean()


errors = {
    name: {kind: error_of(make(), *pairs) for kind, pairs in sets.items()}
    for name, make in learners.items()
}
for kind, own in (("for the kernel student", kernel_set), ("for an MLP", mlp_set)):
    error = np.abs(own.policy(held_out) - teacher(held_out)).mean()
    print(f"the package's student on the set {kind}: {error:.3f}")
print(f"\n{'':<20}" + "".join(f"{kind:>24}" for kind in sets))
for name, row in errors.items():
    print(f"{name:<20}" + "".join(f"{value:24.3f}" for value in row.values()))

# %%
figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
positions = np.arange(len(learners))
for i, kind in enumerate(sets):
    axis.bar(
        positions + 0.2 * (i - 1.5), [errors[name][kind] for name in learners], 0.2, label=kind
    )
axis.set_xticks(positions, list(learners))
axis.set(ylabel="mean absolute error to the teacher")
axis.legend(title="trained on")
plt.show()

# %% [markdown]
# The set for the kernel student is the best one for that student, and worse than random pairs for
# the other learners. The set for an MLP serves the other MLP better than all of the noisy data do,
# and kernel ridge better than random pairs do. So choose `--student` or `--config=transfer` by who
# will train on the set, and judge the set with those learners.
