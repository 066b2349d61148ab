"use strict";
// The page reads without this. It compares the numbers that the page carries with the reader's
// limits, sorts and filters the large table, pins networks, and shows what marks stand for.

// Every word must be in the row; a word after a minus must not.
function matches(text, query) {
  const hay = text.toLowerCase();
  return query.toLowerCase().split(/\s+/).filter(Boolean).every((word) =>
    word.length > 1 && word.startsWith("-") ? !hay.includes(word.slice(1)) : hay.includes(word));
}

// Numbers by size, texts as people order them ("resnet9" before "resnet18"); nothing comes last.
function compare(a, b, down) {
  const left = a === "-" || a === "", right = b === "-" || b === "";
  if (left || right) return left - right;
  const numbers = typeof a === "number" && typeof b === "number";
  const order = numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return down ? -order : order;
}

const SECONDS = { "": 1e-3, s: 1, ms: 1e-3, us: 1e-6, "µs": 1e-6, "μs": 1e-6 };
const BYTES = { "": 2 ** 20, b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, kb: 1e3, mb: 1e6, gb: 1e9 };

// A limit in words: undefined is none, NaN is not understood. Bare numbers are ms and MiB.
function limitOf(text, units) {
  if (text.trim() === "") return undefined;
  const found = /^\s*<?=?\s*([0-9]*[.,]?[0-9]+)\s*([a-zµμ]*)\s*$/i.exec(text);
  const unit = found === null ? undefined : units[found[2].toLowerCase()];
  return unit === undefined ? NaN : Number(found[1].replace(",", ".")) * unit;
}

// Whether numbers are within limits; what was not measured is within none.
function within(one, limits) {
  const under = (value, most) => most === undefined || (value !== undefined && value <= most);
  return under(one.t, limits.t) && under(one.m, limits.m) && (!limits.o || one.o === limits.o);
}

// As report/budget.py fits them: of each network the mode to use, or its fastest that fits.
function fitting(some) {
  const networks = new Map();
  for (const one of some.filter((one) => one.w === undefined)) {
    const other = networks.get(one.n);
    const better = other === undefined || (one.b && !other.b) || (!!one.b === !!other.b && one.t < other.t);
    if (better) networks.set(one.n, one);
  }
  return [...networks.values()];
}

// What is better than the pick but for the way it was measured.
function rival(some, best) {
  const order = (a, b) => b.a - a.a || a.t - b.t;
  const [found] = some.filter((one) => one.w !== undefined).sort(order);
  return found !== undefined && (best === undefined || order(found, best) < 0) ? found : undefined;
}

// As report/picks.py, in its order: most accurate, fastest and smallest within a point.
function picks(some) {
  if (some.length === 0) return [undefined, undefined, undefined];
  const first = (list, ...keys) => list.reduce((best, one) => {
    const key = keys.find((of) => of(one) !== of(best));
    return key !== undefined && key(one) < key(best) ? one : best;
  });
  const t = (one) => one.t, a = (one) => -one.a, p = (one) => one.p ?? Infinity;
  const top = Math.max(...some.map((one) => one.a));
  const near = some.filter((one) => one.a >= top - 1);
  return [first(some, a, t), first(near, t), first(near, p, t)];
}

function keyOf(cell) {
  return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
}

class Measurements {
  constructor(table) {
    this.table = table;
    this.heads = [...table.tHead.rows[0].cells];
    this.rows = [...table.tBodies].flatMap((body) => [...body.rows])
      .filter((row) => !row.classList.contains("part"));
    this.texts = this.rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" "));
    const [t, m, cuda, o, n] = ["latency", "cpu_peak_bytes", "cuda_peak_bytes", "mode", "model"]
      .map((name) => this.heads.findIndex((head) => head.dataset.name === name));
    this.name = n;
    const number = (row, at) => (at < 0 || row.cells[at].dataset.v === undefined
      ? undefined : Number(row.cells[at].dataset.v));
    this.numbers = this.rows.map((row) => ({
      t: number(row, t), m: number(row, cuda) ?? number(row, m),
      o: o < 0 ? undefined : row.cells[o].textContent,
    }));
    this.heads.forEach((head, index) => this.sortable(head, index));
    this.statuses();
  }

  sortable(head, index) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of this.heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      this.sort(index, down);
    });
  }

  sort(index, down) {
    for (const body of this.table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
      const keyed = rows.map((row) => [keyOf(row.cells[index]), row]);
      keyed.sort((a, b) => compare(a[0], b[0], down));
      body.append(...keyed.map((pair) => pair[1]));
    }
  }

  // Statuses in the colour of what they mean.
  statuses() {
    const index = this.heads.findIndex((head) => head.dataset.name === "status");
    for (const row of index < 0 ? [] : this.rows) {
      const cell = row.cells[index];
      if (["loose", "wrong", "failed"].includes(cell.textContent)) cell.className = cell.textContent;
    }
  }

  // Rows within limits that have the words; says how many.
  filter(limits, words) {
    let count = 0;
    this.rows.forEach((row, index) => {
      row.hidden = !within(this.numbers[index], limits) || !matches(this.texts[index], words);
      count += !row.hidden;
    });
    for (const body of this.table.tBodies) {
      body.hidden = [...body.rows].every((row) => row.hidden || row.classList.contains("part"));
    }
    document.getElementById("shown").textContent = `${count} of ${this.rows.length} rows`;
  }

  // A box per column, but for the first, which stays where it is.
  chooser(place) {
    this.heads.forEach((head, index) => {
      if (index === 0) return;
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !this.table.classList.contains(`h${index}`);
      box.addEventListener("change", () => this.table.classList.toggle(`h${index}`, !box.checked));
      label.append(box, ` ${head.textContent}`);
      place.append(label);
    });
  }

  pinnable(pins) {
    if (this.name < 0) return;
    const name = (row) => row.cells[this.name].textContent;
    for (const row of this.rows) row.addEventListener("click", () => pins.toggle(name(row)));
    pins.follow((chosen) => {
      for (const row of this.rows) row.classList.toggle("pin", chosen.has(name(row)));
    });
  }
}

// Networks that the reader keeps in sight, in every plot and in the table.
class Pins {
  constructor() {
    this.chosen = new Set();
    this.followers = [];
  }

  follow(call) {
    this.followers.push(call);
  }

  toggle(name) {
    if (!this.chosen.delete(name)) this.chosen.add(name);
    for (const mark of document.querySelectorAll(".m[data-n]")) {
      mark.classList.toggle("pin", this.chosen.has(mark.dataset.n));
    }
    this.labels();
    this.list();
    for (const call of this.followers) call(this.chosen);
  }

  // A name beside the marks that have none.
  labels() {
    for (const old of document.querySelectorAll(".label.pinned")) old.remove();
    for (const mark of document.querySelectorAll("#accuracy .m.pin:not(.spare), #strips .m.pin")) {
      const svg = mark.ownerSVGElement, circle = mark.querySelector("circle");
      const named = [...svg.querySelectorAll(".wide .label")];
      if (named.some((one) => one.dataset.n === mark.dataset.n)) continue;
      const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
      const left = parseFloat(circle.getAttribute("cx")) > 70;
      text.textContent = mark.dataset.n;
      text.setAttribute("x", left ? -9 : 9);
      text.setAttribute("dy", 4);
      if (left) text.style.textAnchor = "end";
      const label = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      label.setAttribute("class", "label pinned");
      label.setAttribute("x", circle.getAttribute("cx"));
      label.setAttribute("y", circle.getAttribute("cy"));
      label.append(text);
      svg.append(label);
    }
  }

  list() {
    const place = document.getElementById("pins");
    if (place === null) return;
    place.hidden = this.chosen.size === 0;
    place.replaceChildren("pinned:", ...[...this.chosen].map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${name} ✕`;
      button.addEventListener("click", () => this.toggle(name));
      return button;
    }));
  }
}

// Limits on latency, memory and mode: cards, plots and the table follow them.
class Budget {
  constructor(measurements) {
    this.measurements = measurements;
    this.inputs = { t: this.field("limit-t"), m: this.field("limit-m"), o: this.field("limit-o") };
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
    plot.marks = [...plot.querySelectorAll("[data-t]")].map((element) => {
      const { n, o, t, a, m, p, b, w, tip } = element.dataset;
      const number = (value) => (value === undefined ? undefined : Number(value));
      const spare = element.classList.contains("spare");
      return { element, spare, n, o, t: number(t), a: number(a), m: number(m), p: number(p), b, w, tip };
    });
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
      line.addEventListener("lostpointercapture",
        () => line.removeEventListener("pointermove", move), { once: true });
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
      if (!cards.hidden) this.fill(cards, some);
    }
    const wrong = Object.values(this.inputs).some((one) => one?.getAttribute("aria-invalid") === "true");
    const said = this.field("limit-said");
    if (said !== null) said.textContent = wrong ? "write a number with a unit, e.g. 20 ms or 100 MiB" : "";
    this.measurements?.filter(limits, this.words?.value ?? "");
  }

  dim(plot, limits) {
    const out = new Set();
    const chosen = new Map(fitting(plot.marks.filter((one) => within(one, limits)))
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

  fill(cards, some) {
    const found = picks(fitting(some)), other = rival(some, found[0]);
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

// What a mark stands for, beside the pointer; a tap shows it too.
function tooltips() {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const show = (event) => {
    const of = event.target.closest?.("[data-tip]");
    tip.hidden = of === null || of === undefined;
    if (tip.hidden) return;
    tip.textContent = of.dataset.tip;
    const { offsetWidth: wide, offsetHeight: high } = tip;
    const x = Math.min(event.clientX + 14, innerWidth - wide - 6);
    const below = event.clientY + 14 + high < innerHeight;
    tip.style.left = `${Math.max(6, x)}px`;
    tip.style.top = `${below ? event.clientY + 14 : Math.max(6, event.clientY - high - 10)}px`;
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("click", show);
}

// A legend's entry hides and shows its group.
function legends() {
  for (const item of document.querySelectorAll(".legend li[data-g]")) {
    item.addEventListener("click", () => {
      const off = item.classList.toggle("off");
      const plot = item.closest(".plot");
      plot.querySelector(`.group[data-g="${item.dataset.g}"]`).style.display = off ? "none" : "";
    });
  }
}

function copyable(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.addEventListener("click", () => {
    getSelection().selectAllChildren(block.querySelector("code"));
    document.execCommand("copy");
    button.textContent = "copied";
  });
  block.querySelector("p").append(button);
}

// What is folded opens for a link to it, and for paper.
function unfold() {
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target?.closest("details"); one; one = one.parentElement.closest("details")) {
      one.open = true;
    }
    target?.scrollIntoView();
  };
  window.addEventListener("hashchange", open);
  if (location.hash !== "") open();
  let closed = [];
  window.addEventListener("beforeprint", () => {
    // Numbers that a plot shows stay as the reader left them.
    closed = [...document.querySelectorAll("details:not([open], .numbers)")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
}

function start() {
  document.documentElement.classList.add("scripted");
  const table = document.getElementById("all");
  const measurements = table === null ? undefined : new Measurements(table);
  const pins = new Pins();
  measurements?.chooser(document.getElementById("columns"));
  measurements?.pinnable(pins);
  new Budget(measurements);
  for (const mark of document.querySelectorAll(".m[data-n]")) {
    mark.addEventListener("click", () => pins.toggle(mark.dataset.n));
  }
  for (const button of document.querySelectorAll("button.all")) {
    button.addEventListener("click", () => {
      button.closest("section").querySelector(".heat").classList.add("every");
      button.hidden = true;
    });
  }
  for (const block of document.querySelectorAll(".remedy")) copyable(block);
  legends();
  tooltips();
  unfold();
}

if (typeof document === "undefined") {
  module.exports = { matches, compare, limitOf, within, fitting, rival, picks };
} else {
  start();
}
