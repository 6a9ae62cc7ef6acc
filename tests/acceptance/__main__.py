"""`make acceptance`: the long checks, one line each: name, figure, bar, `ok` or `short`, seconds."""

from __future__ import annotations

import argparse
import json
import time

from . import (  # noqa: F401  they register their checks
    agents,
    agents_algorithms,
    agents_feedback,
    agents_fitted,
    agents_killed,
    agents_markets,
    agents_unseen,
    alerts,
    client,
    competition,
    container,
    customers,
    decisions,
    demand_data,
    demand_forecasts,
    demand_market,
    demand_response,
    discrimination,
    evaluation,
    field_certificates,
    field_chain,
    field_designs,
    field_known,
    field_rollout,
    field_value,
    fleet,
    instances,
    lists,
    log_growth,
    long_tests,
    loop,
    market,
    outcome_uploads,
    price_list,
    recommending,
    rolling,
    rules_cost,
    rules_engine,
    rules_fairness,
    rules_image,
    rules_law,
    rules_page,
    scale_catalogue,
    scale_fit,
    scale_ray,
    scale_tables,
    scale_tuning,
    service,
    service_load,
    serving,
    shops,
    shops_analgesics,
    shops_deals,
    shops_gains,
    shops_others,
    simulation,
    trust_answers,
    trust_federated,
    trust_fraud,
    trust_light,
    trust_privacy,
    trust_tables,
    trust_text,
    uplift,
    uplift_real,
    weeks,
    weeks_catalogue,
    weeks_markdown,
)
from .checks import CHECKS, Skip

_WITH = {"serving": ("fleet",)}
"""Parts that are measured along with a part."""


def main() -> None:
    """Run the checks of a part, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted({check.part for check in CHECKS}), help="one part")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    rows, skipped = [], []
    wanted = (arguments.only, *_WITH.get(arguments.only, ()))
    for check in (c for c in CHECKS if arguments.only is None or c.part in wanted):
        started = time.perf_counter()
        try:
            figure = check.measure()
        except Skip as reason:
            skipped.append({"part": check.part, "check": check.name, "reason": str(reason)})
            if not arguments.json:
                print(f"{check.part}: {check.name}: skipped ({reason})", flush=True)
            continue
        ok = check.passes(figure)
        seconds = time.perf_counter() - started
        rows.append(
            {"part": check.part, "check": check.name, "figure": figure, "bar": check.bar, "ok": ok, "seconds": seconds}
        )
        if not arguments.json:
            bar = f"{check.relation} {check.bar:g} {check.unit}".rstrip()
            print(
                f"{check.part}: {check.name}: {figure:.4g} ({bar}) {'ok' if ok else 'short'} {seconds:.0f} s",
                flush=True,
            )
    counts = {"ok": sum(row["ok"] for row in rows), "short": sum(not row["ok"] for row in rows)}
    if arguments.json:
        print(json.dumps({"checks": rows, "skipped": skipped, **counts}))
        return
    also = f", {len(skipped)} skipped" if skipped else ""
    print(f"{counts['ok']} ok, {counts['short']} short{also}")


if __name__ == "__main__":
    main()
