"""Hand-made checkpoints in PyTorch's zip format, written opcode by opcode without PyTorch."""

import itertools
import json
import struct
import zipfile

import numpy as np


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def pack(*items):
    return b"(" + b"".join(items) + b"t"


def call(function, *arguments):
    return function + pack(*arguments) + b"R"


def mapping(items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def ordered(items):
    pairs = b"".join(text(key) + value for key, value in items.items())
    return call(name("collections", "OrderedDict")) + b"(" + pairs + b"u"


FLOAT = name("torch", "FloatStorage")
REBUILD = name("torch._utils", "_rebuild_tensor_v2")


def tensor(key, length, size, stride, offset=0, storage=FLOAT):
    record = pack(text("storage"), storage, text(key), text("cpu"), integer(length)) + b"Q"
    return call(
        REBUILD,
        record,
        integer(offset),
        pack(*map(integer, size)),
        pack(*map(integer, stride)),
        b"\x89",
        call(name("collections", "OrderedDict")),
    )


def contiguous(shape):
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


class Checkpoint:
    """What goes into a checkpoint; tests change a part and write it."""

    def __init__(self, observation_size=4, action_size=2, hidden_sizes=(8, 6), seed=0):
        self.rng = np.random.default_rng(seed)
        self.records = {}
        self.actor, self.actor_layers = self.network(
            "base_network", (observation_size, *hidden_sizes, 2 * action_size)
        )
        self.critic1, self.critic_layers = self.network(
            "network", (observation_size + action_size, *hidden_sizes, 1)
        )
        self.actor["log_std_offset.constant"] = self.store(np.float32(-1.0))
        self.others = {
            # As in the released files: a foreign module and a set among what is not read.
            "sac_log_alpha": name("__main__", "Scalar")
            + b")\x81"
            + mapping({"_parameters": ordered({}), "_buffers": call(name("__builtin__", "set"))})
            + b"b",
            "total_it": integer(1_000_000),
        }
        self.root = "archive"

    def network(self, prefix, sizes):
        layers = [
            (
                self.rng.normal(size=(outputs, inputs)).astype(np.float32) / inputs**0.5,
                self.rng.normal(size=outputs).astype(np.float32),
            )
            for inputs, outputs in itertools.pairwise(sizes)
        ]
        items = {}
        for place, (weight, bias) in enumerate(layers):
            items[f"{prefix}.{2 * place}.weight"] = self.store(weight)
            items[f"{prefix}.{2 * place}.bias"] = self.store(bias)
        return items, layers

    def store(self, array):
        key = str(len(self.records))
        self.records[key] = array.astype("<f4").tobytes()
        return tensor(key, array.size, array.shape, contiguous(array.shape))

    def pickle(self):
        parts = {"actor": ordered(self.actor), "critic1": ordered(self.critic1), **self.others}
        return b"\x80\x02" + mapping(parts) + b"."

    def write(self, path, pickled=None):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{self.root}/data.pkl", pickled or self.pickle())
            for key, content in self.records.items():
                archive.writestr(f"{self.root}/data/{key}", content)
            archive.writestr(f"{self.root}/version", "3\n")
        return path


def write_stats(path, observation_size=4, key="task-medium-v2", **changes):
    rng = np.random.default_rng(1)
    stats = {
        "mean": rng.normal(size=observation_size).tolist(),
        "std": rng.uniform(0.1, 2.0, observation_size).tolist(),
        **changes,
    }
    path.write_text(json.dumps({"note": "made by hand", "stats": {key: stats, "other": stats}}))
    return path
