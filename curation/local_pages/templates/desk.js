"use strict";
// What the pages on loopback share: requests, keys, the player with its timeline, and the bar of decisions.

export const at = (id) => document.getElementById(id);

export async function fetched(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
  return answer;
}

export async function posted(path, content) {
  const headers = { "Content-Type": "application/json" };
  return (await fetched(path, { method: "POST", headers, body: JSON.stringify(content) })).json();
}

export const trouble = (error) => {
  at("trouble").textContent = error ? error.message : "";
  at("trouble").hidden = !error;
};

export const guarded = (work) => (...given) => {
  trouble(null);
  return Promise.resolve().then(() => work(...given)).catch(trouble);
};

export function onKeys(acts, others = () => null) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input:not([type=checkbox]), textarea, select");
    if (typing && event.key !== "Escape") return;
    if ((event.key === " " || event.key === "Enter") && event.target.matches("button, summary, video, input, a")) return;
    const act = others(event.key) || acts[event.key];
    if (!act) return;
    event.preventDefault();
    if (typing) event.target.blur();
    guarded(act)();
  });
}

const SVG = "http://www.w3.org/2000/svg";

// Puts a sample's page in its place; its timeline then follows the video, and its windows can be played.
export function mount(place, html, id) {
  place.innerHTML = html; // escaped where it was made
  place.dataset.id = id;
  const video = place.querySelector("video");
  if (!video) return;
  const start = Number(video.dataset.start), length = () => video.duration || Infinity;
  video.addEventListener("loadedmetadata", () => { video.currentTime = Math.min(start, video.duration); });
  const needles = [...place.querySelectorAll(".axis")].map((axis) => {
    const needle = document.createElementNS(SVG, "rect");
    needle.setAttribute("class", "now");
    needle.setAttribute("width", "2");
    needle.setAttribute("height", "22");
    axis.append(needle);
    axis.dataset.playable = "";
    axis.addEventListener("click", (event) => {
      const box = axis.getBoundingClientRect();
      video.currentTime = ((event.clientX - box.left) / box.width) * length();
    });
    return needle;
  });
  const follow = () => {
    const x = Math.min(998, (1000 * video.currentTime) / length());
    for (const needle of needles) needle.setAttribute("x", x.toFixed(1));
    if (!video.paused) requestAnimationFrame(follow);
  };
  for (const name of ["play", "seeked", "timeupdate"]) video.addEventListener(name, follow);
  video.addEventListener("timeupdate", () => {
    if (video.dataset.until && video.currentTime >= Number(video.dataset.until)) {
      video.pause();
      delete video.dataset.until;
    }
  });
  for (const mark of place.querySelectorAll("figcaption .mark-of")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = mark.className;
    button.title = "play this window";
    button.append(...mark.childNodes);
    button.addEventListener("click", () => playWindow(video, Number(mark.dataset.start), Number(mark.dataset.end)));
    mark.replaceWith(button);
  }
}

function playWindow(video, start, end) {
  video.currentTime = start;
  if (end) video.dataset.until = end;
  video.play();
}

export function play(place) {
  const video = place.querySelector("video");
  if (!video) return;
  if (!video.paused) return video.pause();
  playWindow(video, Number(video.dataset.start), Number(video.dataset.end));
}

// The bar of decisions. `current` gives what is shown, `send` writes a decision on it down, `go_on` shows the next one.
export function decisionBar({ current, send, goOn, shownId }) {
  let deciding = false;
  const reasons = [...document.querySelectorAll(".reason")];
  const why = (open) => {
    at("why").hidden = !open;
    at("first").hidden = open;
  };

  async function decide(decision, reason, further = {}, then = goOn) {
    const entry = current();
    // what is decided is what is seen: the next card may still be on its way, or never have come
    if (deciding || !entry) return;
    if (shownId() !== entry.id) throw new Error("This sample is not shown yet. Wait, or go on to the next one.");
    deciding = true;
    try {
      const note = decision === "keep" ? "" : at("note").value;
      await send(entry, { id: entry.id, decision, reason: reason || "", note, ...further });
    } finally {
      deciding = false;
    }
    await then(entry);
  }

  at("keep").addEventListener("click", guarded(() => decide("keep")));
  at("reject").addEventListener("click", guarded(() => why(true)));
  for (const reason of reasons) reason.addEventListener("click", guarded(() => decide("reject", reason.dataset.reason)));
  const reasonOf = (key) => {
    const reason = !at("why").hidden && reasons[Number(key) - 1];
    return reason ? () => decide("reject", reason.dataset.reason) : null;
  };
  return { decide, why, reasonOf };
}

export const saidOf = (review) => {
  if (!review) return "";
  return { keep: "kept", reject: review.reason, comment: "commented" }[review.decision];
};
