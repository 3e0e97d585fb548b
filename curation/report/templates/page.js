"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const at = (id) => document.getElementById(id);
  const words = at("words"), count = at("count"), none = at("none");
  const pickers = ["group", "kind", "source"].map((name) => [name, at("by-" + name)]);
  const texts = new Map();
  const text = (card) => {
    if (!texts.has(card)) texts.set(card, card.textContent.toLowerCase());
    return texts.get(card);
  };
  const shown = () => cards.filter((card) => !card.hidden);

  function filter() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const card of cards)
      card.hidden =
        !pickers.every(([name, picker]) => !picker.value || card.dataset[name] === picker.value) ||
        !wanted.every((word) => text(card).includes(word));
    const number = shown().length;
    count.textContent = number === cards.length ? number + " cards" : number + " of " + cards.length + " cards";
    none.hidden = number > 0 || cards.length === 0;
  }

  function all() {
    words.value = "";
    for (const [, picker] of pickers) picker.value = "";
    filter();
  }

  function step(by) {
    const visible = shown();
    if (!visible.length) return;
    const here = visible.indexOf(document.activeElement.closest(".card"));
    const next = here < 0 ? (by > 0 ? 0 : visible.length - 1) : Math.min(Math.max(here + by, 0), visible.length - 1);
    visible[next].focus({ preventScroll: true });
    visible[next].scrollIntoView({ block: "start" });
  }

  function open() {
    const card = document.activeElement.closest(".card");
    const details = card && card.querySelector("details");
    if (details) details.open = !details.open;
  }

  // a reason of the funnel shows its cards alone
  for (const link of document.querySelectorAll("a[data-group]"))
    link.addEventListener("click", () => {
      all();
      at("by-group").value = link.dataset.group;
      filter();
    });
  const slips = at("slips");
  for (const link of document.querySelectorAll('a[href="#slips"]')) link.addEventListener("click", () => { slips.open = true; });

  const keys = { j: () => step(1), k: () => step(-1), o: open, "/": () => words.focus(), Escape: all };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing && event.key !== "Escape") return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    if (typing) event.target.blur();
    act();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });

  const form = document.querySelector(".filters");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  at("all").addEventListener("click", all);
  filter();
})();
