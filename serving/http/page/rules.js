// The panel of the price rules: what each costs, the dearest first, and the products that it binds.
import { cell, header, made } from "/page/price_list.js";

const $ = (selector) => document.querySelector(selector);

const money = (value, digits = 2) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const words = (rule) => rule.replaceAll("_", " ");

function figure(row, name) {
  const interval = row[`${name}_interval90`].map((end) => money(end, Math.abs(end) < 10 ? 2 : 0)).join(" to ");
  return cell(name, { className: "number" }, money(row[name]), made("small", { className: "interval", title: "90% interval" }, interval));
}

function bound(one) {
  const price = one.without === one.price ? "" : `, without the rule ${money(one.without)}`;
  const share = (value) => `${Math.round(100 * value)}%`;
  const discount = one.discount === one.discount_without ? "" : `, discount ${share(one.discount)}, without the rule ${share(one.discount_without)}`;
  return made("li", {}, `${one.product}: ${money(one.price)}${price}${discount}`);
}

function binds(row) {
  if (!row.products.length) return cell("binds", {}, "no product");
  const count = `${row.products.length} ${row.products.length === 1 ? "product" : "products"}`;
  const summary = made("summary", { ariaLabel: `${count} that ${words(row.rule)} binds` }, count);
  return cell("binds", {}, made("details", {}, summary, made("ul", {}, ...row.products.map(bound))));
}

function line(row) {
  const beyond = row.extrapolated ? [made("br"), made("small", {}, "beyond what was charged: not known")] : [];
  const name = header(words(row.rule), made("br"), made("small", {}, row.says), ...beyond);
  return made("tr", { role: "row" }, name, figure(row, "cost"), figure(row, "revenue"), figure(row, "profit"), binds(row));
}

/** Show what `repricer rules cost` wrote beside the list, or nothing. */
export function showRules(found) {
  $("#rules").hidden = !found;
  if (!found || $("#rule-rows").children.length) return;
  const [dearest] = found.rules;
  const first = dearest ? `the dearest is ${words(dearest.rule)}, ${money(dearest.cost)} ${found.currency}` : "the market has no rules";
  const stuck = new Set(found.no_choice.map((one) => one.product)).size;
  $("#rules-summary").textContent = `${found.rules.length} rules; ${first}${stuck ? `; ${stuck} products without a choice` : ""}`;
  $("#rules-legend").textContent = `In ${found.currency}, against the best prices under all rules; cost in ${found.chosen_by}, by which prices are chosen. Below: 90% intervals.`;
  $("#no-choice").replaceChildren(...found.no_choice.map((one) => made("li", {}, `No choice: ${one.rules.map(words).join(" and ")} leave ${one.product} at ${money(one.price)}.`)));
  $("#rule-rows").replaceChildren(...[...found.rules, ...found.groups, found.together].map(line));
}
