// What a channel is about: its name, how sure that is, and the concepts that come next.
"use strict";
(() => {
  const { element, number } = window.ATLAS;

  function row(concept) {
    const pairs = concept.auc === null ? "" : `, above other images in ${number(100 * concept.auc, 3)} % of pairs`;
    return [element("dt", { textContent: concept.name }),
      element("dd", {}, number(concept.score, 3), element("small", { textContent: `correlation with its ${number(concept.images)} ${concept.images === 1 ? "image" : "images"}${pairs}` }))];
  }

  window.ATLAS.names = (channel) => {
    const names = channel.names || [];
    if (!names.length && !channel.unnamed) return [];
    const words = channel.name ? [element("b", { textContent: channel.name }), ` scores ${number(channel.name_score, 3)}; by chance one channel in a hundred has ${number(channel.name_by_chance, 3)} or more.`] : [`No name: ${channel.unnamed}.`];
    return [element("h3", { textContent: "What it is about" }), element("p", { className: "hint small" }, ...words),
      names.length ? element("dl", { className: "metrics names" }, ...names.flatMap(row)) : null];
  };
})();
