"""Read a policy bundle and verify everything in it before it is used. No torch, no pickle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...pricing import Catalogue, ChargedRange, ChoiceModel, Guardrails, NetworkPolicy, RecurrentPolicy
from ..recurrent_state import RecurrentText
from ..sample_states import example_state
from . import golden
from .codec import setup_from
from .files import CATALOGUE, GOLDEN, GUARDRAILS, MANIFEST, POLICY, RANGE, RESPONSE, BundleError, read_files, read_json
from .onnx_session import open_network
from .response import read_response
from .signing import open_seal, read_public_key, sha256
from .training_range import TrainingRange, read_range

SCHEMA_VERSION = 3


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified policy with everything that it needs to price.

    Attributes:
        policy: Proposes prices; its name is that of the training run.
        guardrails: The price rules, which turn proposals into allowed prices.
        catalogue: The products and segments.
        candidates: (K, N) whether a product may fill a segment's slot; None without slots.
        most_promoted: Products on promotion at once; None without promotions.
        memory: The text form of the recurrent state.
        response: The expected purchases at given prices; None where another package defines the
            scenario's demand.
        seen: The range of the features in simulation.
        charged: The prices that the shop charged in the past; None where the bundle does not say.
        scenario: Name and version.
        manifest: Origin and evaluation of the policy.
        digest: SHA-256 of the manifest, which identifies the bundle.
        trust: "pinned" if the given public key signed it, "self-signed" if its own key only shows
            that it is unchanged.

    Example:
        >>> load_bundle("bundle").trust
        'self-signed'
    """

    policy: NetworkPolicy | RecurrentPolicy
    guardrails: Guardrails
    catalogue: Catalogue
    candidates: NDArray[np.bool_] | None
    most_promoted: int | None
    memory: RecurrentText
    response: ChoiceModel | None
    seen: TrainingRange
    charged: ChargedRange | None
    scenario: str
    manifest: dict[str, Any]
    digest: str
    trust: Literal["pinned", "self-signed"]

    @property
    def example(self) -> dict[str, Any]:
        """An `example_state` within the training range: with unlimited stock where that is all that
        the policy knows, and no more than it knows.
        """
        most = self.seen.most_stock(self.catalogue)
        return example_state(self.catalogue, unlimited=self.seen.unlimited_stock, most=most)


def load_bundle(path: str | os.PathLike[str], *, public_key: str | os.PathLike[str] | None = None) -> Bundle:
    """Load and verify a bundle: its files, their hashes, the signature, the network, the golden
    vectors.

    Args:
        path: Folder of the bundle.
        public_key: PEM file of the key that must have signed the bundle. Without one, anyone may
            have made it.

    Raises:
        BundleError: The bundle cannot be read or trusted; a ValueError with one line.

    Example:
        >>> bundle = load_bundle("bundle", public_key="bundle.pub.pem")
        >>> bundle.trust
        'pinned'
    """
    folder = Path(path)
    pinned = None if public_key is None else read_public_key(Path(public_key))
    files = read_files(folder)
    try:
        manifest = open_seal(files, pinned)
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise BundleError(
                f"{MANIFEST}: schema_version must be {SCHEMA_VERSION}; got {manifest['schema_version']!r}; "
                "read it with the repricer that wrote it"
            )
        if datetime.fromisoformat(manifest["created"]).tzinfo is None:
            raise BundleError(f"{MANIFEST}: created must have a time zone; got {manifest['created']}; export it again")
        setup = setup_from(read_json(files[CATALOGUE]), read_json(files[GUARDRAILS]))
        network, memory = open_network(files[POLICY], setup), setup.memory_text(sha256(files[POLICY]))
        scenario = "{name}:{version}".format_map(manifest["scenario"])
        response = read_response(read_json(files[RESPONSE]), setup.catalogue)
        seen = read_range(read_json(files[RANGE]), setup.catalogue)
        charged = _charged(manifest, len(setup.catalogue.products))
        golden.check(read_json(files[GOLDEN]), setup, network, memory)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error
    except Exception as error:
        # Any error here comes from the content of the files; ONNX Runtime's errors, for one, share
        # no base class.
        first = (str(error).splitlines() or [""])[0][:200]
        raise BundleError(
            f"{folder} must be a bundle that repricer wrote; got {type(error).__name__}: {first}; export it again"
        ) from error
    return Bundle(
        policy=setup.policy(str(manifest["policy"]), network),
        guardrails=setup.guardrails,
        catalogue=setup.catalogue,
        candidates=setup.candidates,
        most_promoted=setup.most_promoted,
        memory=memory,
        response=response,
        seen=seen,
        charged=charged,
        scenario=scenario,
        manifest=manifest,
        digest=sha256(files[MANIFEST]),
        trust="self-signed" if pinned is None else "pinned",
    )


def _charged(manifest: dict[str, Any], products: int) -> ChargedRange | None:
    """The charged prices of a manifest, which those of older bundles do not have."""
    document = manifest.get("charged")
    if document is None:
        return None
    low, high = (np.array(document[name], dtype=np.float64) for name in ("low", "high"))
    if low.shape != (products,) or high.shape != (products,):
        raise BundleError(
            f"{MANIFEST}: charged must hold one price per product; got {low.size} and {high.size}; export it again"
        )
    return ChargedRange(low, high)
