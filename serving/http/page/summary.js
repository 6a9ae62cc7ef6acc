// What the list opens with: the verdict, the gain with its interval, what stands at a bound, the plan beside the past.
import { made } from "/page/price_list.js";

const $ = (selector) => document.querySelector(selector);
const PAST = { units: "units", revenue: "revenue", profit: "profit", average_price: "average price", on_deal: "on deal" };

function past(zone) {
  if (!zone.past.length) return [];
  const figure = (row, name) => {
    if (name === "on_deal") return `${Math.round(100 * row[name])}%`;
    const digits = name === "average_price" ? 2 : 0;
    return row[name].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  };
  const head = made("tr", {}, made("td"), ...Object.values(PAST).map((name) => made("th", { scope: "col", className: "number" }, name)));
  const rows = zone.past.map((row) => made(
    "tr", {},
    made("th", { scope: "row" }, row.weeks),
    ...Object.keys(PAST).map((name) => made("td", { className: "number" }, figure(row, name))),
  ));
  const caption = made("caption", { className: "aside" }, `The plan beside the past, ${zone.zone}${zone.past[0].vat ? ", money without VAT" : ""}`);
  const table = made("table", { className: "past" }, caption, made("thead", {}, head), made("tbody", {}, ...rows));
  return [made("div", { className: "scroll", role: "region", ariaLabel: `The plan beside the past, ${zone.zone}`, tabIndex: 0 }, table)];
}

/** Show the summary beside the list; a list without one shows none, and why. */
export function showSummary(found, problem) {
  $("#summary").hidden = !found && !problem;
  if (!found) return void $("#zones").replaceChildren(...(problem ? [made("p", {}, problem)] : []));
  const several = found.zones.length > 1;
  $("#zones").replaceChildren(...found.zones.flatMap((zone) => [
    ...(several ? [made("h3", {}, zone.zone)] : []),
    ...zone.sentences.map((text, place) => made("p", { className: place ? "" : "verdict" }, text)),
    ...past(zone),
  ]));
}
