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
    layer.read = new Set(); // numbers of the parts whose details are here
    layer.wholes = new Map(); // by example: where its whole image is stored
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
    if (!layer.read.has(channel.part)) {
      await script(`${folder(layer)}/details-${padded(channel.part)}.js`);
      const read = window.ATLAS_DETAILS[`${layer.slug}/${channel.part}`];
      layer.read.add(channel.part);
      const place = (cut) => cut && { file: read.files[cut[0]], top: cut[1], left: cut[2], bottom: cut[3], right: cut[4] };
      for (const [example, whole] of read.wholes) layer.wholes.set(example, place(whole));
      for (const whole of read.channels) {
        const examples = whole.examples.map((values) => named(read.ofExample, values));
        Object.assign(layer.byChannel.get(whole.channel), whole, { examples: examples.map((example) => Object.assign(example, { cut: place(example.cut) })) });
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

  // A picture that a prior pulled at never stands alone: the same without it stands on its left.
  function withTwin(layer, channel, shown, picture) {
    if (!shown.twinFile) return picture;
    return element("span", { className: "twins", title: "Left without, right with a prior of natural images" },
      image(pictureAddress(layer.slug, shown.twinFile), `picture of ${channel.unit} without a prior`), picture);
  }

  // A channel's picture, small; the one in a column of the grid, or its first.
  function tile(layer, channel, column) {
    const shown = channel.pictures.find((each) => each.column === column) || (column === undefined || !channel.single ? channel.pictures[0] : undefined);
    return shown ? withTwin(layer, channel, shown, image(pictureAddress(layer.slug, shown.file), `picture of ${channel.unit}`)) : element("span", { className: "picture none", textContent: "no picture" });
  }

  // The file that shows an example, and its size, which stands in its name: 9a0b-256x192.
  const exampleAddress = (file) => `${HOME}examples/${file}.webp`;
  const sizeOf = (file) => file.slice(file.lastIndexOf("-") + 1).split("x").map(Number);

  // The crop of an example: a part of its whole image, or of a sheet of crops.
  function crop(example, label) {
    if (!example.cut) return element("span", { className: "picture none", textContent: "not stored" });
    const { file, top, left, bottom, right } = example.cut;
    const [fileWidth, fileHeight] = sizeOf(file);
    const [width, height] = [right - left, bottom - top];
    const box = element("span", { className: "picture cut" });
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", label);
    box.style.backgroundImage = `url("${exampleAddress(file)}")`;
    box.style.backgroundSize = `${(100 * fileWidth) / width}% ${(100 * fileHeight) / height}%`;
    box.style.backgroundPosition = `${fileWidth > width ? (100 * left) / (fileWidth - width) : 0}% ${fileHeight > height ? (100 * top) / (fileHeight - height) : 0}%`;
    box.style.aspectRatio = `${width} / ${height}`;
    return box;
  }

  // A unit's name in addresses: its layer and number, or its whole text where it is no single channel. It stays when the atlas is made again.
  const unitName = (layer, channel) => (channel.single ? `${layer.name}:${channel.channel}` : channel.unit);

  Object.assign(window.ATLAS, { HOME, unitName, WHOLE_KINDS, script, unpack, details, layerOf, pictureAddress, image, withTwin, tile, crop, exampleAddress, sizeOf });
  if (window.ATLAS_LAYER) {
    unpack(window.ATLAS_LAYER);
    layers.set(window.ATLAS_LAYER.slug, Promise.resolve(window.ATLAS_LAYER));
  }
})();
