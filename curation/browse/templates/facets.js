"use strict";
// Filters: names with their counts, and ranges of scores. What is closed is not asked for.
import { at, fetched, guarded } from "/assets/desk.js";

const BINS = 20, SVG = "http://www.w3.org/2000/svg";

const element = (tag, className, ...children) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
};
const isolated = (text) => element("bdi", "", text);
export const labelOf = (column, label) => label || { reason: "none", teacher: "none", prompt: "not known", split: "none" }[column] || "unknown";

// `view` is what the page shows; `changed` is called after one of its filters was changed.
export function filters(view, changed) {
  const opened = () => [...document.querySelectorAll(".facet[data-column][open]")];
  let asked = 0;

  async function refresh() {
    const number = ++asked, facets = opened(), jobs = [];
    if (facets.length) {
      const of = facets.map((facet) => "of=" + encodeURIComponent(facet.dataset.column)).join("&");
      jobs.push(fetched("/facets?" + [view.conditions(), of].filter(Boolean).join("&")).then((answer) => answer.json()).then((columns) => {
        if (number === asked) columns.forEach((counts, index) => showNames(facets[index], counts));
      }));
    }
    if (at("scores")?.open) {
      jobs.push(fetched("/scores?" + view.conditions()).then((answer) => answer.json()).then((scores) => {
        if (number === asked) showScores(scores);
      }));
    }
    await Promise.all(jobs);
    for (const facet of document.querySelectorAll(".facet[data-column]"))
      facet.classList.toggle("active", view.names.has(facet.dataset.column));
    at("scores")?.classList.toggle("active", view.ranges.size > 0);
  }

  function showNames(facet, { column, names, further }) {
    const list = facet.querySelector("ul"), focused = list.contains(document.activeElement) && document.activeElement.value;
    const most = Math.max(1, ...names.map(({ rows }) => rows));
    list.replaceChildren(...names.map(({ name, label, rows, chosen }) => {
      const box = element("input");
      box.type = "checkbox";
      box.value = name;
      box.checked = chosen;
      box.addEventListener("change", guarded(() => { view.choose(column, name, box.checked); return changed(); }));
      const share = element("progress");
      share.max = most;
      share.value = rows;
      share.setAttribute("aria-hidden", "true");
      const text = element("span", "name", isolated(labelOf(column, label)));
      if (!label) text.classList.add("none");
      return element("li", "", element("label", "", box, text, element("span", "n", rows.toLocaleString("en")), share));
    }));
    if (further) list.append(element("li", "further", `and ${further.toLocaleString("en")} more, rarer ones`));
    if (focused !== false) for (const box of list.querySelectorAll("input")) if (box.value === focused) box.focus();
  }

  function showScores(scores) {
    const list = at("scores").querySelector("ul");
    const focused = list.contains(document.activeElement) ? document.activeElement.id : "";
    list.replaceChildren(...scores.map((score) => {
      const { filter, min_score: least, bins, failing } = score;
      const range = view.ranges.get(filter) || "", [low, high] = range ? range.split("..") : ["", ""];
      const ends = [["low", low, "from"], ["high", high.replace("<", ""), "to"]].map(([end, value, word]) => {
        const input = element("input");
        input.id = `score-${filter}-${end}`;
        input.inputMode = "decimal";
        input.value = value;
        input.placeholder = end === "low" ? "0" : "1";
        input.maxLength = 12;
        input.setAttribute("aria-label", `${filter}, ${word}`);
        return input;
      });
      const apply = guarded(() => { view.limit(filter, ends[0].value.trim(), ends[1].value.trim()); return changed(); });
      for (const input of ends) input.addEventListener("change", apply);
      const row = element("li", "score", element("span", "name", isolated(filter)), histogram(bins, least), element("span", "ends", ends[0], "\u2013", ends[1]));
      if (least !== null) {
        const below = element("button", "below", `${failing.toLocaleString("en")} under ${least}`);
        below.type = "button";
        below.setAttribute("aria-pressed", String(range === `..<${least}`));
        below.addEventListener("click", guarded(() => { view.below(filter, least); return changed(); }));
        row.append(below);
      }
      return row;
    }));
    if (focused) document.getElementById(focused)?.focus();
  }

  for (const facet of document.querySelectorAll(".facet"))
    facet.addEventListener("toggle", guarded(() => { if (facet.open) return refresh(); }));
  return { refresh };
}

function histogram(bins, least) {
  const svg = document.createElementNS(SVG, "svg"), most = Math.max(1, ...bins);
  svg.setAttribute("viewBox", "0 0 200 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const add = (className, x, y, width, height) => {
    const bar = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ class: className, x, y, width, height })) bar.setAttribute(name, value);
    svg.append(bar);
  };
  bins.forEach((number, index) => {
    const high = 24 * Math.sqrt(number / most);
    if (number) add(least !== null && (index + 1) / BINS <= least - 0.001 ? "rest" : "kept", index * 10 + 0.5, 24 - high, 9, high);
  });
  if (least !== null) add("least", Math.min(least * 200, 199), 0, 1, 24);
  return svg;
}
