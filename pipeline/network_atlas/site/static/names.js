// What a channel is about: its name, how sure that is, and the concepts that come next.
"use strict";
(() => {
  const { element, number } = window.ATLAS;

  function row(concept) {
    const pairs = concept.auc === null ? "" : `, above other images in ${number(100 * concept.auc, 3)} % of pairs`;
    // Tables of earlier versions do not have this share.
    const best = Number.isFinite(concept.share_of_best) ? `; of the channel's best images ${number(100 * concept.share_of_best, 2)} % are of it` : "";
    return [element("dt", { textContent: concept.name }),
      element("dd", {}, number(concept.score, 3), element("small", { textContent: `correlation with its ${number(concept.images)} ${concept.images === 1 ? "image" : "images"}${pairs}${best}` }))];
  }

  function clarity(channel) {
    if (channel.clarity === null || channel.clarity === undefined) return null;
    const [larger, smaller] = channel.clarity_groups;
    const groups = channel.two_groups ? ` They fall into two groups, of ${larger.images} and ${smaller.images} images, each clearer (${number(larger.clarity, 2)} and ${number(smaller.clarity, 2)}): it may have two meanings.` : "";
    return element("p", { className: "hint small", textContent: `Clarity of its best images: ${number(channel.clarity, 2)} (1: all alike to a later layer, 0: as images by chance).${groups}` });
  }

  window.ATLAS.names = (channel) => {
    const names = (channel.names || []).filter((concept) => concept.score > 0); // what lowers a channel is no name for it
    if (!names.length && !channel.unnamed && !clarity(channel)) return [];
    const words = channel.name ? [element("b", { textContent: channel.name }), ` scores ${number(channel.name_score, 3)}; by chance one channel in a hundred has ${number(channel.name_by_chance, 3)} or more.`] : !channel.unnamed ? [] : [`No name: ${channel.unnamed}.`];
    return [element("h3", { textContent: "What it is about" }), element("p", { className: "hint small" }, ...words),
      names.length ? element("dl", { className: "metrics names" }, ...names.flatMap(row)) : null,
      (channel.descriptions || []).length ? element("p", { className: "hint small", textContent: `${channel.description ? "By the given concept vectors" : "The given concept vectors describe it no better than chance; closest"}: ${channel.descriptions.slice(0, 3).map((each) => `${each.name} (${number(each.score, 2)})`).join(", ")}.` }) : null, clarity(channel)];
  };
})();
