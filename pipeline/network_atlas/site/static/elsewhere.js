// On the view of a channel: channels of other layers that respond to the same images.
"use strict";
(() => {
  const { element, image, pictureAddress, search, HOME } = window.ATLAS;
  const COUNT = 8;

  function cell([unit, times]) {
    const name = search.nameOf(unit);
    return element("a", { className: "cell", href: `${HOME}layers/${encodeURIComponent(unit.slug)}.html#channel=${unit.channel}` },
      unit.file ? image(pictureAddress(unit.slug, unit.file), `picture of ${name}`) : element("span", { className: "picture none", textContent: "no picture" }),
      element("span", { className: "caption", textContent: `${name}${unit.caption ? `, ${unit.layerName}` : ""} (${times} images)` }));
  }

  // A section that fills itself once it comes into view: its data are those of the whole network.
  function elsewhere(layer, channel) {
    const body = element("div", {}, element("p", { className: "hint small", textContent: "…" }));
    const section = element("section", { className: "elsewhere" }, element("h3", { textContent: "In other layers" }), body);
    const watch = new IntersectionObserver(async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      try {
        await search.load();
        const similar = search.sharing(layer.slug, channel.channel, COUNT);
        body.replaceChildren(...(similar.length
          ? [element("p", { className: "hint small", textContent: "Channels that share the most of its best images." }), element("div", { className: "related" }, ...similar.map(cell))]
          : [element("p", { className: "hint small", textContent: "No channel of another layer shares two of its best images." })]));
      } catch (error) { body.replaceChildren(element("p", { className: "hint small", textContent: `${error.message}.` })); }
    });
    watch.observe(section);
    return section;
  }

  Object.assign(window.ATLAS, { elsewhere });
})();
