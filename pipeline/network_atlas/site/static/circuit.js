// On the view of a channel: which channels of the layers just before drive it, and which just behind it drives; each is a link.
"use strict";
(() => {
  const { element, number, image, pictureAddress, script, search, HOME } = window.ATLAS;
  const percent = (part) => `${number(100 * part, 2)} %`;
  const POOR = 0.2; // from this residual on, the text says that edges leave much out

  async function read(layer, channel) {
    await script(`${HOME}layers/${encodeURIComponent(layer.slug)}/circuit-${String(channel.part).padStart(3, "0")}.js`);
    const file = window.ATLAS_CIRCUIT[`${layer.slug}/${channel.part}`];
    const edges = (list) => list.map(([slug, name, other, ...values]) => Object.assign(Object.fromEntries(file.fields.map((field, n) => [field, values[n]])), { slug, name, channel: other }));
    const known = file.channels[channel.channel];
    return { sheet: file.sheet, ...known, down: edges(known.down), up: edges(known.up) };
  }

  // The units that have a page, by layer and channel.
  async function pages() {
    const { units } = await search.load();
    return new Map(units.map((unit) => [`${unit.slug}:${unit.channel}`, unit]));
  }

  function tile(edge, units, words) {
    const unit = units.get(`${edge.slug}:${edge.channel}`);
    const name = unit?.caption || `${edge.name}:${edge.channel}`;
    const caption = element("span", { className: "caption", textContent: `${name}${words ? ` ${words}` : ""}` });
    if (!unit) return element("span", { className: "cell" }, element("span", { className: "picture none", textContent: "not in this atlas" }), caption);
    const drawn = unit.file ? image(pictureAddress(unit.slug, unit.file), `picture of ${name}`) : element("span", { className: "picture none", textContent: "no picture" });
    return element("a", { className: "cell", href: `${HOME}layers/${encodeURIComponent(unit.slug)}.html#channel=${unit.channel}` }, drawn, caption);
  }

  function downWords(edge) {
    const wiring = edge.wiring === null ? "" : `; by its weights alone ${number(edge.wiring, 2)}`;
    return `${edge.mean > 0 ? "+" : "−"}${number(Math.abs(edge.mean), 2)} ± ${number(edge.deviation, 2)}, ${percent(edge.share)}${wiring}`;
  }

  const upWords = (edge) => `${percent(edge.share)} of it`;

  function lists(edges, units, words, [more, less]) {
    return [["positive", more], ["negative", less]].flatMap(([sign, title]) => {
      const shown = edges.filter((edge) => edge.sign === sign);
      return shown.length ? [element("h4", { textContent: title }), element("div", { className: "related" }, ...shown.map((edge) => tile(edge, units, words(edge))))] : [];
    });
  }

  // How much of the value the layers just before explain.
  function complete(known) {
    if (known.value === undefined) return "Nothing is attributed for this channel.";
    if (!known.parents.length) return "No layer before it can be cut out: it reads the image, or its operations hide what they read.";
    const parts = `Its value on its best images is ${number(known.value, 3)} on average: ${number(known.base, 3)} without the layers just before, and ${number(known.attributed, 3)} from their channels.`;
    if (known.residual === null) return parts;
    const rest = known.residual < 0.005 ? "Nothing is left over" : `${percent(known.residual)} of it is left over`;
    return `${parts} ${rest}${known.residual >= POOR ? ": saturation, gates, normalization or attention stand between, and these numbers say little" : ""}.`;
  }

  // The two groups of a channel's best images, marked on these, and the pictures of what drives it on each.
  function groups(view, layer, channel, known) {
    if (!known.two_groups) return [];
    const labels = ["A", "B"];
    const counts = [0, 0];
    for (const [, , group] of Object.values(known.examples)) if (group !== null) counts[group] += 1;
    for (const open of view.querySelectorAll(".open[data-example]")) {
      const group = known.examples[open.dataset.example]?.[2];
      if (group !== undefined && group !== null) open.parentElement.querySelector("figcaption").prepend(element("b", { className: "group", textContent: `${labels[group]} ` }));
    }
    const shown = channel.pictures.filter((picture) => picture.objective === "circuit");
    const words = shown.length ? " Each picture below is made for the channels just before it, by what they add on the images of one group." : "";
    const tiles = element("div", { className: "related circuits" }, ...shown.map((picture) => groupTile(layer, picture)));
    tiles.style.gridTemplateColumns = "repeat(auto-fill, minmax(140px, 1fr))";
    return [element("p", { className: "hint small", textContent: `Different channels drive it on two groups of its best images, A (${counts[0]}) and B (${counts[1]}): it may have two meanings. Of single clouds with the same spread, ${percent(known.group_p)} divide as well.${words}` }),
      shown.length ? tiles : null];
  }

  function groupTile(layer, picture) {
    const name = picture.column.replace("circuit+", "Group");
    const link = { className: "cell", href: pictureAddress(layer.slug, picture.file, picture.full), target: "_blank", rel: "noopener", title: "Open the picture in full size" };
    return element("a", link, image(pictureAddress(layer.slug, picture.file), `picture of group ${name.slice(6)}`), element("span", { className: "caption", textContent: name }));
  }

  async function fill(body, layer, channel) {
    const [known, units] = await Promise.all([read(layer, channel), pages()]);
    const view = body.closest(".view-body");
    if (!view) return; // another channel was opened meanwhile
    const names = [...new Set(known.down.map((edge) => edge.name))];
    const down = names.flatMap((name) => {
      const edges = known.down.filter((edge) => edge.name === name);
      return lists(edges, units, downWords, [`Channels of ${name} that add most`, `Channels of ${name} that take most`]);
    });
    const up = lists(known.up, units, upWords, ["Later channels that it drives", "Later channels that it holds down"]);
    if (known.examples) window.ATLAS.heat(view, layer, channel, known, known.sheet);
    body.replaceChildren(...[element("p", { className: "hint small", textContent: complete(known) }), ...groups(view, layer, channel, known),
      down.length ? element("p", { className: "hint small", textContent: "Each with what it adds on average over the best images, and its share of all that is added and taken." }) : null,
      ...down, ...up].filter(Boolean));
  }

  function circuit(layer, channel) {
    const body = element("div", {}, element("p", { className: "hint small", textContent: "…" }));
    // Only once it stands on the page: it draws over the images beside it.
    setTimeout(() => fill(body, layer, channel).catch((error) => body.replaceChildren(element("p", { className: "hint small", textContent: `${error.message}.` }))));
    return element("section", { className: "circuit" }, element("h3", { textContent: "What drives it" }), body);
  }

  Object.assign(window.ATLAS, { circuit });
})();
