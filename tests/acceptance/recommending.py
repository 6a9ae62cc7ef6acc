"""What choosing who is shown what adds, in the demo's market."""

from __future__ import annotations

from .checks import check
from .loop import demo


@check(
    "customers", "demo: profit from choosing what is shown, least of the 95% intervals", ">=", 0, "dollars an episode"
)
def recommending() -> float:
    """The learned policy against itself with the recommender's own choice in every slot, on the same customers."""
    gains = {row["policy"]: row["vs_best_fixed"]["ci95"] for row in demo()["document"]["comparison"]["policies"]}
    with_it, without = gains["ppo"], gains["ppo without recommendation"]
    return with_it[0] - without[1]
