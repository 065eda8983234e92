// The layer page: sorting, filtering, choosing variants and sizes, arrow keys; and which channel is open.
// All of it stands in the address: #sort=score&least=first&verdict=doubtful&find=dog&picture=channel-&channel=12
"use strict";
(() => {
  const layer = window.ATLAS_LAYER;
  const ATLAS = window.ATLAS;
  const { element, number, byChannel, button } = ATLAS;
  const grid = document.getElementById("grid");
  const view = document.getElementById("view");
  const cells = [...grid.querySelectorAll(".cell")];
  const controls = document.querySelector(".controls");
  const control = (id) => document.getElementById(id);
  const cellOf = new Map(cells.map((cell) => [Number(cell.dataset.channel), cell]));
  const WORDS = ["trusted", "doubtful", "not to be trusted"];
  const SMALLEST_FIRST = ["channel", "similarity", "verdict", "standardized_rank", "robustness_loss", "frequency_distance"];
  let order = layer.channels.map((channel) => channel.channel);

  // ---- the address
  const FIELDS = { sort: "channel", least: "", verdict: "", from: "", to: "", find: "", picture: layer.columns[0] };

  function address() {
    return new URLSearchParams(location.hash.slice(1));
  }

  // The address with other values, without those that are as at first.
  ATLAS.hashWith = (changes) => {
    const values = Object.assign(Object.fromEntries(address()), changes);
    return new URLSearchParams(Object.entries(values).filter(([name, value]) => value !== null && value !== "" && String(value) !== FIELDS[name])).toString();
  };

  function remember() {
    const values = Object.fromEntries(Object.keys(FIELDS).filter((name) => control(name)).map((name) => [name, name === "least" ? (control(name).getAttribute("aria-pressed") === "true" ? "first" : "") : control(name).value]));
    const hash = ATLAS.hashWith(values);
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function restore() {
    for (const [name, usual] of Object.entries(FIELDS)) {
      const node = control(name);
      const value = address().get(name) ?? usual;
      if (!node) continue;
      if (name === "least") node.setAttribute("aria-pressed", String(value === "first"));
      else if (node.tagName !== "SELECT" || [...node.options].some((option) => option.value === value)) node.value = value;
      else node.value = usual;
    }
  }

  // ---- values
  function value(channel, key) {
    if (key === "channel") return channel.channel;
    const column = columnShown();
    const shown = channel.pictures.find((each) => each.column === column) || (channel.single ? undefined : channel.pictures[0]);
    if (key === "verdict") return shown && shown.picture_verdict ? WORDS.indexOf(shown.picture_verdict) : null;
    if (key in channel.numbers) return channel.numbers[key];
    if (key === "name_score" || key === "clarity") return channel[key] ?? null;
    if (key === "class_selectivity") return channel.class_selectivity ?? null;
    if (key === "fraction_active" || key === "similarity") return channel[key] ?? null;
    return shown?.[key] ?? null;
  }

  function matches(channel, words) {
    const text = [channel.channel, channel.unit, channel.className || "", channel.name || "", channel.description || "", channel.status, channel.verdict || "", ...(channel.classes || []).map((each) => each.label)].join(" ").normalize().toLowerCase();
    const isNumber = (word) => /^\d+$/.test(word);
    return words.every((word) => (isNumber(word) && !channel.className ? String(channel.channel) === word : text.includes(word)));
  }

  function arrange() {
    const key = control("sort").value;
    const least = control("least").getAttribute("aria-pressed") === "true";
    const ascending = SMALLEST_FIRST.includes(key) !== least;
    control("least").textContent = ascending ? "↑" : "↓";
    const words = control("find").value.normalize().toLowerCase().split(/\s+/).filter(Boolean);
    const [from, to] = ["from", "to"].map((name) => (control(name).value === "" ? null : Number(control(name).value)));
    const wanted = control("verdict").value;
    const known = new Map(layer.channels.map((channel) => [channel.channel, value(channel, key)]));
    const inside = (channel) => {
      const size = known.get(channel.channel);
      return (from === null || (size !== null && size >= from)) && (to === null || (size !== null && size <= to));
    };
    const compare = (a, b) => {
      const [x, y] = [known.get(a.channel), known.get(b.channel)];
      if (x === null || y === null) return (x === null) - (y === null) || a.channel - b.channel; // unknown values last
      return (ascending ? x - y : y - x) || a.channel - b.channel;
    };
    const sorted = [...layer.channels].sort(compare);
    const shown = new Set(sorted.filter((channel) => matches(channel, words) && inside(channel) && (!wanted || channel.verdict === wanted)));
    order = [...shown].map((channel) => channel.channel);
    const ordered = sorted.map((channel) => cellOf.get(channel.channel));
    if (ordered.some((cell, n) => cell !== grid.children[n])) grid.append(...ordered);
    for (const channel of sorted) {
      const cell = cellOf.get(channel.channel);
      cell.hidden = !shown.has(channel);
      cell.lastElementChild.lastElementChild.textContent = ["channel", "similarity", "verdict"].includes(key) ? "" : number(known.get(channel.channel), 3);
    }
    const filtered = words.length || from !== null || to !== null || wanted;
    control("found").textContent = filtered ? `${order.length} of ${layer.channels.length} shown` : "";
    showColumn(columnShown());
  }

  function columnShown() {
    return control("picture")?.value ?? layer.columns[0];
  }

  let shownColumn = layer.columns[0];
  function showColumn(column) {
    if (column === shownColumn) return;
    shownColumn = column;
    for (const channel of layer.channels) cellOf.get(channel.channel).firstElementChild.replaceWith(ATLAS.tile(layer, channel, column));
  }

  // What an address names stays when the atlas is made again: a channel's number does, that of another unit may not.
  function nameOf(number) {
    const channel = byChannel.get(number);
    return channel.single ? number : channel.unit;
  }

  function named(text) {
    return /^\d+$/.test(text) ? byChannel.get(Number(text)) : layer.channels.find((channel) => !channel.single && channel.unit === text);
  }

  // The links of the cells hold the choice, so that going back from a channel leads to the same grid.
  function link() {
    for (const [channel, cell] of cellOf) cell.href = `#${ATLAS.hashWith({ channel: nameOf(channel) })}`;
  }

  // ---- the view of one channel
  function neighbour(channel, step) {
    const index = order.indexOf(channel);
    return index < 0 ? undefined : order[index + step];
  }

  let asked = null;
  async function open(channel) {
    asked = channel;
    try { await ATLAS.details(layer, channel); } catch (error) { control("found").textContent = `${error.message}.`; return; }
    if (asked === channel) show(channel);
  }

  function show(channel) {
    const before = neighbour(channel.channel, -1);
    const after = neighbour(channel.channel, 1);
    const focused = document.activeElement?.title;
    view.replaceChildren(
      element("div", { className: "view-head" },
        element("div", {},
          element("h2", { id: "view-title", textContent: channel.className || (channel.single ? `Channel ${channel.channel}` : channel.unit) }),
          element("p", {}, channel.unit, " ", ATLAS.verdictBadge(channel.verdict),
            channel.status === "ok" ? null : element("span", { className: "badge", textContent: ` · ${channel.status}` }))),
        element("div", { className: "buttons" },
          element("a", { className: "button", href: `../compare.html#${new URLSearchParams({ a: ATLAS.unitName(layer, channel) })}`, textContent: "Compare", title: "Put it beside another channel" }),
          button("←", "Previous channel (left arrow)", () => go(before), before === undefined),
          button("→", "Next channel (right arrow)", () => go(after), after === undefined),
          button("✕", "Close (Escape)", () => view.close()))),
      ATLAS.content(channel));
    if (!view.open) view.showModal();
    // The buttons are new elements: keep the focus on the one in use, so that Enter goes on to the next channel.
    // Otherwise focus the dialog, or the browser would outline its first button.
    const same = [...view.querySelectorAll(".buttons button:enabled")].find((node) => node.title === focused);
    (same || view).focus();
    view.scrollTop = 0;
    document.title = `${channel.className || channel.unit} · ${layer.name}`;
    cells.forEach((cell) => cell.classList.toggle("open", Number(cell.dataset.channel) === channel.channel));
  }

  function go(channel) {
    if (channel !== undefined) location.replace(`#${ATLAS.hashWith({ channel: nameOf(channel) })}`);
  }

  const title = document.title;

  function follow() {
    restore();
    arrange();
    link();
    const name = address().get("channel");
    const channel = name === null ? undefined : named(name);
    asked = null;
    if (channel && !channel.single) history.replaceState(null, "", `#${ATLAS.hashWith({ channel: channel.unit })}`);
    if (name !== null && !channel) control("found").textContent = `This atlas has no channel or unit ${name} of this layer.`;
    if (channel) open(channel);
    else if (view.open) view.close();
  }

  function closed() {
    asked = null;
    const open = grid.querySelector(".cell.open");
    cells.forEach((cell) => cell.classList.remove("open"));
    const hash = ATLAS.hashWith({ channel: null });
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    document.title = title;
    if (open) open.focus();
  }

  // ---- arrow keys
  function moveInGrid(event) {
    const shown = [...grid.querySelectorAll(".cell:not([hidden])")];
    const index = shown.indexOf(document.activeElement);
    if (index < 0) return;
    const columns = shown.findIndex((cell) => cell.offsetTop !== shown[0].offsetTop);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(columns < 0 ? shown.length : columns), ArrowDown: columns < 0 ? shown.length : columns, Home: -index, End: shown.length - 1 - index }[event.key];
    const cell = step === undefined ? undefined : shown[index + step];
    if (!cell) return;
    event.preventDefault();
    cell.focus();
  }

  function keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || control("zoom").open) return;
    if (!view.open) { moveInGrid(event); return; }
    if (/^(INPUT|SELECT|PRE)$/.test(event.target.tagName)) return;
    const current = named(address().get("channel") ?? "")?.channel;
    if (event.key === "ArrowLeft") go(neighbour(current, -1));
    if (event.key === "ArrowRight") go(neighbour(current, 1));
  }

  function changed() {
    arrange();
    remember();
    link();
  }

  controls.hidden = !cells.length;
  controls.reset();
  controls.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["sort", "picture", "verdict"]) control(name)?.addEventListener("change", changed);
  for (const name of ["find", "from", "to"]) control(name).addEventListener("input", changed);
  control("least").addEventListener("click", () => { control("least").setAttribute("aria-pressed", String(control("least").getAttribute("aria-pressed") !== "true")); changed(); });
  control("size").addEventListener("input", (event) => grid.style.setProperty("--cell", `${event.target.value}px`));
  window.addEventListener("hashchange", follow);
  view.addEventListener("close", closed);
  for (const dialog of [view, control("zoom")]) dialog.addEventListener("mousedown", (event) => { // a click on the backdrop has the dialog as its target, and so has one on its padding
    const box = dialog.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (event.target === dialog && !inside) dialog.close();
  });
  document.addEventListener("keydown", keys);
  follow();
  document.documentElement.classList.remove("searching");
  document.body.dataset.ready = "true";
})();
