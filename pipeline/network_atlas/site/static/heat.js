// Over the best images of a channel: where in them it looks, and its own map. A switch shows one of them, or none.
"use strict";
(() => {
  const { element, HOME } = window.ATLAS;
  const KINDS = [["heat", "Where it looks", 0], ["map", "Its own map", 1], ["", "Nothing", 2]];
  const HELP = {
    heat: "Red where the image changes the channel's largest value most, for it or against it: the size of gradient times input, smoothed. The strongest point of each image has full colour.",
    map: "Yellow where the channel itself is large, from its smallest value in the image to its largest.",
    "": "Choose what to lay over its best images, above.",
  };
  let chosen = "heat"; // stays while the page is open, from channel to channel

  function cell(address, place, [columns, rows], kind) {
    const box = element("span", { className: "overlay" });
    const [row, column] = [Math.floor(place / columns), place % columns];
    box.dataset.overlay = kind;
    box.style.cssText = `position:absolute;inset:0;pointer-events:none;border-radius:6px;background-size:${100 * columns}% ${100 * rows}%;background-position:${(100 * column) / Math.max(1, columns - 1)}% ${(100 * row) / Math.max(1, rows - 1)}%`;
    box.style.backgroundImage = `url("${address}")`;
    return box;
  }

  // Lay the maps of a channel over its images inside `view`, and put the switch before these.
  function heat(view, layer, channel, known, sheet) {
    const address = `${HOME}layers/${encodeURIComponent(layer.slug)}/heat-${String(channel.part).padStart(3, "0")}.webp`;
    const shown = [];
    for (const open of view.querySelectorAll(".open[data-example]")) {
      const places = known.examples?.[open.dataset.example];
      for (const [kind, , index] of KINDS) {
        if (!places || places[index] === null || !kind) continue;
        const overlay = cell(address, places[index], sheet, kind);
        open.append(overlay);
        shown.push(overlay);
      }
    }
    if (!shown.length) return;
    const help = element("p", { className: "hint small" });
    const choose = (kind) => {
      chosen = kind;
      help.textContent = HELP[kind];
      for (const overlay of shown) overlay.hidden = overlay.dataset.overlay !== kind;
    };
    const options = KINDS.filter(([kind]) => !kind || shown.some((overlay) => overlay.dataset.overlay === kind)).map(([kind, name]) => {
      const input = element("input", { type: "radio", name: "overlay", value: kind, checked: kind === chosen });
      input.addEventListener("change", () => choose(kind));
      return element("label", {}, input, ` ${name} `);
    });
    choose(options.length > 2 || chosen !== "map" ? chosen : "heat");
    shown[0].closest(".examples").before(element("fieldset", { className: "overlays" }, element("legend", { textContent: "Over its best images" }), ...options, help));
  }

  Object.assign(window.ATLAS, { heat });
})();
