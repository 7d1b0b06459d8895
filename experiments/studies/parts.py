"""The study of parts of a data set (diversity.py): which parts, and how sets are measured."""

# Parts of this share of the states each, and all of them.
PARTS = ("random", "quality", "diversity", "all", "all, SDW")
SHARE = 0.1
# Outer steps after which a set is measured; all others are multiples of ten.
POINTS = (0, 50, 100, 200, 500, 1000, 2000, 4000)
# States that errors are measured on.
STATES = 8_000
# Deviation of the noise around the teacher's states, in normalised units.
SURROUNDING = 0.3
EPISODES = 20
