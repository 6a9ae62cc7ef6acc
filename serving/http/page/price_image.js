// The price image beside the list: key-value items to confirm or reject, and the path of the price index.
import { ask, cell, header, made, say } from "/page/price_list.js";
const $ = (selector) => document.querySelector(selector);
const SVG = "http://www.w3.org/2000/svg";
const AGAINST = { rival: "competitors", month: "a month ago", year: "a year ago" };
const figure = (value) => (value === null ? "–" : value.toFixed(3));

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...children);
  return element;
}

function item(one) {
  const button = (text, status) => made("button", {
    type: "button", ariaLabel: `${text} ${one.name}`, ariaPressed: String(one.status === status), onclick: () => decide(one, status, text),
  }, text);
  const by = one.decided_by ? ` by ${one.decided_by}` : "";
  return made(
    "tr", { id: `key-item-${one.id}`, role: "row" },
    header(one.name, made("br"), made("small", {}, one.id)),
    cell("score", { className: "number" }, one.score.toFixed(2)),
    cell("why", {}, made("ul", {}, ...one.reasons.map((text) => made("li", {}, text)))),
    cell("decision", { className: "decision" }, made("p", { className: `status ${one.status}` }, `${one.status}${by}`), button("Confirm", "confirmed"), button("Reject", "rejected")),
  );
}

async function decide(one, status, text) {
  try {
    const { key_items: items } = await ask("/v1/admin/price-list/key-items", { items: { [one.id]: one.status === status ? "proposed" : status } });
    const now = items.find((other) => other.id === one.id);
    document.getElementById(`key-item-${one.id}`).replaceWith(item(now));
    say(`${one.name}: ${now.status}${now.decided_by ? ` by ${now.decided_by}` : ""}.`);
    [...document.getElementById(`key-item-${one.id}`).querySelectorAll("button")].find((each) => each.textContent === text).focus();
  } catch (error) {
    say(`Not saved: ${error.message}`);
  }
}

function picture(path) {
  const known = path.index.map((value, week) => [week, value]).filter(([, value]) => value !== null);
  const all = [...known.map(([, value]) => value), 1, ...(path.bound === null ? [] : [path.bound])];
  const [low, high] = [Math.min(...all) - 0.01, Math.max(...all) + 0.01];
  const across = (week) => 10 + (380 * week) / Math.max(path.weeks.length - 1, 1);
  const up = (value) => 90 - (80 * (value - low)) / (high - low);
  const level = (value, kind) => drawn("line", { class: kind, x1: 10, x2: 390, y1: up(value), y2: up(value) });
  const line = (kind, weeks) => drawn("polyline", { class: kind, points: weeks.map(([week, value]) => `${across(week)},${up(value)}`).join(" ") });
  const values = known.map(([, value]) => value);
  const label = `Index against ${AGAINST[path.reference]}: ${figure(values[0])} in the week of ${path.weeks[known[0][0]]}, ${figure(values.at(-1))} in that of ${path.weeks[known.at(-1)[0]]}; between ${figure(Math.min(...values))} and ${figure(Math.max(...values))}.`;
  return drawn(
    "svg", { viewBox: "0 0 400 100", role: "img", "aria-label": label },
    level(1, "given"), ...(path.bound === null ? [] : [level(path.bound, "limit")]),
    line("line past", known.filter(([week]) => week <= path.past)), line("line", known.filter(([week]) => week >= path.past)),
  );
}

function index(path) {
  const listed = path.index.slice(path.past).filter((value) => value !== null);
  const span = [Math.min(...listed), Math.max(...listed)].map(figure);
  const weeks = path.weeks.map((week, number) => made("li", {}, `${week}: ${figure(path.index[number])}${number < path.past ? "" : ", list"}`));
  return made(
    "tr", { role: "row" },
    header(AGAINST[path.reference], made("br"), made("small", {}, `${path.base} · ${path.zone}`)),
    cell("last week", { className: "number" }, figure(path.past ? path.index[path.past - 1] : null)),
    cell("this list", { className: "number price" }, span[0] === span[1] ? span[0] : `${span[0]} to ${span[1]}`),
    cell("at most", { className: "number" }, path.bound === null ? "–" : `${figure(path.bound)}${Math.max(...listed) > path.bound + 1e-6 ? ", exceeded" : ""}`),
    cell("products compared", {}, `${path.known} of ${path.products}, ${(100 * path.coverage).toFixed(0)}% of the basket`),
    cell("weeks", {}, picture(path), made("details", {}, made("summary", { ariaLabel: `Weeks against ${AGAINST[path.reference]}, ${path.zone}` }, "all weeks"), made("ul", {}, ...weeks))),
  );
}

try {
  const { key_items: items, price_index: paths } = await ask("/v1/price-list/image");
  $("#key-item-rows").append(...items.map(item));
  $("#price-index-rows").append(...paths.map(index));
  $("#key-items").hidden = !items.length;
  $("#price-index").hidden = !paths.length;
} catch (error) {
  say(`The price image cannot be shown: ${error.message}`);
}
