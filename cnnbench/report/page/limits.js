"use strict";
// A reader's limits on latency, memory and mode. What is compared are numbers that the page carries;
// what they decide is decided by report/budget.py and report/picks.py in the same way.

const SECONDS = { "": 1e-3, s: 1, ms: 1e-3, us: 1e-6, "µs": 1e-6, "μs": 1e-6 };
const BYTES = { "": 2 ** 20, b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, kb: 1e3, mb: 1e6, gb: 1e9 };

// A limit in words: undefined is none, NaN is not understood. Bare numbers are ms and MiB.
function limitOf(text, units) {
  if (text.trim() === "") return undefined;
  const found = /^\s*<?=?\s*([0-9]*[.,]?[0-9]+)\s*([a-zµμ]*)\s*$/i.exec(text);
  const unit = found === null ? undefined : units[found[2].toLowerCase()];
  return unit === undefined ? NaN : Number(found[1].replace(",", ".")) * unit;
}

// What a mark or a row carries to be compared; undefined is not measured.
function numbersOf({ dataset: { n, o, b, w, tip, ...rest } }) {
  const number = (value) => (value === undefined ? undefined : Number(value));
  const [t, h, a, m, p] = [rest.t, rest.h, rest.a, rest.m, rest.p].map(number);
  return { n, o, t, h, a, m, p, b, w, tip };
}

// Whether numbers are within limits; what was not measured is within none.
function within(one, limits) {
  const under = (value, most) => most === undefined || (value !== undefined && value <= most);
  return under(one.t, limits.t) && under(one.m, limits.m) && (!limits.o || one.o === limits.o);
}

// As report/budget.py fits them: of each network what stays within the limit with all of its
// interval, then the mode to use, then its fastest that fits.
function fitting(some, most) {
  const keys = [(one) => most !== undefined && !(one.h <= most), (one) => !one.b, (one) => one.t];
  const networks = new Map();
  for (const one of some.filter((one) => one.w === undefined)) {
    const other = networks.get(one.n);
    const key = other === undefined ? undefined : keys.find((of) => of(one) !== of(other));
    if (other === undefined || (key !== undefined && key(one) < key(other))) networks.set(one.n, one);
  }
  return [...networks.values()];
}

// What is better than the pick but for the way it was measured.
function rival(some, best) {
  const order = (a, b) => b.a - a.a || a.t - b.t;
  const [found] = some.filter((one) => one.w !== undefined).sort(order);
  return found !== undefined && (best === undefined || order(found, best) < 0) ? found : undefined;
}

// As report/picks.py, in its order: most accurate, fastest and smallest within some points.
function picks(some, points) {
  if (some.length === 0) return [undefined, undefined, undefined];
  const first = (list, ...keys) => list.reduce((best, one) => {
    const key = keys.find((of) => of(one) !== of(best));
    return key !== undefined && key(one) < key(best) ? one : best;
  });
  const t = (one) => one.t, a = (one) => -one.a, p = (one) => one.p ?? Infinity;
  const top = Math.max(...some.map((one) => one.a));
  const near = some.filter((one) => one.a >= top - points);
  return [first(some, a, t), first(near, t), first(near, p, t)];
}

// Limits on latency, memory and mode: cards, plots and the table follow them.
class Budget {
  constructor(measurements) {
    this.measurements = measurements;
    this.inputs = { t: this.field("limit-t"), m: this.field("limit-m"), o: this.field("limit-o") };
    this.points = Number(this.field("budget")?.dataset.near);
    this.setting = this.field("setting");
    this.words = this.field("filter");
    this.plots = [...document.querySelectorAll("#accuracy .plot")];
    this.cards = [...document.querySelectorAll(".cards")];
    for (const plot of this.plots) this.prepare(plot);
    for (const one of [...Object.values(this.inputs), this.setting, this.words]) {
      one?.addEventListener("input", () => this.apply());
    }
    this.apply();
  }

  field(name) {
    return document.getElementById(name);
  }

  // The numbers of a plot's marks, and the line that the reader can move.
  prepare(plot) {
    plot.marks = [...plot.querySelectorAll("[data-t]")].map((element) => (
      { element, spare: element.classList.contains("spare"), ...numbersOf(element) }));
    const area = plot.querySelector(".area");
    const line = document.createElement("div");
    line.className = "limit";
    line.title = "latency limit: drag";
    line.style.height = `${area.querySelector("svg").getAttribute("height")}px`;
    area.append(line);
    line.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      line.setPointerCapture(event.pointerId);
      const move = (moved) => this.drag(area, moved.clientX);
      line.addEventListener("pointermove", move);
      line.addEventListener("lostpointercapture", () => {
        line.removeEventListener("pointermove", move);
        this.inputs.t.dispatchEvent(new Event("change"));
      }, { once: true });
    });
  }

  drag(area, at) {
    const box = area.querySelector("svg").getBoundingClientRect();
    const share = (at - box.left) / box.width;
    const [low, high] = [Number(area.dataset.low), Number(area.dataset.high)];
    const ms = 10 ** (low + Math.max(0, share) * (high - low));
    this.inputs.t.value = share >= 0.995 ? "" : `${Number(ms.toPrecision(3))} ms`;
    this.apply();
  }

  limits() {
    const read = (input, units) => {
      const value = input === null ? undefined : limitOf(input.value, units);
      input?.setAttribute("aria-invalid", String(Number.isNaN(value)));
      return Number.isNaN(value) ? undefined : value;
    };
    const { t, m, o } = this.inputs;
    return { t: read(t, SECONDS), m: read(m, BYTES), o: o?.value ?? "" };
  }

  apply() {
    const limits = this.limits();
    const setting = this.setting?.value ?? this.plots[0]?.dataset.setting;
    for (const plot of this.plots) {
      const { mode } = plot.dataset;
      plot.hidden = plot.dataset.setting !== setting || mode !== limits.o;
      if (!plot.hidden) this.dim(plot, limits);
    }
    const mine = this.plots.filter((one) => one.dataset.setting === setting && !one.dataset.mode);
    const some = mine.flatMap((one) => one.marks).filter((one) => within(one, limits));
    for (const cards of this.cards) {
      cards.hidden = cards.dataset.setting !== setting;
      if (!cards.hidden) this.fill(cards, some, limits.t);
    }
    const wrong = Object.values(this.inputs).some((one) => one?.getAttribute("aria-invalid") === "true");
    const said = this.field("limit-said");
    if (said !== null) said.textContent = wrong ? "write a number with a unit, e.g. 20 ms or 100 MiB" : "";
    this.measurements?.filter(limits, this.words?.value ?? "");
  }

  dim(plot, limits) {
    const out = new Set();
    const chosen = new Map(fitting(plot.marks.filter((one) => within(one, limits)), limits.t)
      .map((one) => [one.n, one]));
    for (const one of plot.marks) {
      const away = !within(one, limits), use = chosen.get(one.n);
      const hidden = use === undefined ? one.spare : use !== one;
      one.element.classList.toggle("out", away);
      one.element.classList.toggle("spare", hidden);
      if (!one.spare && (away || hidden)) out.add(one.n);
    }
    for (const label of plot.querySelectorAll(".label")) {
      label.classList.toggle("out", out.has(label.dataset.n));
    }
    const area = plot.querySelector(".area"), line = plot.querySelector(".limit");
    const [low, high] = [Number(area.dataset.low), Number(area.dataset.high)];
    const share = limits.t === undefined ? 1 : (Math.log10(limits.t * 1e3) - low) / (high - low);
    const style = getComputedStyle(area);
    const [left, right] = [style.paddingLeft, style.paddingRight];
    const at = Math.min(1, Math.max(0, share));
    line.style.left = `calc(${left} + (100% - ${left} - ${right}) * ${at})`;
  }

  fill(cards, some, most) {
    const found = picks(fitting(some, most), this.points), other = rival(some, found[0]);
    const place = cards.querySelector(".rival");
    const who = other?.tip.split("\n").slice(0, 3).join(", ");
    place.textContent = other === undefined ? "" : `Not picked: ${who}: ${other.w}.`;
    [...cards.querySelectorAll(".card")].forEach((card, index) => {
      const lines = found[index]?.tip.split("\n") ?? ["nothing within these limits"];
      card.querySelector(".who").textContent = lines[0];
      card.querySelector(".facts").textContent = lines.slice(1).join(" · ");
    });
  }
}

if (typeof document === "undefined") {
  module.exports = { limitOf, numbersOf, within, fitting, rival, picks };
}
