// A cell of another layer's map, followed here: the cells that hold the same images (#follow=LAYER/10/3,4).
"use strict";
(() => {
  const COARSE = 1e-9;

  // The data of another map. Its script sets the same variable as that of this page, which map.js has read by then.
  function load(slug) {
    return new Promise((resolve, reject) => {
      const node = document.createElement("script");
      node.src = `${encodeURIComponent(slug)}.js`;
      node.addEventListener("load", () => { node.remove(); resolve(window.ATLAS_MAP); });
      node.addEventListener("error", () => { node.remove(); reject(new Error(`The map of ${slug} can't be read`)); });
      document.head.append(node);
    });
  }

  const imagesOf = (cell) => new Set(cell.examples.map((example) => example.example_id));

  // Of each cell here, how many of the images it holds; a coarse cell lists few of its images, so it also counts what finer cells inside it hold.
  function countIn(map, images) {
    const counts = new Map();
    const levels = [...map.levels].reverse();
    for (const level of levels) {
      for (const cell of level.cells) {
        const held = new Set([...imagesOf(cell)].filter((image) => images.has(image)));
        if (held.size) counts.set(cell, held);
      }
    }
    for (const [cell, held] of [...counts]) {
      for (const level of levels) {
        if (level.grid >= cell.level.grid) continue;
        const inside = (place) => Math.floor(((place + 0.5) / cell.level.grid) * level.grid + COARSE);
        const around = level.byPlace.get(`${inside(cell.row)},${inside(cell.column)}`);
        if (around) counts.set(around, new Set([...(counts.get(around) || []), ...held]));
      }
    }
    return counts;
  }

  // What is followed: of which layer and cell, and the cells here with the images that they share with it.
  async function follow(text, map) {
    const [, slug, grid, row, column] = /^(.+)\/(\d+)\/(\d+),(\d+)$/.exec(text) || [];
    if (!slug || slug === map.slug) return null;
    const other = await load(slug);
    const level = other.levels.find((each) => each.grid === Number(grid));
    const cell = level && level.cells.find((each) => each.row === Number(row) && each.column === Number(column));
    if (!cell) throw new Error(`The map of ${other.layer} has no cell ${grid}/${row},${column}`);
    const images = imagesOf(cell);
    const counts = countIn(map, images);
    const finest = [...counts].filter(([each]) => each.level === map.levels[map.levels.length - 1]);
    return {
      slug, layer: other.layer, cell: `${grid}/${row},${column}`, label: ([...cell.labels, ...cell.classes][0] || [""])[0], images: images.size, counts,
      held: new Set(finest.flatMap(([, held]) => [...held])).size,
      best: finest.sort(([, x], [, y]) => y.size - x.size).map(([each]) => each),
    };
  }

  window.ATLAS_FOLLOW = follow;
})();
