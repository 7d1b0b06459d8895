# %% [markdown]
# # What density weights do
#
# Data of one good policy have little diversity: nearly all states lie along its usual path. A
# student that errs leaves the path, and few pairs tell it how to return. State density weighting
# (SDW) gives rare states more weight. This tutorial shows what it changes, on states with two
# columns that we can plot. It runs in about a minute.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np

import obd_jax

STEPS = 1_000  # outer steps of each distillation
STATES = 5_000
PAIRS = 12

# %% [markdown]
# ## Data of low diversity
#
# 95% of the states lie close to a circle; 5% are scattered around it. The teacher pushes towards
# the circle and along it.

# %%
rng = np.random.default_rng(0)


def teacher(states):
    radius = np.linalg.norm(states, axis=-1, keepdims=True) + 1e-6
    outward = states / radius
    along = np.stack([-outward[..., 1], outward[..., 0]], axis=-1)
    return np.tanh(2.0 * (1.0 - radius) * outward + 0.5 * along)


angles = rng.uniform(0, 2 * np.pi, STATES)
radii = 1.0 + 0.03 * rng.normal(size=STATES)
states = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
scattered = rng.permutation(STATES)[: STATES // 20]
states[scattered] = rng.uniform(-2, 2, (len(scattered), 2))
data = obd_jax.data.from_arrays(states, teacher(states))
states = data.observations
rare = np.abs(np.linalg.norm(states, axis=1) - 1.0) > 0.15

# %% [markdown]
# ## From densities to weights
#
# A density is fitted to the states. The weight of a state is its density to the power of minus the
# temperature, scaled to a mean of 1. The effective sample size (ESS) tells how evenly the weights
# are spread: 1 if all are equal.

# %%
normalizer = obd_jax.data.normalizer(data.observations)
inputs = normalizer.normalize(data.observations)
estimator = obd_jax.density.make("kde")
params, _ = obd_jax.density.fit(jax.random.key(0), estimator, inputs)
log_density = np.asarray(estimator.log_prob(params, inputs))

temperatures = (0.05, 0.25, 0.5, 1.0)
weights = {
    temperature: obd_jax.density.reciprocal_weights(log_density, temperature)
    for temperature in temperatures
}
print(f"{rare.mean():.1%} of the states are rare: further than 0.15 from the circle")
print("temperature   ESS   share of all weight on rare states")
for temperature, found in weights.items():
    share = np.asarray(found.weights)[rare].sum() / len(states)
    print(f"{temperature:11}  {float(found.effective_sample_fraction):.2f}   {share:.0%}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
shown = axes[0].scatter(*states.T, c=log_density, s=3, cmap="viridis")
figure.colorbar(shown, ax=axes[0], label="log density, nats")
axes[0].set(title="states", aspect="equal")
shown = axes[1].scatter(*states.T, c=np.log10(weights[0.5].weights), s=3, cmap="magma")
figure.colorbar(shown, ax=axes[1], label="log10 weight")
axes[1].set(title="weights at temperature 0.5", aspect="equal")
order = np.argsort(log_density)
for temperature, found in weights.items():
    axes[2].semilogy(log_density[order], np.asarray(found.weights)[order], label=f"{temperature}")
axes[2].set(xlabel="log density, nats", ylabel="weight")
axes[2].legend(title="temperature")
plt.show()

# %% [markdown]
# ## What they change in a set
#
# We distil few pairs with and without weights, and measure each student's error to the teacher on
# the usual states and on the rare ones.

# %%
problem = obd_jax.Problem(data, teacher)
results = {
    temperature: obd_jax.synthesize(
        jax.random.key(0),
        problem,
        pairs=PAIRS,
        outer_steps=STEPS,
        density="kde",
        temperature=temperature,
        objective="pbc",
        reporter=obd_jax.reporting.SILENT,
    )
    for temperature in (0.0, *temperatures)
}
errors = {
    temperature: np.square(result.policy(data.observations) - teacher(data.observations)).mean(
        axis=1
    )
    for temperature, result in results.items()
}
print("temperature   usual states   rare states")
for temperature, error in errors.items():
    print(f"{temperature:11}   {error[~rare].mean():12.5f}   {error[rare].mean():11.5f}")

# %%
grid = np.stack(np.meshgrid(*[np.linspace(-2, 2, 60)] * 2), axis=-1).astype(np.float32)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for axis, temperature in zip(axes, (0.0, 0.5), strict=True):
    result = results[temperature]
    error = np.square(result.policy(grid) - teacher(grid)).mean(axis=-1)
    shown = axis.pcolormesh(
        grid[..., 0], grid[..., 1], np.log10(error), vmin=-5, vmax=0, cmap="magma"
    )
    pairs = np.asarray(result.distilled.normalizer.denormalize(result.synthetic.observations))
    axis.plot(*pairs.T, "o", color="white", mec="black", label="synthetic states")
    axis.set(title=f"temperature {temperature}", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
    axis.legend(loc="upper right")
figure.colorbar(shown, ax=axes, label="log10 error to the teacher")
plt.show()

# %% [markdown]
# Up to a temperature of 0.5 the error on rare states falls and that on usual states rises: a set of
# a given size can serve one or the other better. At 1 so few states have all the weight that both
# errors rise. Whether returns rise depends on how often a student leaves the usual states. In our
# measurements this differs between data sets and students
# ([results](../../results_summary/#what-helps)), so try two or three temperatures.
