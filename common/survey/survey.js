"use strict";

// One picture after another, in an order drawn for this person; then a file of verdicts.

const about = JSON.parse(document.getElementById("survey").textContent);
const [before, during, after] = ["before", "during", "after"].map(
  (id) => document.getElementById(id));
const progress = document.getElementById("progress");
const save = document.getElementById("save");

const [seed, ...person] = crypto.getRandomValues(new Uint32Array(5));
const random = mulberry32(seed);
const pictures = [...document.querySelectorAll("[data-picture]")];
for (let at = pictures.length - 1; at > 0; at -= 1) {  // Fisher and Yates
  const other = Math.floor(random() * (at + 1));
  [pictures[at], pictures[other]] = [pictures[other], pictures[at]];
}
const verdicts = [];

// A small generator with a seed, which Math.random lacks: numbers in [0, 1).
function mulberry32(state) {
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function show(focused) {
  const at = verdicts.length, done = at === pictures.length;
  before.hidden = true;
  during.hidden = done;
  after.hidden = !done;
  pictures.forEach((picture, position) => { picture.hidden = position !== at; });
  for (const button of during.querySelectorAll("[data-back]")) button.disabled = at === 0;
  if (done) finish();
  else progress.textContent = `Picture ${at + 1} of ${pictures.length}`;
  if (done || focused) (done ? document.getElementById("thanks") : progress).focus();
}

function judge(verdict) {
  if (during.hidden) return;
  verdicts.push(verdict);
  show();
}

function back() {
  if (!verdicts.length) return;
  const finished = !after.hidden;
  verdicts.pop();
  show(finished);
}

function finish() {
  const name = person.map((part) => part.toString(16).padStart(8, "0")).join("");
  const content = {...about, person: name, seed, verdicts: pictures.map((picture, at) => ({
    picture: picture.dataset.picture, verdict: verdicts[at]}))};
  URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(new Blob([`${JSON.stringify(content, null, 1)}\n`],
    {type: "application/json"}));
  save.download = `verdicts-${about.survey}-${name.slice(0, 8)}.json`;
}

for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict));
}
for (const button of document.querySelectorAll("[data-back]")) {
  button.addEventListener("click", back);
}
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !before.hidden) return;
  const key = event.key.toLowerCase();
  if (key === "r") judge("real");
  else if (key === "c") judge("recoloured");
  else if (key === "b") back();
});
document.getElementById("again").addEventListener("click", () => location.reload());
const start = document.getElementById("start");
start.addEventListener("click", () => show(true));
start.hidden = false;
