// From the numbers that the page carries to the value of any pixel of any layer: the layers' arithmetic, once more.
// A tensor is an activation (C, H, W): tensor 0 is the picture, tensor n what comes out of layer n.

const WORDS = new Map([["NaN", NaN], ["Infinity", Infinity], ["-Infinity", -Infinity]]); // numbers that JSON has not
const PAGE = JSON.parse(document.getElementById("page").textContent, (key, value) => WORDS.get(value) ?? value);
const carried = {}; // exact values by tensor, weights by layer and pictures by tensor, once they are unpacked
const remembered = {}; // the last grid of each tensor

async function unpack(id, layout) {
  const element = document.getElementById(id);
  const text = element.textContent.trim();
  element.remove();
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = new Uint8Array(await new Response(stream).arrayBuffer());
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
  const { shape, part, factor, from, to } = PAGE.tensors[t];
  const [top, left, height, width] = part || [0, 0, 0, 0];
  const values = new Float32Array(shape[0] * rows.length * columns.length);
  const wide = Math.ceil(shape[2] / factor), area = wide * Math.ceil(shape[1] / factor);
  let approximate = false, i = 0;
  for (let c = 0; c < shape[0]; c++) {
    for (const y of rows) {
      for (const x of columns) {
        if (y >= top && y < top + height && x >= left && x < left + width) {
          values[i] = carried.exact[t][(c * height + y - top) * width + x - left];
        } else {
          approximate = true;
          const byte = carried.picture[t][c * area + Math.floor(y / factor) * wide + Math.floor(x / factor)];
          values[i] = c < from.length ? from[c] + ((to[c] - from[c]) * byte) / 255 : NaN;
        }
        i++;
      }
    }
  }
  return { values, approximate };
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
