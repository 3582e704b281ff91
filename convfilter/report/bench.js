// The panel of one layer: its input, its output, and between them the sum of one output pixel.

const LENS = 15, LARGEST_LENS = 61;
const plain = (shape) => shape.join("×");

// Fill an element with the panel of layer l: {draw, remove}.
function openBench(place, l) {
  const t = l + 1, shape = PAGE.tensors[t].shape;
  const input = makeSide("Input", l), output = makeSide("Output", t, () => player.last);
  const sum = el("div", { class: "sum" }), quiet = el("p", { class: "quiet", "aria-live": "polite", "aria-atomic": "true" });
  const move = (y, x, c) => choose(t, y, x, c), pixel = () => pixelOf(t);
  const player = makePlayer(t, move, () => output.paint());
  const controls = makeControls(shape, pixel, move);
  const near = (side, name) => el("figure", {}, side.lens, el("figcaption", {}, name));
  const first = near(input, "Input, magnified"), field = makeField(l, l ? null : first, () => draw());
  const lenses = el("div", { class: "lenses" }, first, near(output, "Output, magnified"), l ? field.figure : null);
  place.replaceChildren(input.figure, output.figure, el("div", { class: "work" }, sum, lenses, quiet),
    el("div", { class: "hands" }, controls.place, player.place));
  place.hidden = false;
  listen(input, l, () => false);
  listen(output, t, () => player.playing, player.keys);
  let speak = 0;

  function draw() {
    const [y, x] = pixel(), channel = channels[t];
    const state = { channel, input: channels[l], y, x, choose: (c) => choose(l, ...pixelOf(l), c) };
    const work = workOut(l, state), [v, h] = work.window;
    input.draw(channels[l]);
    output.draw(channel);
    input.show(v, h, regions[l], ["convolution", "padding"].includes(PAGE.layers[l].kind));
    output.show([{ from: y }], [{ from: x }], regions[t]);
    output.pin.hidden = !(chosen.held && chosen.t === t);
    input.pin.hidden = !(chosen.held && chosen.t === l);
    controls.show(y, x);
    const where = `Pixel x ${x}, y ${y} of channel ${channel}`;
    const total = el("p", { class: "total" }, "= ", result(work.result, work.approximate));
    sum.replaceChildren(...describe(l, where, v, h), ...work.parts, total);
    field.show(channel, y, x);
    output.canvas.setAttribute("aria-label", `Output of layer ${t}, channel ${channel}: the arrow keys move the pixel`);
    input.canvas.setAttribute("aria-label", `Input of layer ${t}, channel ${channels[l]}: the arrow keys move the pixel`);
    clearTimeout(speak);
    if (chosen.t === t) speak = setTimeout(() => (quiet.textContent = `${where}: ${write(work.result, 6)}`), 250);
  }

  watchers.add(draw);
  const remove = () => {
    watchers.delete(draw);
    player.stop();
    forgetPictures(place);
    place.replaceChildren();
    place.hidden = true;
  };
  draw();
  return { draw, remove, repaint: () => [input, output].forEach((side) => side.paint()) };
}

// What the pixel sees, in a sentence.
function describe(l, where, v, h) {
  const sees = `sees ${span("x", h)}, ${span("y", v)} of the input`;
  const whole = l > 0 && chosen.t > l ? back0(l) : null;
  const far = whole ? `, and through it x ${run(whole.columns)}, y ${run(whole.rows)} of the picture` : "";
  const middle = [say(el("b", {}, where), ` ${sees}${far}.`)];
  const out = regions[l + 1];
  if (chosen.t > l || !out || (out.rows[0] === out.rows[1] && out.columns[0] === out.columns[1])) return middle;
  const { rows, columns } = regions[l], reaches = `reaches x ${run(out.columns)}, y ${run(out.rows)} of the output; this is the one in the middle:`;
  return [say(el("b", {}, `Input x ${run(columns)}, y ${run(rows)}`), ` ${reaches}`), ...middle];
}

// What the pixel whose sum is shown sees of the picture.
function back0(l) {
  const [y, x] = pixelOf(l + 1);
  let region = { rows: [y, y], columns: [x, x] };
  for (let k = l; k >= 0; k--) region = back(k, region);
  return region;
}

const run = ([first, last]) => (first === last ? write(first) : `${write(first)} to ${write(last)}`);

function span(word, list) {
  return list.length ? `${word} ${run([lowest(list.map((tap) => tap.from)), highest(list.map((tap) => tap.from))])}` : `no ${word}`;
}

// The mouse chooses by pointing, and a click holds the pixel; a finger or a pen chooses by touching.
function listen({ canvas }, t, busy, keys = {}) {
  const { shape } = PAGE.tensors[t];
  canvas.addEventListener("pointermove", (event) => {
    if (!busy() && (event.pointerType === "mouse" ? !chosen.held : event.buttons)) choose(t, ...pixelAt(canvas, event, shape));
  });
  canvas.addEventListener("click", (event) => {
    const mouse = event.pointerType === "mouse" || event.pointerType === undefined;
    if (mouse) hold(!chosen.held);
    if (!mouse || chosen.held) choose(t, ...pixelAt(canvas, event, shape));
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = event.shiftKey ? 10 : 1, [y, x] = pixelOf(t), c = channels[t];
    const moves = {
      ArrowLeft: [y, x - step], ArrowRight: [y, x + step], ArrowUp: [y - step, x], ArrowDown: [y + step, x],
      Home: [y, 0], End: [y, shape[2] - 1], PageUp: [y, x, c - 1], PageDown: [y, x, c + 1],
    };
    if (event.key === "Enter") hold(!chosen.held);
    else if (event.key === "Escape") hold(false);
    if (keys[event.key]) keys[event.key]();
    else if (moves[event.key]) choose(t, ...moves[event.key]);
    else if (event.key !== "Enter") return;
    event.preventDefault();
  });
}

function pixelAt(canvas, event, [, height, width]) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientY - box.top) / box.height) * height, ((event.clientX - box.left) / box.width) * width].map(Math.floor);
}

// One picture with its marks, its lens and its legend. The strong mark is the window (or the pixel) of the sum, the thin
// one everything that belongs to the chosen pixel.
function makeSide(title, t, last = () => null) {
  const { shape } = PAGE.tensors[t], name = el("span", { class: "shape" });
  let channel = 0;
  const { canvas, draw: paintIt } = picture(t, () => channel, last);
  canvas.removeAttribute("aria-hidden");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "pixel chooser");
  const mark = el("div", { class: "mark" }), thin = el("div", { class: "region" }), pin = makePin();
  const frame = el("div", { class: "frame" }, canvas, thin, mark, pin);
  const lens = el("canvas", { class: "lens", "aria-hidden": "true" }), key = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const low = el("span"), middle = el("span"), high = el("span");
  const legend = el("div", { class: "key" }, key, el("p", { class: "ends" }, low, middle, high));
  const figure = el("figure", { class: `side ${title.toLowerCase()}` }, el("figcaption", {}, el("b", {}, title), name), frame, legend);
  fitFrame(frame, t, 300);
  frameExactPart(frame, t);
  const paintAll = () => {
    paintIt();
    const scale = limits(t, channel), context = key.getContext("2d"), { spread, low: least, high: most } = PAGE.tensors[t];
    rampOf(scale.scheme).forEach((rgb, i) => {
      context.fillStyle = css(rgb);
      context.fillRect(i, 0, 1, 1);
    });
    const beyond = scale.scheme !== "gray" && scale.high < Math.max(-least[channel], most[channel]);
    const whose = scaleOf(t);
    low.textContent = `${beyond ? "≤ " : ""}${write(scale.low, 4)}`;
    high.textContent = `${beyond ? "≥ " : ""}${write(scale.high, 4)}`;
    middle.textContent = whose !== t ? `scale of ${whose ? `layer ${whose}` : "the picture"}` : scale.scheme === "gray" ? "" : "0";
  };
  let drawn = -1;
  const draw = (c) => {
    if (c === drawn) return;
    channel = drawn = c;
    name.textContent = shape[0] > 1 ? `channel ${c} of ${plain(shape)}` : plain(shape);
    paintAll();
  };
  const show = (v, h, region, each = false) => {
    const rows = v.map((tap) => tap.from), columns = h.map((tap) => tap.from);
    const many = region && (region.rows[1] - region.rows[0] > 0 || region.columns[1] - region.columns[0] > 0 || chosen.t === t);
    const box = rows.length && columns.length ? boxOf({ rows: [lowest(rows), highest(rows)], columns: [lowest(columns), highest(columns)] }) : null;
    const other = many ? boxOf(region) : null;
    mark.hidden = lens.hidden = !box;
    thin.hidden = !other || String(other) === String(box);
    if (!thin.hidden) placeMark(thin, t, other);
    if (!box) return;
    placeMark(mark, t, box);
    placeMark(pin, t, [...(chosen.t === t ? [chosen.y, chosen.x] : box), 1, 1]);
    const [, , tall, wide] = box, span = Math.max(LENS, tall + 4, wide + 4);
    lens.hidden = span > LARGEST_LENS;
    if (lens.hidden) return;
    const cells = each && (rows.length < tall || columns.length < wide)
      ? rows.flatMap((y) => columns.map((x) => [y, x, 1, 1])) : [box];
    magnify(lens, t, channel, [box[0] - Math.floor((span - tall) / 2), box[1] - Math.floor((span - wide) / 2)], span, cells);
  };
  return { figure, canvas, lens, pin, draw, show, paint: paintAll };
}

const boxOf = ({ rows, columns }) => [rows[0], columns[0], rows[1] - rows[0] + 1, columns[1] - columns[0] + 1];

function makePin() {
  return el("span", { class: "pin", hidden: true, title: "Held: click again to release" },
    el("svg", { viewBox: "0 0 16 22", "aria-hidden": "true" }, el("path", { d: "M8 21 2.6 11.6A6.6 6.6 0 1 1 13.4 11.6Z" }), el("circle", { cx: 8, cy: 7.6, r: 2.4 })));
}

// A dashed frame around what the page has exactly, where that is not all.
function frameExactPart(frame, t) {
  const { part, shape } = PAGE.tensors[t];
  if (!part || (part[2] === shape[1] && part[3] === shape[2])) return;
  const mark = el("div", { class: "part" });
  placeMark(mark, t, part);
  frame.append(mark);
}

// What the pixel sees of the picture, magnified; on request in the colours of the gradient: how much the output pixel
// would change with each pixel of the picture. In the first layer the input's own figure shows it.
function makeField(l, own, redrawn) {
  const figure = own || el("figure", {}, el("canvas", { class: "lens", "aria-hidden": "true" }), el("figcaption", {}, el("span")));
  const button = el("button", { type: "button", "aria-pressed": "false" }, "Gradient"), ends = el("span", { class: "shape" });
  const [lens, caption] = figure.children, name = caption.firstElementChild;
  caption.append(button, ends);
  let at = [];
  const show = (channel, y, x) => {
    at = [channel, y, x];
    let region = { rows: [y, y], columns: [x, x] };
    for (let k = l; k >= 0; k--) region = back(k, region);
    const box = boxOf(region), [top, left, tall, wide] = box, span = Math.max(LENS, tall + 4, wide + 4);
    const heat = button.getAttribute("aria-pressed") === "true" ? gradient(l, channel, y, x) : null;
    if (name) name.textContent = `Receptive field: ${wide}×${tall} pixels of the picture`;
    if (!own || heat) magnify(lens, 0, channels[0], [top - Math.floor((span - tall) / 2), left - Math.floor((span - wide) / 2)], span, [box], heat);
    ends.textContent = heat ? (heat.most === undefined ? heat.why : `${write(-heat.most, 3)} to ${write(heat.most, 3)}`) : "";
  };
  button.onclick = () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    own ? redrawn() : show(...at);
  };
  return { figure, show };
}

// The pixel's place in numbers, buttons that move it, and one that holds it.
function makeControls([, height, width], pixel, move) {
  const number = (label, count) =>
    el("label", {}, label, el("input", { type: "number", min: 0, max: count - 1, inputmode: "numeric" }));
  const column = number("x", width), row = number("y", height);
  const arrows = [["←", 0, -1, "left"], ["↑", -1, 0, "up"], ["↓", 1, 0, "down"], ["→", 0, 1, "right"]].map(([text, dy, dx, name]) =>
    el("button", { type: "button", "aria-label": `one pixel ${name}`, onclick: () => move(pixel()[0] + dy, pixel()[1] + dx) }, text));
  const held = el("button", { type: "button", class: "held", onclick: () => hold(!chosen.held) });
  row.lastChild.addEventListener("change", (event) => move(Math.round(Number(event.target.value) || 0), pixel()[1]));
  column.lastChild.addEventListener("change", (event) => move(pixel()[0], Math.round(Number(event.target.value) || 0)));
  const show = (y, x) => {
    column.lastChild.value = x;
    row.lastChild.value = y;
    held.setAttribute("aria-pressed", String(chosen.held));
    held.textContent = chosen.held ? "Release" : "Hold";
  };
  return { place: el("div", { class: "place" }, column, row, el("span", { class: "pad" }, ...arrows), held), show };
}
