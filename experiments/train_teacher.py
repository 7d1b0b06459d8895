"""Train a teacher, pi* and q*, on offline data; the same command resumes where it stopped.

python experiments/train_teacher.py --dataset=walker2d-medium-expert --out=runs/teacher
"""

from obd_jax.cli.teacher import start

if __name__ == "__main__":
    start(__doc__)
