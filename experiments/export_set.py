"""Write a distilled set, or its fitted student, in the format of another library.

python experiments/export_set.py runs/hopper --format=numpy --out=policy
"""

from obd_jax.cli.export import start

if __name__ == "__main__":
    start(__doc__)
