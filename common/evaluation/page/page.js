"use strict";

// --- tables: a button in every head; rows without a figure stay last ---

const collator = new Intl.Collator("en", {numeric: true});

function sortBy(table, head, at) {
  const first = head.dataset.first ?? "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => {
    const cell = row.cells[at];
    if (at === 0) return cell.textContent;
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };
  const rows = [...table.tBodies[0].rows].sort((x, y) => {
    const [a, b] = [value(x), value(y)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (at === 0 ? collator.compare(a, b) : Math.sign(a === b ? 0 : a - b));
  });
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.figures")) {
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, head, at));
    head.append(button);
  });
}

// --- pictures: which, in which order, and the figure under each ---

const gallery = document.querySelector(".gallery");
if (gallery) {
  const data = JSON.parse(document.getElementById("values").textContent);
  const pictures = [...gallery.children].map((item, at) => ({item, at}));
  const [order, metric, method] = ["order", "metric", "method"].map(
    (id) => document.getElementById(id));
  let visible = pictures;

  const text = (value, key) => {
    if (value === null || value === undefined) return "";
    return value === "inf" ? "∞" : value.toFixed(data.metrics[key][2]);
  };

  // A figure's value by the chosen metric, and its rank among all pictures that were scored.
  const figureOf = (picture, at, ranked) => {
    const key = metric.value;
    if (at === "") return text(data.truth[picture.at][key], key);
    const [value, rank] = data.values[picture.at][at][key];
    return text(value, key) + (ranked && rank ? `, ${rank} of ${data.counts[key][at]}` : "");
  };

  const show = () => {
    const key = metric.value, at = Number(method.value), ordered = order.value !== "spread";
    const [title, unit] = data.metrics[key];
    const rank = (picture) => data.values[picture.at][at][key][1];
    const last = data.counts[key][at];
    const position = {
      spread: (picture) => picture.at,
      best: rank,
      worst: (picture) => -rank(picture),
      median: (picture) => Math.abs(rank(picture) - (last + 1) / 2),
    }[order.value];
    visible = pictures
      .filter((picture) => ordered ? rank(picture) : "spread" in picture.item.dataset)
      .sort((x, y) => position(x) - position(y));
    for (const {item} of pictures) item.hidden = true;
    for (const picture of visible) {
      picture.item.hidden = false;
      for (const figure of picture.item.querySelectorAll("figure")) {
        const ranked = ordered && figure.dataset.at === method.value;
        figure.querySelector("span").textContent = figureOf(picture, figure.dataset.at, ranked);
      }
    }
    gallery.prepend(...visible.map(({item}) => item));
    method.disabled = !ordered;
    document.getElementById("by").textContent = title + (unit && ` in ${unit}`);
    document.getElementById("status").textContent = ordered
      ? `${visible.length} of those on this page, ranked among all ${last}`
      : `${visible.length} pictures`;
  };

  for (const select of [order, metric, method]) select.addEventListener("change", show);
  document.querySelector(".controls").hidden = false;

  // --- any two columns of a picture, one over the other ---

  const dialog = document.querySelector("dialog");
  const stage = dialog.querySelector(".stage");
  const [over, under] = [new Image(), new Image()];
  stage.prepend(over, under);
  const range = dialog.querySelector("input");
  const sides = [...dialog.querySelectorAll(".sides label")].map((label) => ({
    select: label.querySelector("select"), figure: label.querySelector("output")}));
  let current;

  const slide = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    const [left, right] = sides.map(({select}) => select.selectedOptions[0].text);
    range.setAttribute("aria-valuetext",
      `${range.value} % ${left}, ${100 - range.value} % ${right}`);
  };

  const compare = () => {
    [over, under].forEach((image, side) => {
      const {select, figure} = sides[side];
      const shown = current.item.querySelector(`figure[data-at="${select.value}"]`);
      image.src = shown.querySelector("img").src;
      image.alt = `${select.selectedOptions[0].text}, ${side ? "right" : "left"} of the line`;
      const value = figureOf(current, select.value, true);
      figure.textContent = value && `${data.metrics[metric.value][0]} ${value}`;
    });
    slide();
  };

  // Open a picture, with the columns wanted if it has them: else its last method and the truth.
  const open = (picture, wanted) => {
    current = picture;
    const figures = [...picture.item.querySelectorAll("figure")];
    const columns = figures.map((figure) => figure.dataset.at);
    const fallback = [columns.at(-2), ""];
    sides.forEach(({select}, side) => {
      select.replaceChildren(...figures.map((figure) => new Option(
        figure.querySelector("figcaption").firstChild.textContent.trim(), figure.dataset.at)));
      select.value = columns.includes(wanted[side]) ? wanted[side] : fallback[side];
    });
    document.getElementById("compared").textContent =
      picture.item.querySelector("h3").textContent;
    stage.classList.toggle("pixels", figures[0].querySelector("img").src.startsWith(
      "data:image/png"));
    compare();
    if (!dialog.open) dialog.showModal();
  };

  const step = (by) => {
    const at = (visible.indexOf(current) + by + visible.length) % visible.length;
    open(visible[at], sides.map(({select}) => select.value));
  };

  const drag = (event) => {
    if (event.type === "pointerdown") stage.setPointerCapture(event.pointerId);
    else if (!stage.hasPointerCapture(event.pointerId)) return;
    const box = stage.getBoundingClientRect();
    range.value = 100 * (event.clientX - box.left) / box.width;
    slide();
  };

  range.addEventListener("input", slide);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  for (const {select} of sides) select.addEventListener("change", compare);
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }

  for (const picture of pictures) {
    const name = picture.item.querySelector("h3"), button = document.createElement("button");
    button.type = "button";
    button.textContent = "Compare";
    button.setAttribute("aria-label", `Compare the versions of ${name.textContent}`);
    button.addEventListener("click", () => open(picture, [method.value, ""]));
    name.after(button);
    for (const figure of picture.item.querySelectorAll("figure")) {
      const column = figure.dataset.at || method.value;  // the button does it for the keyboard
      figure.querySelector("img").addEventListener("click", () => open(picture, [column, ""]));
    }
  }
  document.documentElement.classList.add("scripted");
  show();
}
