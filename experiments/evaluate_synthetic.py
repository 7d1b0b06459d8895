"""Score a distilled set again: train students on it and roll them out.

python experiments/evaluate_synthetic.py --path=runs/hopper/distilled.npz --students=20

The student is that of the set's card; options of the student that are given change it. The defaults
below are for a student other than the card's.
"""

from obd_jax.cli.evaluate import start

if __name__ == "__main__":
    start(__doc__)
