// What is measured of a picture, in words.
"use strict";
(() => {
  const { element, number } = window.ATLAS;
  const share = (value) => `${number(100 * value, 2)} %`;

  // [name, value in words, what it means]; null where it was not measured.
  const METRICS = [
    ["Among images", (shown) => shown.percentile === null ? null : shown.percentile === 100 ? "beyond every sampled image" : `beyond ${number(shown.percentile, 3)} % of the sampled images`, "How many images of the dataset excite the same thing less than the picture does."],
    ["How natural", (shown) => shown.naturalness === null ? null : shown.naturalness === 0 ? "noisier than every image" : shown.naturalness === 100 ? "smoother than every image" : `smoother than ${number(shown.naturalness, 3)} % of the images`, "By what a denoiser leaves of added noise. Images lie between: below 5 % or above 95 %, few of them look so."],
    ["Against the best image", (shown) => shown.times_maximum === null ? null : `${number(shown.times_maximum, 2)} times as much`, "The picture's score over that of the best sampled image."],
    ["Rank in its layer", (shown) => shown.standardized_rank === null ? (shown.rank === null ? null : number(shown.rank)) : number(shown.standardized_rank), "1: the picture excites no other channel of the layer more, each counted by how much it varies over the dataset."],
    ["Likeness to its best images", (shown) => shown.path_percentile === null ? null : shown.path_percentile === 100 ? "more than any other image" : `more than ${number(shown.path_percentile, 3)} % of other images`, "In the layers before. About 50 % would be no likeness: then another path leads to the channel for pictures than for images."],
    ["Agreement of seeds", (shown) => shown.agreement === null ? null : number(shown.agreement, 2), "1: pictures that start from other noise excite the same channels; 0: they have nothing in common."],
    ["When moved", (shown) => shown.robustness_loss === null ? null : shown.robustness_loss > 0 ? `loses ${share(shown.robustness_loss)} of its score` : "loses nothing", "On average of eight random shifts, zooms and turns. Noise loses most of its score."],
    ["Frequencies", (shown) => shown.frequency_distance === null ? null : `differ from those of images by a factor of ${number(10 ** shown.frequency_distance, 2)}`, "How strong fine and coarse detail are, compared with the images of the dataset, on average."],
  ].map(([name, words, help]) => [name, (shown) => words({ percentile: null, naturalness: null, times_maximum: null, standardized_rank: null, rank: null, path_percentile: null, agreement: null, robustness_loss: null, frequency_distance: null, ...shown }), help]);

  function verdictBadge(word) {
    if (!word) return null;
    const badge = element("span", { className: "verdict", textContent: word });
    badge.dataset.verdict = word;
    return badge;
  }

  function metrics(shown, withHelp) {
    const rows = METRICS.map(([name, words, help]) => [name, words(shown), help]).filter(([, words]) => words !== null);
    if (!rows.length) return null;
    return element("dl", { className: "metrics" }, ...rows.flatMap(([name, words, help]) => [
      element("dt", { textContent: name }), element("dd", {}, words, withHelp ? element("small", { textContent: help }) : null)]));
  }

  Object.assign(window.ATLAS, { METRICS, share, metrics, verdictBadge });
})();
