// The price list: reads /v1/price-list a piece at a time, and sends decisions to the admin's routes.
import { showRules } from "/page/rules.js";

const $ = (selector) => document.querySelector(selector);
const PIECE = 100;
let rows = [];
let total = 0;
let asked = 0;
let deciding = null;
let typing = 0;
const PAUSE = 250; // milliseconds without a key before a typed price is priced

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

const money = (value) => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const say = (text) => { $("#status-line").textContent = text; };
const key = (row) => ({ zone: row.zone, product: row.product, week: row.week });
// A decision names the row as it was shown: none decides on another one.
const decided = (row, status, more) => ({ ...key(row), seen: row.seen, status, ...more });

function expected(row, name, digits) {
  const [mean, low, high] = [row[`expected_${name}`], row[`${name}_low`], row[`${name}_high`]];
  if (mean === null) return made("td", { className: "number" }, "–");
  const text = (value) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const interval = `${text(low)} to ${text(high)}`;
  return made("td", { className: "number" }, text(mean), made("small", { className: "interval", title: "90% interval" }, interval));
}

function why(row) {
  const parts = [row.outside_charged, row.rules && `Rules: ${row.rules}.`].filter(Boolean);
  if (row.lowest_price_30_days !== null) parts.push(`Lowest in 30 days: ${money(row.lowest_price_30_days)}.`);
  return made("td", {}, row.reason, ...parts.flatMap((text) => [made("br"), made("small", {}, text)]));
}

function decision(row, number) {
  const price = row.decided_price === null ? "" : ` at ${money(row.decided_price)}`;
  const about = `${row.product}, week of ${row.week}`;
  const button = (text, act) => made("button", { type: "button", onclick: act, ariaLabel: `${text} ${about}` }, text);
  const by = row.decided_by ? ` by ${row.decided_by}` : "";
  const reason = row.decision_reason ? `: ${row.decision_reason}` : "";
  return made(
    "td", { className: "decision" },
    made("p", { className: `status ${row.status}` }, `${row.status}${price}${by}${reason}`),
    button("Approve", () => decide([decided(row, "approved")], number)),
    button("Override", () => open(row, number, "overridden")),
    button("Postpone", () => open(row, number, "postponed")),
  );
}

function line(row, number) {
  const change = Math.abs(row.change) < 5e-4 ? "–" : `${row.change > 0 ? "+" : ""}${(100 * row.change).toFixed(1)}%`;
  return made(
    "tr", {},
    made("th", { scope: "row" }, row.product, made("br"), made("small", {}, `${row.category} · ${row.zone}`)),
    made("td", { className: "week" }, row.week),
    made("td", { className: "number" }, money(row.current_price)),
    made("td", { className: "number price" }, money(row.new_price)),
    made("td", { className: "number" }, change),
    expected(row, "units", 1),
    expected(row, "revenue", 0),
    why(row),
    decision(row, number),
  );
}

async function show(more = false) {
  const mine = ++asked;
  const query = new URLSearchParams({
    week: $("#week").value,
    status: $("#status").value,
    search: $("#search").value,
    outside: $("#outside").checked,
    offset: more ? rows.length : 0,
    limit: PIECE,
  });
  try {
    const found = await ask(`/v1/price-list?${query}`);
    if (mine !== asked) return;
    if (!more) showRules(found.rules);
    const before = more ? rows.length : 0;
    rows = more ? [...rows, ...found.rows] : found.rows;
    total = found.total;
    const lines = found.rows.map((row, number) => line(row, before + number));
    if (more) $("#rows").append(...lines);
    else $("#rows").replaceChildren(...lines);
    const counts = Object.entries(found.counts).map(([status, count]) => `${count.toLocaleString("en")} ${status}`);
    $("#list-title").textContent = `${rows.length.toLocaleString("en")} of ${total.toLocaleString("en")} prices of ${found.name} (in all ${counts.join(", ")})`;
    $("#more").hidden = rows.length >= total;
    return found;
  } catch (error) {
    say(`The request failed: ${error.message}`);
  }
}

async function decide(decisions, number) {
  try {
    const { rows: saved, warnings } = await ask("/v1/admin/price-list/decisions", { decisions });
    const at = new Map(saved.map((row) => [JSON.stringify(key(row)), row]));
    rows.forEach((row, place) => {
      const now = at.get(JSON.stringify(key(row)));
      if (!now) return;
      rows[place] = now;
      $("#rows").children[place].replaceWith(line(now, place));
    });
    const done = saved.length === 1 ? `${saved[0].product}, week of ${saved[0].week}: ${saved[0].status}.` : `${saved.length} prices: ${saved[0].status}.`;
    say([done, ...warnings.map((text) => `Warning: ${text}.`)].join(" "));
    if (number !== undefined) $("#rows").children[number].querySelector("button").focus();
    return "";
  } catch (error) {
    say(`Not saved: ${error.message}`);
    return error.message;
  }
}

function open(row, number, status) {
  deciding = { row, number, status };
  $("#dialog-title").textContent = `${status === "overridden" ? "Override" : "Postpone"} ${row.product}, week of ${row.week}`;
  $("#price-line").hidden = status !== "overridden";
  $("#price").required = status === "overridden";
  $("#price").value = row.decided_price ?? row.new_price;
  $("#reason").required = true;
  $("#reason").value = row.decision_reason;
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
  typing = setTimeout(async () => {
    const current = () => deciding === mine && $("#price").valueAsNumber === price;
    try {
      const found = await ask("/v1/admin/price-list/cost", { ...key(mine.row), price });
      if (current()) $("#cost").textContent = costWords(found);
    } catch (error) {
      if (current()) $("#cost").textContent = `What it costs is not known: ${error.message}`;
    }
  }, PAUSE);
}

async function save(event) {
  if (event.submitter?.value === "cancel") return;
  event.preventDefault(); // the dialog stays open while the decision is refused
  const { row, number, status } = deciding;
  const price = status === "overridden" ? { decided_price: Number($("#price").value) } : {};
  const wrong = await decide([decided(row, status, { decision_reason: $("#reason").value, ...price })]);
  $("#wrong").textContent = wrong;
  if (wrong) return;
  $("#dialog").close();
  $("#rows").children[number].querySelector("button").focus();
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
for (const id of ["search", "week", "status", "outside"]) $(`#${id}`).addEventListener("input", () => show());
$("#more").addEventListener("click", () => show(true));
$("#approve-shown").addEventListener("click", () => decide(
  rows.filter((row) => row.status === "proposed").map((row) => decided(row, "approved")),
));
$("#make-live").addEventListener("click", makeLive);
$("#dialog form").addEventListener("submit", save);
$("#price").addEventListener("input", typed);

// The week of today, or the first one of a list that has not begun; all weeks of a list of the past.
const first = await show();
if (first) {
  $("#week").append(...first.weeks.map((week) => made("option", {}, week)));
  const today = new Date().toISOString().slice(0, 10);
  const begun = first.weeks.filter((week) => week <= today);
  if (begun.length < first.weeks.length) {
    $("#week").value = begun.at(-1) ?? first.weeks[0];
    await show();
  }
}
