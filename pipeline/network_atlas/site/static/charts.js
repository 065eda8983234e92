// Small drawings: the histogram of a channel with its pictures and images on one axis, and the curve of a picture.
// Everything that draws shares `ATLAS`. All text from outside goes through textContent, never through innerHTML.
"use strict";
window.ATLAS = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const BINS = 60;
  const WIDTH = window.innerWidth < 700 ? 440 : 1000; // texts keep their size on a phone
  const HEIGHT = 170;
  const FLOOR = HEIGHT - 4;

  function element(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function shape(tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function number(value, digits = 4) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−");
    const size = Math.abs(value);
    const text = size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
    return text.replace(/-/g, "−");
  }

  // Round steps, so that there are about `count` of them from low to high; zero is one of the ticks.
  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const values = [];
    for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n += 1) values.push(Math.abs(n * step) < step * 1e-9 ? 0 : n * step);
    return values;
  }

  // Buckets are wider the farther they are from zero. They are spread evenly over bins of one width, so that equal areas
  // are equal numbers of images.
  function binned(buckets, low, high) {
    const width = (high - low) / BINS;
    const bins = new Array(BINS).fill(0);
    const bin = (value) => Math.min(BINS - 1, Math.max(0, Math.floor((value - low) / width)));
    for (const bucket of buckets) {
      const size = bucket.high - bucket.low;
      const [first, last] = [bin(bucket.low), bin(bucket.high)];
      if (!(size > 0) || first === last) { bins[bin((bucket.low + bucket.high) / 2)] += bucket.count; continue; }
      for (let n = first; n <= last; n += 1) {
        const overlap = Math.min(bucket.high, low + (n + 1) * width) - Math.max(bucket.low, low + n * width);
        bins[n] += (bucket.count * Math.max(0, overlap)) / size;
      }
    }
    return bins;
  }

  // The axis holds all images, and the pictures as far as these leave the images enough room: others stand at its end.
  function axisOf(statistics, scores) {
    const [low, high] = [statistics.minimum, statistics.maximum];
    const room = 0.8 * (high - low);
    const start = Math.max(low - room, Math.min(low, ...scores));
    const end = Math.min(high + room, Math.max(high, ...scores));
    const margin = 0.02 * (end - start);
    return { low: start - margin, high: end + margin, x: (value) => (WIDTH * (value - start + margin)) / (end - start + 2 * margin) };
  }

  function histogram(statistics, pictures) {
    const buckets = (statistics && statistics.histogram) || [];
    if (buckets.length < 2 || !(statistics.maximum > statistics.minimum)) return null;
    const scored = pictures.filter((shown) => shown.score !== null);
    const axis = axisOf(statistics, scored.map((shown) => shown.score));
    const bins = binned(buckets, axis.low, axis.high);
    const sorted = [...bins].sort((a, b) => b - a);
    // A channel behind a ReLU is zero on many images: that bar is cut, and says so, or the others could not be seen.
    const cut = sorted[1] > 0 && sorted[0] > 4 * sorted[1];
    const tallest = cut ? 1.4 * sorted[1] : sorted[0];
    const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 26}`, class: "histogram", role: "img", "aria-label": "How many images have which mean; the marks are the optimized pictures" });
    bins.forEach((count, n) => {
      if (!count) return;
      const height = Math.max(1.5, (Math.min(count, tallest) / tallest) * (FLOOR - 34));
      const bar = shape("rect", { x: (n * WIDTH) / BINS + 0.8, y: FLOOR - height, width: WIDTH / BINS - 1.6, height, class: "bar" });
      bar.append(shape("title", {}, `about ${number(Math.round(count))} of ${number(statistics.count)} images`));
      drawing.append(bar);
      if (cut && count > tallest) {
        drawing.append(shape("path", { d: `M${(n * WIDTH) / BINS - 3} ${FLOOR - height + 12}l${WIDTH / BINS + 6} -7`, class: "break" }));
        drawing.append(shape("text", { x: ((n + 0.5) * WIDTH) / BINS, y: FLOOR - height - 6, class: "label", "text-anchor": n < 4 ? "start" : "middle" }, `${number(Math.round(count))} images`));
      }
    });
    drawing.append(shape("line", { x1: 0, x2: WIDTH, y1: FLOOR, y2: FLOOR, class: "axis" }));
    for (const value of ticks(axis.low, axis.high, WIDTH / 125)) {
      const x = axis.x(value);
      drawing.append(shape("line", { x1: x, x2: x, y1: FLOOR, y2: FLOOR + 6, class: "axis" }));
      drawing.append(shape("text", { x, y: FLOOR + 22, class: value === 0 ? "label zero" : "label", "text-anchor": x < 20 ? "start" : x > WIDTH - 20 ? "end" : "middle" }, number(value)));
    }
    if (axis.low < 0 && axis.high > 0) drawing.append(shape("line", { x1: axis.x(0), x2: axis.x(0), y1: 22, y2: FLOOR, class: "zero" }));
    scored.forEach((shown, n) => {
      const x = Math.min(WIDTH - 8, Math.max(8, axis.x(shown.score)));
      const beyond = shown.score > axis.high ? " →" : shown.score < axis.low ? "← " : "";
      const text = beyond === "← " ? `← picture ${number(shown.score, 3)}` : `picture ${number(shown.score, 3)}${beyond}`;
      const mark = shape("path", { d: `M${x} ${FLOOR - 1}l-7 -12h14z`, class: "mark" });
      mark.append(shape("title", {}, `${shown.column} scores ${number(shown.score)}`));
      drawing.append(shape("line", { x1: x, x2: x, y1: 18, y2: FLOOR - 12, class: "mark-line" }), mark);
      if (n === 0) drawing.append(shape("text", { x: x > WIDTH / 2 ? x + 8 : x - 8, y: 13, class: "label strong", "text-anchor": x > WIDTH / 2 ? "end" : "start" }, text));
    });
    return { drawing, axis };
  }

  // Lines from places on the axis above to the crops below, which stand side by side.
  function connectors(axis, values) {
    const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} 40`, preserveAspectRatio: "none", class: "connectors", "aria-hidden": "true" });
    values.forEach((value, n) => {
      drawing.append(shape("line", { x1: Math.min(WIDTH, Math.max(0, axis.x(value))), y1: 0, x2: ((n + 0.5) * WIDTH) / values.length, y2: 40 }));
    });
    return drawing;
  }

  function curve(points, label, ofFall = "") {
    const known = points.filter(([, score]) => score !== null);
    if (known.length < 2) return null;
    const scores = known.map(([, score]) => score);
    const [low, high, last] = [Math.min(...scores, 0), Math.max(...scores, 0), known.at(-1)[0]];
    const x = (step) => (300 * step) / last;
    const y = (score) => 54 - (50 * (score - low)) / (high - low || 1);
    const falls = scores.some((score, n) => n && scores[n - 1] - score > (high - low) / 4);
    const drawing = shape("svg", { viewBox: "0 0 300 58", class: "curve", role: "img", "aria-label": label });
    drawing.append(shape("line", { x1: 0, x2: 300, y1: y(0), y2: y(0), class: "axis" }));
    drawing.append(shape("polyline", { points: known.map(([step, score]) => `${x(step).toFixed(1)},${y(score).toFixed(1)}`).join(" ") }));
    return element("figure", { className: "curve-figure" }, drawing,
      element("figcaption", { textContent: `The score as the model saw it, over ${number(last)} steps, from ${number(scores[0], 2)} to ${number(scores.at(-1), 3)}${falls ? ofFall : ""}.` }));
  }

  return { element, shape, number, histogram, connectors, curve };
})();
