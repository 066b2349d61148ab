"use strict";
// The page reads without this. It sorts and filters the large table, draws the plots, and follows
// the reader's choice of light or dark.

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

function sortBy(table, index, down) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
    const keyed = rows.map((row) => [keyOf(row.cells[index]), row]);
    keyed.sort((a, b) => compare(a[0], b[0], down));
    body.append(...keyed.map((pair) => pair[1]));
  }
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(table, index, down);
    });
  });
}

function makeFilterable(table, input, shown) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows])
    .filter((row) => !row.classList.contains("part"));
  const texts = new Map(rows.map((row) => [row, [...row.cells].map((c) => c.textContent).join(" ")]));
  const apply = () => {
    let count = 0;
    for (const row of rows) {
      row.hidden = !matches(texts.get(row), input.value);
      count += !row.hidden;
    }
    for (const body of table.tBodies) {
      body.hidden = [...body.rows].every((row) => row.hidden || row.classList.contains("part"));
    }
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  input.addEventListener("input", apply);
  apply();
}

// Statuses in the colour of what they mean.
function markStatuses(table) {
  const index = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.name === "status");
  if (index < 0) return;
  for (const body of table.tBodies) {
    for (const row of body.rows) {
      const cell = row.cells[index];
      if (cell && ["loose", "wrong", "failed"].includes(cell.textContent)) {
        cell.className = cell.textContent;
      }
    }
  }
}

// The plotting library stands in the page as text: gzip in base64.
let library;
function loadLibrary() {
  library ??= unpackLibrary();
  return library;
}

async function unpackLibrary() {
  const text = atob(document.getElementById("bokeh-text").textContent);
  const packed = new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  Bokeh.set_log_level("warn");
}

// Plots are drawn on a canvas, which no style sheet reaches.
function recolour(printing) {
  if (typeof Bokeh === "undefined") return;
  const style = getComputedStyle(document.documentElement);
  const ink = printing ? "#000000" : style.getPropertyValue("--plot").trim();
  const line = printing ? "#bbbbbb" : style.getPropertyValue("--line").trim();
  for (const plots of Bokeh.documents.map((one) => one.roots())) {
    for (const plot of plots) {
      plot.title.text_color = ink;
      for (const part of [...plot.above, ...plot.below, ...plot.left, ...plot.right]) {
        if ("axis_label" in part) {
          part.setv({
            axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: line,
            major_tick_line_color: line, minor_tick_line_color: null,
          });
        } else if ("click_policy" in part && !printing) {
          // Drawn anew a moment later, which is too late for paper.
          part.label_text_color = ink;
        }
      }
      for (const part of plot.center) {
        if ("grid_line_color" in part && part.grid_line_color !== null) part.grid_line_color = line;
      }
    }
  }
}

// Plots near the reader's eyes are drawn first, the others when the browser has nothing to do: a
// page with many of them answers at once, and all are there before somebody prints it.
class Gallery {
  constructor(items) {
    this.waiting = new Map(items.map((item) => [document.getElementById(item.target_id), item]));
    this.root = document.documentElement;
    for (const [place, item] of this.waiting) {
      // Room for it, so that nothing moves when it is drawn.
      place.style.minHeight = `${item.doc.roots[0].attributes.height}px`;
    }
    this.eyes = new IntersectionObserver((seen) => this.look(seen), { rootMargin: "50%" });
  }

  start() {
    for (const place of this.waiting.keys()) this.eyes.observe(place);
  }

  // The first call names every plot: after it, what can be seen is drawn.
  async look(seen) {
    for (const one of seen.filter((one) => one.isIntersecting)) await this.draw(one.target);
    if (this.root.dataset.seen === undefined) {
      this.root.dataset.seen = "";
      this.idle();
    }
  }

  async draw(place) {
    const item = this.waiting.get(place);
    if (item === undefined) return;
    this.waiting.delete(place);
    this.eyes.unobserve(place);
    await loadLibrary();
    await Bokeh.embed.embed_item(item, item.target_id);
    recolour(false);
    if (this.waiting.size === 0) this.root.dataset.drawn = "";
  }

  idle() {
    const [place] = this.waiting.keys();
    if (place === undefined) return;
    const later = window.requestIdleCallback ?? ((call) => setTimeout(call, 50));
    later(async () => {
      await this.draw(place);
      this.idle();
    });
  }

  // Begun before printing, so that as much as can be is there.
  all() {
    for (const place of [...this.waiting.keys()]) this.draw(place);
  }
}

// Width of what is printed, in the browser's pixels: 180 mm.
const PAPER = 680;

function start() {
  document.documentElement.classList.add("scripted");
  const table = document.getElementById("all");
  if (table !== null) {
    makeSortable(table);
    markStatuses(table);
    makeFilterable(table, document.getElementById("filter"), document.getElementById("shown"));
  }
  const plots = [...document.querySelectorAll(".plot")];
  const gallery = drawPlots(JSON.parse(document.getElementById("plots-json").textContent));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour(false));
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    gallery?.all();
    for (const one of plots) one.style.zoom = Math.min(1, PAPER / one.clientWidth);
    recolour(true);
  });
  window.addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    for (const one of plots) one.style.zoom = "";
    recolour(false);
  });
}

function drawPlots(items) {
  if (items.length === 0) return undefined;
  if (typeof DecompressionStream === "undefined") {
    for (const item of items) {
      const place = document.getElementById(item.target_id);
      place.textContent = "The plot needs a newer browser; its numbers stand below.";
    }
    return undefined;
  }
  const gallery = new Gallery(items);
  gallery.start();
  return gallery;
}

if (typeof document === "undefined") {
  module.exports = { matches, compare };
} else {
  start();
}
