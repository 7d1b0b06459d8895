# %% [markdown]
# # From arrays to a policy
#
# You have recorded transitions as arrays and a policy that acts well. This tutorial distils them
# into 64 pairs, looks at the pairs, and acts from them. It runs in about a minute.
#
#     pip install .   # in a checkout of obd_jax

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import obd_jax

STEPS = 1_000  # outer steps of the distillation
EPISODES = 50  # recorded

# %% [markdown]
# ## A task, a policy and recorded data
#
# A damped mass in the plane is to be brought to rest at the origin. The force is the action,
# turned by an angle that depends on the position, so the best policy is not linear. In practice
# this part is yours: a simulator, a robot, a log.

# %%
rng = np.random.default_rng(0)


def rotate(vectors, angles):
    cosine, sine = np.cos(angles), np.sin(angles)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def step(states, actions):
    position, velocity = states[..., :2], states[..., 2:]
    force = 2.0 * rotate(actions, 2.0 * position[..., 0])
    rewards = 1.0 - np.square(position).sum(-1) - 0.1 * np.square(velocity).sum(-1)
    position = position + 0.1 * velocity
    velocity = velocity + 0.1 * (force - 1.5 * velocity)
    return np.concatenate([position, velocity], axis=-1), rewards


def expert(states):
    force = -1.5 * states[..., :2] - 1.0 * states[..., 2:]
    return np.tanh(rotate(force, -2.0 * states[..., 0]))


def roll_out(policy, episodes, noise=0.0, horizon=100):
    """Observations, actions and rewards [horizon, episodes, ...] of a policy."""
    states = np.concatenate([rng.uniform(-1, 1, (episodes, 2)), np.zeros((episodes, 2))], axis=1)
    rows = []
    for _ in range(horizon):
        actions = np.clip(policy(states) + noise * rng.normal(size=(episodes, 2)), -1, 1)
        following, rewards = step(states, actions)
        rows.append((states, actions, rewards))
        states = following
    return (np.stack(column) for column in zip(*rows, strict=True))


observations, actions, rewards = roll_out(expert, EPISODES, noise=0.5)
arrays = {
    "observations": observations.swapaxes(0, 1).reshape(-1, 4),
    "actions": actions.swapaxes(0, 1).reshape(-1, 2),
    "rewards": rewards.swapaxes(0, 1).reshape(-1),
}
arrays["timeouts"] = np.arange(1, len(arrays["rewards"]) + 1) % 100 == 0
{name: array.shape for name, array in arrays.items()}

# %% [markdown]
# ## Distil
#
# `from_arrays` checks the arrays and reports whatever looks wrong in them. A `Problem` joins data
# and teacher; the teacher here is a NumPy function. It has no critic, so the objective is PBC:
# match the teacher's actions on the states of the data.

# %%
data = obd_jax.data.from_arrays(**arrays)
problem = obd_jax.Problem(data, expert)
result = obd_jax.synthesize(
    jax.random.key(0), problem, pairs=64, outer_steps=STEPS, density="gaussian"
)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.semilogy(
    [record["step"] for record in result.history], [record["loss"] for record in result.history]
)
left.set(xlabel="outer step", ylabel="loss on real states")
raw = np.asarray(result.distilled.normalizer.denormalize(result.synthetic.observations))
pairs = np.asarray(result.synthetic.actions)
right.plot(*arrays["observations"][:, :2].T, ".", ms=1, color="0.75", label="data")
right.quiver(*raw[:, :2].T, *pairs.T, color="tab:blue", width=0.004, label="64 pairs")
right.set(xlabel="position x", ylabel="position y", title="synthetic states and actions")
right.legend()
plt.show()

# %% [markdown]
# ## Act
#
# `result.policy` is a student fitted to the pairs. It takes raw observations and returns actions.
# We compare its mean return with those of the teacher, the data, and a student fitted to 64 random
# pairs of the data, labelled by the teacher.

# %%
random_rows = rng.choice(len(data), 64, replace=False)
states = data.observations[random_rows]
real_pairs = obd_jax.types.SyntheticData(
    jax.numpy.asarray(result.distilled.normalizer.normalize(states)),
    jax.numpy.asarray(expert(states), "float32"),
)
student = result.distilled.recipe.student(2)
random_policy = obd_jax.evaluation.trained_policy(
    jax.random.key(0), student, real_pairs, result.distilled.normalizer
)
returns = {
    name: np.asarray(list(roll_out(policy, 50, noise))[2]).sum(axis=0).mean()
    for name, policy, noise in (
        ("teacher", expert, 0.0),
        ("data (teacher with noise)", expert, 0.5),
        ("64 distilled pairs", result.policy, 0.0),
        ("64 random pairs", random_policy, 0.0),
    )
}
for name, value in returns.items():
    print(f"{name:<28}{value:8.2f}")

# %% [markdown]
# ## Keep it
#
# `save` writes the files of a run. `distilled.npz` holds the pairs, the normalisation and the
# card; NumPy alone reads it. See [Use a set](../../use_a_set/) for acting without this package.

# %%
import tempfile

with tempfile.TemporaryDirectory() as folder:
    result.save(folder)
    again = obd_jax.load_distilled(folder).policy()
    difference = np.abs(again(arrays["observations"]) - result.policy(arrays["observations"])).max()
print("largest difference of the loaded policy:", difference)
