"use strict";
// The map of questions by meaning: points in the colours and shapes of a filter, an area that is chosen on it, and the same in words.
import { at, fetched } from "/assets/desk.js";
import { labelOf } from "/assets/facets.js";

const SIDE = 1000, STEP = 20, CLICKED = 40, MIN_HALF = 10, OTHERS = 6;
const SHAPES = ["\u25cf", "\u25a0", "\u25b2", "\u25c6", "+", "\u00d7", "\u00b7"];
const count = (number) => number.toLocaleString("en");

const made = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};
const isolated = (words) => made("bdi", "", words);

// `view` is what the page shows; `changed` is called after a part of the map was chosen.
export function questionMap(view, changed) {
  const canvas = at("map-canvas"), by = at("map-by");
  let points = null, area = null, grip = null, asked = 0;

  async function open() {
    at("map").showModal();
    area = view.map ? view.map.split(",").map(Number) : null;
    await refresh();
    if (points) canvas.focus();
  }

  async function refresh() {
    const number = ++asked;
    at("map-trouble").hidden = true;
    try {
      const parts = new URLSearchParams(view.conditions());
      parts.append("by", by.value);
      const answer = await (await fetched("/map?" + parts)).json();
      if (number !== asked) return; // another colour was asked for meanwhile
      points = answer.measured ? answer : null;
      at("no-map").hidden = points !== null;
      at("with-map").hidden = points === null;
      if (points) show();
    } catch (error) {
      at("map-trouble").textContent = error.message;
      at("map-trouble").hidden = false;
    }
  }

  function show() {
    const { places, measured, kept_variance: kept, codes } = points, inView = codes.filter((code) => code >= 0).length;
    const drawn = places.length < measured ? `${count(places.length)} of ${count(measured)} questions, drawn by id` : `${count(measured)} questions`;
    at("map-about").textContent = `${drawn}; ${count(inView)} of them are in this view. ` +
      `Near each other means alike in meaning; the map shows ${(100 * kept).toFixed(0)} % of what tells them apart.`;
    const names = points.names.map(({ label, questions }, code) => legend(code, labelOf(by.value, label), questions));
    if (points.others) names.push(legend(OTHERS, "others", points.others));
    at("map-names").replaceChildren(...names);
    at("map-regions").replaceChildren(...points.regions.map(region));
    at("map-further").hidden = !points.further;
    at("map-further").textContent = `and ${count(points.further)} parts with fewer`;
    draw();
    say();
  }

  function legend(code, label, questions) {
    const shape = made("span", `shape c${code}`, SHAPES[code]);
    shape.setAttribute("aria-hidden", "true");
    return made("li", "", shape, isolated(label), made("span", "n", count(questions)));
  }

  function region({ area: corners, questions, label, named, example }) {
    const facts = made("span", "facts", `${count(questions)} questions, ${count(named)} of them `, isolated(labelOf(by.value, label)));
    const button = made("button", "", facts, made("bdi", "words", example || "No question"));
    button.type = "button";
    button.addEventListener("click", () => choose(corners));
    button.addEventListener("focus", () => { area = corners; draw(); say(); });
    return made("li", "", button);
  }

  function draw() {
    const box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
    if (!points || !box.width) return;
    canvas.width = canvas.height = Math.round(box.width * scale);
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas), size = canvas.width;
    const margin = 8 * scale, x = (right) => margin + (right / SIDE) * (size - 2 * margin), y = (up) => size - x(up);
    const small = points.places.length > 4000 ? 2 * scale : 3.5 * scale;
    pen.clearRect(0, 0, size, size);
    // what the view leaves out first, so that it hides nothing
    for (const wanted of [false, true]) {
      points.places.forEach(([right, up], index) => {
        const code = points.codes[index];
        if (code >= 0 !== wanted) return;
        pen.fillStyle = pen.strokeStyle = style.getPropertyValue(code < 0 ? "--rest" : `--c${code}`);
        mark(pen, code, x(right), y(up), code < 0 ? small / 2 : small, scale);
      });
    }
    if (!area) return;
    const [left, low, right, high] = area;
    pen.strokeStyle = style.getPropertyValue("--ink");
    pen.lineWidth = 2 * scale;
    pen.strokeRect(x(left), y(high), Math.max(x(right) - x(left), scale), Math.max(y(low) - y(high), scale));
  }

  function mark(pen, code, x, y, size, scale) {
    pen.lineWidth = 1.4 * scale;
    pen.beginPath();
    if (code === 1) pen.rect(x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
    else if (code === 2) [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]].forEach(([a, b], n) => (n ? pen.lineTo : pen.moveTo).call(pen, x + a * size, y + b * size));
    else if (code === 3) [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]].forEach(([a, b], n) => (n ? pen.lineTo : pen.moveTo).call(pen, x + a * size, y + b * size));
    else if (code === 4 || code === 5) {
      const [a, b] = code === 4 ? [1.2, 0] : [0.9, 0.9];
      pen.moveTo(x - a * size, y - b * size); pen.lineTo(x + a * size, y + b * size);
      pen.moveTo(x + b * size, y - a * size); pen.lineTo(x - b * size, y + a * size);
      return pen.stroke();
    } else pen.arc(x, y, code === OTHERS ? size / 2 : size, 0, 2 * Math.PI);
    pen.fill();
  }

  // What is in the box, in words: for who hears the page, and for who wonders before choosing.
  function say() {
    if (!points) return;
    if (!area) {
      at("map-status").textContent = "Click, or draw a box: its questions are then listed. With keys: arrows move a box, + and - change its size, Enter chooses.";
      return;
    }
    const byCode = new Map();
    points.places.forEach((place, index) => {
      const code = points.codes[index];
      if (code >= 0 && within(place)) byCode.set(code, (byCode.get(code) || 0) + 1);
    });
    const sorted = [...byCode].sort((a, b) => b[1] - a[1]), total = sorted.reduce((sum, [, number]) => sum + number, 0);
    const names = sorted.slice(0, 3).map(([code, number]) => `${code === OTHERS ? "others" : labelOf(by.value, points.names[code].label)} ${count(number)}`);
    at("map-status").textContent = `${count(total)} ${total === 1 ? "question" : "questions"} in the box${names.length ? ": " + names.join(", ") : ""}`;
  }

  const within = ([right, up]) => right >= area[0] && right <= area[2] && up >= area[1] && up <= area[3];
  const inside = (number) => Math.min(SIDE, Math.max(0, Math.round(number)));
  const around = (x, y, width, height) => [inside(x - width), inside(y - height), inside(x + width), inside(y + height)];

  function choose(corners) {
    view.map = corners ? corners.join(",") : "";
    area = corners;
    at("map").close();
    return changed();
  }

  function placeOf(event) {
    const box = canvas.getBoundingClientRect(), margin = 8, side = box.width - 2 * margin;
    return [inside(((event.clientX - box.left - margin) / side) * SIDE), inside((1 - (event.clientY - box.top - margin) / side) * SIDE)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    grip = placeOf(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [x, y] = placeOf(event);
    area = [Math.min(x, grip[0]), Math.min(y, grip[1]), Math.max(x, grip[0]), Math.max(y, grip[1])];
    draw();
    say();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!grip) return;
    const [x, y] = placeOf(event), isClick = Math.max(Math.abs(x - grip[0]), Math.abs(y - grip[1])) < STEP / 2;
    if (isClick) area = around(x, y, CLICKED, CLICKED);
    grip = null;
    choose(area);
  });
  canvas.addEventListener("pointercancel", () => { grip = null; });

  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] }, move = moves[event.key];
    const growth = { "+": STEP / 2, "=": STEP / 2, "-": -STEP / 2 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || !(move || growth || event.key === "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") {
      if (area) choose(area);
      return;
    }
    const [left, low, right, high] = area || around(SIDE / 2, SIDE / 2, 2 * CLICKED, 2 * CLICKED);
    const half = [(right - left) / 2, (high - low) / 2].map((length) => Math.min(SIDE / 2, Math.max(MIN_HALF, length + (growth || 0))));
    const middle = [(left + right) / 2 + (move ? move[0] : 0), (low + high) / 2 + (move ? move[1] : 0)].map((at, axis) => Math.min(SIDE - half[axis], Math.max(half[axis], at)));
    area = around(...middle, ...half);
    draw();
    say();
  });

  by.addEventListener("change", refresh);
  at("map-all").addEventListener("click", () => choose(null));
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return { open };
}
