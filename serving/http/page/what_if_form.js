// Prices to try, of several products together: a field beside every new price, and what they would sell and earn.
const $ = (selector, root = document) => root.querySelector(selector);
const state = JSON.parse($("#state").textContent);

function made(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const figure = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const signed = (value, digits) => `${value > 0 ? "+" : ""}${figure(value, digits)}`;
const inputs = new Map();
const result = made("div", { id: "tried", role: "status" });
const number = (text, tag = "td") => made(tag, { className: "number", ...(tag === "th" && { scope: "col" }) }, text);

function cells(row) {
  return [["units", 1], ["revenue", 2], ["profit", 2]].flatMap(([name, digits]) =>
    [figure(row[name], digits), signed(row[`${name}_change`], digits)].map((text) => number(text)));
}

function table(found) {
  const heads = ["units", "revenue", "profit"].flatMap((name) => [name, "change"]).map((text) => number(text, "th"));
  const line = (name, row) => made("tr", {}, made("th", { scope: "row" }, name), ...cells(row));
  // A product that neither has another price nor sells other amounts needs no line.
  const moved = found.rows.filter((row) => row.tried !== row.price || Math.abs(row.units_change) > 1e-9);
  return made("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Prices to try" }, made("table", {},
    made("thead", {}, made("tr", {}, made("th", { scope: "col" }, `Product (money in ${found.currency})`), ...heads)),
    made("tbody", {}, ...moved.map((row) => line(row.product, row)), line("All products", found.total))));
}

async function show(event) {
  event.preventDefault();
  const typed = [...inputs].filter(([, input]) => input.value !== "");
  const prices = Object.fromEntries(typed.map(([product, input]) => [product, Number(input.value)]));
  const response = await fetch("/v1/try-prices", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ state, prices }),
  });
  const found = await response.json();
  if (!response.ok) return result.replaceChildren(made("p", {}, `Not tried: ${found.detail}`));
  const warnings = found.warnings.map((text) => made("p", { className: "warn" }, `Warning: ${text}.`));
  return result.replaceChildren(table(found), ...warnings, made("p", {}, found.note));
}

if ($("#what-if")) {
  const form = made("form", { id: "try-prices", onsubmit: show });
  const area = $("#prices .scroll");
  $("thead tr", area).append(number("Price to try", "th"));
  for (const row of area.querySelectorAll("tbody tr")) {
    const product = $("th", row).firstChild.textContent.trim();
    const input = made("input", { type: "number", min: "0", step: "any", ariaLabel: `Price to try of ${product}` });
    input.setAttribute("form", form.id);
    inputs.set(product, input);
    row.append(number(input));
  }
  form.append(made("button", {}, "Try these prices"), result);
  area.after(form);
}
