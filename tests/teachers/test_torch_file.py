"""The reader of PyTorch files: what it reads, what it refuses, and that it executes nothing."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obd_jax.teachers.torch_file import _ALLOWED, load_state_dicts
from obd_jax.types import InvalidInputError
from tests.teachers.checkpoints import (
    FLOAT,
    Checkpoint,
    call,
    integer,
    mapping,
    name,
    pack,
    tensor,
    text,
)


def read(path):
    return load_state_dicts(path.read_bytes(), ("actor", "critic1"))


def refuse(path, message):
    with pytest.raises(InvalidInputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "policy.pt"


def test_tensors_come_out_as_they_were_stored(path):
    checkpoint = Checkpoint()
    found = read(checkpoint.write(path))
    for part, prefix, layers in (
        ("actor", "base_network", checkpoint.actor_layers),
        ("critic1", "network", checkpoint.critic_layers),
    ):
        for place, (weight, bias) in enumerate(layers):
            np.testing.assert_array_equal(found[part][f"{prefix}.{2 * place}.weight"], weight)
            np.testing.assert_array_equal(found[part][f"{prefix}.{2 * place}.bias"], bias)
    assert found["actor"]["log_std_offset.constant"].shape == ()
    assert found["actor"]["log_std_offset.constant"] == -1


def test_a_tensor_may_be_a_part_of_a_storage(path):
    checkpoint = Checkpoint()
    checkpoint.records["big"] = np.arange(10, dtype="<f4").tobytes()
    checkpoint.actor["part"] = tensor("big", 10, (2, 3), (3, 1), offset=3)
    np.testing.assert_array_equal(
        read(checkpoint.write(path))["actor"]["part"], [[3, 4, 5], [6, 7, 8]]
    )


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        (os.system.__module__, "system"),  # posix
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch", "DoubleStorage"),
        ("torch.nn.modules.linear", "Linear"),
        ("collections", "namedtuple"),
        ("collections", "OrderedDict.fromkeys"),
        ("__main__", "Other"),
        ("obd_jax.teachers.torch_file", "_Inert"),
    ],
)
def test_anything_else_in_the_pickle_is_refused_by_name_and_not_run(
    path, tmp_path, module, attribute
):
    marker = tmp_path / "executed"
    checkpoint = Checkpoint()
    checkpoint.others["payload"] = call(name(module, attribute), text(f"touch {marker}"))
    refuse(checkpoint.write(path), f"refused: the pickle names '{module}.{attribute}'; allowed are")
    assert not marker.exists()


def test_a_pickle_by_pythons_own_pickler_is_refused_by_name(path, tmp_path):
    marker = tmp_path / "executed"

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps({"actor": Payload()}, protocol)
        refuse(Checkpoint().write(path, pickled), rf"refused: the pickle names '{os.name}\.system'")
    assert not marker.exists()


# A state of two parts sets attributes of whatever it is given, classes and functions included.
STATE = pack(b"N", mapping({"arguments": integer(1), "__init__": integer(1), "get": integer(1)}))


@pytest.mark.parametrize("names", _ALLOWED)
@pytest.mark.parametrize("state", [STATE, mapping({"__init__": integer(1)})])
def test_a_pickle_cannot_change_what_it_may_name(path, names, state):
    before = {cls: dict(vars(cls)) for cls in _ALLOWED.values()}
    checkpoint = Checkpoint()
    checkpoint.others["payload"] = name(*names) + state + b"b"
    refuse(checkpoint.write(path), "the pickle is corrupt")
    assert {cls: dict(vars(cls)) for cls in _ALLOWED.values()} == before


@pytest.mark.parametrize("names", _ALLOWED)
def test_a_pickle_cannot_change_an_instance(path, names):
    checkpoint = Checkpoint()
    checkpoint.others["payload"] = call(name(*names)) + STATE + b"b"
    assert set(read(checkpoint.write(path))) == {"actor", "critic1"}


def test_the_result_of_a_call_cannot_be_called(path):
    checkpoint = Checkpoint()
    checkpoint.others["payload"] = call(call(name("__main__", "Scalar")), integer(1))
    refuse(checkpoint.write(path), "the pickle is corrupt: .*not callable")


@pytest.mark.parametrize(
    "reference",
    [
        text("storage"),
        pack(text("module"), FLOAT, text("0"), text("cpu"), integer(4)),
        pack(text("storage"), name("__main__", "Scalar"), text("0"), text("cpu"), integer(4)),
        pack(text("storage"), FLOAT, integer(0), text("cpu"), integer(4)),
        pack(text("storage"), FLOAT, text("0"), text("cpu")),
    ],
)
def test_references_to_other_things_than_storages_are_refused(path, reference):
    checkpoint = Checkpoint()
    checkpoint.others["payload"] = reference + b"Q"
    refuse(checkpoint.write(path), "something other than a float32 storage")


# Record "0" is the first weight: 8 x 4 values.
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"size": (8, 5), "stride": (5, 1)}, "claims 40 values from 0 on of 32"),
        ({"size": (8, 4), "stride": (4, 1), "offset": 1}, "claims 32 values from 1 on of 32"),
        ({"size": (8, 4), "stride": (4, 1), "offset": -1}, "is not a tensor"),
        ({"size": (-8, -4), "stride": (4, 1)}, "is not a tensor"),
        ({"size": (4, 8), "stride": (1, 4)}, r"is not contiguous: size \(4, 8\), stride \(1, 4\)"),
        ({"size": (2**30, 2**30), "stride": (0, 0)}, "is not contiguous"),
        ({"size": (8, 4), "stride": (4,)}, "is not contiguous"),
        ({"size": (8, 4), "stride": (4, 1), "length": 33}, "holds 128 bytes"),
        ({"size": (8, 4), "stride": (4, 1), "key": "none"}, "lacks archive/data/none"),
        ({"size": (8, 4), "stride": (4, 1), "key": "../data.pkl"}, r"lacks archive/data/\.\./data"),
    ],
)
def test_false_claims_about_a_tensor_are_refused(path, claims, message):
    checkpoint = Checkpoint()
    checkpoint.actor["base_network.0.weight"] = tensor(**{"key": "0", "length": 32, **claims})
    refuse(checkpoint.write(path), rf"actor\.base_network\.0\.weight:? .*{message}")


def test_values_that_are_not_finite_are_refused(path):
    checkpoint = Checkpoint()
    checkpoint.records["1"] = np.full(8, np.nan, "<f4").tobytes()
    refuse(checkpoint.write(path), r"actor\.base_network\.0\.bias holds NaN or infinity")


@pytest.mark.parametrize(
    "value", [integer(3), name("__main__", "Scalar"), name("torch._utils", "_rebuild_tensor_v2")]
)
def test_a_value_that_is_no_tensor_is_refused(path, value):
    checkpoint = Checkpoint()
    checkpoint.actor["odd"] = value
    refuse(checkpoint.write(path), r"actor\.odd is not a tensor")


def test_a_tensor_made_without_arguments_is_refused(path):
    checkpoint = Checkpoint()
    checkpoint.actor["odd"] = name("torch._utils", "_rebuild_tensor_v2") + b")\x81"
    refuse(checkpoint.write(path), r"actor\.odd is not a tensor")


def test_missing_parts_are_refused_with_those_found(path):
    pickled = b"\x80\x02" + mapping({"actor": mapping({}), "total_it": integer(1)}) + b"."
    refuse(Checkpoint().write(path, pickled), "lacks critic1; found actor, total_it")


@pytest.mark.parametrize("pickled", [b"\x80\x02N.", b"\x80\x02", b".", b"garbage"])
def test_a_pickle_without_a_checkpoint_is_refused(path, pickled):
    refuse(Checkpoint().write(path, pickled), "pickle is corrupt|checkpoint is not a dictionary")


def test_a_pickle_cannot_claim_gigabytes(path):
    memo = b"\x80\x02}r\xff\xff\xff\xff."
    refuse(Checkpoint().write(path, memo), "the pickle is corrupt: LONG_BINPUT of 4294967295")
    text = b"\x80\x05\x96\x00\x00\x00\x00\xff\x00\x00\x00a."
    refuse(Checkpoint().write(path, text), "the pickle is corrupt")


def test_other_files_are_refused(path):
    path.write_bytes(b"text")
    refuse(path, "not a PyTorch zip checkpoint")
    path.write_bytes(b"")
    refuse(path, "not a PyTorch zip checkpoint")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other", "text")
    refuse(path, "not a PyTorch zip checkpoint: it does not hold one data.pkl")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return Checkpoint().write(tmp_path_factory.mktemp("content") / "policy.pt").read_bytes()


@settings(max_examples=50, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(content, share):
    with pytest.raises(InvalidInputError, match="not a PyTorch zip checkpoint, or truncated"):
        load_state_dicts(content[: int(share * len(content))], ("actor", "critic1"))


@settings(max_examples=300, deadline=None)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3)
)
def test_a_damaged_file_is_read_as_it_was_or_refused(content, flips):
    damaged = bytearray(content)
    for share, mask in flips:
        damaged[int(share * len(damaged))] ^= mask
    try:
        found = load_state_dicts(bytes(damaged), ("actor", "critic1"))
    except InvalidInputError:
        return
    original = load_state_dicts(content, ("actor", "critic1"))
    for part, tensors in original.items():
        for key, value in tensors.items():
            np.testing.assert_array_equal(found[part][key], value)


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_pickle_is_read_or_refused(tmp_path_factory, place, value):
    checkpoint = Checkpoint(hidden_sizes=())
    pickled = bytearray(checkpoint.pickle())
    pickled[int(place * len(pickled))] = value
    path = tmp_path_factory.mktemp("changed") / "policy.pt"
    try:
        found = read(checkpoint.write(path, bytes(pickled)))
    except InvalidInputError:
        return
    for tensors in found.values():
        assert all(tensor.dtype == np.float32 for tensor in tensors.values())
