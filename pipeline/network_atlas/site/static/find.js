// The search over the whole network: reads assets/search.js when it is first asked, and finds units by words, or by the images they share.
"use strict";
(() => {
  const { script, HOME } = window.ATLAS;
  const VERDICTS = ["trusted", "doubtful", "not to be trusted"];
  const MOST_COMMON = 400; // an image that more channels share says nothing of any of them
  let data = null;

  // Search data with a text for each unit. Words of a name count for more than those of its classes and images.
  async function load() {
    if (data) return data;
    await script(`${HOME}assets/search.js`);
    const read = window.ATLAS_SEARCH;
    const lower = (texts) => texts.map((text) => String(text ?? "").normalize().toLowerCase());
    const [labels, words] = [lower(read.labels), lower(read.words)];
    const layers = read.layers.map(([slug, name]) => ({ slug, name, lower: name.normalize().toLowerCase() }));
    const names = read.examples.map(([id, label]) => `${labels[label]} ${id.normalize().toLowerCase()}`);
    const units = read.units.map((values) => {
      const unit = Object.fromEntries(read.fields.map((field, n) => [field, values[n]]));
      const layer = layers[unit.layer];
      return Object.assign(unit, {
        slug: layer.slug, layerName: layer.name, statusWord: read.words[unit.status], verdictWord: read.words[unit.verdict],
        first: `${unit.caption ?? ""} ${unit.name ?? ""} ${layer.lower}:${unit.channel}`.normalize().toLowerCase(),
        rest: `${words[unit.status]} ${unit.classes.map((label) => labels[label]).join(" ")} ${unit.examples.map((example) => names[example]).join(" ")}`,
      });
    });
    const byExample = new Map();
    units.forEach((unit, n) => { for (const example of unit.examples) { if (byExample.has(example)) byExample.get(example).push(n); else byExample.set(example, [n]); } });
    data = { layers, units, byExample, examples: read.examples, labels: read.labels };
    return data;
  }

  // Units in which every word is found: those by their own name or layer first. A number is a channel's, unless a name has it.
  function find(query, { verdict = "" } = {}) {
    let text = query.normalize().toLowerCase().trim();
    let wanted = verdict;
    for (const word of [...VERDICTS].reverse()) if (` ${text} `.includes(` ${word} `)) { wanted = word; text = ` ${text} `.replace(` ${word} `, " ").trim(); }
    const words = text.split(/\s+/).filter(Boolean);
    const isNumber = (word) => /^\d+$/.test(word);
    const ranks = [[], []];
    for (const unit of data.units) {
      if (wanted && unit.verdictWord !== wanted) continue;
      const own = (word) => (isNumber(word) && !unit.caption ? unit.channel === Number(word) : unit.first.includes(word));
      if (words.every(own)) ranks[0].push(unit);
      else if (words.every((word) => own(word) || (!isNumber(word) && unit.rest.includes(word)))) ranks[1].push(unit);
    }
    return { units: [...ranks[0], ...ranks[1]], layers: words.length ? data.layers.filter((layer) => words.every((word) => layer.lower.includes(word))) : [] };
  }

  // Units of other layers by how many of a unit's best images are among theirs, most first: [unit, how many].
  function sharing(slug, channel, count) {
    const from = data.units.find((unit) => unit.slug === slug && unit.channel === channel);
    const shared = new Map();
    for (const example of from ? from.examples : []) {
      const others = data.byExample.get(example);
      if (others.length > MOST_COMMON) continue;
      for (const n of others) if (data.units[n].slug !== slug) shared.set(n, (shared.get(n) || 0) + 1);
    }
    return [...shared].filter(([, times]) => times > 1).sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, count).map(([n, times]) => [data.units[n], times]);
  }

  const nameOf = (unit) => unit.caption || `${unit.layerName}:${unit.channel}`;

  Object.assign(window.ATLAS, { search: { load, find, sharing, nameOf } });
})();
