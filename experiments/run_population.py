r"""Distil many sets of one data set in one program, over many devices, and score each of them.

    python experiments/run_population.py --dataset=walker2d-medium-expert --seeds=0,1,2,3 \
        --temperatures=0,0.05 --out=runs/population

A CPU is split into devices, as many of its cores as divide the sets equally; $JAX_NUM_CPU_DEVICES
sets another number. With --distributed, all processes of a job run this same command; see
`docs/jobs.md`. The flags of `run_sdw.py` apply to every set. --seeds and --temperatures replace
--seed and --temperature; --budget_minutes, --start and --holdout are refused.
"""

from obd_jax.cli.population import start

if __name__ == "__main__":
    start(__doc__)
