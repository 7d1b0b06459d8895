"""Show a distilled set's student next to the teacher, in a GIF.

python experiments/render_policy.py --path=runs/hopper/distilled.npz --out=pictures
"""

from obd_jax.cli.render import start

if __name__ == "__main__":
    start(__doc__)
