// How numbers become visible: elements, colours, pictures, the lens, matrices and curves.

const settings = { colours: "auto", scale: "before" };

function el(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "text"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.setAttribute("class", value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null) element.append(child);
  return element;
}

// Of however many numbers: a call takes no more than about a hundred thousand.
const lowest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const highest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

let printing = false; // on paper everything is light, and finer

const dark = () => {
  if (printing) return false;
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

// 256 colours from the first stop to the last. The diverging ones meet at 0 in the page's own shade.
function ramp(stops) {
  return Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(place));
    return stops[k].map((from, n) => Math.round(from + (stops[k + 1][n] - from) * (place - k)));
  });
}

const RAMPS = Object.fromEntries(Object.entries(PAGE.ramps).map(([name, stops]) => [name, ramp(stops)]));
const rampOf = (scheme) => RAMPS[scheme === "gray" ? "gray" : dark() ? "dark" : "light"];

// The tensor whose scale tensor t is drawn on.
const scaleOf = (t) => (settings.scale === "before" && PAGE.layers[t - 1]?.keeps_scale ? scaleOf(t - 1) : t);

const HARDLY = 0.1; // as in scale.py

// Which values the first and the last colour stand for in a channel of a tensor, as in scale.py: {scheme, low, high}.
function limits(t, c) {
  const whose = scaleOf(t), tensor = PAGE.tensors[whose], alone = settings.scale === "channel" || settings.scale === "before";
  const group = settings.scale === "page" ? PAGE.tensors : [tensor];
  const of = (name) => (alone ? [tensor[name][c]] : group.flatMap((one) => one[name]));
  const low = lowest(of("low")), high = highest(of("high"));
  if (low === high && whose === t) return { scheme: "gray", low: 0, high: PAGE.white };
  const signed = whose > 0 && lowest(tensor.low) < -HARDLY * highest(tensor.high);
  const scheme = settings.colours === "auto" ? (signed ? "diverging" : "gray") : settings.colours;
  if (scheme === "gray") return { scheme, low, high };
  const reach = highest(of("spread")) || Math.max(-low, high) || 1;
  return { scheme, low: -reach, high: reach };
}

function colour(value, { scheme, low, high }) {
  const share = high > low ? (value - low) / (high - low) : 0;
  return rampOf(scheme)[Math.round(255 * Math.min(1, Math.max(0, share || 0)))];
}

const css = (rgb) => `rgb(${rgb.join(" ")})`;
// Whether black is easier to read on a colour than white, by the contrast that the Web's accessibility guidelines define.
const isLight = (rgb) => rgb.reduce((sum, v, i) => sum + [0.2126, 0.7152, 0.0722][i] * (v > 10 ? ((v / 255 + 0.055) / 1.055) ** 2.4 : v / 3295), 0) > 0.179;

// The picture of one channel in as many dots as the screen has for it, each the mean of the values on its area: a canvas
// that the browser scaled would show bands that are not in the data. With `last` [y, x], only pixels up to that one.
function paint(canvas, t, c, last = null) {
  const dots = printing ? 3 : devicePixelRatio, width = Math.round(canvas.clientWidth * dots), height = Math.round(canvas.clientHeight * dots);
  if (!width || !height || c >= PAGE.tensors[t].low.length) return;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height), scale = limits(t, c);
  const colours = Uint32Array.from(rampOf(scale.scheme), (rgb) => new Uint32Array(Uint8Array.of(...rgb, 255).buffer)[0]);
  const means = areaMeans(plane(t, c), PAGE.tensors[t].shape, width, height), pixels = new Uint32Array(image.data.buffer);
  const factor = scale.high > scale.low ? 255 / (scale.high - scale.low) : 0;
  for (let i = 0; i < means.length; i++) {
    const share = (means[i] - scale.low) * factor;
    pixels[i] = colours[share > 0 ? (share < 255 ? Math.round(share) : 255) : 0];
  }
  context.putImageData(image, 0, 0);
  if (!last) return;
  const [, h, w] = PAGE.tensors[t].shape, tall = height / h, wide = width / w;
  context.clearRect(0, Math.round((last[0] + 1) * tall), width, height);
  context.clearRect(Math.round((last[1] + 1) * wide), Math.round(last[0] * tall), width, Math.round(tall) || 1);
}

// A plane's values as the means over width x height equal areas, whose borders may cut through a pixel.
function areaMeans({ values, width: across, height: down, factor }, [, h, w], width, height) {
  const columns = shares(w, factor, width), rows = shares(h, factor, height);
  const wide = new Float32Array(down * width), out = new Float32Array(height * width);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = columns[x];
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * values[y * across + first + k];
      wide[y * width + x] = sum;
    }
  }
  for (let y = 0; y < height; y++) {
    const { first, weights } = rows[y];
    for (let k = 0; k < weights.length; k++) {
      const from = (first + k) * width, weight = weights[k];
      for (let x = 0; x < width; x++) out[y * width + x] += weight * wide[from + x];
    }
  }
  return out;
}

// For each of `count` equal parts of n pixels, the share of each cell of `factor` pixels in it: {first cell, weights}.
function shares(n, factor, count) {
  return Array.from({ length: count }, (_, i) => {
    const start = (i * n) / count, end = ((i + 1) * n) / count, first = Math.floor(start / factor);
    const last = Math.max(first, Math.ceil(end / factor - 1e-9) - 1), weights = [];
    for (let cell = first; cell <= last; cell++) {
      weights.push((Math.min(end, (cell + 1) * factor, n) - Math.max(start, cell * factor)) / (end - start));
    }
    return { first, weights };
  });
}

// A picture that is drawn again whenever its size changes, or it comes into sight; `channel()` says which.
const pictures = new Map();
const resized = new ResizeObserver((entries) => entries.forEach(({ target }) => pictures.get(target)?.()));

function picture(t, channel, last = () => null) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const draw = () => paint(canvas, t, channel(), last());
  pictures.set(canvas, draw);
  resized.observe(canvas);
  return { canvas, draw };
}

function forgetPictures(place) {
  for (const canvas of place.querySelectorAll("canvas")) {
    resized.unobserve(canvas);
    pictures.delete(canvas);
  }
}

// A frame in the picture's proportions, no higher than `most`.
function fitFrame(frame, t, most) {
  const [, height, width] = PAGE.tensors[t].shape;
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style.maxWidth = `${Math.max(12, (most * width) / height)}px`;
}

function placeMark(mark, t, [top, left, height, width]) {
  const [, h, w] = PAGE.tensors[t].shape;
  mark.style.left = `${(100 * (left + width / 2)) / w}%`;
  mark.style.top = `${(100 * (top + height / 2)) / h}%`;
  mark.style.width = `${(100 * width) / w}%`;
  mark.style.height = `${(100 * height) / h}%`;
}

// The neighbourhood of a place, magnified: hatched outside of the picture, a line around each of `cells`. Where `heat` has
// a value for a pixel, that is drawn instead, around 0.
function magnify(canvas, t, c, [top, left], span, cells, heat = null) {
  const [, h, w] = PAGE.tensors[t].shape, cell = Math.max(2, Math.round(360 / span)), side = cell * span;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d"), scale = limits(t, c);
  const rows = within(top, span, h), columns = within(left, span, w), values = grid(t, rows, columns);
  context.fillStyle = getComputedStyle(canvas).backgroundColor;
  context.fillRect(0, 0, side, side);
  hatch(context, side);
  for (const y of rows) {
    for (const x of columns) {
      const warm = heat?.at?.(y, x);
      context.fillStyle = css(warm === undefined ? colour(values.at(c, y, x), scale) : colour(warm, { scheme: "diverging", low: -heat.most, high: heat.most }));
      context.fillRect((x - left) * cell, (y - top) * cell, cell, cell);
    }
  }
  for (const [stroke, width] of [["#000", 8], ["#fff", 4]]) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    for (const [y, x, height, wide] of cells) {
      context.strokeRect((x - left) * cell, (y - top) * cell, wide * cell, height * cell);
    }
  }
}

function hatch(context, side) {
  context.strokeStyle = getComputedStyle(context.canvas).color;
  context.lineWidth = 1.5;
  context.beginPath();
  for (let i = -side; i < side; i += 12) {
    context.moveTo(i, side);
    context.lineTo(i + side, 0);
  }
  context.stroke();
}

function within(start, count, n) {
  const out = [];
  for (let i = Math.max(0, start); i < Math.min(n, start + count); i++) out.push(i);
  return out;
}

// A table of numbers on colours, which NaN and infinity have none of; null leaves a cell empty. `mark(y, x)` may give a
// class for a cell.
function matrix(caption, values, scale, mark = () => "") {
  const text = align(values);
  const body = values.map((row, y) =>
    el("tr", {}, row.map((value, x) => {
      if (value === null) return el("td", { class: mark(y, x) });
      const cell = el("td", { class: mark(y, x), title: write(value, 9) }, text(value));
      if (!Number.isFinite(value)) return cell;
      if (scale.scheme === "diverging") {
        if (value) cell.classList.add(value < 0 ? "n" : "p", `w${Math.min(8, Math.ceil((8 * Math.abs(value)) / scale.high - 1e-6))}`);
        return cell;
      }
      const shade = colour(value, scale);
      cell.style.backgroundColor = css(shade);
      cell.style.color = isLight(shade) ? "#000" : "#fff";
      return cell;
    })),
  );
  const table = el("table", { class: values[0].length > 5 ? "matrix dense" : "matrix" }, el("caption", {}, caption));
  table.append(el("tbody", {}, body));
  return el("div", { class: "scroll" }, table);
}

const around0 = (values) => {
  const most = highest(values.flat().filter(Number.isFinite).map(Math.abs).concat(0)) || 1;
  return { scheme: "diverging", low: -most, high: most };
};

// The same without numbers, for kernels too large to read: planes side by side, with gaps between them.
function heatmap(planes, scale) {
  const [h, w] = [planes[0].length, planes[0][0].length], across = Math.min(planes.length, PLANES);
  const canvas = el("canvas", { class: "planes", role: "img", width: across * (w + 1) - 1, height: Math.ceil(planes.length / across) * (h + 1) - 1 });
  const context = canvas.getContext("2d");
  planes.forEach((values, i) => values.forEach((row, y) => row.forEach((value, x) => {
    if (!Number.isFinite(value)) return;
    context.fillStyle = css(colour(value, scale));
    context.fillRect((i % across) * (w + 1) + x, Math.floor(i / across) * (h + 1) + y, 1, 1);
  })));
  canvas.setAttribute("aria-label", `${planes.length} × ${w}×${h} values: blue below 0, red above`);
  return canvas;
}

// Red, green and blue planes as one picture, from the smallest of all their values to the largest.
function colourPicture(planes) {
  const [h, w] = [planes[0].length, planes[0][0].length], values = planes.flat(2), low = lowest(values), high = highest(values);
  const canvas = el("canvas", { class: "planes", role: "img", width: w, height: h, "aria-label": "The kernel's red, green and blue weights as one picture: black is the smallest, white the largest" });
  const context = canvas.getContext("2d"), image = context.createImageData(w, h);
  for (let i = 0; i < h * w; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = high > low ? (255 * (values[c * h * w + i] - low)) / (high - low) : 0;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// The curve of an elementwise layer over its input values, and a dot to be placed on it.
function plot(l, c) {
  const { low, high } = PAGE.tensors[l], from = lowest([0, ...low]), to = highest([0, ...high]);
  const xs = Array.from({ length: 241 }, (_, i) => from + ((to - from || 1) * i) / 240);
  const ys = xs.map((x) => bend(l, c, x)), finite = ys.filter(Number.isFinite);
  const bottom = lowest([0, ...finite]), top = highest([0, ...finite]);
  const X = (x) => 10 + (280 * (x - from)) / (to - from || 1), Y = (y) => 150 - (140 * (y - bottom)) / (top - bottom || 1);
  const dot = el("circle", { r: 6 });
  const drawn = (i) => Number.isFinite(ys[i]);
  const line = xs.map((x, i) => drawn(i) ? `${drawn(i - 1) ? "L" : "M"}${X(x).toFixed(1)} ${Y(ys[i]).toFixed(1)}` : "").join("");
  const picture = el("svg", { viewBox: "0 0 300 160", class: "curve", role: "img", "aria-label": "The layer's curve" },
    el("line", { x1: 10, x2: 290, y1: Y(0), y2: Y(0) }), el("line", { x1: X(0), x2: X(0), y1: 10, y2: 150 }),
    el("path", { d: line }), el("text", { x: X(0) + 6, y: 14 }, write(top, 4)), el("text", { x: X(0) + 6, y: 158 }, bottom < 0 ? write(bottom, 4) : ""), dot);
  const ends = el("p", { class: "ends" }, el("span", {}, write(from, 4)), el("span", {}, "input"), el("span", {}, write(to, 4)));
  const show = (x) => {
    const y = bend(l, c, x), seen = Number.isFinite(x) && Number.isFinite(y);
    dot.setAttribute("visibility", seen ? "visible" : "hidden");
    if (!seen) return;
    dot.setAttribute("cx", X(x));
    dot.setAttribute("cy", Y(y));
  };
  return [el("div", { class: "plot" }, picture, ends), show];
}
