// What a person sees: a photo in, the coloured one out. worker.mjs does the work.

const find = (id) => document.getElementById(id);
const worker = new Worker("worker.mjs", { type: "module" });
let turn = 0, name = "photo", held = false; // turn: of the last request, whose answer counts
const addresses = {};

function ask(file) {
  turn += 1;
  find("error").textContent = "";
  find("status").textContent = "Colouring ...";
  worker.postMessage({ file, vivid: Number(find("vivid").value), turn });
}

function take(file) {
  if (!file) return;
  name = file.name.replace(/\.[^.]*$/, "") || "photo";
  held = false;
  find("result").hidden = true;
  show("before", file);
  ask(file);
}

/** Show a file or blob in an image, whose address is freed when it is replaced. */
function show(id, blob) {
  URL.revokeObjectURL(addresses[id]);
  addresses[id] = URL.createObjectURL(blob);
  find(id).src = addresses[id];
}

worker.onmessage = ({ data }) => {
  if (data.about) {
    find("model").textContent = data.about.name;
    find("dial").hidden = !data.about.dial;
    if (data.about.dial) find("vivid").value = data.about.dial.default;
    find("vivid-value").textContent = find("vivid").value;
    find("status").textContent ||= "Ready.";
    return;
  }
  if (data.turn !== undefined && data.turn !== turn) return;
  find("status").textContent = data.error ? "" : "Done.";
  find("error").textContent = data.error ?? "";
  if (data.error) return;
  held = true;
  show("after", data.blob);
  find("download").href = addresses.after;
  find("download").download = `${name}-coloured.png`;
  find("result").hidden = false;
};
worker.onerror = (event) => {
  find("status").textContent = "";
  find("error").textContent = `The page does not start (${event.message ?? "worker"}). Serve its ` +
    "folder: python -m http.server.";
};

find("file").onchange = ({ target }) => take(target.files[0]);
find("vivid").oninput = ({ target }) => { find("vivid-value").textContent = target.value; };
find("vivid").onchange = () => { if (held) ask(); };
find("share").oninput = ({ target }) => {
  find("before").style.clipPath = `inset(0 ${100 - target.value}% 0 0)`;
};

const drop = find("drop");
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
