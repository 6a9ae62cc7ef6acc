from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from repricer.serving import BundleError
from repricer.serving.bundle.onnx_session import scan


def outcome(content: bytes) -> str | None:
    try:
        scan(content)
    except BundleError as error:
        return str(error)
    return None


def test_an_exported_network_passes(one_path: Path) -> None:
    content = (one_path / "policy.onnx").read_bytes()
    assert outcome(content) is None
    # Every cut of it that protobuf itself cannot read is refused, and nothing worse happens to the others.
    for end in range(0, len(content), 97):
        try:
            onnx.ModelProto.FromString(content[:end])
        except DecodeError:
            assert outcome(content[:end]) is not None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
@example(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\xff" * 11)
def test_any_bytes_pass_or_are_refused(content: bytes) -> None:
    outcome(content)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        # functions (25), under a tag of the shortest form and of one byte more than needed
        (b"\xca\x01\x00", "functions"),
        (b"\xca\x81\x00\x00", "functions"),
        # ... and with a bit that a 32-bit reader of the tag drops
        (b"\xca\x81\x80\x80\x10\x00", "a broken protobuf"),
        # a second graph (7) is merged with the first: its node (1) has a domain (7)
        (b"\x3a\x00\x3a\x05\x0a\x03\x3a\x01x", "operator domain b'x'"),
        # groups are no part of onnx.proto
        (b"\x3b\x3c", "a broken protobuf"),
        # a fixed64 and a fixed32 of unknown fields are skipped, and what follows is still seen
        (b"\xa1\x06" + b"\x00" * 8 + b"\xa5\x06" + b"\x00" * 4 + b"\xca\x01\x00", "functions"),
        (b"\xa1\x06\x00", "a broken protobuf"),
    ],
)
def test_wire_format(content: bytes, what: str) -> None:
    assert f"got {what};" in (outcome(content) or "")


def test_where_a_tensor_lies_counts_only_if_elsewhere() -> None:
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.DEFAULT)
    inside = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor]))
    assert outcome(inside.SerializeToString()) is None
    inside.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    assert "weights in another file" in (outcome(inside.SerializeToString()) or "")
