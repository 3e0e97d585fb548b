"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const samples = [];
  let here = -1, following = "", asked = 0, coming = null, deciding = false;

  history.replaceState(null, "", "/"); // the token has done its work: it stands in the cookie now

  async function fetched(path, options) {
    const answer = await fetch(path, options);
    if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
    return answer;
  }

  const trouble = (error) => { at("trouble").textContent = error ? error.message : ""; at("trouble").hidden = !error; };

  function progress(decided) {
    at("decided").textContent = decided.toLocaleString("en");
    at("bar").value = decided;
  }

  function mark(entry) {
    const { review } = entry;
    entry.row.className = review ? review.decision : "";
    entry.row.querySelector(".said").textContent = review ? (review.decision === "keep" ? "kept" : review.reason) : "";
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
      button.addEventListener("click", () => go(index));
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
    why(false);
    for (const row of at("list").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    entry.row.setAttribute("aria-current", "true");
    entry.row.scrollIntoView({ block: "nearest" });
    const text = await (await fetched("/samples/" + entry.id)).text();
    if (number !== asked) return; // somebody went on meanwhile
    const sample = at("sample");
    sample.innerHTML = text; // escaped where it was made
    sample.dataset.id = entry.id;
    trouble(null);
    at("note").value = entry.review ? entry.review.note : "";
    const video = sample.querySelector("video");
    if (video) {
      const start = Number(video.dataset.start), end = Number(video.dataset.end) || Infinity;
      video.addEventListener("loadedmetadata", () => { video.currentTime = Math.min(start, video.duration); });
      video.addEventListener("timeupdate", () => {
        if (video.dataset.playing && video.currentTime >= end) { video.pause(); delete video.dataset.playing; }
      });
    }
    at("play").hidden = !video;
    scrollTo({ top: 0, behavior: "instant" });
  }

  function why(open) {
    at("why").hidden = !open;
    at("first").hidden = open;
  }

  function play() {
    const video = at("sample").querySelector("video");
    if (!video) return;
    if (!video.paused) return video.pause();
    video.currentTime = Number(video.dataset.start);
    video.dataset.playing = "window";
    video.play();
  }

  async function decide(decision, reason) {
    const entry = samples[here];
    // what is decided is what is seen: the next card may still be on its way, or never have come
    if (deciding || !entry) return;
    if (at("sample").dataset.id !== entry.id) throw new Error("This sample is not shown yet. Wait, or go on to the next one.");
    deciding = true;
    try {
      await send(entry, decision, reason);
    } finally {
      deciding = false;
    }
    await go(samples.indexOf(entry) + 1);
  }

  async function send(entry, decision, reason) {
    const told = { id: entry.id, decision, reason: reason || "", note: decision === "reject" ? at("note").value : "" };
    const answer = await fetched("/reviews", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(told),
    });
    const { decided, sample } = await answer.json();
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

  const guarded = (work) => (...told) => {
    trouble(null);
    return Promise.resolve().then(() => work(...told)).catch(trouble);
  };
  const reasons = [...document.querySelectorAll(".reason")];
  const acts = {
    y: () => decide("keep"), x: () => why(true), " ": play, j: () => go(here + 1), k: () => go(here - 1), u: undecided,
    Escape: () => why(false),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input");
    if (typing && event.key !== "Escape") return;
    if (event.key === " " && event.target.matches("button, summary, video")) return;
    const reason = !at("why").hidden && reasons[Number(event.key) - 1];
    const act = reason ? () => decide("reject", reason.dataset.reason) : acts[event.key];
    if (!act) return;
    event.preventDefault();
    if (typing) event.target.blur();
    guarded(act)();
  });
  at("keep").addEventListener("click", guarded(() => decide("keep")));
  at("reject").addEventListener("click", guarded(() => why(true)));
  at("play").addEventListener("click", guarded(play));
  at("more").addEventListener("click", guarded(more));
  for (const reason of reasons) reason.addEventListener("click", guarded(() => decide("reject", reason.dataset.reason)));
  guarded(() => go(0))();
})();
