// The what-if curve: requests /v1/what-if for the market on the page and plots the objective against the price.
const $ = (selector) => document.querySelector(selector);
const form = $("#what-if");
const state = JSON.parse($("#state").textContent);
const left = 60, right = 620, top = 20, bottom = 220;
let curve = null;
let asked = 0;

async function ask(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

function chosenState() {
  const share = Number($("#stock").value) / 100;
  const products = state.products.map((item) =>
    item.product === $("#product").value && item.on_hand !== null
      ? { ...item, on_hand: Math.round(item.on_hand * share) }
      : item,
  );
  return { ...state, products };
}

function text(x, y, content, anchor) {
  const label = document.createElementNS("http://www.w3.org/2000/svg", "text");
  label.setAttribute("x", x);
  label.setAttribute("y", y);
  label.setAttribute("text-anchor", anchor);
  label.textContent = content;
  return label;
}

function draw() {
  const objective = form.dataset.objective;
  const points = curve.points;
  const point = points[Number($("#price").value)];
  const prices = points.map((one) => one.price);
  const ends = points.flatMap((one) => one[objective].ci95);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const [least, most] = [Math.min(0, ...ends), Math.max(...ends, 1e-9)];
  const x = (price) => left + ((price - low) / (high - low || 1)) * (right - left);
  const y = (value) => bottom - ((value - least) / (most - least)) * (bottom - top);
  const path = (pairs) => pairs.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  $("#curve .line").setAttribute("d", path(points.map((one) => [one.price, one[objective].mean])));
  const upper = points.map((one) => [one.price, one[objective].ci95[1]]);
  const lower = points.map((one) => [one.price, one[objective].ci95[0]]).reverse();
  $("#curve .band").setAttribute("d", `${path([...upper, ...lower])}Z`);
  for (const [name, price] of [["given", curve.price], ["chosen", point.price]]) {
    $(`#curve .${name}`).setAttribute("x1", x(price));
    $(`#curve .${name}`).setAttribute("x2", x(price));
  }
  $("#curve .point").setAttribute("cx", x(point.price));
  $("#curve .point").setAttribute("cy", y(point[objective].mean));
  $("#curve .axes").replaceChildren(
    text(left, 245, low.toFixed(2), "start"),
    text(right, 245, high.toFixed(2), "end"),
    text((left + right) / 2, 245, `price (${form.dataset.currency})`, "middle"),
    text(left - 6, bottom, least.toPrecision(3), "end"),
    text(left - 6, top + 8, most.toPrecision(3), "end"),
    text(left, 14, `expected ${objective} in this period`, "start"),
  );
  const range = (figure) => `${figure.mean.toFixed(1)} (${figure.ci95.map((end) => end.toFixed(1)).join(" to ")})`;
  $("#price").setAttribute("aria-valuetext", `${point.price.toFixed(2)} ${form.dataset.currency}`);
  $("#figures").textContent =
    `At ${point.price.toFixed(2)} ${form.dataset.currency}: ${range(point.units)} units, ` +
    `${range(point.revenue)} revenue, ${range(point.profit)} profit` +
    (point.allowed_now ? "." : "; the price rules do not allow this price now.");
}

function nearest(price) {
  const gaps = curve.points.map((one) => Math.abs(one.price - price));
  return gaps.indexOf(Math.min(...gaps));
}

async function refresh(keepPrice) {
  const mine = ++asked;
  const product = $("#product").value;
  const chosen = chosenState();
  const own = chosen.products.find((item) => item.product === product);
  $("#stock").disabled = own.on_hand === null;
  $("#stock-figure").textContent = own.on_hand === null ? "unlimited" : `${own.on_hand} units`;
  const before = keepPrice && curve ? curve.points[Number($("#price").value)].price : null;
  try {
    const question = { state: chosen, product };
    const [answer, why] = await Promise.all([ask("/v1/what-if", question), ask("/v1/explain", question)]);
    if (mine !== asked) return;
    curve = answer;
    $("#price").max = curve.points.length - 1;
    $("#price").value = nearest(before ?? curve.price);
    $("#note").textContent = curve.note;
    $("#why").replaceChildren(
      ...why.sentences.map((line) => Object.assign(document.createElement("li"), { textContent: line })),
    );
    draw();
  } catch (error) {
    $("#figures").textContent = `The request failed: ${error.message}`;
  }
}

if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  $("#price").addEventListener("input", () => curve && draw());
  $("#product").addEventListener("change", () => refresh(false));
  $("#stock").addEventListener("input", () => refresh(true));
  refresh(false);
}
