r"""Distil an offline RL data set into a few synthetic pairs and score students trained on them.

python experiments/run_sdw.py --dataset=walker2d-medium-expert
python experiments/run_sdw.py --dataset_path=hopper.hdf5 --env=hopper --teacher=hopper.pt \
        --teacher_stats=d4rl_stats.json --teacher_stats_key=hopper-medium-v2 --out=runs/hopper

The same command, with the same --out, resumes a run that was stopped.
"""

from obd_jax.cli.run import start

if __name__ == "__main__":
    start(__doc__)
