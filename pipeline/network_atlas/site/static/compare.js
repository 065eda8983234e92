// Two units, layers or pictures side by side. The address names them: #a=layer1.0:3&b=layer2.0:7&pa=channel%2B
// `a` and `b` are layers, channels, texts of other units, or all of a kind ("layer1.0: directions"); `pa` and `pb` name the picture that is shown of each.
"use strict";
(() => {
  const ATLAS = window.ATLAS;
  const { element, number, search, details, layerOf, tile, crop, image, withTwin, pictureAddress, histogram, METRICS, verdictBadge, unitName, HOME } = ATLAS;
  const control = (id) => document.getElementById(id);
  const SIDES = ["a", "b"];
  const TILES = 24;
  const SUGGESTED = 20;
  const KINDS = { directions: "direction", sums: "sum", interpolations: "interpolation" };
  const title = document.title;
  const address = () => new URLSearchParams(location.hash.slice(1));
  const layerPage = (layer) => `${HOME}layers/${encodeURIComponent(layer.slug)}.html`;

  // All channels of a layer, or all its units of a kind.
  function unitsOf(layer, kind) {
    const units = layer.channels.filter((channel) => (kind ? !channel.single && channel.pictures[0]?.objective === KINDS[kind] : channel.single));
    if (!units.length) throw new Error(`This atlas has no ${kind || "channels"} of ${layer.name}`);
    return { layer, units, name: kind ? `${layer.name}: ${kind}` : layer.name };
  }

  // What a name means: a layer, its units of a kind, a layer's channel, or a unit that is no single channel.
  async function resolve(name) {
    const { layers, units } = await search.load();
    const byName = (wanted) => layers.find((layer) => layer.name === wanted);
    if (byName(name)) return unitsOf(await layerOf(byName(name).slug));
    const [, of, kind] = /^(.*): (\w+)$/.exec(name) || [];
    if (byName(of) && kind in KINDS) return unitsOf(await layerOf(byName(of).slug), kind);
    const [, before, channel] = /^(.*):(\d+)$/.exec(name) || [];
    const other = units.find((unit) => unit.caption === name);
    const entry = byName(before) || (other && byName(other.layerName));
    if (!entry) throw new Error(`This atlas has no layer or unit ${name}`);
    const layer = await layerOf(entry.slug);
    const number = byName(before) ? Number(channel) : other.channel;
    if (!layer.byChannel.has(number)) throw new Error(`This atlas has no channel ${number} of ${layer.name}`);
    return { layer, channel: await details(layer, layer.byChannel.get(number)) };
  }

  function change(values) {
    const now = address();
    for (const [name, value] of Object.entries(values)) if (value) now.set(name, value); else now.delete(name);
    location.replace(`#${now}`);
  }

  // ---- one side
  function pictures(side, { layer, channel }) {
    if (!channel.pictures.length) return [element("p", { className: "none", textContent: "No picture was made." })];
    const wanted = address().get(`p${side}`);
    const shown = channel.pictures.find((each) => each.column === wanted) || channel.pictures[0];
    const choice = element("select", { className: "choice" }, ...channel.pictures.map((each) => element("option", { value: each.column, textContent: each.column, selected: each === shown })));
    choice.setAttribute("aria-label", "Picture");
    choice.addEventListener("change", () => change({ [`p${side}`]: choice.value }));
    const steps = channel.single || channel.pictures.length < 3 ? null : element("div", { className: "row-of" }, ...channel.pictures.map((each) =>
      element("figure", {}, image(pictureAddress(layer.slug, each.file), `${each.column} of ${channel.unit}`), element("figcaption", { className: "caption", textContent: each.column.replace(/^interpolation /, "") }))));
    return [element("div", { className: "shown" }, withTwin(layer, channel, shown, image(pictureAddress(layer.slug, shown.file, shown.full), `${shown.column} of ${channel.unit}`))),
      element("p", {}, channel.pictures.length > 1 ? choice : shown.column, " ", verdictBadge(shown.picture_verdict)), steps];
  }

  function unitSide(side, chosen) {
    const { layer, channel } = chosen;
    const best = channel.examples.filter((example) => example.kind === "top" || (!channel.single && example.kind === "top_mean"));
    const chart = channel.spatial_mean ? histogram({ ...channel.spatial_mean, count: channel.numbers.count }, channel.pictures.filter((shown) => ["channel", "logit"].includes(shown.objective))) : null;
    return [
      element("h2", {}, element("a", { href: `${layerPage(layer)}#channel=${channel.channel}`, textContent: channel.className || channel.name || unitName(layer, channel) })),
      channel.className || channel.name ? element("p", { className: "hint small", textContent: channel.unit }) : null,
      ...pictures(side, chosen),
      ...(best.length ? [element("h3", { textContent: "Excite it most" }), element("div", { className: "row-of" }, ...best.map((example) =>
        element("figure", { title: example.example_id }, crop(example, example.label || example.example_id), element("figcaption", { className: "caption", textContent: example.label || number(example.value, 3) }))))] : []),
      ...(chart ? [element("h3", { textContent: "The whole range" }), chart.drawing] : []),
    ];
  }

  function layerSide({ layer, units, name }) {
    const inOrder = layer.similarity.map((n) => layer.channels[n]).filter((channel) => units.includes(channel));
    const step = Math.max(1, inOrder.length / TILES);
    const spread = Array.from({ length: Math.min(TILES, inOrder.length) }, (_, n) => inOrder[Math.floor(n * step)]);
    return [element("h2", {}, element("a", { href: layerPage(layer), textContent: name })),
      element("p", { className: "hint small", textContent: `${number(units.length)} ${units[0].single ? "channel" : "unit"}${units.length === 1 ? "" : "s"}${spread.length < inOrder.length ? `; ${spread.length} of them, spread by similarity` : ", by similarity"}` }),
      element("div", { className: "row-of" }, ...spread.map((channel) => element("a", { className: "cell", href: `${layerPage(layer)}#channel=${channel.channel}`, title: channel.unit }, tile(layer, channel))))];
  }

  // ---- both sides
  function table(rows, heads) {
    const node = element("table", { className: "both-table" }, element("thead", {}, element("tr", {}, ...["", ...heads].map((head) => element("th", { scope: "col", textContent: head })))));
    node.append(element("tbody", {}, ...rows.map(([name, ...values]) => element("tr", {}, element("th", { scope: "row", textContent: name }), ...values.map((value) => element("td", { textContent: value ?? "–" }))))));
    return node;
  }

  const isSaid = ([, ...values]) => values.some((value) => ![null, undefined, "", "–"].includes(value));
  const pictureOf = (side, { channel }) => channel.pictures.find((each) => each.column === address().get(`p${side}`)) || channel.pictures[0] || {};

  function bothUnits(chosen) {
    const shown = SIDES.map((side, n) => pictureOf(side, chosen[n]));
    const rows = METRICS.map(([name, words]) => [name, ...shown.map((each) => words(each))]);
    const [first, second] = chosen.map(({ channel }) => channel);
    const ids = new Map(first.examples.filter((example) => example.kind.startsWith("top")).map((example) => [example.example_id, example]));
    const shared = [...new Map(second.examples.filter((example) => example.kind.startsWith("top") && ids.has(example.example_id)).map((example) => [example.example_id, example])).values()];
    const partner = chosen[0].layer === chosen[1].layer && (first.partners || []).find((each) => each.channel === second.channel);
    const facts = [
      ["Reasons", ...shown.map((each) => (each.verdict_reasons || []).join("; ") || null)], ["Recipe", ...shown.map((each) => each.recipe || "default")],
      ["Score", ...shown.map((each) => number(each.score))], ["Largest value on an image", first, second].map((each) => (each.numbers ? number(each.numbers.maximum) : each)),
      ["Classes with the highest mean", first, second].map((each) => (each.numbers ? (each.classes || []).slice(0, 3).map((shown) => shown.label).join(", ") || null : each)),
    ];
    return [element("h2", { textContent: "In numbers" }), table([...rows, ...facts].filter(isSaid), chosen.map(({ layer, channel }) => unitName(layer, channel))),
      partner ? element("p", { textContent: `Their means move together over the sampled images: correlation ${number(partner.correlation, 2)}.` }) : null,
      chosen.every(({ channel }) => channel.examples.some((example) => example.kind.startsWith("top"))) && element("h2", { textContent: shared.length ? `${shared.length} of their best images ${shared.length === 1 ? "is" : "are"} the same` : "None of their best images are the same" }),
      shared.length ? element("div", { className: "row-of" }, ...shared.map((example) => crop(example, example.label || example.example_id))) : null];
  }

  function middle(values) {
    const sorted = values.filter((value) => value !== null && value !== undefined).sort((x, y) => x - y);
    return sorted.length ? number(sorted[Math.floor(sorted.length / 2)], 3) : null;
  }

  function bothLayers(chosen) {
    const count = (test) => chosen.map(({ units }) => number(units.filter(test).length));
    const median = (value) => chosen.map(({ units }) => middle(units.map(value)));
    const first = (name) => (channel) => channel.pictures[0]?.[name];
    return [element("h2", { textContent: "In numbers" }), table([
      [chosen.every(({ units }) => units[0].single) ? "Channels" : "Units", ...count(() => true)],
      ...["trusted", "doubtful", "not to be trusted"].map((word) => [word, ...count((channel) => channel.verdict === word)]),
      ["Dead", ...count((channel) => channel.status === "dead")],
      ["Percentile among images, middle", ...median(first("percentile"))], ["Multiple of the best image, middle", ...median(first("times_maximum"))],
      ["Loss when moved, middle", ...median(first("robustness_loss"))], ["Share of images active, middle", ...median((channel) => channel.fraction_active)],
      ["Selectivity for a class, middle", ...median((channel) => channel.class_selectivity)],
    ].filter(isSaid), chosen.map(({ name }) => name))];
  }

  let turn = 0;
  async function show() {
    turn += 1;
    const mine = turn;
    const names = SIDES.map((side) => address().get(side) || "");
    SIDES.forEach((side, n) => { if (document.activeElement !== control(side)) control(side).value = names[n]; });
    const chosen = await Promise.all(names.map((name) => (name ? resolve(name).catch((error) => ({ error })) : null)));
    if (mine !== turn) return;
    const side = (each, n) => element("section", { className: "side" }, ...(!each ? [element("p", { className: "none", textContent: "Choose a layer or a channel." })]
      : each.error ? [element("p", { className: "none", textContent: `${each.error.message}.` })] : each.channel ? unitSide(SIDES[n], each).filter(Boolean) : layerSide(each)));
    control("sides").replaceChildren(...chosen.map(side));
    const isKind = (test) => chosen.every((each) => each && !each.error && test(each));
    control("both").replaceChildren(...(isKind((each) => each.channel) ? bothUnits(chosen).filter(Boolean) : isKind((each) => !each.channel) ? bothLayers(chosen) : []));
    document.title = names.some(Boolean) ? `${names.map((name) => name || "…").join(" and ")} · ${title}` : title;
    document.body.dataset.ready = "true";
  }

  async function suggest(event) {
    const { layers } = await search.load();
    const { units } = search.find(event.target.value);
    const words = event.target.value.toLowerCase();
    const fitting = layers.filter((layer) => layer.lower.includes(words)).slice(0, SUGGESTED).map((layer) => [layer.name, "layer"]);
    const named = units.slice(0, SUGGESTED).map((unit) => [/^[^:]*$/.test(unit.caption || "") ? `${unit.layerName}:${unit.channel}` : unit.caption, unit.caption || unit.name || ""]);
    control("suggestions").replaceChildren(...[...fitting, ...named].map(([value, label]) => element("option", { value, label })));
  }

  control("controls").hidden = false;
  control("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const side of SIDES) {
    control(side).addEventListener("input", suggest);
    control(side).addEventListener("change", () => change({ [side]: control(side).value.trim(), [`p${side}`]: null }));
  }
  control("swap").addEventListener("click", () => {
    const now = address();
    change({ a: now.get("b"), b: now.get("a"), pa: now.get("pb"), pb: now.get("pa") });
  });
  // A click on a unit of the list puts it on the left if that is free, else on the right; its link leads to its page.
  for (const link of document.querySelectorAll(".unit")) link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const side = address().get("a") ? "b" : "a";
    change({ [side]: link.dataset.unit, [`p${side}`]: null });
  });
  window.addEventListener("hashchange", show);
  show();
})();
