// The network page: search over all layers. The words and the choice stand in the address: #find=dog&verdict=trusted
"use strict";
(() => {
  const { element, image, pictureAddress, search, verdictBadge, number, HOME } = window.ATLAS;
  const STEP = 48;
  const control = (id) => document.getElementById(id);
  const [input, verdict, results] = ["search", "verdict", "results"].map(control);
  let shown = STEP;
  const title = document.title;

  const address = () => new URLSearchParams(location.hash.slice(1));

  function remember() {
    const values = [["find", input.value.trim()], ["verdict", verdict.value]].filter(([, value]) => value);
    const hash = new URLSearchParams(values).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function tile(unit) {
    const name = search.nameOf(unit);
    const marks = [unit.verdictWord && unit.verdictWord !== "trusted" ? Object.assign(verdictBadge(unit.verdictWord), { textContent: "", title: unit.verdictWord }) : null,
      unit.statusWord !== "ok" ? element("em", { textContent: unit.statusWord }) : null];
    return element("a", { className: "cell", href: `${HOME}layers/${encodeURIComponent(unit.slug)}.html#channel=${unit.channel}`, title: `${unit.layerName}:${unit.channel}` },
      unit.file ? image(pictureAddress(unit.slug, unit.file), `picture of ${name}`) : element("span", { className: "picture none", textContent: "no picture" }),
      element("span", { className: "caption marked" }, element("span", { className: "words", textContent: name }), ...marks),
      unit.caption || unit.name ? element("span", { className: "caption from", textContent: unit.name || unit.layerName }) : null);
  }

  async function update() {
    const isAsked = Boolean(input.value.trim() || verdict.value);
    document.documentElement.classList.toggle("searching", isAsked);
    results.hidden = !isAsked;
    document.title = isAsked ? `${input.value.trim() || verdict.value} · ${title}` : title;
    if (!isAsked) { control("matched").textContent = ""; return; }
    try { await search.load(); } catch (error) { control("matched").textContent = `${error.message}.`; return; }
    const { units, layers } = search.find(input.value, { verdict: verdict.value });
    control("matched").textContent = `${number(units.length)} ${units.length === 1 ? "channel" : "channels"}`;
    const more = units.length > shown ? element("button", { type: "button", textContent: `Show ${number(Math.min(STEP, units.length - shown))} more` }) : null;
    if (more) more.addEventListener("click", () => { shown += STEP; update(); });
    results.replaceChildren(
      ...(layers.length && layers.length <= 40 ? [element("p", { className: "layers-matched" }, "Layers: ", ...layers.flatMap((layer, n) => [n ? ", " : "", element("a", { href: `${HOME}layers/${encodeURIComponent(layer.slug)}.html`, textContent: layer.name })]))] : []),
      units.length ? element("div", { className: "grid" }, ...units.slice(0, shown).map(tile)) : element("p", { className: "none", textContent: "Nothing in this network is called so: try the name of a layer, a class, a label of an image, a number or a status." }),
      ...(more ? [more] : []));
  }

  function changed() {
    shown = STEP;
    remember();
    update();
  }

  function follow() {
    input.value = address().get("find") ?? "";
    verdict.value = address().get("verdict") ?? "";
    shown = STEP;
    update();
    const part = /^#part-\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (part) part.scrollIntoView(); // it may have been hidden when the link was followed
  }

  control("controls").hidden = false;
  control("controls").addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("input", changed);
  input.addEventListener("focus", () => search.load().catch(() => {}), { once: true });
  verdict.addEventListener("change", changed);
  window.addEventListener("hashchange", follow);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); input.focus(); }
    if (event.key === "Escape" && event.target === input) { input.value = ""; changed(); }
  });
  follow();
  document.body.dataset.ready = "true";
})();
