"""Look at recorded data before anything runs on them: what is read, and what is suspicious.

python experiments/check_data.py hopper.hdf5
"""

from obd_jax.cli.check import start

if __name__ == "__main__":
    start(__doc__)
