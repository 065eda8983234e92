// The data files as objects: the channels of a layer, everything about one of them when it is asked for, and where images lie.
"use strict";
(() => {
  const { element } = window.ATLAS;
  const HOME = document.documentElement.dataset.home || "";
  const WHOLE_KINDS = ["bottom_mean", "slightly_negative", "zero", "slightly_positive", "top_mean"];
  const padded = (count) => String(count).padStart(3, "0");
  const folder = (layer) => `${HOME}layers/${encodeURIComponent(layer.slug)}`;

  // Scripts and not fetch(): browsers refuse to fetch a file beside a page that is opened from disk.
  const reading = new Map();
  function script(address) {
    if (!reading.has(address)) {
      reading.set(address, new Promise((resolve, reject) => {
        const node = element("script", { src: address });
        node.addEventListener("load", resolve);
        node.addEventListener("error", () => { reading.delete(address); node.remove(); reject(new Error(`${address} can't be read`)); });
        document.head.append(node);
      }));
    }
    return reading.get(address);
  }

  const named = (names, values) => Object.fromEntries(names.map((name, n) => [name, values[n]]));

  // Lists become objects: `channels`, each with its pictures, and `byChannel`.
  function unpack(layer) {
    const position = new Map(layer.similarity.map((number, n) => [number, n]));
    layer.sheets = new Map();
    layer.wholes = new Map();
    layer.channels = layer.tiles.map((tile, number) => {
      const channel = named(layer.fields, tile);
      const { count, mean, variance, minimum, maximum, ...others } = channel;
      return Object.assign(others, {
        numbers: { count, mean, variance, minimum, maximum },
        classes: channel.classes.map((label) => ({ label: layer.labels[label] })),
        pictures: channel.pictures.map((values) => {
          const shown = named(layer.ofPicture, values);
          return Object.assign(shown, { column: layer.columns[shown.column] });
        }),
        similarity: position.get(number),
        part: Math.floor(number / layer.perPart),
      });
    });
    layer.byChannel = new Map(layer.channels.map((channel) => [channel.channel, channel]));
    return layer;
  }

  // Everything about a channel; the file holds its neighbours too.
  async function details(layer, channel) {
    if (!layer.sheets.has(channel.part)) {
      await script(`${folder(layer)}/details-${padded(channel.part)}.js`);
      const read = window.ATLAS_DETAILS[`${layer.slug}/${channel.part}`];
      layer.sheets.set(channel.part, read.sheet);
      for (const whole of read.channels) {
        Object.assign(layer.byChannel.get(whole.channel), whole);
        for (const example of whole.examples) if (WHOLE_KINDS.includes(example.kind) && example.place !== null) layer.wholes.set(example.example_id, example);
      }
    }
    return channel;
  }

  // Another layer than that of the page. Each script of a layer sets the same variable, so they are read one by one.
  let before = Promise.resolve();
  const layers = new Map();
  function layerOf(slug) {
    if (!layers.has(slug)) {
      layers.set(slug, before.then(() => script(`${HOME}layers/${encodeURIComponent(slug)}.js`)).then(() => unpack(window.ATLAS_LAYER)));
      before = layers.get(slug).catch(() => layers.delete(slug));
    }
    return layers.get(slug);
  }

  const pictureAddress = (slug, file, full) => `${HOME}layers/${encodeURIComponent(slug)}/${file}${full ? "-full" : ""}.webp`;

  function image(address, label) {
    return element("img", { className: "picture", src: address, alt: label, loading: "lazy", decoding: "async" });
  }

  // A channel's picture, small; the one in a column of the grid, or its first.
  function tile(layer, channel, column) {
    const shown = channel.pictures.find((each) => each.column === column) || (column === undefined || !channel.single ? channel.pictures[0] : undefined);
    return shown ? image(pictureAddress(layer.slug, shown.file), `picture of ${channel.unit}`) : element("span", { className: "picture none", textContent: "no picture" });
  }

  // The crop of an example: a file that many channels show, or a cell of the sheet of its part.
  function crop(layer, example, label) {
    if (example.place === null) return element("span", { className: "picture none", textContent: "not stored" });
    if (typeof example.place === "string") return image(`${HOME}examples/${example.place}.webp`, label);
    const { columns, rows } = layer.sheets.get(example.part);
    const [row, column] = [Math.floor(example.place / columns), example.place % columns];
    const box = element("span", { className: "picture" });
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    box.style.backgroundImage = `url("${folder(layer)}/examples-${padded(example.part)}.webp")`;
    box.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    box.style.backgroundPosition = `${(100 * column) / Math.max(1, columns - 1)}% ${(100 * row) / Math.max(1, rows - 1)}%`;
    return box;
  }

  // A unit's name in addresses: its layer and number, or its whole text where it is no single channel. It stays when the atlas is made again.
  const unitName = (layer, channel) => (channel.single ? `${layer.name}:${channel.channel}` : channel.unit);

  Object.assign(window.ATLAS, { HOME, unitName, WHOLE_KINDS, script, unpack, details, layerOf, pictureAddress, image, tile, crop });
  if (window.ATLAS_LAYER) {
    unpack(window.ATLAS_LAYER);
    layers.set(window.ATLAS_LAYER.slug, Promise.resolve(window.ATLAS_LAYER));
  }
})();
