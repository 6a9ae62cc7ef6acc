"""One seed of the simulation, from its start to its violations; tests and acceptance run it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .actions import story
from .checker import violations
from .world import World


def run(seed: int, bundles: list[Path]) -> list[str]:
    """What a seed violates; the same seed gives the same history."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        world = World(seed, bundles, Path(folder))
        found = list[str]()

        async def checked(world: World) -> None:
            await story(world)
            found.extend(violations(world))

        world.live(checked)
        return found
