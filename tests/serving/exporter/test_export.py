from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import repricer
import repricer.serving.exporter.export as exporting
import torch
from repricer.agents.actor import Actor
from repricer.envs import Market
from repricer.pricing import FEATURE_LIMIT, ActionLayout, row_width
from repricer.serving import Bundle, BundleError, export, load_bundle
from repricer.serving.bundle.files import LIMITS, own_key, own_key_paths, write_files
from repricer.serving.exporter.onnx_graph import PolicyGraph


def test_the_graph_answers_as_torch_and_the_layout_do(run, bundle: Bundle) -> None:
    products = 1 if run.product_wise else 3
    columns = row_width(bundle.catalogue, product_wise=run.product_wise)
    # Beyond the limit as well: clipping is part of the graph.
    rows = np.random.default_rng(5).normal(0, 4, (10_000, columns)).astype(np.float32)
    assert np.abs(rows).max() > FEATURE_LIMIT
    with torch.inference_mode():
        raw = run.actor(torch.from_numpy(rows.clip(-FEATURE_LIMIT, FEATURE_LIMIT))).numpy()
    wanted = run.layout.decode(raw.reshape(-1, products, run.layout.size))
    for got, want in zip(bundle.policy.forward(rows)[:3], wanted[:3], strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-5, atol=1e-5)
    # Both sides of the base price, and discounts that are none, some and full.
    assert 0.1 < np.mean(wanted[0] > 1) < 0.9
    assert np.unique(wanted[1]).size > 1000


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (0.9, 3.0), (1.0, 2.0), (0.4, 1.0)])
def test_prices_alone_are_decoded_as_the_layout_says(tmp_path: Path, low: float, high: float) -> None:
    settings = {"num_envs": 2, "validation_episodes": 2, "evaluations": 1, "product_wise": False}
    run = repricer.train("scarce", steps=1, out=tmp_path / "run", settings=settings)
    setup = replace(exporting.setup_of(run.spec, run.policy), layout=ActionLayout(low, high))
    rows = np.random.default_rng(3).normal(0, 4, (500, row_width(setup.catalogue, product_wise=False)))
    with torch.no_grad():
        run.actor.layers[-1].weight.mul_(1000.0)  # a new network says nearly nothing
        raw = run.actor(torch.from_numpy(rows.clip(-FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float32))).numpy()
    graph = PolicyGraph(run.actor, setup)
    got = graph.answer(rows.astype(np.float32), ())[0].price_multiplier
    assert 0.1 < np.mean(raw > 0) < 0.9
    np.testing.assert_allclose(got, setup.layout.decode(raw[..., None]).price_multiplier, rtol=1e-6)


def test_one_row_answers_like_many(bundle: Bundle) -> None:
    columns = row_width(bundle.catalogue, product_wise=bundle.policy.product_wise)
    rows = np.random.default_rng(1).normal(size=(5, columns)).astype(np.float32)
    together = bundle.policy.forward(rows)[0]
    alone = [bundle.policy.forward(row[None])[0][0] for row in rows]
    np.testing.assert_allclose(alone, together, rtol=1e-6)


def test_it_holds_what_the_run_knew(run, bundle_path: Path, bundle: Bundle) -> None:
    assert {path.name for path in bundle_path.iterdir()} == set(LIMITS)
    manifest = bundle.manifest
    assert bundle.scenario == "test-market:2"
    assert manifest["objective"] == "profit"
    assert manifest["assumptions"] == ["the slot's lift was assumed"]
    assert manifest["run"] == run.facts
    assert {"torch", "onnxruntime", "repricer"} <= manifest["packages"].keys()
    assert bundle.policy.layout == run.layout
    assert bundle.policy.product_wise == run.product_wise
    np.testing.assert_array_equal(bundle.policy.base_price, run.base_price)
    for name in ("floor", "ceiling", "unit_cost", "low", "high", "max_change", "tick", "max_discount"):
        np.testing.assert_array_equal(getattr(bundle.guardrails, name), getattr(run.spec.guardrails, name))
    assert bundle.candidates.tolist() == [[True, True, False], [False, True, True]]


def test_nothing_tells_where_it_was_written(bundle_path: Path) -> None:
    here = str(Path(__file__).parents[3]).encode()
    for path in bundle_path.iterdir():
        content = path.read_bytes()
        assert here not in content
        assert b"stack_trace" not in content
        assert b"site-packages" not in content


def test_the_same_run_gives_the_same_files(run, tmp_path: Path, bundle_path: Path) -> None:
    again = export(run, tmp_path / "again")
    for name in ("policy.onnx", "guardrails.json", "catalogue.json", "golden.json"):
        assert (again / name).read_bytes() == (bundle_path / name).read_bytes()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, one_path: Path) -> None:
    """Exports of the same run again, without asking torch for the graph again."""
    model = (one_path / "policy.onnx").read_bytes()
    monkeypatch.setattr("repricer.serving.exporter.onnx_graph.PolicyGraph.to_onnx", lambda self: model)


def test_a_key_is_made_once_and_used_again(quick: None, one_run, tmp_path: Path) -> None:
    out = export(one_run, tmp_path / "b")
    private, public = own_key_paths(out)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    assert load_bundle(out).trust == "self-signed"
    assert load_bundle(out, public_key=public).trust == "pinned"
    export(one_run, out, seed=1)
    assert private.read_bytes() == before
    assert load_bundle(out, public_key=public).trust == "pinned"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "b.key.pem", "b.pub.pem"]


def test_a_given_key_signs_and_no_other_is_made(quick: None, one_run, tmp_path: Path) -> None:
    own_key(tmp_path / "shop")
    private, public = own_key_paths(tmp_path / "shop")
    out = export(one_run, tmp_path / "b", key=private)
    assert load_bundle(out, public_key=public).trust == "pinned"
    assert not own_key_paths(out)[0].exists()


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_wrong_key_is_refused_before_anything_is_written(one_run, tmp_path: Path, content: bytes | None) -> None:
    key = tmp_path / "key.pem"
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(BundleError, match=r"must be an Ed25519 private key"):
        export(one_run, tmp_path / "b", key=key)
    assert not (tmp_path / "b").exists()


def test_another_kind_of_key_is_refused(one_run, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    with pytest.raises(BundleError, match=r"got a .*EC"):
        export(one_run, tmp_path / "b", key=tmp_path / "key.pem")


@pytest.mark.parametrize("stage", ["to_json", "seal"])
def test_a_failure_on_the_way_leaves_nothing(
    quick: None, one_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, stage, fail)
    with pytest.raises(KeyboardInterrupt):
        export(one_run, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir() if "pem" not in path.name] == []


@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("stage", ["write", "check", "rename"])
def test_a_failure_while_writing_leaves_what_was_there(
    quick: None, one_run, one_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, there: bool
) -> None:
    out = tmp_path / "b"
    if there:
        export(one_run, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()} if there else None

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    rename = Path.rename

    def fail_new(path: Path, target: Path) -> Path:
        return fail() if path.suffix == ".new" else rename(path, target)

    if stage == "write":
        monkeypatch.setattr("repricer.atomic._sync", fail)
    elif stage == "check":
        monkeypatch.setattr(exporting, "load_bundle", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail_new)
    with pytest.raises(OSError, match="no space left"):
        export(one_run, out, seed=9)
    left = [path for path in tmp_path.iterdir() if path.suffix != ".pem"]
    assert left == ([out] if there else [])
    if there:
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_only_a_bundle_is_replaced(quick: None, one_run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.jpg").write_text("meow")
    (tmp_path / "file").write_text("text")
    bundle = export(one_run, tmp_path / "bundle")
    (tmp_path / "link").symlink_to(bundle)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("photos", "file", "link", "dangling"):
        with pytest.raises(BundleError, match=r"new path or a bundle to replace.*choose another path"):
            export(one_run, tmp_path / name)
        # Refused at once: no key was made for it.
        assert not own_key_paths(tmp_path / name)[0].exists()
        # ... and once more before it would be renamed away.
        with pytest.raises(BundleError, match="bundle to replace"):
            write_files(tmp_path / name, {}, check=lambda _: None)
    assert (folder / "cat.jpg").read_text() == "meow"
    # A damaged bundle is still one that may be replaced.
    (bundle / "golden.json").write_text("{}")
    export(one_run, bundle)
    load_bundle(bundle)


def test_a_policy_that_gives_no_numbers_is_not_exported(one_run, tmp_path: Path) -> None:
    layers = torch.nn.Sequential(one_run.actor.layers, torch.nn.Threshold(float("inf"), float("nan")))
    broken = replace(one_run, actor=Actor(layers, None, one_run.actor.columns))
    with pytest.raises(BundleError):
        export(broken, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_facts_must_be_json(quick: None, one_run, tmp_path: Path) -> None:
    broken = replace(one_run, evaluation={"revenue": float("nan")})
    with pytest.raises(BundleError, match=r"manifest\.json must hold plain finite JSON"):
        export(broken, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_another_user_may_read_it_where_the_umask_allows(quick: None, one_run, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        out = export(one_run, tmp_path / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o644}


@pytest.mark.parametrize("algo", ["dqn", "sac"])
def test_other_algorithms_are_exported_and_answer_alike(tmp_path, algo):
    run = repricer.train("stationary-logit", algo=algo, steps=3000, settings={"validation_episodes": 8})
    bundle = repricer.load_bundle(repricer.export(run, tmp_path / "bundle"))
    view = Market(run.spec, num_markets=5).view
    np.testing.assert_allclose(bundle.policy.act(view).price, run.policy.act(view).price, rtol=1e-5)
