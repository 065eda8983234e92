// The map page: a canvas to pan and zoom, and the chosen cell beside it (#cell=10/3,4&view=.5,.5,1&find=dog&follow=LAYER/10/3,4).
// All text from outside goes through textContent and fillText, never through innerHTML.
"use strict";
(() => {
  const map = window.ATLAS_MAP;
  const canvas = document.getElementById("map");
  if (!canvas) return;
  const paper = canvas.getContext("2d");
  const panel = document.getElementById("cell");
  const find = document.getElementById("find");
  const names = document.getElementById("names");
  const title = document.title;
  const SMALLEST_CELL_PX = 44; // a finer grid is shown once its cells are this large
  const LABEL_FROM_PX = 64;
  const CLOSEST_CELLS = 3; // zoomed in as far as this many cells of the finest grid across
  // The view: what lies in the middle, in units of the map, and how many times as large as in the whole view it is.
  const view = { x: 0.5, y: 0.5, zoom: 1 };
  let chosen = null; // { level, cell }
  let wanted = "";
  let followed = null; // a cell of another map, and the cells here with its images: follow.js
  let asked = ""; // what the address asks to follow
  let drawing = 0;

  // Positions in sheets.
  let crops = 0;
  for (const level of map.levels) {
    level.byPlace = new Map();
    level.cells.forEach((cell, number) => {
      Object.assign(cell, { number, level });
      level.byPlace.set(`${cell.row},${cell.column}`, cell);
      for (const example of cell.examples) example.place = example.crop ? crops++ : null;
    });
    level.images = level.sheets.map((_, number) => {
      const image = new Image();
      image.addEventListener("load", redraw);
      image.source = `${encodeURIComponent(map.slug)}/icons-${padded(level.grid)}-${padded(number)}.jpg`;
      return image;
    });
  }

  function padded(number) {
    return String(number).padStart(3, "0");
  }

  function element(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function counted(count, word) {
    return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // Pixels of one unit of the map, whose whole is a square.
  const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) * view.zoom;
  const toMap = (x, y) => [view.x + (x - canvas.clientWidth / 2) / side(), view.y + (y - canvas.clientHeight / 2) / side()];
  const toScreen = (x, y) => [(x - view.x) * side() + canvas.clientWidth / 2, (y - view.y) * side() + canvas.clientHeight / 2];
  const finest = map.levels.length ? map.levels[map.levels.length - 1].grid : 1;
  const largestZoom = () => Math.max(2, finest / CLOSEST_CELLS);

  function shownLevel() {
    const fitting = map.levels.filter((level) => side() / level.grid >= SMALLEST_CELL_PX);
    return fitting.length ? fitting[fitting.length - 1] : map.levels[0];
  }

  function sheetOf(level, cell) {
    const number = Math.floor(cell.number / level.perSheet);
    return { number, sheet: level.sheets[number], image: level.images[number], inside: cell.number % level.perSheet };
  }

  function redraw() {
    if (!drawing) drawing = requestAnimationFrame(draw);
  }

  function draw() {
    drawing = 0;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    paper.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const level = shownLevel();
    for (const cell of level.cells) drawCell(level, cell);
    if (chosen) outline(chosen, colour("--accent"), 3);
  }

  function box(level, cell) {
    const [x, y] = toScreen(cell.column / level.grid, cell.row / level.grid);
    return { x, y, size: side() / level.grid };
  }

  function drawCell(level, cell) {
    const { x, y, size } = box(level, cell);
    if (x + size < 0 || y + size < 0 || x > canvas.clientWidth || y > canvas.clientHeight) return;
    const gap = Math.min(2, size / 40);
    const { sheet, image, inside } = sheetOf(level, cell);
    if (!image.src) image.src = image.source; // loaded when first in view
    paper.globalAlpha = (wanted && !fits(cell)) || (followed && !followed.counts.has(cell)) ? 0.18 : 1;
    if (cell.icon && image.complete && image.naturalWidth) {
      const w = image.naturalWidth / sheet.columns;
      const h = image.naturalHeight / sheet.rows;
      paper.drawImage(image, (inside % sheet.columns) * w, Math.floor(inside / sheet.columns) * h, w, h, x + gap, y + gap, size - 2 * gap, size - 2 * gap);
    } else {
      paper.fillStyle = colour("--line");
      paper.fillRect(x + gap, y + gap, size - 2 * gap, size - 2 * gap);
    }
    if (names && names.checked && size >= LABEL_FROM_PX && namesOf(cell).length) drawLabel(nameOf(cell), x + gap, y + size - gap, size - 2 * gap);
    paper.globalAlpha = 1;
  }

  const isWanted = (name) => name.normalize().toLowerCase().includes(wanted);

  // Labels, the commonest first, and then classes.
  const namesOf = (cell) => [...cell.labels, ...cell.classes].map(([name]) => name);

  // The name that was looked for, or else the first.
  const nameOf = (cell) => (wanted && namesOf(cell).find(isWanted)) || namesOf(cell)[0];

  function drawLabel(label, x, bottom, width) {
    const height = 16;
    paper.font = "12px system-ui, sans-serif";
    let text = label;
    while (text.length > 1 && paper.measureText(text).width > width - 8) text = `${text.slice(0, text.endsWith("…") ? -2 : -1)}…`;
    paper.fillStyle = "rgba(0, 0, 0, .62)";
    paper.fillRect(x, bottom - height, width, height);
    paper.fillStyle = "#fff";
    paper.fillText(text, x + 4, bottom - 4);
  }

  function outline({ level, cell }, style, width) {
    const { x, y, size } = box(level, cell);
    paper.strokeStyle = style;
    paper.lineWidth = width;
    paper.strokeRect(x, y, size, size);
  }

  function fits(cell) {
    return namesOf(cell).some(isWanted) || cell.examples.some((example) => isWanted(example.label));
  }

  // Moving. The middle stays on the map.
  function move(x, y, zoom = view.zoom) {
    view.zoom = Math.min(largestZoom(), Math.max(0.8, zoom));
    view.x = Math.min(1, Math.max(0, x));
    view.y = Math.min(1, Math.max(0, y));
    redraw();
    noteAddress();
  }

  function zoomAt(px, py, factor) {
    const [x, y] = toMap(px, py);
    const zoom = Math.min(largestZoom(), Math.max(0.8, view.zoom * factor));
    const scale = view.zoom / zoom;
    move(x + (view.x - x) * scale, y + (view.y - y) * scale, zoom);
  }

  const zoomMiddle = (factor) => zoomAt(canvas.clientWidth / 2, canvas.clientHeight / 2, factor);

  // The address holds the chosen cell and the view; a cell's part stays valid when the atlas is made again.
  let noting = 0;
  function address() {
    const round = (value) => Number(value.toFixed(4));
    const parts = [];
    if (chosen) parts.push(`cell=${chosen.level.grid}/${chosen.cell.row},${chosen.cell.column}`);
    if (view.zoom !== 1 || view.x !== 0.5 || view.y !== 0.5) parts.push(`view=${round(view.x)},${round(view.y)},${round(view.zoom)}`);
    if (wanted) parts.push(`find=${encodeURIComponent(wanted)}`);
    if (asked) parts.push(`follow=${encodeURIComponent(asked)}`);
    return parts.length ? `#${parts.join("&")}` : "";
  }

  function noteAddress() {
    clearTimeout(noting); // browsers refuse more than some hundred changes of the address in a short time
    noting = setTimeout(() => {
      history.replaceState(null, "", address() || location.pathname + location.search);
      for (const link of document.querySelectorAll(".other-map")) link.href = link.getAttribute("href").split("#")[0] + regionAddress();
    }, 150);
  }

  // Another map opens at the same region, with the same label, and shows where the chosen cell's images lie there.
  function regionAddress() {
    const parts = address().replace("#", "").split("&").filter((part) => /^(view|find|follow)=/.test(part));
    if (!chosen) return parts.length ? `#${parts.join("&")}` : "";
    const { level, cell } = chosen;
    const follow = `follow=${encodeURIComponent(`${map.slug}/${level.grid}/${cell.row},${cell.column}`)}`;
    return `#${[...parts.filter((part) => !part.startsWith("follow=")), follow].join("&")}`;
  }

  function readAddress() {
    const cell = /cell=(\d+)\/(\d+),(\d+)/.exec(location.hash);
    const place = /view=(-?[\d.]+),(-?[\d.]+),([\d.]+)/.exec(location.hash);
    const level = cell && map.levels.find((candidate) => candidate.grid === Number(cell[1]));
    const target = level && level.byPlace.get(`${cell[2]},${cell[3]}`);
    if (place) move(Number(place[1]), Number(place[2]), Number(place[3]));
    else if (target && level.grid > 8) move((target.column + 0.5) / level.grid, (target.row + 0.5) / level.grid, level.grid / 8);
    const text = (name) => new URLSearchParams(location.hash.slice(1)).get(name) || "";
    if (find && text("find") !== wanted) { find.value = text("find"); look(); }
    if (text("follow") !== asked) startFollowing(text("follow"));
    choose(target || null, { moves: !place });
    if (cell && !target) panel.replaceChildren(element("p", { textContent: `This map has no cell ${cell[1]}/${cell[2]},${cell[3]}.` }));
  }

  // The chosen cell.
  function choose(cell, { moves = false } = {}) {
    chosen = cell ? { level: cell.level, cell } : null;
    document.title = cell ? `${cellName(cell)} · ${title}` : title;
    panel.replaceChildren(...(followed ? [followedWords()] : []), ...(cell ? details(cell) : [element("p", { className: "none", textContent: "Choose a cell to see what lies in it." })]));
    if (cell && moves) keepInView(cell);
    redraw();
    noteAddress();
  }

  function keepInView(cell) {
    const { x, y, size } = box(cell.level, cell);
    if (x >= 0 && y >= 0 && x + size <= canvas.clientWidth && y + size <= canvas.clientHeight) return;
    move((cell.column + 0.5) / cell.level.grid, (cell.row + 0.5) / cell.level.grid);
  }

  async function startFollowing(text) {
    asked = text;
    followed = null;
    if (text) {
      try {
        const result = await window.ATLAS_FOLLOW(text, map);
        if (asked !== text) return;
        followed = result;
      } catch (error) { document.getElementById("cell").prepend(element("p", { className: "none", textContent: `${error.message}.` })); return; }
    }
    choose(chosen && chosen.cell);
  }

  function followedWords() {
    const { layer, cell, label, images, held, best } = followed;
    const stop = element("button", { type: "button", textContent: "Stop following" });
    stop.addEventListener("click", () => startFollowing(""));
    const nearest = element("button", { type: "button", textContent: "Go to most of them" });
    nearest.addEventListener("click", () => choose(best[0], { moves: true }));
    return element("div", { className: "followed" },
      element("p", { textContent: `Followed from ${layer}: ${label ? `${label}, ` : ""}cell ${cell}. Of its ${counted(images, "nearest image")} ${held} ${held === 1 ? "lies" : "lie"} in ${counted(best.length, "cell")} of the finest grid here.` }),
      element("p", {}, best.length ? nearest : null, best.length ? " " : null, stop));
  }

  // Links to the maps before and behind: they show where this cell's images lie there.
  function elsewhere() {
    const links = [...document.querySelectorAll(".other-map")].map((link) => Object.assign(link.cloneNode(true), { className: "", href: link.getAttribute("href").split("#")[0] + regionAddress() }));
    return links.length ? element("p", { className: "elsewhere" }, "Where its images lie in: ", ...links.flatMap((link) => [link, " "])) : null;
  }

  const cellName = (cell) => `cell ${cell.level.grid}/${cell.row},${cell.column}`;

  function picture(file, sheet, inside, label, className) {
    const node = element("span", { className });
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
    const [row, column] = [Math.floor(inside / sheet.columns), inside % sheet.columns];
    node.style.backgroundImage = `url("${encodeURIComponent(map.slug)}/${file}")`;
    node.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
    node.style.backgroundPosition = `${(100 * column) / Math.max(1, sheet.columns - 1)}% ${(100 * row) / Math.max(1, sheet.rows - 1)}%`;
    return node;
  }

  function crop(example) {
    const number = Math.floor(example.place / map.crops.perSheet);
    return picture(`crops-${padded(number)}.jpg`, map.crops.sheets[number], example.place % map.crops.perSheet, example.label || example.example_id, "picture");
  }

  function details(cell) {
    const { number, sheet, inside } = sheetOf(cell.level, cell);
    const shown = cell.examples.filter((example) => example.place !== null);
    const others = cell.examples.filter((example) => example.place === null);
    const labels = cell.labels.map(([label, count]) => element("li", { textContent: count > 1 ? `${label} (${count})` : label }));
    return [
      element("h2", { textContent: nameOf(cell) || cellName(cell) }),
      element("p", { textContent: `${namesOf(cell).length ? `${cellName(cell)}, ` : ""}${counted(cell.count, "vector")}` }),
      cell.icon
        ? picture(`icons-${padded(cell.level.grid)}-${padded(number)}.jpg`, sheet, inside, `icon of ${cellName(cell)}`, "picture icon")
        : element("p", { className: "none", textContent: "This cell has no icon yet." }),
      cell.icon && cell.percentile !== null ? element("p", { textContent: `The icon excites the cell's direction more than ${cell.percentile >= 100 ? "all" : `${Number(cell.percentile.toPrecision(3))} % of`} sampled images.` }) : null,
      cell.status && cell.status !== "ok" ? element("p", { textContent: `The icon is ${cell.status}.` }) : null,
      elsewhere(),
      labels.length ? element("h3", { textContent: "Commonest labels" }) : null,
      labels.length ? element("ol", {}, ...labels) : null,
      cell.classes.length ? element("h3", { textContent: "Highest logits" }) : null,
      cell.classes.length ? element("ol", {}, ...cell.classes.map(([name, value]) => element("li", { textContent: `${name} +${value.toFixed(1)}` }))) : null,
      map.hasClasses ? element("p", { className: "measure", textContent: cell.classes.length
        ? "What the network sees in its images: by how many standard deviations their logits are above those of all images of the map. Only what is above chance is listed."
        : "No class has higher logits in its images than it would have by chance." }) : null,
      shown.length ? element("h3", { textContent: "Nearest to its mean" }) : null,
      element("div", { className: "examples" }, ...shown.map((example) =>
        element("figure", { title: `${example.example_id}\nat row ${example.row}, column ${example.column}` },
          crop(example), element("figcaption", { textContent: example.label || example.example_id })))),
      others.length ? element("h3", { textContent: "Also here" }) : null,
      others.length ? element("ul", { className: "ids" }, ...others.map((example) =>
        element("li", { textContent: `${example.example_id} at ${example.row},${example.column}` }))) : null,
    ].filter((node) => node !== null);
  }

  function cellAt(px, py) {
    const level = shownLevel();
    const [x, y] = toMap(px, py);
    return level.byPlace.get(`${Math.floor(y * level.grid)},${Math.floor(x * level.grid)}`) || null;
  }

  // The nearest cell of the shown grid in a direction; that in the middle where none is chosen.
  function neighbour(dx, dy) {
    const level = shownLevel();
    const from = chosen
      ? [(chosen.cell.column + 0.5) / chosen.level.grid, (chosen.cell.row + 0.5) / chosen.level.grid]
      : [view.x, view.y];
    let best = null;
    let least = Infinity;
    for (const cell of level.cells) {
      const x = (cell.column + 0.5) / level.grid - from[0];
      const y = (cell.row + 0.5) / level.grid - from[1];
      const along = x * dx + y * dy;
      const across = Math.abs(x * dy) + Math.abs(y * dx);
      const distance = chosen ? along + 2 * across : Math.hypot(x, y);
      if ((!chosen || (along > 1e-6 && across <= along)) && distance < least) [best, least] = [cell, distance];
    }
    return best;
  }

  const KEYS = {
    ArrowLeft: () => go(-1, 0),
    ArrowRight: () => go(1, 0),
    ArrowUp: () => go(0, -1),
    ArrowDown: () => go(0, 1),
    "+": () => zoomMiddle(1.4),
    "=": () => zoomMiddle(1.4),
    "-": () => zoomMiddle(1 / 1.4),
    0: () => move(0.5, 0.5, 1),
    Home: () => move(0.5, 0.5, 1),
    Enter: () => chosen || go(0, 0),
    Escape: () => choose(null),
  };

  function go(dx, dy) {
    const cell = neighbour(dx, dy);
    if (cell) choose(cell, { moves: true });
  }

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    zoomAt(event.offsetX, event.offsetY, Math.exp(-pixels / 400));
  }, { passive: false });

  // One pointer drags, two pinch; a pointer that hardly moved has clicked.
  const pointers = new Map();
  let travelled = 0;
  const middle = () => {
    const points = [...pointers.values()];
    const sum = points.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
    return [sum[0] / points.length, sum[1] / points.length];
  };
  const spread = () => {
    const [first, second] = [...pointers.values()];
    return second ? Math.hypot(first[0] - second[0], first[1] - second[1]) : 0;
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!pointers.size) travelled = 0;
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [before, apart] = [middle(), spread()];
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    const after = middle();
    const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
    travelled += Math.hypot(dx, dy) + Math.abs(spread() - apart);
    if (travelled > 5) {
      canvas.classList.add("moving");
      move(view.x - dx / side(), view.y - dy / side());
      if (apart) zoomAt(after[0], after[1], spread() / apart);
    }
  });

  function release(event) {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.remove("moving");
    if (event.type === "pointerup" && !pointers.size && travelled <= 5) choose(cellAt(event.offsetX, event.offsetY));
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  document.getElementById("closer").addEventListener("click", () => zoomMiddle(1.6));
  document.getElementById("farther").addEventListener("click", () => zoomMiddle(1 / 1.6));
  document.getElementById("whole").addEventListener("click", () => move(0.5, 0.5, 1));
  if (names) names.addEventListener("change", redraw);
  if (find) {
    find.addEventListener("input", () => { look(); noteAddress(); });
  }

  function look() {
    wanted = find.value.trim().normalize().toLowerCase();
    const matches = map.levels[map.levels.length - 1].cells.filter(fits).length;
    document.getElementById("matched").textContent = wanted ? `${counted(matches, "cell")} of the finest grid` : "";
    redraw();
  }

  document.querySelector(".controls").hidden = false;
  document.querySelector(".controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", readAddress);
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  readAddress();
})();
