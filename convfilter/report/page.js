// The page itself: what is drawn when, and how the mouse, the keyboard and a finger choose a pixel.

const LENS = 15, LARGEST_LENS = 41, KERNELS = 16;
const benches = [];

async function open() {
  carried.exact = {};
  carried.picture = {};
  carried.weights = {};
  for (const [t, tensor] of PAGE.tensors.entries()) {
    if (tensor.exact) carried.exact[t] = await unpack(`exact-${t}`, tensor.exact);
    carried.picture[t] = await unpack(`picture-${t}`, tensor.picture);
    if (t && PAGE.layers[t - 1].weights) {
      carried.weights[t - 1] = await unpack(`weights-${t - 1}`, PAGE.layers[t - 1].weights);
    }
  }
  drawPicture();
  for (const section of document.querySelectorAll(".layer")) benches.push(openBench(section));
  redraw();
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
  document.documentElement.dataset.ready = "true";
}

function redraw() {
  for (const canvas of document.querySelectorAll("canvas[data-tensor]")) {
    paint(canvas, Number(canvas.dataset.tensor), Number(canvas.dataset.channel || 0));
  }
  for (const bench of benches) bench.redraw();
}

function drawPicture() {
  const frame = document.querySelector("#picture .frame");
  fitFrame(frame, 0, 480);
  frameExactPart(frame, 0);
}

// A dashed frame around what is carried exactly, where that is not all.
function frameExactPart(frame, t) {
  const { part, shape } = PAGE.tensors[t];
  if (!part || (part[2] === shape[1] && part[3] === shape[2])) return;
  const mark = el("div", { class: "part" });
  placeMark(mark, t, part);
  frame.append(mark);
}

function openBench(section) {
  const l = Number(section.dataset.layer), layer = PAGE.layers[l], out = PAGE.tensors[l + 1].shape;
  const state = { channel: 0, input: 0, y: 0, x: 0, held: false, choose(c) { state.input = c; show(); } };
  [state.y, state.x] = placeIn(l);
  const sides = section.querySelector(".sides"), sum = section.querySelector(".sum");
  const said = section.querySelector(".quiet"), radios = [...section.querySelectorAll(".thumb input")];
  const input = makeSide("What comes in", l), output = makeSide("What comes out", l + 1);
  const number = (label, most) =>
    el("label", {}, label, el("input", { type: "number", min: 0, max: most - 1, inputmode: "numeric" }));
  const row = number("row", out[1]), column = number("column", out[2]);
  const pad = el("span", { class: "pad" }, ...[["←", 0, -1, "left"], ["↑", -1, 0, "up"], ["↓", 1, 0, "down"], ["→", 0, 1, "right"]]
    .map(([text, dy, dx, name]) => el("button", { type: "button", "aria-label": `one pixel ${name}`, onclick: () => move(state.y + dy, state.x + dx) }, text)));
  const held = el("span", { class: "held", hidden: true }, "held: click again to let go");
  sides.append(input.figure, output.figure);
  sum.before(el("div", { class: "place" }, row, column, pad, held));
  output.canvas.tabIndex = 0;
  output.canvas.setAttribute("role", "application");
  output.canvas.setAttribute("aria-roledescription", "pixel chooser");
  drawKernels(section.querySelector(".kernels"), l);
  let waiting = false, speak = 0;

  function move(y, x, channel = state.channel) {
    state.y = Math.min(out[1] - 1, Math.max(0, y));
    state.x = Math.min(out[2] - 1, Math.max(0, x));
    if (channel !== state.channel) choose(channel);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      show();
    });
  }

  function choose(channel) {
    state.channel = Math.min(radios.length - 1, Math.max(0, channel));
    radios[state.channel].checked = true;
    output.draw(state.channel);
  }

  function show() {
    const { channel, y, x } = state, ins = inputsOf(l, channel);
    if (!ins.includes(state.input)) state.input = ins[0];
    const work = workOut(l, state), [v, h] = work.window;
    input.draw(state.input);
    input.show(v, h, layer.kind === "convolution" || layer.kind === "padding");
    output.show([{ from: y }], [{ from: x }]);
    row.lastChild.value = y;
    column.lastChild.value = x;
    held.hidden = !state.held;
    const where = `Row ${y}, column ${x} of channel ${channel}`, sight = `sees ${span("row", v)} and ${span("column", h)} of what comes in`;
    const [rows, columns] = fieldOf(l, y, x).map((pair) => pair.map((from) => ({ from })));
    const field = l > 0 ? `, ${span("row", rows)} and ${span("column", columns)} of the picture` : "";
    sum.replaceChildren(say(el("b", {}, where), ` ${sight}${field}.`), ...work.parts,
      el("p", { class: "total" }, "= ", result(work.result, work.approximate)));
    output.canvas.setAttribute("aria-label", `What comes out of layer ${l + 1}, channel ${channel}: the arrow keys move the pixel`);
    clearTimeout(speak);
    speak = setTimeout(() => (said.textContent = `${where}: ${write(work.result, 6)}`), 250);
  }

  follow(output.canvas, (y, x) => move(y, x), l + 1, state, () => show());
  section.querySelectorAll(".thumb").forEach((thumb, c) => {
    const canvas = thumb.querySelector("canvas");
    fitFrame(canvas.parentElement, l + 1, 150);
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && !state.held) move(...pixelAt(canvas, event, out), c);
    });
    radios[c].addEventListener("change", () => {
      choose(c);
      show();
    });
  });
  row.lastChild.addEventListener("change", (event) => move(Math.round(Number(event.target.value) || 0), state.x));
  column.lastChild.addEventListener("change", (event) => move(state.y, Math.round(Number(event.target.value) || 0)));
  output.canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1, { y, x, channel } = state;
    const moves = {
      ArrowLeft: [y, x - step], ArrowRight: [y, x + step], ArrowUp: [y - step, x], ArrowDown: [y + step, x],
      Home: [y, 0], End: [y, out[2] - 1], PageUp: [y, x, Math.max(0, channel - 1)],
      PageDown: [y, x, Math.min(radios.length - 1, channel + 1)],
    };
    if (event.key === "Escape") state.held = false;
    else if (!moves[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    else event.preventDefault();
    move(...(moves[event.key] || [y, x]));
  });
  const redrawBench = () => {
    section.querySelectorAll(".kernels").forEach((kernels) => drawKernels(kernels, l));
    input.forget();
    output.forget();
    output.draw(state.channel);
    show();
  };
  return { state, move, redraw: redrawBench };
}

// The pixel that comes out of a layer whose receptive field lies around the picture's chosen place.
function placeIn(l) {
  const { shape } = PAGE.tensors[l + 1], picture = PAGE.tensors[0].shape;
  const aims = [1, 2].map((i) => PAGE.place[i - 1] * picture[i] - 0.5), jumps = [1, 2].map((i) => picture[i] / shape[i]);
  let place = [1, 2].map((i) => Math.floor(PAGE.place[i - 1] * shape[i]));
  for (let times = 0; times < 3; times++) {
    const field = fieldOf(l, ...place);
    place = place.map((at, i) => {
      const next = at + Math.round((aims[i] - (field[i][0] + field[i][1]) / 2) / jumps[i]);
      return Math.min(shape[i + 1] - 1, Math.max(0, next));
    });
  }
  return place;
}

// The mouse chooses by hovering, and a click holds the pixel; a finger or a pen chooses by touching.
function follow(canvas, choose, t, state, changed) {
  const { shape } = PAGE.tensors[t];
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" ? !state.held : event.buttons) choose(...pixelAt(canvas, event, shape));
  });
  canvas.addEventListener("click", (event) => {
    if (event.pointerType === "mouse" || event.pointerType === undefined) state.held = !state.held;
    if (event.pointerType !== "mouse" || state.held) choose(...pixelAt(canvas, event, shape));
    changed();
  });
}

function pixelAt(canvas, event, [, height, width]) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientY - box.top) / box.height) * height, ((event.clientX - box.left) / box.width) * width].map(Math.floor);
}

// One picture with its mark, its lens and its legend.
function makeSide(title, t) {
  const { shape } = PAGE.tensors[t], name = el("span", { class: "shape" });
  const canvas = el("canvas", { role: "img", "aria-label": title }), mark = el("div", { class: "mark" }), frame = el("div", { class: "frame" }, canvas, mark);
  const lens = el("canvas", { class: "lens", "aria-hidden": "true" }), key = el("canvas", { width: 256, height: 1 });
  const low = el("span"), middle = el("span"), high = el("span");
  const legend = el("div", { class: "key" }, key, el("p", { class: "ends" }, low, middle, high));
  const figure = el("figure", {}, el("figcaption", {}, el("b", {}, title), name), el("div", { class: "views" }, el("div", {}, frame, legend), lens));
  fitFrame(frame, t);
  legend.style.maxWidth = frame.style.maxWidth;
  frameExactPart(frame, t);
  let drawn = -1;
  const draw = (c) => {
    if (c === drawn) return;
    drawn = c;
    name.textContent = shape[0] > 1 ? `channel ${c} of ${shape.join("×")}` : shape.join("×");
    if (c < PAGE.tensors[t].low.length) paint(canvas, t, c);
    const scale = limits(t, Math.min(c, PAGE.tensors[t].low.length - 1)), context = key.getContext("2d");
    rampOf(scale.scheme).forEach((rgb, i) => {
      context.fillStyle = css(rgb);
      context.fillRect(i, 0, 1, 1);
    });
    const beyond = scale.scheme !== "gray" && PAGE.tensors[t].spread[c] < Math.max(-PAGE.tensors[t].low[c], PAGE.tensors[t].high[c]);
    [low.textContent, middle.textContent, high.textContent] = scale.scheme === "gray"
      ? [write(scale.low, 4), "", write(scale.high, 4)]
      : [`${beyond ? "≤ " : ""}${write(scale.low, 4)}`, "0", `${beyond ? "≥ " : ""}${write(scale.high, 4)}`];
  };
  const show = (v, h, each = false) => {
    const rows = v.map((tap) => tap.from), columns = h.map((tap) => tap.from);
    mark.hidden = lens.hidden = !rows.length || !columns.length;
    if (mark.hidden) return;
    const box = [lowest(rows), lowest(columns)], tall = highest(rows) - box[0] + 1, wide = highest(columns) - box[1] + 1;
    placeMark(mark, t, [...box, tall, wide]);
    const span = Math.max(LENS, tall + 4, wide + 4);
    lens.hidden = span > LARGEST_LENS;
    if (lens.hidden) return;
    const cells = each && (rows.length < tall || columns.length < wide)
      ? rows.flatMap((y) => columns.map((x) => [y, x, 1, 1])) : [[...box, tall, wide]];
    magnify(lens, t, drawn, [box[0] - Math.floor((span - tall) / 2), box[1] - Math.floor((span - wide) / 2)], span, cells);
  };
  return { figure, canvas, draw, show, forget: () => (drawn = -1) };
}

// The input channels that an output channel is made of.
function inputsOf(l, c) {
  const { kind, groups, factor } = PAGE.layers[l], ins = PAGE.tensors[l].shape[0], outs = PAGE.tensors[l + 1].shape[0];
  if (kind === "convolution" || kind === "transposed") return range(Math.floor(c / (outs / groups)) * (ins / groups), ins / groups);
  if (kind === "softmax2d" || kind === "magnitude") return kind === "softmax2d" ? [c] : range(0, ins);
  if (kind === "shuffle") return range(c * factor * factor, factor * factor);
  if (kind === "unshuffle") return [Math.floor(c / (factor * factor))];
  return [Math.min(c, ins - 1)];
}

function span(word, list) {
  if (!list.length) return `no ${word}`;
  const first = lowest(list.map((tap) => tap.from)), last = highest(list.map((tap) => tap.from));
  return first === last ? `${word} ${write(first)}` : `${word}s ${write(first)} to ${write(last)}`;
}

// The first and last row and column of the picture that a pixel sees, through all the layers before.
function fieldOf(l, y, x) {
  let rows = [y, y], columns = [x, x];
  for (let k = l; k >= 0; k--) {
    const layer = PAGE.layers[k], [, height, width] = PAGE.tensors[k].shape;
    rows = ends(layer.rows, rows, height);
    columns = ends(layer.columns, columns, width);
  }
  return [rows, columns];
}

function ends(axis, [first, last], n) {
  const all = [...taps(axis, first, n), ...taps(axis, last, n)].map((tap) => tap.from);
  return all.length ? [lowest(all), highest(all)] : [first, last];
}

function drawKernels(place, l) {
  const layer = PAGE.layers[l], wasOpen = place.querySelector("details")?.open;
  place.replaceChildren();
  if (!layer.weights) return;
  const swap = layer.kind === "transposed", ins = swap ? PAGE.tensors[l].shape[0] / layer.groups : layer.weights.shape[1] / (layer.rows.size * layer.columns.size);
  const outs = PAGE.tensors[l + 1].shape[0], all = [...carried.weights[l]];
  const scale = settings.scale === "channel" ? null : around0([all]);
  const draw = (o) => drawKernel(l, o, ins, scale);
  const title = outs === 1 ? "Its kernel" : `Its ${outs.toLocaleString("en")} kernels`;
  place.append(el("h3", {}, title));
  if (ins > 1) place.append(say(`Each has ${ins} planes, one for every input channel; they are drawn side by side.`));
  const first = Math.max(1, Math.min(outs, Math.floor(KERNELS / Math.min(ins, KERNELS))));
  place.append(el("div", { class: "bank" }, ...range(0, first).map(draw)));
  if (first === outs) return;
  const more = el("details", { open: Boolean(wasOpen) }, el("summary", {}, `Show the other ${(outs - first).toLocaleString("en")}`));
  const fill = () => more.open && more.children.length === 1 && more.append(el("div", { class: "bank" }, ...range(first, Math.min(outs, 256) - first).map(draw)));
  more.addEventListener("toggle", fill);
  fill();
  place.append(more);
}

function drawKernel(l, o, ins, scale) {
  const layer = PAGE.layers[l], { rows, columns, groups, bias } = layer, outs = PAGE.tensors[l + 1].shape[0] / groups;
  const weight = layer.kind === "transposed"
    ? (i, a, b) => transposedWeight(l, Math.floor(o / outs) * ins + i, o % outs, a, b)
    : (i, a, b) => kernelWeight(l, o, i, a, b);
  const planes = range(0, ins).map((i) => range(0, rows.size).map((a) => range(0, columns.size).map((b) => weight(i, a, b))));
  const own = scale || around0(planes.flat()), numbered = ins === 1 && Math.max(rows.size, columns.size) <= NUMBERED;
  const sum = planes.flat(2).reduce((x, y) => x + y, 0);
  const caption = `sum ${write(Math.abs(sum) < 1e-6 ? 0 : sum, 4)}${bias.length ? `, bias ${write(bias[o], 4)}` : ""}`;
  const name = layer.names[o];
  if (numbered) return el("figure", {}, matrix(name, planes[0], own), el("figcaption", {}, caption));
  const numbers = el("details", {}, el("summary", {}, "numbers"));
  numbers.addEventListener("toggle", () => {
    if (numbers.open && numbers.children.length === 1) numbers.append(...planes.map((plane, i) => matrix(ins > 1 ? `input channel ${i}` : "coefficients", plane, own)));
  });
  return el("figure", { class: "maps" }, el("p", { class: "name" }, name),
    el("div", { class: "planes" }, ...planes.map((plane) => heatmap(plane, own))), el("figcaption", {}, caption), numbers);
}

open().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = `This browser could not draw the page (${error.message}). It needs a version from 2023 or later.`;
  trouble.hidden = false;
  throw error;
});
