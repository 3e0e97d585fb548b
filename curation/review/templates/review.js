"use strict";
import { at, decisionBar, fetched, guarded, mount, onKeys, play, posted, saidOf } from "/assets/desk.js";

const samples = [];
let here = -1, following = "", asked = 0, coming = null;

history.replaceState(null, "", "/"); // the token has done its work: it stands in the cookie now

function progress(decided) {
  at("decided").textContent = decided.toLocaleString("en");
  at("bar").value = decided;
}

function mark(entry) {
  const { review } = entry;
  entry.row.className = review ? review.decision : "";
  entry.row.querySelector(".said").textContent = saidOf(review);
}

// asked for twice at once, a page would be listed twice
const more = () => (coming ??= listMore().finally(() => { coming = null; }));

async function listMore() {
  if (following === null) return;
  const page = await (await fetched("/samples" + (following ? "?after=" + encodeURIComponent(following) : ""))).json();
  following = page.next;
  progress(page.decided);
  for (const sample of page.samples) {
    const row = document.createElement("li"), button = document.createElement("button");
    const question = document.createElement("bdi"), said = document.createElement("span");
    button.type = "button";
    question.textContent = sample.question || "No question";
    said.className = "said";
    button.append(question, said);
    row.append(button);
    const index = samples.push({ ...sample, row }) - 1;
    button.addEventListener("click", guarded(() => go(index)));
    at("list").append(row);
    mark(samples[index]);
  }
  at("more").hidden = following === null;
}

async function go(index) {
  if (index >= samples.length - 5) await more();
  if (!samples.length) throw new Error("There is nothing to review.");
  here = Math.min(Math.max(index, 0), samples.length - 1);
  const number = ++asked, entry = samples[here];
  bar.why(false);
  for (const row of at("list").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
  entry.row.setAttribute("aria-current", "true");
  entry.row.scrollIntoView({ block: "nearest" });
  const text = await (await fetched("/samples/" + entry.id)).text();
  if (number !== asked) return; // somebody went on meanwhile
  mount(at("sample"), text, entry.id);
  at("trouble").hidden = true;
  at("note").value = entry.review ? entry.review.note : "";
  at("play").hidden = !at("sample").querySelector("video");
  scrollTo({ top: 0, behavior: "instant" });
}

async function send(entry, told) {
  const { decided, sample } = await posted("/reviews", told);
  entry.review = sample.review;
  mark(entry);
  progress(decided);
}

async function undecided() {
  for (let index = here + 1; ; index++) {
    if (index >= samples.length) {
      const before = samples.length;
      await more();
      if (samples.length === before) return;
    }
    if (!samples[index].review) return go(index);
  }
}

const bar = decisionBar({
  current: () => samples[here], send, goOn: (entry) => go(samples.indexOf(entry) + 1), shownId: () => at("sample").dataset.id,
});
onKeys(
  {
    y: () => bar.decide("keep"), x: () => bar.why(true), " ": () => play(at("sample")), j: () => go(here + 1), k: () => go(here - 1),
    u: undecided, Escape: () => bar.why(false),
  },
  bar.reasonOf,
);
at("play").addEventListener("click", guarded(() => play(at("sample"))));
at("more").addEventListener("click", guarded(more));
guarded(() => go(0))();
