from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import repricer.serving.bundle.files as files
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper
from repricer.envs import Market
from repricer.scenarios import MarketSpec
from repricer.serving import Bundle, BundleError, load_bundle
from repricer.serving.bundle.files import (
    LIMITS,
    MANIFEST,
    SIGNATURE,
    open_seal,
    own_key,
    own_key_paths,
    read_files,
    seal,
    to_json,
)

Reseal = Callable[..., Path]


@pytest.fixture
def copy(one_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_path, tmp_path / "copy"))


@pytest.fixture
def reseal(copy: Path) -> Reseal:
    """Sign the copy again after a change to a file, as somebody with a key of their own would."""

    def change(name: str | None = None, content: bytes = b"", **facts: Any) -> Path:
        manifest = json.loads((copy / MANIFEST).read_bytes()) | facts
        del manifest["files"]
        inside = {n: (copy / n).read_bytes() for n in LIMITS if n not in (MANIFEST, SIGNATURE)}
        if name is not None:
            inside[name] = content
        for n, data in seal(inside, manifest, Ed25519PrivateKey.generate()).items():
            (copy / n).write_bytes(data)
        return copy

    return change


def refused(path: Path, match: str, **options: Any) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        load_bundle(path, **options)
    assert "\n" not in str(caught.value)


def test_an_untouched_copy_loads(copy: Path, reseal: Reseal) -> None:
    assert load_bundle(copy).trust == "self-signed"
    assert load_bundle(reseal()).trust == "self-signed"


@pytest.mark.parametrize("place", [0.0, 0.5, 0.98])
@pytest.mark.parametrize("name", list(LIMITS))
def test_a_flipped_bit_is_refused(copy: Path, name: str, place: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x01
    (copy / name).write_bytes(content)
    refused(copy, "must be")


def test_every_bit_of_the_signature_counts(one_path: Path) -> None:
    contents = read_files(one_path)
    for bit in range(8 * len(contents[SIGNATURE])):
        changed = bytearray(contents[SIGNATURE])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((ValueError, LookupError)):
            open_seal(contents | {SIGNATURE: bytes(changed)}, None)


@pytest.mark.parametrize("name", list(LIMITS))
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    refused(copy, rf"got no {name}")


@pytest.mark.parametrize("name", list(LIMITS))
def test_an_empty_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"")
    refused(copy, "must be")


@pytest.mark.parametrize("kind", ["file", "hidden", "folder", "fifo"])
def test_anything_more_is_refused(copy: Path, kind: str) -> None:
    extra = copy / (".x" if kind == "hidden" else "x")
    {"folder": extra.mkdir, "fifo": lambda: os.mkfifo(extra)}.get(kind, extra.touch)()
    refused(copy, "as well")


@pytest.mark.parametrize("name", list(LIMITS))
def test_a_link_is_refused(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    refused(copy, "symbolic links, as a mounted ConfigMap has")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_a_files_place_is_refused(copy: Path, make: Callable[[Path], None]) -> None:
    (copy / "golden.json").unlink()
    make(copy / "golden.json")
    refused(copy, r"golden\.json that is not a plain file")


@pytest.mark.parametrize("name", list(LIMITS))
def test_an_oversize_file_is_refused(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (copy / name).stat().st_size
    monkeypatch.setitem(files.LIMITS, name, size)
    load_bundle(copy)
    monkeypatch.setitem(files.LIMITS, name, size - 1)
    refused(copy, rf"{name} must have at most")


def test_no_bundle_at_all(tmp_path: Path, one_path: Path) -> None:
    refused(tmp_path / "nowhere", "No such file")
    refused(one_path / MANIFEST, "Not a directory")
    refused(tmp_path, "got no catalogue.json")


@pytest.mark.parametrize("created", [5, "soon", "2024-03-04", None])
def test_a_bundle_says_when_it_was_made(reseal: Reseal, created: Any) -> None:
    refused(reseal(created=created), "must")


def test_a_number_that_is_not_finite_is_refused_though_signed(copy: Path, reseal: Reseal) -> None:
    manifest = json.loads((copy / MANIFEST).read_bytes())
    assert manifest["created"]
    for name in ("catalogue.json", "guardrails.json"):
        content = (copy / name).read_bytes().replace(b"2.0", b"1e999", 1)
        assert b"1e999" in content
        refused(reseal(name, content), "numbers must be finite")


def test_another_bundles_signature_is_refused(copy: Path, one_path: Path, reseal: Reseal) -> None:
    other = (one_path / SIGNATURE).read_bytes()
    reseal(created="another day")
    (copy / SIGNATURE).write_bytes(other)
    refused(copy, r"manifest\.json must be as it was signed")


def test_the_pinned_key_must_have_signed(copy: Path, one_path: Path, tmp_path: Path, reseal: Reseal) -> None:
    public = own_key_paths(one_path)[1]
    assert load_bundle(copy, public_key=public).trust == "pinned"
    own_key(tmp_path / "stranger")
    refused(copy, "another signer", public_key=own_key_paths(tmp_path / "stranger")[1])
    refused(reseal(), "another signer", public_key=public)
    # Naming the trusted key is not signing with it.
    signature = json.loads((copy / SIGNATURE).read_bytes())
    signature["public_key"] = json.loads((one_path / SIGNATURE).read_bytes())["public_key"]
    (copy / SIGNATURE).write_bytes(to_json(SIGNATURE, signature))
    refused(copy, r"manifest\.json must be as it was signed", public_key=public)


def test_the_key_file_must_be_a_public_key(copy: Path, one_path: Path, tmp_path: Path) -> None:
    refused(copy, "must be an Ed25519 public key", public_key=own_key_paths(one_path)[0])
    refused(copy, "No such file", public_key=tmp_path / "nowhere.pem")


@pytest.mark.parametrize(
    "content", ["[" * 500, "[]", "{}", '{"public_key": 1, "signature": 2}', '{"public_key": "00"}']
)
def test_a_signature_file_that_makes_no_sense_is_refused(copy: Path, content: str) -> None:
    (copy / SIGNATURE).write_text(content)
    refused(copy, "must be a bundle that repricer wrote")


def test_deep_json_is_refused(reseal: Reseal) -> None:
    refused(reseal("golden.json", b"[" * 100_000), "RecursionError")


def test_another_schema_is_refused(reseal: Reseal) -> None:
    refused(reseal(schema_version=1), "schema_version must be 4; got 1")


def test_charged_prices_are_read_and_an_older_bundle_has_none(copy: Path, reseal: Reseal) -> None:
    manifest = json.loads((copy / MANIFEST).read_bytes())
    assert manifest.pop("charged") is None
    assert load_bundle(copy).charged is None
    charged = load_bundle(reseal(charged={"low": [1.5, 2.0, 4.0], "high": [2.5, 3.0, 5.0]})).charged
    assert charged is not None
    assert charged.outside([1.4, 2.5, 5.5]).tolist() == [True, False, True]
    refused(
        reseal(charged={"low": [1.5], "high": [2.5]}),
        r"manifest.json, charged: low must have shape \(\d+,\) .* got shape \(1,\)",
    )
    refused(
        reseal(charged={"low": [3.0, 2.0, 4.0], "high": [2.5, 3.0, 5.0]}),
        "a charged range must rise",
    )


def test_a_manifest_that_lists_other_files_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_bytes())
    del manifest["files"]
    inside = {n: (copy / n).read_bytes() for n in ("policy.onnx", "catalogue.json", "guardrails.json")}
    for name, data in seal(inside, manifest, Ed25519PrivateKey.generate()).items():
        (copy / name).write_bytes(data)
    refused(copy, "must list")


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("golden.json", ("outputs", "price_multiplier", 0), 1.5),
        ("golden.json", ("features", 0, 2), 2.5),
        ("golden.json", ("markets", 1, "price", 0), 1.23),
        ("golden.json", ("markets", 1, "state", "period"), 7),
        ("golden.json", ("markets", 0, "state", "products", 0, "list_price"), -1),
        ("guardrails.json", ("ceiling", 0), 1.05),
        ("guardrails.json", ("ceiling", 0), 0.5),
        ("guardrails.json", ("floor",), [1.0]),
        ("guardrails.json", ("floor",), None),
        ("guardrails.json", ("unit_cost",), None),
        ("catalogue.json", ("regular_price",), None),
        ("catalogue.json", ("rivals",), 1),
        ("response.json", ("promotion",), None),
        ("guardrails.json", ("ladder",), [2.0, 1.0]),
        ("guardrails.json", ("max_change",), "much"),
        ("guardrails.json", ("past_price",), [[1.0]]),
        ("guardrails.json", ("planned_price",), [[1.0, 2.0]]),
        ("guardrails.json", ("planned_price",), [[2.0, 3.0, 5.0]]),
        ("catalogue.json", ("base_price", 1), 3.5),
        ("catalogue.json", ("base_price", 1), float("nan")),
        ("catalogue.json", ("regular_price", 1), 0),
        ("catalogue.json", ("category", 1), -1),
        ("catalogue.json", ("products", 1), "anchovy"),
        ("catalogue.json", ("segments",), []),
        ("catalogue.json", ("forecast_units",), []),
        ("catalogue.json", ("product_wise",), False),
        ("catalogue.json", ("layout", "num_segments"), 3),
        ("catalogue.json", ("layout", "recommend"), False),
        ("catalogue.json", ("layout", "surprise"), 1),
        ("catalogue.json", ("candidates",), [[1, 1, 1]]),
        ("catalogue.json", ("base",), "undercut:1"),
        ("catalogue.json", ("base",), "os.system:1"),
        ("catalogue.json", ("most_promoted",), 2),
        ("catalogue.json", ("layout", "promote"), True),
        ("catalogue.json", ("layout", "order"), True),
        ("catalogue.json", ("memory",), {"window": [2, 10]}),
        ("catalogue.json", ("memory",), {"hidden": [1, 4], "cell": [1, "4"]}),
        ("catalogue.json", ("extra",), 1),
    ],
    ids=str,
)
def test_contents_that_disagree_are_refused_though_signed(
    copy: Path, reseal: Reseal, name: str, path: tuple[Any, ...], value: Any
) -> None:
    document = json.loads((copy / name).read_bytes())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    refused(reseal(name, json.dumps(document).encode()), "must")


def evil(model: onnx.ModelProto, trick: str) -> onnx.ModelProto:
    """The good model with one thing more than arithmetic in it."""
    graph, scalar = model.graph, helper.make_tensor("c", TensorProto.FLOAT, [], [1.0])
    body = helper.make_graph([], "body", [], [])
    if trick == "domain":
        graph.node.append(helper.make_node("Gelu", ["features"], ["unused"], domain="com.microsoft"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    elif trick == "imported domain":
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    elif trick == "external weights":
        weight = graph.initializer[0]
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="../../etc/hostname")
        weight.ClearField("raw_data")
    elif trick == "external constant":
        scalar.external_data.add(key="location", value="weights.bin")
        graph.node.append(helper.make_node("Constant", [], ["unused"], value=scalar))
    elif trick == "control flow":
        graph.node.append(helper.make_node("If", ["c"], ["unused"], then_branch=body, else_branch=body))
    elif trick == "functions":
        model.functions.append(helper.make_function("mine", "f", [], [], [], []))
    elif trick == "operator":
        graph.node.append(helper.make_node("RandomNormal", [], ["unused"], shape=[1]))
    elif trick == "oversize":
        graph.initializer.append(TensorProto(name="big", data_type=1, dims=[1 << 13, 1 << 12]))
    elif trick == "sparse weights":
        graph.sparse_initializer.append(helper.make_sparse_tensor(scalar, scalar, [1]))
    return model


TRICKS = {
    "domain": "operator domain b'com.microsoft'",
    "imported domain": "operator domain b'com.microsoft'",
    "external weights": "weights in another file",
    "external constant": "weights in another file",
    "control flow": "control flow",
    "functions": "functions",
    "sparse weights": "sparse weights",
    "operator": "operator b'RandomNormal'",
    "oversize": "a tensor of more than 16,777,216 numbers",
}


@pytest.mark.parametrize("trick", list(TRICKS))
def test_a_network_that_does_more_than_arithmetic_is_refused(copy: Path, reseal: Reseal, trick: str) -> None:
    model = evil(onnx.load(copy / "policy.onnx"), trick)
    refused(reseal("policy.onnx", model.SerializeToString()), TRICKS[trick])


def test_a_network_of_another_shape_is_refused(copy: Path, reseal: Reseal) -> None:
    model = onnx.load(copy / "policy.onnx")
    model.graph.output[0].name = model.graph.node[0].output[0]
    refused(reseal("policy.onnx", model.SerializeToString()), "must take .*features")


def test_a_small_file_cannot_ask_for_a_huge_tensor(copy: Path, reseal: Reseal) -> None:
    model = onnx.load(copy / "policy.onnx")
    output = model.graph.output[0].name
    last = next(node for node in model.graph.node if output in node.output)
    last.output[0] = "small"
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1 << 20, 1 << 20, 1])
    model.graph.initializer.append(shape)
    model.graph.node.extend(
        [
            helper.make_node("Expand", ["small", "shape"], ["huge"]),
            helper.make_node("ReduceMean", ["huge"], [output], keepdims=0),
        ]
    )
    refused(reseal("policy.onnx", model.SerializeToString()), "must be a bundle .*Expand node.*arena")


@pytest.mark.parametrize("content", [b"garbage", b"\x3a\x00", b"\x08\x0a"])
def test_no_network_is_refused(reseal: Reseal, content: bytes) -> None:
    refused(reseal("policy.onnx", content), "must be")


def test_other_weights_are_refused_though_signed(copy: Path, reseal: Reseal) -> None:
    model = onnx.load(copy / "policy.onnx")
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = np.frombuffer(weight.raw_data, dtype=np.float32) * 1.01
    weight.raw_data = values.astype(np.float32).tobytes()
    refused(reseal("policy.onnx", model.SerializeToString()), r"golden\.json must be reproduced")


PROGRAM = """
import json, sys
for name in ("torch", "gymnasium", "stable_baselines3", "pandas", "numba", "onnx", "fastapi", "sklearn"):
    sys.modules[name] = None  # importing it now fails as if it were not installed
import repricer
from repricer.serving import Predictor, example_state
bundle = repricer.load_bundle(sys.argv[1], public_key=sys.argv[2])
print(json.dumps(Predictor(bundle).price(example_state(bundle.catalogue)).to_dict()))
"""


def test_it_loads_and_answers_without_what_training_needs(one_path: Path) -> None:
    public = own_key_paths(one_path)[1]
    command = [sys.executable, "-c", PROGRAM, str(one_path), str(public)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["prices"]) == 3


def test_another_process_opens_the_network_again(one: Bundle, spec: MarketSpec):
    view = Market(spec).view
    again = pickle.loads(pickle.dumps(one.policy))
    np.testing.assert_array_equal(again.act(view).price, one.policy.act(view).price)
