// The model that the page draws, and from it the value of any pixel of any layer: the layers' arithmetic, once more.
//
// PAGE is the model: {tensors, layers, place, white, bins, ramps}. A tensor is an activation (C, H, W): tensor 0 is the
// picture, tensor n the output of layer n - 1. It has
//   shape [C, H, W]; low, high, spread: a number a channel (what 99 of 100 magnitudes do not pass); and
//   values: a Float32Array of the part [top, left, H, W], all channels, where the page has exact values (source "carried"),
//   or null, where they are computed from the tensor before (source "computed");
//   bytes: a Uint8Array a channel, the means of factor x factor pixels, 0 to 255 for the values from[c] to to[c]. A tensor
//   whose values are all there (part [0, 0, H, W]) needs no bytes, from and to.
// A layer is {name, names: a name an output channel, kind: its rule in rules.js, rows, columns: how its windows lie, and the
// numbers that its rule reads}; weights is a Float32Array, null where they are too many, undefined where it has none.

const WORDS = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]); // numbers that JSON has not
let PAGE = JSON.parse(document.getElementById("page").textContent, (key, value) => WORDS.get(value) ?? value);
let remembered = {}; // the last grid of each tensor

// Fill the model of the page's JSON with the arrays that stand elsewhere in the page.
async function load() {
  for (const [l, layer] of PAGE.layers.entries()) if (layer.weights) layer.weights = await unpack(`weights-${l}`, layer.weights);
  for (const [t, tensor] of PAGE.tensors.entries()) {
    tensor.values = tensor.exact ? await unpack(`exact-${t}`, tensor.exact) : null;
    const pictures = document.querySelectorAll(`main .frame[data-tensor="${t}"] > img`);
    tensor.bytes = await Promise.all([...pictures].map((picture) => unpackPng(picture.src)));
  }
}

// The bytes of a PNG of one byte a pixel.
async function unpackPng(address) {
  const bytes = decode(address.slice(address.indexOf(",") + 1)), view = new DataView(bytes.buffer), parts = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const width = view.getUint32(16), height = view.getUint32(20), rows = await inflate(parts);
  const out = new Uint8Array(width * height); // every row has its filter's number in front, which is always Paeth's
  for (let y = 0; y < height; y++) out.set(rows.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)), y * width);
  undoResiduals(out, [1, height, width]);
  return out;
}

function decode(text) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function inflate(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpack(id, layout) {
  const element = document.getElementById(id);
  const data = await inflate([decode(element.textContent.trim())]);
  element.remove();
  const size = layout.shape.reduce((a, b) => a * b, 1);
  if (layout.coding === "f32") {
    const mixed = new Uint8Array(4 * size);
    for (let plane = 0; plane < 4; plane++) {
      for (let i = 0; i < size; i++) mixed[4 * i + plane] = data[plane * size + i];
    }
    return new Float32Array(mixed.buffer);
  }
  const palette = new Float32Array(data.slice(0, 4 * layout.palette).buffer);
  const planes = layout.coding === "u16" ? 2 : 1;
  const index = planes === 2 ? new Uint16Array(size) : new Uint8Array(size);
  for (let plane = 0; plane < planes; plane++) {
    const from = 4 * layout.palette + plane * size;
    const coded = data.subarray(from, from + size);
    undoResiduals(coded, layout.shape);
    for (let i = 0; i < size; i++) index[i] = (index[i] << 8) | coded[i];
  }
  return layout.palette ? Float32Array.from(index, (i) => palette[i]) : index;
}

function undoResiduals(bytes, [channels, height, width]) {
  for (let start = 0; start < channels * height * width; start += width) {
    const first = start % (height * width) === 0;
    for (let i = start; i < start + width; i++) {
      const left = i > start ? bytes[i - 1] : 0;
      const up = first ? 0 : bytes[i - width];
      const corner = first || i === start ? 0 : bytes[i - width - 1];
      const fromLeft = Math.abs(up - corner), fromUp = Math.abs(left - corner);
      const fromCorner = Math.abs(left + up - 2 * corner);
      const guess = fromLeft <= fromUp && fromLeft <= fromCorner ? left : fromUp <= fromCorner ? up : corner;
      bytes[i] += guess;
    }
  }
}

// The values of a tensor in some rows and columns, all channels: {at(c, y, x), approximate}. What the page carries is
// read, anything else computed from the layer before; where neither can be, the nearest pixel of the picture stands in.
function grid(t, rows, columns) {
  const before = remembered[t];
  if (before && rows.every((y) => before.row.has(y)) && columns.every((x) => before.column.has(x))) return before;
  const data = PAGE.tensors[t].source === "computed" ? compute(t - 1, rows, columns) : read(t, rows, columns);
  const row = new Map(rows.map((y, i) => [y, i])), column = new Map(columns.map((x, i) => [x, i]));
  const at = (c, y, x) => data.values[(c * rows.length + row.get(y)) * columns.length + column.get(x)];
  remembered[t] = { ...data, row, column, at, width: columns.length, plane: rows.length * columns.length };
  return remembered[t];
}

function read(t, rows, columns) {
  const tensor = PAGE.tensors[t], { shape, part } = tensor;
  const [top, left, height, width] = part || [0, 0, 0, 0];
  const values = new Float32Array(shape[0] * rows.length * columns.length);
  let approximate = false, i = 0;
  for (let c = 0; c < shape[0]; c++) {
    for (const y of rows) {
      for (const x of columns) {
        if (y >= top && y < top + height && x >= left && x < left + width) {
          values[i] = tensor.values[(c * height + y - top) * width + x - left];
        } else {
          approximate = true;
          values[i] = drawnValue(tensor, c, y, x);
        }
        i++;
      }
    }
  }
  return { values, approximate };
}

// The value that a channel's picture shows for a pixel; NaN where it has no picture.
function drawnValue({ shape, factor, from, to, bytes }, c, y, x) {
  if (!bytes[c]) return NaN;
  return from[c] + ((to[c] - from[c]) * bytes[c][Math.floor(y / factor) * Math.ceil(shape[2] / factor) + Math.floor(x / factor)]) / 255;
}

// A channel as {values, width, height}, in cells of factor x factor pixels: exact where the page has all values.
function plane(t, c) {
  const { shape: [, h, w], part, values, bytes, factor, from, to } = PAGE.tensors[t];
  if (values && part[2] === h && part[3] === w) return { values: values.subarray(c * h * w, (c + 1) * h * w), width: w, height: h, factor: 1 };
  const step = (to[c] - from[c]) / 255;
  return { values: Float32Array.from(bytes[c], (byte) => from[c] + step * byte), width: Math.ceil(w / factor), height: Math.ceil(h / factor), factor };
}

function compute(l, rows, columns) {
  const layer = PAGE.layers[l], [, height, width] = PAGE.tensors[l].shape, [channels] = PAGE.tensors[l + 1].shape;
  const down = rows.map((y) => taps(layer.rows, y, height));
  const across = columns.map((x) => taps(layer.columns, x, width));
  const input = grid(l, needed(down), needed(across));
  const values = new Float32Array(channels * rows.length * columns.length);
  const set = (c, r, k, value) => (values[(c * rows.length + r) * columns.length + k] = value);
  if (layer.kind === "convolution") convolve(l, input, down, across, set);
  else {
    for (let c = 0; c < channels; c++) {
      down.forEach((v, r) => across.forEach((h, k) => set(c, r, k, RULES[layer.kind](l, c, input, v, h, rows[r], columns[k]))));
    }
  }
  return { values, approximate: input.approximate };
}

function needed(lists) {
  const all = new Set();
  for (const list of lists) for (const tap of list) if (tap.j !== null) all.add(tap.j);
  return [...all].sort((a, b) => a - b);
}
