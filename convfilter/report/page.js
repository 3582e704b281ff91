// The page itself: the strip, the sections that open and close, and the model that they draw.
//
// showModel(model) puts another model in the page's place (tensors and layers as values.js describes them; a layer may
// have `facts`, the texts of its section by their data-fact) and draws everything again.

const MINIS = 16; // channels that a closed section shows
const LISTED = 2601; // weights of a kernel that can be listed in numbers
const benches = []; // the panel of each layer that is open

async function start() {
  await load();
  channels = PAGE.tensors.map(() => 0);
  choose(1, ...placeIn(1));
  drawStrip();
  fold(document.getElementById("questions"));
  foldable(document.getElementById("picture"), 0);
  layerSections().forEach((section, l) => {
    section.querySelectorAll(".channel").forEach((card, c) => drawCard(card, l, c));
    foldable(section, l + 1);
  });
  for (const name of ["colours", "scale"]) {
    const select = document.getElementById(name);
    settings[name] = select.value;
    select.addEventListener("change", () => {
      settings[name] = select.value;
      redraw();
    });
  }
  document.getElementById("theme").addEventListener("change", (event) => {
    document.documentElement.dataset.theme = event.target.value;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.querySelector(".strip").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link) document.querySelector(link.hash).turn(true);
  });
  addEventListener("hashchange", openTarget);
  addEventListener("beforeprint", () => printOut(true));
  addEventListener("afterprint", () => printOut(false));
  openTarget();
  startEditing();
  document.documentElement.dataset.ready = "true";
}

const layerSections = () => [...document.querySelectorAll(".layer")];

function redraw() {
  for (const draw of pictures.values()) draw();
  for (const bench of benches) {
    bench?.repaint();
    bench?.draw();
  }
  layerSections().forEach((section, l) => section.querySelectorAll(".kernel > canvas").forEach((canvas) => drawKernel(canvas.parentElement, l, Number(canvas.dataset.channel))));
}

// For paper everything is open, light, and drawn finer than the screen needs it; afterwards all is as before.
function printOut(on) {
  printing = on;
  document.documentElement.toggleAttribute("data-print", on);
  for (const section of document.querySelectorAll(".card")) {
    if (on) section.wasOpen = "open" in section.dataset;
    section.turn(on || section.wasOpen);
  }
  redraw();
}

// Another model, of as many layers as it has: sections are made and removed, and what stands in `.edit` stays.
function showModel(model) {
  if (isAlike(model)) {
    PAGE = { ...PAGE, ...model };
    [remembered, reaches] = [{}, []];
    layerSections().forEach(fillSection);
    choose(chosen.t, chosen.y, chosen.x);
    return redraw();
  }
  const open = layerSections().map((section) => "open" in section.dataset);
  benches.forEach((bench) => bench?.remove());
  benches.length = 0;
  watchers.clear();
  PAGE = { ...PAGE, ...model };
  [remembered, reaches] = [{}, []];
  channels = PAGE.tensors.map((tensor, t) => Math.min(channels[t] ?? 0, tensor.low.length - 1));
  const parent = document.querySelector("main"), blank = document.getElementById("layer-template").content.firstElementChild;
  let before = document.getElementById("questions") || document.getElementById("picture");
  PAGE.layers.forEach((layer, l) => {
    const section = layerSections()[l] || blank.cloneNode(true);
    if (before.nextElementSibling !== section) before.after(section); // what is put in its place anew loses the focus
    before = section;
    nameSection(section, l + 1);
    fillSection(section, l);
  });
  layerSections().slice(PAGE.layers.length).forEach((section) => {
    forgetPictures(section);
    section.remove();
  });
  choose(Math.min(chosen.t, PAGE.tensors.length - 1), chosen.y, chosen.x);
  drawStrip();
  foldable(document.getElementById("picture"), 0);
  layerSections().forEach((section, l) => foldable(section, l + 1, open[l]));
}

// Whether a model has layers of the same names and tensors of the same shapes, so that only numbers change.
function isAlike({ tensors, layers }) {
  const same = (a, b) => String(a) === String(b);
  return layers.length === PAGE.layers.length && layers.every((layer, l) => layer.name === PAGE.layers[l].name) &&
    tensors.every(({ shape, part }, t) => same(shape, PAGE.tensors[t].shape) && same(part, PAGE.tensors[t].part));
}

function nameSection(section, number) {
  section.id = `layer-${number}`;
  section.setAttribute("aria-labelledby", `title-${number}`);
  section.querySelector(".number").textContent = number;
  section.querySelector(".fold").setAttribute("aria-controls", `body-${number}`);
  section.querySelector(".body").id = `body-${number}`;
  section.querySelector("[data-fact=text]").id = `title-${number}`;
}

function fillSection(section, l) {
  const [input, output] = [PAGE.tensors[l], PAGE.tensors[l + 1]], layer = PAGE.layers[l];
  const facts = {
    shape: plain(output.shape), shapes: `${plain(input.shape)} → ${plain(output.shape)}`,
    values: `${write(lowest(output.low), 4)} to ${write(highest(output.high), 4)}`,
    count: output.shape[0] === 1 ? "Output channel" : "Output channels", ...layer.facts,
  };
  for (const place of section.querySelectorAll("[data-fact]")) {
    if (place.dataset.fact in facts) place.textContent = facts[place.dataset.fact];
  }
  const thumbs = section.querySelector(".thumbs"), blank = document.getElementById("channel-template").content.firstElementChild;
  section.querySelector(".channels").toggleAttribute("data-few", output.shape[0] <= 4);
  output.low.forEach((_, c) => {
    const card = thumbs.children[c] || thumbs.appendChild(blank.cloneNode(true));
    fillCard(card, l, c);
    drawCard(card, l, c);
  });
  for (const card of [...thumbs.children].slice(output.low.length)) {
    forgetPictures(card);
    card.remove();
  }
}

function fillCard(card, l, c) {
  const output = PAGE.tensors[l + 1], bars = output.bars?.[c] ?? [], [low, high] = card.querySelectorAll(".ends span");
  const radio = card.querySelector("input"), kernel = card.querySelector(".kernel");
  radio.name = `channel-${l + 1}`;
  radio.value = c;
  card.querySelector(".name").textContent = PAGE.layers[l].names[c];
  card.querySelector(".bars path").setAttribute("d", bars.map((bar, i) => (bar ? `M${i} 100V${100 - bar}H${i + 1}V100` : "")).join(""));
  [low.textContent, high.textContent] = [write(output.low[c], 4), write(output.high[c], 4)];
  kernel.replaceChildren();
  drawKernel(kernel, l, c);
}

// A channel's picture, from which the mouse chooses too, and its kernel where that is a picture.
function drawCard(card, l, c) {
  const t = l + 1, { shape } = PAGE.tensors[t], frame = card.querySelector(".frame"), radio = card.querySelector("input");
  forgetPictures(frame);
  const { canvas } = picture(t, () => c);
  fitFrame(frame, t, 240);
  frame.replaceChildren(canvas);
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && !chosen.held) choose(t, ...pixelAt(canvas, event, shape), c);
  });
  radio.onchange = () => choose(t, ...pixelOf(t), c);
  if (card.querySelector("img.planes")) drawKernel(card.querySelector(".kernel"), l, c);
}

function drawKernel(place, l, c) {
  const layer = PAGE.layers[l], { rows, columns, groups, bias, weights } = layer;
  if (!weights || !bias) return;
  const outs = PAGE.tensors[l + 1].shape[0] / groups, swap = layer.kind === "transposed";
  const ins = PAGE.tensors[l].shape[0] / groups, first = Math.floor(c / outs) * ins;
  const weight = swap ? (i, a, b) => transposedWeight(l, first + i, c % outs, a, b) : (i, a, b) => kernelWeight(l, c, i, a, b);
  const planes = range(0, ins).map((i) => range(0, rows.size).map((a) => range(0, columns.size).map((b) => weight(i, a, b))));
  const scale = around0(planes.flat()), sum = planes.flat(2).reduce((x, y) => x + y, 0);
  const about = el("p", { class: "ends" }, `sum ${write(Math.abs(sum) < 1e-6 ? 0 : sum, 4)}${bias.length ? `, bias ${write(bias[c], 4)}` : ""}`);
  if (ins === 1 && Math.max(rows.size, columns.size) <= NUMBERED) return place.replaceChildren(matrix("kernel", planes[0], scale), about);
  const canvas = heatmap(planes, scale);
  canvas.dataset.channel = c;
  const inColour = l === 0 && PAGE.tensors[0].shape[0] === 3 && groups === 1 && !swap;
  place.replaceChildren(...(inColour ? [el("p", { class: "colours" }, colourPicture(planes), "in colour")] : []), canvas, about);
  if (planes.flat(2).length > LISTED) return;
  place.append(onDemand("numbers", () => planes.map((plane, i) => matrix(ins > 1 ? `input channel ${i}` : "kernel", plane, scale))));
}

// The tiles of all tensors, each with what belongs to the chosen pixel.
function drawStrip() {
  const list = document.querySelector(".strip ol"), blank = document.getElementById("tile-template").content.firstElementChild;
  forgetPictures(list);
  PAGE.tensors.forEach(({ shape }, t) => {
    const item = list.children[t] || list.appendChild(blank.cloneNode(true)), frame = item.querySelector(".frame");
    item.querySelector("a").href = t ? `#layer-${t}` : "#picture";
    if (t) item.querySelector(".name").textContent = PAGE.layers[t - 1].name;
    item.querySelector(".shape").textContent = plain(shape);
    const { canvas, draw } = picture(t, () => channels[t]), mark = el("span", { class: "region" });
    frame.style.aspectRatio = `${shape[2]} / ${shape[1]}`;
    frame.replaceChildren(canvas, mark);
    let drawn = channels[t];
    const show = () => {
      mark.hidden = !regions[t];
      if (regions[t]) placeMark(mark, t, boxOf(regions[t]));
      item.classList.toggle("chosen", chosen.t === t);
      if (drawn !== channels[t]) draw();
      drawn = channels[t];
    };
    watchers.add(show);
    show();
  });
  for (const item of [...list.children].slice(PAGE.tensors.length)) item.remove();
}

// Let a section open and close; `turned(open)` is called after that.
function fold(section, turned = () => {}) {
  if (!section) return;
  const button = section.querySelector(".fold");
  section.turn = (open) => {
    section.toggleAttribute("data-open", open);
    button.setAttribute("aria-expanded", String(open));
    turned(open);
  };
  button.onclick = () => section.turn(!("open" in section.dataset));
}

// The section of tensor t, which has small pictures while it is closed, and a layer's panel while it is open.
function foldable(section, t, open = "open" in section.dataset) {
  const minis = section.querySelector(".minis");
  fold(section, (open) => {
    if (!t) return;
    if (open && !benches[t - 1]) {
      benches[t - 1] = openBench(section.querySelector(".bench"), t - 1);
      watchRadios(section, t);
    } else if (!open) {
      benches[t - 1]?.remove();
      benches[t - 1] = null;
    }
  });
  forgetPictures(minis);
  minis.replaceChildren(...range(0, Math.min(MINIS, PAGE.tensors[t].low.length)).map((c) => {
    const { canvas } = picture(t, () => c), frame = el("span", { class: "frame" }, canvas);
    fitFrame(frame, t, 40);
    return frame;
  }));
  if (t === 0) {
    section.querySelectorAll(".picture .frame").forEach((frame, c) => {
      forgetPictures(frame);
      fitFrame(frame, 0, PAGE.tensors[0].shape[0] === 1 ? 420 : 300);
      frame.replaceChildren(picture(0, () => c).canvas);
      frameExactPart(frame, 0);
    });
  }
  section.turn(open);
}

function watchRadios(section, t) {
  watchers.add(() => {
    const radio = section.querySelectorAll(".thumb input")[channels[t]];
    if (radio) radio.checked = true;
  });
}

// A link to a section opens it.
function openTarget() {
  const section = document.getElementById(location.hash.slice(1));
  if (!section?.turn) return;
  section.turn(true);
  section.scrollIntoView();
}

start().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = `This browser could not draw the page (${error.message}). It needs a version from 2023 or later.`;
  trouble.hidden = false;
  throw error;
});
