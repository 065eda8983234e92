// The layer page: sorting, choosing variants and sizes, and the view of one channel (#channel=12).
// All text from outside goes through textContent, never through innerHTML.
"use strict";
(() => {
  const layer = window.ATLAS_LAYER;
  const byChannel = new Map(layer.channels.map((channel) => [channel.channel, channel]));
  const grid = document.getElementById("grid");
  const view = document.getElementById("view");
  const cells = [...grid.querySelectorAll(".cell")];
  const controls = document.querySelector(".controls");
  const find = document.getElementById("find");
  let order = layer.channels.map((channel) => channel.channel);

  const NUMBERS = {
    count: ["images", "Images of the dataset that were scanned"],
    mean: ["mean", "Mean over all positions of all images"],
    variance: ["variance", "Variance over all positions of all images"],
    minimum: ["minimum", "Smallest value at any position of any image"],
    maximum: ["maximum", "Largest value at any position of any image"],
  };
  // Crops of what the layer sees at one position; the spectrum below shows the whole input of the model.
  const KINDS = {
    top: ["Excite it most", "Images with the largest value at any position, cut around that position"],
    class: ["Best of each class", "The image with the largest value, for each class that reaches the highest values; cut around that position"],
    bottom: ["Excite it least", "Images with the smallest value at any position, cut around that position"],
  };
  const SPECTRUM = {
    top_mean: ["Largest mean", "Images with the largest mean over all positions"],
    slightly_positive: ["Slightly positive", "Sampled images whose mean is nearest to the median of those above zero"],
    zero: ["Around zero", "Sampled images whose mean is nearest to zero"],
    slightly_negative: ["Slightly negative", "Sampled images whose mean is nearest to the median of those below zero"],
    bottom_mean: ["Smallest mean", "Images with the smallest mean over all positions"],
  };

  // [singular, plural]. A channel's score is a mean over positions, so it is compared with the means of sampled images;
  // a neuron's score is the value at one position, so it is compared with their values there.
  const COMPARED_WITH = {
    channel: ["sampled image's mean", "sampled images' means"],
    neuron: ["sampled image's value there", "sampled images' values there"],
  };

  function element(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function number(value, digits = 4) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−");
    const size = Math.abs(value);
    const text = size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
    return text.replace(/-/g, "−");
  }

  function picture(folderFile, style, label) {
    const box = element("span", { className: "picture" });
    if (style === null) {
      box.classList.add("none");
      box.textContent = "not stored";
      return box;
    }
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    box.style.cssText = style;
    box.style.backgroundImage = `url("${encodeURIComponent(layer.slug)}/${folderFile}")`;
    return box;
  }

  const padded = (count) => String(count).padStart(3, "0");

  function standing(shown) {
    const [singular, plural] = COMPARED_WITH[shown.objective] || ["sampled image", "sampled images"];
    const words = [];
    if (shown.percentile === 100) words.push(`beyond every ${singular}`);
    else if (shown.percentile !== null) words.push(`beyond ${number(shown.percentile)} % of ${plural}`);
    if (shown.times_maximum !== null) words.push(`${number(shown.times_maximum, 2)} × the best`);
    return words.length ? `: ${words.join(", ")}.` : ".";
  }

  // The measurements of a picture, in words. The exact meaning of each is its tooltip.
  function worth(shown) {
    const share = (value) => `${number(100 * value, 2)} %`;
    const facts = [
      ["rank", (value) => `rank ${value} in its layer`, "Rank of the channel among all of its layer, by activation on this picture"],
      ["robustness_loss", (value) => (value > 0 ? `loses ${share(value)} when moved` : "loses nothing when moved"), "Share of the score that is lost under random shifts, scalings and rotations"],
      ["frequency_distance", (value) => `frequencies ${number(value, 2)} decades off`, "Distance of its frequency magnitude from the dataset's; 1 is a factor of ten"],
      ["path_similarity", (value) => `path similarity ${number(value, 2)}`, "Similarity to the unit's best examples in the layers before: 1 is as similar as these are to each other, 0 as any image"],
      ["agreement", (value) => `seeds agree ${number(value, 2)}`, "Similarity of the layer's activations to those on pictures with other seeds: 1 is the same"],
    ];
    const known = facts.filter(([key]) => shown[key] !== null && shown[key] !== undefined);
    if (!known.length) return null;
    return element("ul", { className: "worth" }, ...known.map(([key, words, help]) => element("li", { textContent: words(shown[key]), title: help })));
  }

  function pictures(channel) {
    const title = element("h3", { textContent: "Optimized", title: "Pictures made to excite this unit" });
    if (!channel.pictures.length) return [title, element("p", { className: "none", textContent: "No picture of this channel." })];
    return [title, element("div", { className: "pictures" }, ...channel.pictures.map((shown) =>
      element("figure", {},
        picture(`pictures-${padded(shown.sheet)}.png`, shown.style, `${shown.column} of ${channel.unit}`),
        element("figcaption", {},
          element("b", { textContent: shown.column, title: shown.key }), ` scores ${number(shown.score)}${standing(shown)}`,
          ` ${shown.steps} steps, seed ${shown.seed}${shown.attempt > 1 ? ", second attempt" : ""}.`,
          shown.picture_status && shown.picture_status !== "ok" ? element("em", { textContent: ` ${shown.picture_status}` }) : null,
          worth(shown)))))];
  }

  function figures(channel, kind) {
    return channel.examples
      .filter((example) => example.kind === kind)
      .map((example) => element("figure", { title: `${example.label ? `${example.label}\n` : ""}${example.example_id}${example.row === null ? "" : `\nat row ${example.row}, column ${example.column}`}` },
        picture(`examples-${padded(example.sheet)}.jpg`, example.style, example.label || example.example_id),
        element("figcaption", {}, element("b", { textContent: number(example.value) }), ` ${example.label || ""}`)));
  }

  function examples(channel) {
    const section = ([kind, [name, help]]) => {
      const shown = figures(channel, kind);
      return shown.length ? [element("h3", { textContent: name, title: help }), element("div", { className: "examples" }, ...shown)] : [];
    };
    const groups = Object.entries(SPECTRUM).map(([kind, [name, help]]) => {
      const shown = figures(channel, kind);
      return shown.length ? element("section", {}, element("h4", { textContent: name, title: help }), ...shown) : null;
    });
    const spectrum = groups.some(Boolean)
      ? [element("h3", { textContent: "The whole range", title: "Whole images, by the channel's mean over all positions" }), element("div", { className: "spectrum" }, ...groups)]
      : [];
    const [top, ...rest] = Object.entries(KINDS);
    const parts = [...section(top), ...spectrum, ...rest.flatMap(section)];
    return parts.length ? parts : [element("p", { className: "none", textContent: "No dataset examples." })];
  }

  // Buckets are wider the farther they are from zero; they are drawn side by side, zero marked.
  function histogram(statistics, help) {
    const buckets = (statistics && statistics.histogram) || [];
    if (buckets.length < 2) return null;
    const most = Math.max(...buckets.map((bucket) => bucket.count));
    const bars = buckets.map((bucket) => {
      const bar = element("span", { title: `${number(bucket.low)} to ${number(bucket.high)}: ${number(bucket.count)} images` });
      bar.style.height = `${Math.max(2, (100 * bucket.count) / most)}%`;
      if (bucket.high <= 0) bar.className = "negative";
      return bar;
    });
    return element("figure", { className: "histogram", title: help },
      element("div", {}, ...bars),
      element("figcaption", {}, element("span", { textContent: number(buckets[0].low, 3) }), element("span", { textContent: number(buckets.at(-1).high, 3) })));
  }

  function row(name, help, ...value) {
    return element("tr", { title: help }, element("th", { scope: "row", textContent: name }), element("td", {}, ...value));
  }

  function links(channels) {
    return channels.flatMap(([channel, text], index) => {
      const label = `${channel}${text}`;
      const node = byChannel.has(channel) ? element("a", { href: `#channel=${channel}`, textContent: label }) : label;
      return index ? [", ", node] : [node];
    });
  }

  function numbers(channel) {
    const rows = Object.entries(channel.numbers).map(([key, value]) => {
      const [name, help] = NUMBERS[key] || [key, ""];
      return row(name, help, number(value));
    });
    const maxima = channel.spatial_maximum;
    const share = (value) => `${number(100 * value, 3)} %`;
    if (maxima && maxima.fraction_active !== null) rows.push(row("active", "Images whose largest value is above zero", share(maxima.fraction_active)));
    if (channel.partners && channel.partners.length)
      rows.push(row("moves with", "Channels whose means follow this one's most closely over the sampled images, with their correlation",
        ...links(channel.partners.slice(0, 3).map((partner) => [partner.channel, ` (${number(partner.correlation, 2)})`]))));
    if (channel.duplicates && channel.duplicates.length)
      rows.push(row("same as", "Channels that correlate .98 or more with this one", ...links(channel.duplicates.map((duplicate) => [duplicate, ""]))));
    if (channel.class_selectivity !== null && channel.class_selectivity !== undefined)
      rows.push(row("by class", "Share of the variance of its mean that lies between classes", share(channel.class_selectivity)));
    if (channel.classes && channel.classes.length)
      rows.push(row("classes", "Classes with the highest mean", channel.classes.slice(0, 3).map((shown) => shown.label).join(", ")));
    return [element("h3", { textContent: "On the dataset" }), element("table", {}, element("tbody", {}, ...rows)),
      histogram(maxima, "The largest value of each image: how many images in each bucket; buckets are wider away from zero")];
  }

  function neighbour(channel, step) {
    const index = order.indexOf(channel);
    return index < 0 ? undefined : order[index + step];
  }

  function button(text, label, action, disabled) {
    const node = element("button", { type: "button", textContent: text, title: label, disabled: Boolean(disabled) });
    node.setAttribute("aria-label", label);
    node.addEventListener("click", action);
    return node;
  }

  function show(channel) {
    const before = neighbour(channel.channel, -1);
    const after = neighbour(channel.channel, 1);
    const focused = document.activeElement?.title;
    view.replaceChildren(
      element("div", { className: "view-head" },
        element("div", {},
          element("h2", { id: "view-title", textContent: channel.className || (channel.single ? `Channel ${channel.channel}` : channel.unit) }),
          element("p", {}, channel.unit,
            channel.status === "ok" ? null : element("span", { className: "badge", textContent: ` · ${channel.status}` }))),
        element("div", { className: "buttons" },
          button("←", "Previous channel (left arrow)", () => go(before), before === undefined),
          button("→", "Next channel (right arrow)", () => go(after), after === undefined),
          button("✕", "Close (Escape)", () => view.close()))),
      element("div", { className: "view-body" },
        element("div", {}, ...pictures(channel), ...numbers(channel)),
        element("div", {}, ...examples(channel))));
    if (!view.open) view.showModal();
    // The buttons are new elements: keep the focus on the one in use, so that Enter goes on to the next channel.
    // Otherwise focus the dialog, or the browser would outline its first button.
    const same = [...view.querySelectorAll("button:enabled")].find((node) => node.title === focused);
    (same || view).focus();
    view.scrollTop = 0;
    cells.forEach((cell) => cell.classList.toggle("open", Number(cell.dataset.channel) === channel.channel));
  }

  function go(channel) {
    if (channel !== undefined) location.replace(`#channel=${channel}`);
  }

  function follow() {
    const match = /^#channel=(\d+)$/.exec(location.hash);
    const channel = match ? byChannel.get(Number(match[1])) : undefined;
    if (channel) show(channel);
    else if (view.open) view.close();
  }

  function closed() {
    const open = grid.querySelector(".cell.open");
    cells.forEach((cell) => cell.classList.remove("open"));
    history.replaceState(null, "", location.pathname + location.search);
    if (open) open.focus();
  }

  function strength(channel, column) {
    return channel.pictures.find((shown) => shown.column === column)?.times_maximum ?? -Infinity;
  }

  function matches(channel, words) {
    const text = [channel.channel, channel.unit, channel.className || "", channel.status].join(" ").toLowerCase();
    const isNumber = (word) => /^\d+$/.test(word);
    return words.every((word) => (isNumber(word) && !channel.className ? String(channel.channel) === word : text.includes(word)));
  }

  function arrange() {
    const key = document.getElementById("sort").value;
    const column = layer.columns[Number(document.getElementById("variant")?.value || 0)];
    const value = {
      channel: (channel) => -channel.channel,
      times: (channel) => strength(channel, column),
      maximum: (channel) => channel.numbers.maximum ?? -Infinity,
      mean: (channel) => channel.numbers.mean ?? -Infinity,
    }[key];
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const sorted = [...layer.channels].sort((a, b) => value(b) - value(a) || a.channel - b.channel);
    const matching = new Set(sorted.filter((channel) => matches(channel, words)));
    order = [...matching].map((channel) => channel.channel);
    for (const channel of sorted) {
      const cell = document.getElementById(`cell-${channel.channel}`);
      cell.hidden = !matching.has(channel);
      grid.append(cell);
    }
    document.getElementById("found").textContent = words.length ? `${order.length} of ${layer.channels.length}` : "";
  }

  function choose(event) {
    for (const cell of cells) [...cell.querySelectorAll(".picture")].forEach((box, index) => { box.hidden = index !== Number(event.target.value); });
    arrange();
  }

  controls.hidden = !cells.length;
  controls.reset(); // A reload must not keep choices that the grid does not show.
  controls.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("sort").addEventListener("change", arrange);
  document.getElementById("variant")?.addEventListener("change", choose);
  find.addEventListener("input", arrange);
  document.getElementById("size").addEventListener("input", (event) => grid.style.setProperty("--cell", `${event.target.value}px`));
  window.addEventListener("hashchange", follow);
  view.addEventListener("close", closed);
  view.addEventListener("mousedown", (event) => { // a click on the backdrop has the dialog as its target, and so has one on its padding
    const box = view.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (event.target === view && !inside) view.close();
  });
  document.addEventListener("keydown", (event) => {
    if (!view.open || event.altKey || event.ctrlKey || event.metaKey) return;
    const current = Number((/^#channel=(\d+)$/.exec(location.hash) || [])[1]);
    if (event.key === "ArrowLeft") go(neighbour(current, -1));
    if (event.key === "ArrowRight") go(neighbour(current, 1));
  });
  follow();
  document.body.dataset.ready = "true";
})();
