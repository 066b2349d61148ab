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
    this.name = this.heads.findIndex((head) => head.dataset.name === "model");
    this.numbers = this.rows.map((row) => numbersOf(row));
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
    // An anchor has a plain name; what else stands there is no escape of ours.
    const target = document.getElementById(location.hash.slice(1));
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

// What the reader has typed stands in the address, so that a link opens the page as it is seen:
// report.html#find=resnet&latency=20+ms.
const KEPT = { find: "filter", latency: "limit-t", memory: "limit-m", mode: "limit-o" };

function keepTyped() {
  const fields = Object.entries(KEPT).map(([key, id]) => [key, document.getElementById(id)])
    .filter(([, field]) => field !== null);
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [key, field] of fields) {
      if (!given.has(key)) continue;
      field.value = given.get(key);
      field.dispatchEvent(new Event("input"));
    }
  };
  const write = () => {
    const typed = fields.filter(([, field]) => field.value !== "");
    const words = new URLSearchParams(typed.map(([key, field]) => [key, field.value]));
    history.replaceState(null, "", `#${words}`);
  };
  read();
  window.addEventListener("hashchange", read);
  for (const [, field] of fields) field.addEventListener("change", write);
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
  keepTyped();
  legends();
  tooltips();
  unfold();
}

if (typeof document === "undefined") {
  module.exports = { matches, compare };
} else {
  start();
}
