"""A distilled set as a data set folder for the Hugging Face hub; nothing is pushed."""

import json
import pathlib
from typing import Any

from obd_jax import artefacts
from obd_jax.artefacts import DistilledSet
from obd_jax.data.layouts.tables import parquet_module
from obd_jax.export.pairs import name_of, origin_of, pairs_of
from obd_jax.extras import require
from obd_jax.types import Key

_TABLE = "data/train-00000-of-00001.parquet"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))

_CARD = """\
---
pretty_name: {title}
task_categories:
- reinforcement-learning
tags:
- offline-reinforcement-learning
- dataset-distillation
- obd_jax
size_categories:
- {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: {table}
---

# {heading}

{pairs} synthetic pairs of observation and action, distilled from an offline reinforcement learning
data set so that a policy fitted to them from scratch performs in the environment.

| column | content |
|---|---|
| `observation` | {observations} numbers, raw units |
| `action` | {actions} numbers in {bounds} |

```python
datasets.load_dataset("parquet", data_files="{table}")  # the pairs
obd_jax.load_distilled(".").policy()  # the student that they were made for
```

`distilled.npz` has the normalisation of observations too; `card.json` the whole configuration.

## Student

```json
{student}
```

## Provenance

```json
{provenance}
```
"""


def write_huggingface(distilled: DistilledSet, folder: pathlib.Path, key: Key) -> str:
    """Writes a card, `README.md`, the pairs as Parquet, and the set's own files.

    Args:
        distilled: the set.
        folder: that is there, empty.
        key: not used.

    Returns:
        How it is used, in a line.

    Raises:
        InvalidInputError: pyarrow is not installed.
    """
    del key
    parquet = parquet_module()
    pyarrow: Any = require("pyarrow", "parquet", "Parquet files")
    observations, actions, bounds = pairs_of(distilled)
    columns = {
        name: pyarrow.FixedSizeListArray.from_arrays(array.ravel(), array.shape[1])
        for name, array in (("observation", observations), ("action", actions))
    }
    (folder / _TABLE).parent.mkdir()
    parquet.write_table(pyarrow.table(columns), folder / _TABLE)
    artefacts.save(folder, distilled)
    name = f"{name_of(distilled)}, distilled"
    card = _CARD.format(
        title=json.dumps(name),  # A string of YAML too.
        heading=name,
        size=next((label for most, label in _SIZES if len(actions) < most), "n>1M"),
        table=_TABLE,
        pairs=len(actions),
        observations=observations.shape[1],
        actions=actions.shape[1],
        bounds=bounds,
        student=json.dumps(distilled.card.get("student"), indent=2),
        provenance=json.dumps(origin_of(distilled), indent=2),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return f"huggingface-cli upload --repo-type=dataset YOUR/NAME {folder}"
