// The view of one channel: its pictures and their worth, where they lie among the images, the images, where it came from.
"use strict";
(() => {
  const { element, shape, number, histogram, connectors, curve, share, metrics, verdictBadge, WHOLE_KINDS: BY_MEAN } = window.ATLAS;
  const layer = window.ATLAS_LAYER;
  const { byChannel, wholes } = layer;
  const onePosition = layer.seen.positions.every((count) => count === 1);

  const KINDS = {
    top: ["Excite it most", onePosition ? "The images with the largest value." : "The images with the largest value at any position, cut to what that position sees."],
    class: ["Best of each class", "The image with the largest value, for each class that reaches the highest values."],
    bottom: ["Excite it least", onePosition ? "The images with the smallest value." : "The images with the smallest value at any position, cut to what that position sees."],
  };
  const { crop, exampleAddress, sizeOf } = window.ATLAS;
  const thumbnail = (channel) => window.ATLAS.tile(layer, channel);

  function picture(shown, channel, isFirst) {
    const address = window.ATLAS.pictureAddress(layer.slug, shown.file, shown.full);
    const label = `${shown.column} of ${channel.unit}`;
    const image = element("img", { src: address, alt: label, loading: "lazy", decoding: "async" });
    const link = element("a", { href: address, target: "_blank", rel: "noopener", title: "Open the picture in full size" }, image);
    const reasons = shown.verdict_reasons || [];
    return element("figure", { className: isFirst ? "shown first" : "shown" }, link,
      element("figcaption", {},
        element("p", {}, element("b", { textContent: shown.column }), " ", verdictBadge(shown.picture_verdict)),
        reasons.length ? element("ul", { className: "reasons" }, ...reasons.map((reason) => element("li", { textContent: reason }))) : null,
        element("p", { textContent: `Scores ${number(shown.score)} after ${number(shown.steps)} ${shown.steps === 1 ? "step" : "steps"}, seed ${shown.seed}${["early", "middle", "late"].includes(shown.depth) ? `, the recipe of ${shown.depth} layers` : ""}${shown.attempt > 1 ? ", second attempt" : ""}.${shown.picture_status && shown.picture_status !== "ok" ? ` Status: ${shown.picture_status}.` : ""}` }),
        shown.twin ? element("p", { textContent: "A prior of natural images pulled at it, and may hide what the channel answers to: the same without it stands before." }) : null,
        metrics(shown, isFirst), curve(shown.curve, `The score of ${label} while it was made`, shown.depth === "late" ? "; it falls at once where the model, shown the picture at half its size before, is shown it in full" : "")));
  }

  // The sign follows the objective in a variant's name; other hyphens are those of its members (channel+ diverse-2).
  const isMinimized = (shown) => /^\w+-/.test(shown.column);

  // A minimized picture stands right behind the one that is maximized: they are opposites.
  function pictures(channel) {
    const base = (shown) => shown.column.replace(/^(\w+)[+-]/, "$1");
    const order = [...channel.pictures].sort((a, b) => (base(a) === base(b) ? isMinimized(a) - isMinimized(b) : 0));
    const title = element("h3", { textContent: "Optimized pictures" });
    if (!order.length) return [title, element("p", { className: "none", textContent: "No picture of this channel was made." })];
    const [first, ...others] = order;
    const opposite = order.some(isMinimized);
    return [title, picture(first, channel, true),
      others.length ? element("div", { className: "others" }, ...others.map((shown) => picture(shown, channel, false))) : null,
      channel.single && !opposite ? element("p", { className: "hint small", textContent: "Its opposite, the picture that excites it least, was not made: add {objective: channel, sign: \"-\"} to sweep.variants." }) : null];
  }

  // What position (row, column) of the layer's map sees of the input: the box, if it is known, and its middle, in pixels.
  function seen(row, column) {
    const { input: [height, width], positions: [rows, columns], field, side, tokens } = layer.seen;
    if (row === null || !height || onePosition || tokens) return null;
    const middle = field ? [field[2][0] + row * field[1][0], field[2][1] + column * field[1][1]] : [((row + 0.5) / rows) * height, ((column + 0.5) / columns) * width];
    const size = field ? field[0] : side && side < Math.max(height, width) ? [side, side] : null;
    return { middle, box: size && [middle[0] - size[0] / 2, middle[1] - size[1] / 2, middle[0] + size[0] / 2, middle[1] + size[1] / 2] };
  }

  // A drawing over an image of this size, in its pixels: frames, and the middle of the position.
  function drawn([width, height], frames, middle) {
    const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "place" });
    for (const [name, [top, left, bottom, right]] of Object.entries(frames)) drawing.append(shape("rect", { class: name, x: left, y: top, width: right - left, height: bottom - top }));
    if (middle) drawing.append(shape("circle", { cx: middle[1], cy: middle[0], r: Math.max(width, height) / 60 }));
    return drawing;
  }

  // The whole image with what the model is shown of it and what the position sees; where it is not stored, the crop at its place in an empty frame.
  function enlarged(example) {
    const zoom = document.getElementById("zoom");
    const [height, width] = layer.seen.input;
    const label = example.label || example.example_id;
    const place = BY_MEAN.includes(example.kind) ? null : seen(example.row, example.column);
    const whole = wholes.get(example.example_id);
    const frame = element("div", { className: "frame" });
    const isPart = (box, [top, left, bottom, right]) => box[0] > top + 1 || box[1] > left + 1 || box[2] < bottom - 1 || box[3] < right - 1;
    let sees = Boolean(place && place.box);
    let cut = false;
    if (whole) {
      const size = sizeOf(whole.file);
      const shown = [whole.top, whole.left, whole.bottom, whole.right];
      const frames = {};
      cut = isPart(shown, [0, 0, size[1], size[0]]);
      if (cut) frames.input = shown;
      sees = Boolean(example.seen) && isPart(example.seen, shown);
      if (sees) frames.field = example.seen;
      const middle = place && [whole.top + (place.middle[0] / height) * (whole.bottom - whole.top), whole.left + (place.middle[1] / width) * (whole.right - whole.left)];
      frame.style.aspectRatio = `${size[0]} / ${size[1]}`;
      frame.append(element("img", { className: "picture whole", src: exampleAddress(whole.file), alt: label }), drawn(size, frames, middle));
    } else {
      const part = crop(example, label);
      if (height) frame.style.aspectRatio = `${width} / ${height}`;
      if (sees) {
        const [top, left, bottom, right] = place.box.map((edge, n) => Math.min(n % 2 ? width : height, Math.max(0, edge)));
        Object.assign(part.style, { position: "absolute", top: `${(100 * top) / height}%`, left: `${(100 * left) / width}%`, width: `${(100 * (right - left)) / width}%`, height: `${(100 * (bottom - top)) / height}%`, aspectRatio: "auto" });
      }
      frame.append(part);
      if (place) frame.append(drawn([width, height], place.box ? { field: place.box } : {}, place.middle));
    }
    const words = [
      example.label || null, `value ${number(example.value)}`,
      place ? `at row ${example.row + 1}, column ${example.column + 1} of ${layer.seen.positions.join(" × ")}` : null,
      sees ? "the frame is what that position sees" : place && !place.box ? "how much of the image it sees is not known" : null,
      cut ? "the dashed frame is what the model is shown" : null,
      whole ? null : "the rest of the image is not stored",
    ].filter(Boolean);
    zoom.replaceChildren(frame, element("p", { textContent: `${words.join("; ")}.` }), element("p", { className: "small", textContent: example.example_id }),
      button("Close", "Close (Escape)", () => zoom.close()));
    zoom.showModal();
  }

  function figure(example, withPlace, shownValue = example.value) {
    const label = example.label || example.example_id;
    const open = element("button", { type: "button", className: "open", title: `${example.label ? `${example.label}\n` : ""}${example.example_id}` }, crop(example, label));
    open.addEventListener("click", () => enlarged(example));
    const place = withPlace && seen(example.row, example.column);
    if (place && !place.box) { // the crop is the whole input: say where
      const [height, width] = layer.seen.input;
      const drawing = drawn([width, height], {}, place.middle);
      drawing.lastChild.setAttribute("r", width / 22);
      open.append(drawing);
    }
    open.dataset.example = withPlace && example.kind === "top" ? example.example_id : "";
    return element("figure", {}, open, element("figcaption", {}, element("b", { textContent: number(shownValue, 3) }), ` ${example.label || ""}`,
      example.alike && withPlace ? element("small", { textContent: `and ${example.alike} alike`, title: "Left out of the list: other views of the image, or images that look nearly the same" }) : null));
  }

  const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

  function inactive(channel) {
    const maxima = channel.spatial_maximum;
    if (!maxima || channel.numbers.minimum === null || channel.numbers.minimum < 0 || maxima.fraction_active === null) return null;
    const count = Math.round((1 - maxima.fraction_active) * channel.numbers.count);
    return count ? `Inactive (zero everywhere) on ${number(count)} of ${counted(channel.numbers.count, "image")}.` : null;
  }

  // The whole range, from bottom to top: each image below its place on the histogram's axis.
  function range(channel) {
    const chart = histogram({ ...channel.spatial_mean, count: channel.numbers.count }, channel.pictures.filter((shown) => ["channel", "logit"].includes(shown.objective)));
    const perKind = window.innerWidth < 700 ? 1 : 3;
    const strip = BY_MEAN.flatMap((kind) => channel.examples.filter((example) => example.kind === kind && example.rank <= perKind)).sort((a, b) => a.value - b.value);
    const words = [inactive(channel), chart ? `Each image by ${onePosition ? "its value" : "the channel's mean over all positions"}, as a picture's score is; the height is how many images.` : null].filter(Boolean);
    if (!chart && !strip.length) return [];
    // On this scale it is zero: digits of 3.29e-5 would be cut to "3.29…".
    const { minimum, maximum } = channel.spatial_mean || {};
    const rounded = (value) => (Math.abs(value) < (maximum - minimum) / 1000 ? 0 : value);
    const shown = strip.length ? element("div", { className: "strip-row" }, ...strip.map((example) => figure(example, false, rounded(example.value)))) : null;
    if (shown) shown.style.setProperty("--count", strip.length);
    return [element("h3", { textContent: "The whole range" }), element("p", { className: "hint small", textContent: words.join(" ") }),
      chart ? chart.drawing : null, chart && strip.length ? connectors(chart.axis, strip.map((example) => example.value)) : null, shown];
  }

  function examples(channel) {
    const section = ([kind, [name, help]]) => {
      const listed = channel.examples.filter((example) => example.kind === kind);
      const same = listed.length > 1 && listed.every((example) => example.value === listed[0].value);
      if (kind === "bottom" && same && inactive(channel) === null) // the choice among equals would say nothing
        return [element("h3", { textContent: name }), element("p", { className: "hint small", textContent: `Many images have positions at which it is ${number(listed[0].value)}, its smallest value; the smallest means stand above.` })];
      return listed.length ? [element("h3", { textContent: name }), element("p", { className: "hint small", textContent: help }), element("div", { className: "examples" }, ...listed.map((example) => figure(example, true)))] : [];
    };
    const parts = Object.entries(KINDS).flatMap(section);
    return parts.length || channel.examples.length ? parts : [element("h3", { textContent: "Images" }), element("p", { className: "none", textContent: "No images of the dataset are listed." })];
  }

  function related(channel) {
    const duplicates = new Set(channel.duplicates || []);
    const partners = channel.partners || [];
    const words = (partner) => `${partner.class_name || `channel ${partner.channel}`} (${number(partner.correlation, 2)})${duplicates.has(partner.channel) ? ", nearly the same" : ""}`;
    const tile = (partner) => element("a", { className: "cell", href: `#${window.ATLAS.hashWith({ channel: partner.channel })}` }, thumbnail(byChannel.get(partner.channel)), element("span", { className: "caption", textContent: words(partner) }));
    if (!partners.length) return [];
    const [here, elsewhere] = [true, false].map((is) => partners.filter((partner) => byChannel.has(partner.channel) === is));
    return [element("h3", { textContent: "Moves with" }), element("p", { className: "hint small", textContent: "Channels whose means follow this one's most closely over the sampled images, with their correlation." }),
      here.length ? element("div", { className: "related" }, ...here.map(tile)) : null,
      elsewhere.length ? element("p", { className: "small", textContent: `Not in this atlas: ${elsewhere.map(words).join(", ")}` }) : null];
  }

  const NUMBERS = {
    count: ["Images", "that were scanned, and on which the layer's values are finite"],
    mean: ["Mean", "over all positions of all images"],
    variance: ["Variance", "over all positions of all images"],
    minimum: ["Smallest value", "at any position of any image"],
    maximum: ["Largest value", "at any position of any image"],
  };

  function numbers(channel) {
    const rows = Object.entries(channel.numbers).filter(([key, value]) => NUMBERS[key] && value !== null).map(([key, value]) => [NUMBERS[key][0], number(value), NUMBERS[key][1]]);
    const maxima = channel.spatial_maximum;
    if (maxima && maxima.fraction_active !== null) rows.push(["Active", share(maxima.fraction_active), "images whose largest value is above zero"]);
    if (channel.class_selectivity !== null && channel.class_selectivity !== undefined) rows.push(["Tells classes apart", share(channel.class_selectivity), "of the variance of its map's mean lies between classes"]);
    if (channel.classes && channel.classes.length) rows.push(["Classes", channel.classes.slice(0, 3).map((shown) => shown.label).join(", "), "in which its map's mean is highest on average"]);
    if (!rows.length) return []; // of a direction or a whole layer nothing was scanned
    return [element("h3", { textContent: "On the dataset" }), element("dl", { className: "metrics" }, ...rows.flatMap(([name, value, help]) => [element("dt", { textContent: name }), element("dd", {}, value, element("small", { textContent: help }))]))];
  }

  const quotedSql = (text) => `'${text.replaceAll("'", "''")}'`;
  const quotedShell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  function provenance(channel) {
    const shown = channel.pictures[0];
    const where = channel.single ? `channel = ${channel.channel}` : `unit = ${quotedSql(channel.unit)}`;
    const texts = {
      JSON: JSON.stringify({ layer: layer.name, ...channel, part: undefined, similarity: undefined, examples: channel.examples.map(({ cut, ...rest }) => rest) }, null, 1),
      SQL: `SELECT * FROM ${quotedSql(layer.table)} WHERE ${where};`,
      Python: `import pandas\n\nrows = pandas.read_parquet(${JSON.stringify(layer.table)})\nrow = rows[${channel.single ? `rows.channel == ${channel.channel}` : `rows.unit == ${JSON.stringify(channel.unit)}`}].iloc[0]`,
    };
    if (shown && channel.single && layer.command) {
      const [objective] = /^(neuron|probability|coactive)/.exec(shown.column) || ["channel"];
      const sign = isMinimized(shown) ? ", sign: '-'" : "";
      texts.Command = `${layer.command} ${quotedShell(`sweep.select=[{include: [${JSON.stringify(layer.name)}], channels: [${channel.channel}]}]`)} ${quotedShell(`sweep.variants=[{objective: ${objective}${sign}, seed: ${shown.seed}}]`)}`;
    }
    const facts = [...layer.provenance, ...(shown ? [["Picture", `${shown.key}, seed ${shown.seed}, from ${shown.start || "noise"}${shown.started_from ? ` ${shown.started_from}` : ""}`]] : [])].filter(([, value]) => value);
    const block = ([name, text]) => {
      const copy = button("Copy", `Copy the ${name} text`, async () => {
        try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; } catch { copy.textContent = "Select the text"; }
      });
      return element("details", {}, element("summary", { textContent: name }), copy,
        name === "Command" ? element("p", { className: "hint small", textContent: "It names the network and the picture. Add what the run set otherwise of dataset, scan and optimize: atlas status ROOT --snapshot N says." }) : null, element("pre", { textContent: text, tabIndex: 0 }));
    };
    return [element("h3", { textContent: "Where it comes from" }), element("dl", { className: "metrics" }, ...facts.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })])),
      ...Object.entries(texts).map(block), element("p", { className: "hint small", textContent: "Paths are those below the atlas's root." })];
  }

  function button(text, label, action, disabled) {
    const node = element("button", { type: "button", textContent: text, title: label, disabled: Boolean(disabled) });
    node.setAttribute("aria-label", label);
    node.addEventListener("click", action);
    return node;
  }

  function content(channel) {
    return element("div", { className: "view-body" },
      element("div", {}, ...pictures(channel).filter(Boolean)),
      element("div", {}, ...[...window.ATLAS.names(channel), ...range(channel), ...examples(channel), window.ATLAS.circuit && channel.single ? window.ATLAS.circuit(layer, channel) : null, ...related(channel), channel.single && channel.examples.length ? window.ATLAS.elsewhere(layer, channel) : null, ...numbers(channel), ...provenance(channel)].filter(Boolean)));
  }

  Object.assign(window.ATLAS, { byChannel, button, content });
})();
