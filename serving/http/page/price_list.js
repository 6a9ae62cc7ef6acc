// The price list by product: reads /v1/price-list a piece at a time, and sends decisions to the admin's routes.
import { showRules } from "/page/rules.js";
import { showSummary } from "/page/summary.js";

const $ = (selector) => document.querySelector(selector);
const PIECE = 50;
const PAUSE = 250; // milliseconds without a key before a typed price is priced
const ALL = "all stores";
let products = [];
let total = 0;
let asked = 0;
let deciding = null;
let typing = 0;
const unfolded = new Set();

export async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, by: $("#by").value.trim() || null }),
  };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

export function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A cell of a table that becomes a card on a phone, where its label stands before it. */
export function cell(label, properties, ...children) {
  const element = made("td", { role: "cell", ...properties }, ...children);
  element.dataset.label = label;
  return element;
}

export const header = (...children) => made("th", { scope: "row", role: "rowheader" }, ...children);
export const count = (value) => value.toLocaleString("en");
export function signed(value, digits) {
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${value < 0 ? "−" : "+"}${text}`;
}
export const say = (text) => { $("#status-line").textContent = text; };

const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const key = (one) => JSON.stringify([one.zone, one.product]);
const about = (one) => (one.zone === ALL ? one.product : `${one.product}, ${one.zone}`);
const weeks = (number) => `${number} ${number === 1 ? "week" : "weeks"}`;
const openWeeks = (product) => (product.open.length === product.rows.length ? weeks(product.rows.length) : `${product.open.length} of ${weeks(product.rows.length)}`);
const small = (...children) => made("small", { className: "interval" }, ...children);
const moved = (change) => (Math.abs(change) < 5e-4 ? "unchanged" : `${signed(100 * change, 1)}%`);
// A decision names the rows as they were shown: none decides on others.
const decided = (row, status, more) => ({ zone: row.zone, product: row.product, week: row.week, seen: row.seen, status, ...more });

function decidedProduct(product, status, more) {
  const open = product.rows.filter((row) => product.open.includes(row.week));
  const seen = Object.fromEntries(open.map((row) => [row.week, row.seen]));
  return { zone: product.zone, product: product.product, weeks: seen, status, ...more };
}

function expected(row, name, digits) {
  const [mean, low, high] = [row[`expected_${name}`], row[`${name}_low`], row[`${name}_high`]];
  if (mean === null) return cell(name, { className: "number" }, "–");
  const text = (value) => value.toLocaleString("en", { maximumFractionDigits: digits });
  return cell(name, { className: "number" }, text(mean), small(`${text(low)} to ${text(high)}`));
}

function changed(product, name, digits) {
  const [mean, change] = [product[`expected_${name}`], product[`${name}_change`]];
  if (mean === null) return cell(name, { className: "number" }, "–");
  const parts = [mean.toLocaleString("en", { maximumFractionDigits: digits })];
  if (change) parts.push(small(`${signed(change.mean, digits)} (${signed(change.low, digits)} to ${signed(change.high, digits)})`));
  return cell(name, { className: "number" }, ...parts);
}

function regular(product) {
  const old = product.regular_price;
  const fresh = product.new_regular_price;
  if (Math.abs(product.change) < 5e-4) return cell("regular price", {}, made("span", { className: "price" }, money(fresh)), small("unchanged"));
  return cell("regular price", {}, `${money(old)} → `, made("span", { className: "price" }, money(fresh)), small(moved(product.change)));
}

function weekCell(row) {
  const [kind, way, day] = row.deal.split(" ");
  const words = day ? `${kind} ${way} ${day.slice(5)}` : row.deal;
  const title = `week of ${row.week}: ${money(row.current_price)} now`;
  return made("li", { className: `cell ${kind}`.trim(), title }, made("span", { className: "aside" }, `${row.week}: `), money(row.new_price), ...(words ? [made("small", {}, words)] : []));
}

function why(product) {
  const cost = product.cost_of_leaving;
  const parts = [product.reason];
  if (cost) {
    const words = `Leaving it at its current prices is expected to ${cost.mean < 0 ? "bring" : "cost"} ${money(Math.abs(cost.mean))}`;
    const [low, high] = cost.mean < 0 ? [-cost.high, -cost.low] : [cost.low, cost.high];
    parts.push(small(`${words} (${money(low)} to ${money(high)}), the other prices as proposed.`));
  }
  return cell("why", { className: "why" }, ...parts);
}

function notes(row, product) {
  const parts = row.reason === product.reason ? [] : [row.reason];
  if (row.outside_charged) parts.push(row.outside_charged);
  if (row.rules) parts.push(`Rules: ${row.rules}.`);
  if (row.lowest_price_30_days !== null) parts.push(`Lowest in 30 days: ${money(row.lowest_price_30_days)}.`);
  return cell("why", { className: "why" }, ...parts.map((text) => made("small", { className: "interval" }, text)));
}

function decision(one, target) {
  const price = one.decided_price === null ? "" : ` at ${money(one.decided_price)}`;
  const by = one.decided_by ? ` by ${one.decided_by}` : "";
  const reason = one.decision_reason ? `: ${one.decision_reason}` : "";
  const button = (text, act) => made("button", { type: "button", onclick: act, ariaLabel: `${text} ${named(target)}` }, text);
  return cell(
    "decision", { className: "decision" },
    made("p", { className: `status ${one.status.replace(" ", "-")}` }, `${one.status}${price}${by}${reason}`),
    button("Approve", () => approve(target)),
    button("Override", () => open(target, "overridden")),
    button("Postpone", () => open(target, "postponed")),
  );
}

function productLine(product, number) {
  const isOpen = unfolded.has(key(product));
  const fold = made("button", {
    type: "button", className: "fold", ariaExpanded: String(isOpen), ariaLabel: `Weeks of ${about(product)}`, onclick: () => unfold(product, number),
  }, `${isOpen ? "▾" : "▸"} ${weeks(product.rows.length)}`);
  return made(
    "tr", { className: "product", role: "row" },
    header(product.product, made("br"), made("small", {}, `${product.category} · ${product.zone}`), made("br"), fold),
    regular(product),
    cell("weeks", {}, made("ul", { className: "cells" }, ...product.rows.map(weekCell))),
    changed(product, "units", 1), changed(product, "revenue", 0), changed(product, "profit", 0),
    why(product),
    decision(product, { product, number }),
  );
}

function weekLine(row, product, number) {
  const deal = row.deal ? [made("br"), made("small", {}, `deal ${row.deal}`)] : [];
  return made(
    "tr", { className: "week", role: "row" },
    header(`week of ${row.week}`, ...deal),
    cell("price", {}, `${money(row.current_price)} → `, made("span", { className: "price" }, money(row.new_price))),
    cell("change", {}, moved(row.change)),
    expected(row, "units", 1), expected(row, "revenue", 0), expected(row, "profit", 0),
    notes(row, product),
    decision(row, { product, number, row }),
  );
}

function body(product, number) {
  const lines = unfolded.has(key(product)) ? product.rows.map((row) => weekLine(row, product, number)) : [];
  return made("tbody", { role: "rowgroup" }, productLine(product, number), ...lines);
}

const shownBody = (number) => $("#rows").tBodies[number];

function unfold(product, number) {
  if (!unfolded.delete(key(product))) unfolded.add(key(product));
  shownBody(number).replaceWith(body(products[number], number));
  shownBody(number).querySelector(".fold").focus();
}

/** The focus goes to the first button of the decision of a product or of one of its weeks. */
function focusOn({ product, number, row }) {
  const place = row ? 1 + product.rows.findIndex((each) => each.week === row.week) : 0;
  shownBody(number).rows[place].querySelector(".decision button").focus();
}

async function show(more = false) {
  const mine = ++asked;
  const query = new URLSearchParams({
    by: "product",
    status: $("#status").value,
    search: $("#search").value,
    outside: $("#outside").checked,
    offset: more ? products.length : 0,
    limit: PIECE,
  });
  try {
    const found = await ask(`/v1/price-list?${query}`);
    if (mine !== asked) return;
    if (!more) {
      showRules(found.rules);
      showSummary(found.summary, found.summary_problem);
      [...$("#rows").tBodies].forEach((each) => each.remove());
    }
    const before = more ? products.length : 0;
    products = more ? [...products, ...found.products] : found.products;
    total = found.total;
    $("#rows").append(...found.products.map((product, number) => body(product, before + number)));
    const counts = Object.entries(found.counts).map(([status, number]) => `${count(number)} ${status}`);
    $("#list-title").textContent = `${count(products.length)} of ${count(total)} products of ${found.name} (prices in all: ${counts.join(", ")})`;
    $("#more").hidden = products.length >= total;
  } catch (error) {
    say(`The request failed: ${error.message}`);
  }
}

/** Send decisions and show what became of them; why not, or nothing. */
async function decide(decisions, what) {
  try {
    const { products: now, warnings } = await ask("/v1/admin/price-list/decisions", decisions);
    const at = new Map(now.map((product) => [key(product), product]));
    products.forEach((product, number) => {
      const fresh = at.get(key(product));
      if (!fresh) return;
      products[number] = fresh;
      shownBody(number).replaceWith(body(fresh, number));
    });
    const { status } = (decisions.products ?? decisions.decisions)[0];
    say([`${what}: ${status}.`, ...warnings.map((text) => `Warning: ${text}.`)].join(" "));
    return "";
  } catch (error) {
    say(`Not saved: ${error.message}`);
    return error.message;
  }
}

// What a decision of a product or of one of its weeks is called, and what is sent.
const named = ({ product, row }) => `${about(product)}, ${row ? `week of ${row.week}` : openWeeks(product)}`;
const sent = ({ product, row }, status, more) => (row ? { decisions: [decided(row, status, more)] } : { products: [decidedProduct(product, status, more)] });

async function approve(target) {
  if (!await decide(sent(target, "approved"), named(target))) focusOn(target);
}

async function approveShown() {
  const left = products.flatMap((product) => product.rows.filter((row) => row.status === "proposed"));
  if (!left.length) return void say("All prices shown are decided.");
  await decide({ decisions: left.map((row) => decided(row, "approved")) }, `${count(left.length)} prices`);
}

function open(target, status) {
  deciding = { target, status };
  const { product, row } = target;
  const overrides = status === "overridden";
  $("#dialog-title").textContent = `${overrides ? "Override" : "Postpone"} ${named(target)}`;
  $("#about").textContent = row || !overrides ? "" : "The price holds in the weeks without a deal; those with one are approved as proposed.";
  $("#price-line").hidden = !overrides;
  $("#price").required = overrides;
  $("#price").value = row ? row.decided_price ?? row.new_price : product.decided_price ?? product.new_regular_price;
  $("#reason").required = true;
  $("#reason").value = (row ?? product).decision_reason;
  $("#wrong").textContent = $("#cost").textContent = "";
  clearTimeout(typing);
  $("#dialog").showModal();
}

const words = (rule) => rule.replaceAll("_", " ");

function costWords(found) {
  const amount = found.cost === null ? 0 : Math.abs(found.cost);
  const against = `against the proposed ${money(found.proposed)}`;
  const earns = found.cost === null
    ? "What it would earn is not known."
    : amount < 0.005 ? `Costs nothing ${against}.`
    : `Expected to ${found.cost > 0 ? "cost" : "bring"} ${money(amount)} ${found.currency} of ${found.money} ${against}.`;
  if (!found.rules.length) return earns;
  const leaves = `${found.firm ? "Will be refused: it leaves" : "It leaves"} ${found.rules.map(words).join(", ")}`;
  return `${earns} ${leaves}; ${money(found.allowed)} is allowed.`;
}

// What a price costs, while it is typed.
function typed() {
  clearTimeout(typing);
  const price = $("#price").valueAsNumber;
  const mine = deciding;
  if (!(price > 0)) return void ($("#cost").textContent = "");
  const { product, row } = mine.target;
  const asks = { zone: product.zone, product: product.product, week: row ? row.week : null, price };
  typing = setTimeout(async () => {
    const current = () => deciding === mine && $("#price").valueAsNumber === price;
    try {
      const found = await ask("/v1/admin/price-list/cost", asks);
      if (current()) $("#cost").textContent = costWords(found);
    } catch (error) {
      if (current()) $("#cost").textContent = `What it costs is not known: ${error.message}`;
    }
  }, PAUSE);
}

async function save(event) {
  if (event.submitter?.value === "cancel") return;
  event.preventDefault(); // the dialog stays open while the decision is refused
  const { target, status } = deciding;
  const price = status === "overridden" ? { decided_price: Number($("#price").value) } : {};
  const wrong = await decide(sent(target, status, { decision_reason: $("#reason").value, ...price }), named(target));
  $("#wrong").textContent = wrong;
  if (wrong) return;
  $("#dialog").close();
  focusOn(target);
}

async function makeLive() {
  try {
    const found = await ask("/v1/admin/price-list/live", {});
    say(`The list is live: ${found.rows} prices, ${found.new} new decisions recorded.`);
    await show();
  } catch (error) {
    say(`Not live: ${error.message}`);
  }
}

$("#filter").addEventListener("submit", (event) => event.preventDefault());
$("#desk").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["search", "status", "outside"]) $(`#${id}`).addEventListener("input", () => show());
$("#more").addEventListener("click", () => show(true));
$("#approve-shown").addEventListener("click", approveShown);
$("#make-live").addEventListener("click", makeLive);
$("#dialog form").addEventListener("submit", save);
$("#price").addEventListener("input", typed);
await show();
