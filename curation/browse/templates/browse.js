"use strict";
import { at, decisionBar, fetched, guarded, mount, onKeys, play, posted, saidOf, trouble } from "/assets/desk.js";
import { filters, labelOf } from "/assets/facets.js";
import { questionMap } from "/assets/map.js";

const SCORE = "score.";
const wide = matchMedia("(min-width: 1101px)"), phone = matchMedia("(max-width: 760px)");
const columns = [...document.querySelectorAll(".facet[data-column]")].map((facet) => facet.dataset.column);

// What is shown. Its address is all of it: back, forward, bookmarks and saved views are addresses.
const view = {
  names: new Map(), ranges: new Map(), q: "", map: "", sort: "drawn", page: 1, at: "", side: false,

  read(address) {
    const parts = new URLSearchParams(address);
    this.names = new Map();
    this.ranges = new Map();
    for (const [key, value] of parts) {
      if (columns.includes(key)) this.names.set(key, (this.names.get(key) || new Set()).add(value));
      if (key.startsWith(SCORE)) this.ranges.set(key.slice(SCORE.length), value);
    }
    this.q = parts.get("q") || "";
    this.map = parts.get("map") || "";
    this.sort = parts.get("sort") || "drawn";
    this.page = Number(parts.get("page")) || 1;
    this.at = parts.get("at") || "";
    this.side = parts.has("side");
  },

  conditions() {
    const parts = new URLSearchParams();
    for (const [column, chosen] of this.names) for (const name of chosen) parts.append(column, name);
    for (const [filter, range] of this.ranges) parts.append(SCORE + filter, range);
    if (this.q) parts.append("q", this.q);
    if (this.map) parts.append("map", this.map);
    if (this.sort !== "drawn") parts.append("sort", this.sort);
    return parts.toString();
  },

  address() {
    const parts = new URLSearchParams(this.conditions());
    if (this.page > 1) parts.append("page", this.page);
    if (this.at) parts.append("at", this.at);
    if (this.side) parts.append("side", "");
    return parts.toString();
  },

  choose(column, name, chosen) {
    const names = this.names.get(column) || new Set();
    if (chosen) names.add(name);
    else names.delete(name);
    if (names.size) this.names.set(column, names);
    else this.names.delete(column);
  },

  limit(filter, low, high) {
    if (low || high) this.ranges.set(filter, `${low}..${high}`);
    else this.ranges.delete(filter);
  },

  below(filter, least) {
    const range = `..<${least}`;
    if (this.ranges.get(filter) === range) this.ranges.delete(filter);
    else this.ranges.set(filter, range);
  },
};

const map = questionMap(view, guarded(changed));
let rows = [], here = -1, pages = 1, listAsked = 0, cardAsked = 0;

function remember(replace) {
  const address = view.address(), place = address ? "/?" + address : "/";
  if (place === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", place);
}

async function changed(wanted = { page: 1, at: "" }) {
  Object.assign(view, wanted);
  remember(false);
  // the list first: counts may take longer
  await list();
  await sidebar.refresh();
}

async function list(place = "first") {
  const number = ++listAsked;
  at("listing").classList.add("waiting");
  const answer = await (await fetched("/rows?" + [view.conditions(), "page=" + view.page].filter(Boolean).join("&"))).json();
  if (number !== listAsked) return; // another view was asked for meanwhile
  at("listing").classList.remove("waiting");
  rows = answer.rows;
  pages = answer.pages;
  view.page = answer.page;
  at("outdated").hidden = !answer.outdated;
  at("shown").textContent = answer.total.toLocaleString("en");
  at("page").textContent = `${answer.page.toLocaleString("en")} / ${pages.toLocaleString("en")}`;
  at("back").disabled = answer.page <= 1;
  at("on").disabled = answer.page >= pages;
  at("pager").hidden = pages <= 1;
  at("nothing").hidden = rows.length > 0;
  at("rows").replaceChildren(...rows.map(line));
  at("listing").scrollTop = 0;
  showChosen();
  const asked = rows.findIndex((row) => row.id === view.at);
  const first = place === "last" ? rows.length - 1 : 0;
  if (asked >= 0 || rows.length) await go(asked >= 0 ? asked : first, { open: asked >= 0 || !phone.matches, replace: true });
  else at("sample").replaceChildren();
}

const text = (tag, className, words) => {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = words;
  return made;
};

function line(row, index) {
  const item = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.dataset.id = row.id;
  const dot = text("span", "dot " + (row.state.startsWith("kept") ? "kept" : row.state.replaceAll(" ", "-")), "");
  const facts = text("span", "facts", ""), outcome = row.state === "rejected" && row.reason ? row.reason : row.state;
  const said = text("span", "said", "");
  const maker = row.subject === "task" ? "task" : row.teacher;
  for (const [words, name] of [[maker, "maker"], [row.kind, ""], [outcome, ""]]) if (words) facts.append(text("bdi", name, words));
  if (row.score !== null) facts.prepend(text("b", "", row.score.toFixed(3)));
  facts.append(said);
  button.append(dot, text("bdi", "words", row.question || "No question"), facts);
  button.addEventListener("click", guarded(() => go(index, { open: true })));
  item.append(button);
  row.item = item;
  mark(row);
  return item;
}

function mark(row) {
  row.item.querySelector(".said").textContent = saidOf(row.review);
  row.item.querySelector(".said").dataset.decision = row.review ? row.review.decision : "";
}

// `open` brings the card to the front where there is room for one thing only
async function go(index, { open = true, replace = true } = {}) {
  if (!rows.length) return;
  here = Math.min(Math.max(index, 0), rows.length - 1);
  const entry = rows[here], number = ++cardAsked;
  bar?.why(false);
  for (const button of at("rows").querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
  entry.item.querySelector("button").setAttribute("aria-current", "true");
  entry.item.scrollIntoView({ block: "nearest" });
  view.at = open ? entry.id : "";
  remember(replace);
  document.body.classList.toggle("opened", open);
  at("compare").setAttribute("aria-pressed", String(view.side));
  const html = await (await fetched((view.side ? "/tasks/" : "/samples/") + entry.id)).text();
  if (number !== cardAsked) return; // somebody went on meanwhile
  mount(at("sample"), html, entry.id);
  at("sample").classList.toggle("side", view.side);
  at("trouble").hidden = true;
  for (const button of document.querySelectorAll("#play")) button.hidden = !at("sample").querySelector("video");
  if (bar) {
    at("note").value = entry.review ? entry.review.note : "";
    at("decided").textContent = entry.review ? `${saidOf(entry.review)}${entry.review.note ? ": " + entry.review.note : ""}` : "";
    at("edit-gold").hidden = view.side;
  }
  document.querySelector("main").scrollTop = 0;
  if (phone.matches && open) scrollTo({ top: 0, behavior: "instant" });
}

async function turn(by, place = "first") {
  const page = Math.min(Math.max(view.page + by, 1), pages);
  if (page === view.page) return false;
  view.page = page;
  view.at = "";
  remember(false);
  await list(place);
  return true;
}

async function step(by) {
  const next = here + by;
  if (next >= 0 && next < rows.length) return go(next);
  await turn(by, by > 0 ? "first" : "last");
}

function showChosen() {
  const chip = (column, label, drop) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.append(text("span", "", column + " "), text("bdi", "", label), text("span", "drop", "\u00d7"));
    button.setAttribute("aria-label", `without ${column} ${label}`);
    button.addEventListener("click", guarded(() => { drop(); return changed(); }));
    return button;
  };
  const chips = [];
  for (const [column, names] of view.names)
    for (const name of names) chips.push(chip(column, labelOf(column, name), () => view.choose(column, name, false)));
  for (const [filter, range] of view.ranges) chips.push(chip(filter, range.replace("..", " \u2013 ").trim(), () => view.limit(filter, "", "")));
  if (view.q) chips.push(chip("search", view.q, () => { view.q = ""; at("words").value = ""; }));
  if (view.map) chips.push(chip("map", "a part of it", () => { view.map = ""; }));
  at("chosen").replaceChildren(...chips);
}

function showAll() {
  Object.assign(view, { names: new Map(), ranges: new Map(), q: "", map: "", sort: "drawn" });
  at("words").value = "";
  at("sort").value = "drawn";
  return changed();
}

function toggleFilters(open = !document.body.classList.contains("filtering")) {
  document.body.classList.toggle("filtering", open);
  at("open-filters").setAttribute("aria-expanded", String(open));
}

function toFilters() {
  if (!wide.matches) toggleFilters();
  if (wide.matches || document.body.classList.contains("filtering")) at("facets").querySelector("summary").focus();
}

async function sideBySide() {
  view.side = !view.side;
  await go(here);
}

let lastMark = { gold: -1, look: -1 };
function playNext(role) {
  const marks = at("sample").querySelectorAll(`figcaption .of-${role}`);
  if (!marks.length) return;
  lastMark[role] = (lastMark[role] + 1) % marks.length;
  marks[lastMark[role]].click();
}

const openScores = () => {
  for (const details of at("sample").querySelectorAll("details.more-of-it")) details.open = !details.open;
};

// -- saved views

async function openViews() {
  showViews(await (await fetched("/views")).json());
  at("view-trouble").hidden = true;
  at("views").showModal();
  (at("view-list").querySelector("button") || at("view-name")).focus();
}

function showViews(views) {
  at("view-list").replaceChildren(...Object.entries(views).map(([name, address]) => {
    const open = text("button", "open", ""), drop = text("button", "drop", "Delete"), item = document.createElement("li");
    open.type = drop.type = "button";
    open.append(text("bdi", "", name));
    drop.setAttribute("aria-label", `Delete the view ${name}`);
    open.addEventListener("click", guarded(() => {
      at("views").close();
      view.read(address);
      fields();
      remember(false);
      return load();
    }));
    drop.addEventListener("click", guarded(async () => showViews(await posted("/views", { name }))));
    item.append(open, drop);
    return item;
  }));
}

const inDialog = (place, work) => async (event) => {
  event.preventDefault();
  place.hidden = true;
  try {
    await work();
  } catch (error) {
    place.textContent = error.message;
    place.hidden = false;
  }
};

at("save-view").addEventListener("submit", inDialog(at("view-trouble"), async () => {
  showViews(await posted("/views", { name: at("view-name").value, address: view.conditions() }));
  at("view-name").value = "";
}));

// -- decisions

const bar = at("keep") && decisionBar({
  current: () => rows[here],
  send: async (entry, told) => {
    const { review } = await posted("/reviews", told);
    if (told.id === entry.id) entry.review = review;
    mark(entry);
  },
  goOn: () => step(1),
  shownId: () => at("sample").dataset.id,
});

if (bar) {
  const opened = (dialog, fill) => () => {
    if (!rows[here] || at("sample").dataset.id !== rows[here].id) return;
    fill(rows[here]);
    dialog.querySelector(".dialog-trouble").hidden = true;
    dialog.showModal();
  };
  const comment = opened(at("comment-dialog"), (entry) => { at("comment-text").value = entry.review ? entry.review.note : ""; });
  const gold = opened(at("gold-dialog"), () => {
    const { answer, windows } = at("sample").querySelector(".gold-of").dataset;
    at("gold-answer").value = answer;
    at("gold-windows").value = windows;
    at("gold-note").value = "";
  });
  at("comment").addEventListener("click", comment);
  at("edit-gold").addEventListener("click", gold);
  for (const button of document.querySelectorAll("dialog .cancel")) button.addEventListener("click", () => button.closest("dialog").close());
  const refuse = (dialog) => dialog.querySelector(".dialog-trouble");
  at("comment-form").addEventListener("submit", inDialog(refuse(at("comment-dialog")), async () => {
    const entry = rows[here], { decision = "comment", reason = "" } = entry.review || {};
    const { review } = await posted("/reviews", { id: entry.id, decision, reason, note: at("comment-text").value });
    entry.review = review;
    mark(entry);
    at("comment-dialog").close();
    await go(here);
  }));
  at("gold-form").addEventListener("submit", inDialog(refuse(at("gold-dialog")), async () => {
    const { task } = at("sample").querySelector(".gold-of").dataset, entry = rows[here];
    // 12-20 is what people type; a window that is none stays as it is, and is refused by name
    const windows = at("gold-windows").value.split(/[,;]/).map((part) => part.trim()).filter(Boolean).map((part) => {
      const limits = /^(\d+(?:\.\d*)?)\s*-\s*(\d+(?:\.\d*)?)$/.exec(part);
      return limits ? `${Number(limits[1]).toFixed(2)} - ${Number(limits[2]).toFixed(2)}` : part;
    });
    const told = { id: task, decision: "reject", reason: "wrong gold", note: at("gold-note").value, gold: { answer: at("gold-answer").value, windows } };
    const { review } = await posted("/reviews", told);
    if (entry.id === task) entry.review = review;
    mark(entry);
    at("gold-dialog").close();
    at("decided").textContent = "the gold of its task is corrected";
  }));
}

function decisions() {
  return bar ? { y: () => bar.decide("keep"), x: () => bar.why(true), m: () => at("comment").click(), e: () => at("edit-gold").click() } : {};
}

function escape() {
  if (bar && !at("why").hidden) return bar.why(false);
  if (document.body.classList.contains("filtering")) return toggleFilters(false);
  if (phone.matches && document.body.classList.contains("opened")) {
    document.body.classList.remove("opened");
    view.at = "";
    remember(true);
    rows[here]?.item.querySelector("button").focus();
  }
}

onKeys(
  {
    "/": () => at("words").focus(), j: () => step(1), k: () => step(-1), "]": () => turn(1), "[": () => turn(-1), c: sideBySide,
    o: openScores, " ": () => play(at("sample")), g: () => playNext("gold"), l: () => playNext("look"), f: toFilters,
    s: () => at("sort").focus(), v: openViews, p: map.open, a: showAll, "?": () => at("help").showModal(), Escape: escape, ...decisions(),
  },
  bar ? bar.reasonOf : () => null,
);

let typed = 0;
at("search").addEventListener("submit", guarded((event) => event.preventDefault()));
at("words").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(guarded(() => { view.q = at("words").value.trim(); return changed(); }), 250);
});
at("sort").addEventListener("change", guarded(() => { view.sort = at("sort").value; return changed(); }));
at("back").addEventListener("click", guarded(() => turn(-1)));
at("on").addEventListener("click", guarded(() => turn(1)));
at("clear").addEventListener("click", guarded(showAll));
at("compare").addEventListener("click", guarded(sideBySide));
at("close-card").addEventListener("click", guarded(escape));
at("close-filters").addEventListener("click", guarded(() => toggleFilters(false)));
at("open-filters").addEventListener("click", guarded(() => toggleFilters()));
at("open-views").addEventListener("click", guarded(openViews));
at("open-map").addEventListener("click", guarded(map.open));
at("open-help").addEventListener("click", () => at("help").showModal());
for (const button of document.querySelectorAll("#play")) button.addEventListener("click", guarded(() => play(at("sample"))));

function fields() {
  at("words").value = view.q;
  at("sort").value = view.sort;
  if (at("sort").selectedIndex < 0) at("sort").value = "drawn";
}

async function load() {
  await list();
  await sidebar.refresh();
}

const sidebar = filters(view, changed);
addEventListener("popstate", guarded(() => { view.read(location.search); fields(); return load(); }));
const parts = new URLSearchParams(location.search);
parts.delete("token"); // it has done its work: it stands in the cookie now
view.read(parts.toString());
remember(true);
history.replaceState(null, "", view.address() ? "/?" + view.address() : "/");
fields();
trouble(null);
guarded(load)();
