// The pixel that is looked at, and its way through all the layers: what it is made of, and what it reaches.
//
// chosen is {t, y, x}: a pixel of tensor t; channels is the channel that is shown of every tensor. regions has, for every
// tensor, the pixels that belong to the chosen one: before t those it is computed from, after t those that are computed
// from it, as {rows: [first, last], columns: [first, last]}; before t they may lie outside of the tensor, in the padding.

const chosen = { t: 1, y: 0, x: 0, held: false };
let channels = [], regions = [], reaches = [];
const watchers = new Set(); // functions that draw again what depends on the chosen pixel
let waiting = false;

// Look at pixel y, x of tensor t, in channel c of it.
function choose(t, y, x, c = channels[t]) {
  const [, height, width] = PAGE.tensors[t].shape;
  Object.assign(chosen, { t, y: Math.min(height - 1, Math.max(0, y)), x: Math.min(width - 1, Math.max(0, x)) });
  setChannel(t, c);
  follow();
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const draw of watchers) draw();
  });
}

function hold(held) {
  chosen.held = held;
  for (const draw of watchers) draw();
}

// Show channel c of tensor t, and where that is not made of the channel shown before it, or into the one after it, change
// those too.
function setChannel(t, c) {
  channels[t] = Math.min(PAGE.tensors[t].low.length - 1, Math.max(0, c));
  for (let l = t - 1; l >= 0; l--) {
    const inputs = inputsOf(l, channels[l + 1]);
    if (!inputs.includes(channels[l])) channels[l] = inputs[0];
  }
  for (let l = t; l < PAGE.layers.length; l++) {
    if (inputsOf(l, channels[l + 1]).includes(channels[l])) continue;
    channels[l + 1] = Math.max(0, range(0, PAGE.tensors[l + 1].low.length).findIndex((out) => inputsOf(l, out).includes(channels[l])));
  }
}

function follow() {
  regions = PAGE.tensors.map(() => null);
  regions[chosen.t] = { rows: [chosen.y, chosen.y], columns: [chosen.x, chosen.x] };
  for (let l = chosen.t - 1; l >= 0; l--) regions[l] = back(l, regions[l + 1]);
  for (let l = chosen.t; l < PAGE.layers.length; l++) regions[l + 1] = forward(l, regions[l]);
}

// The pixel of a tensor whose sum is shown: the chosen one, or the middle one of its region.
function pixelOf(t) {
  const middle = ([first, last], n) => Math.min(n - 1, Math.max(0, Math.floor((first + last) / 2)));
  const region = regions[t], [, height, width] = PAGE.tensors[t].shape;
  return region ? [middle(region.rows, height), middle(region.columns, width)] : [0, 0];
}

// What the outputs in a region of a layer see of its input: the first and the last row and column.
function back(l, region) {
  if (!region) return null;
  const layer = PAGE.layers[l], [, height, width] = PAGE.tensors[l].shape;
  return { rows: ends(layer.rows, region.rows, height), columns: ends(layer.columns, region.columns, width) };
}

function ends(axis, [first, last], n) {
  const all = [...taps(axis, first, n), ...taps(axis, last, n)].map((tap) => tap.from);
  return all.length ? [lowest(all), highest(all)] : [first, last];
}

// Which outputs of a layer a region of its input reaches; null where it reaches none.
function forward(l, region) {
  if (!region) return null;
  const { rows, columns } = (reaches[l] ||= { rows: reach(l, 0), columns: reach(l, 1) });
  const [y, x] = [reached(rows, region.rows), reached(columns, region.columns)];
  return y && x ? { rows: y, columns: x } : null;
}

const reached = (list, [first, last]) => {
  const all = range(Math.max(0, first), Math.min(list.length - 1, last) - Math.max(0, first) + 1).map((j) => list[j]).filter(Boolean);
  return all.length ? [lowest(all.map((pair) => pair[0])), highest(all.map((pair) => pair[1]))] : null;
};

// For every row (or column) of a layer's input the first and the last one of the output that it reaches.
function reach(l, side) {
  const axis = side ? PAGE.layers[l].columns : PAGE.layers[l].rows, n = PAGE.tensors[l].shape[side + 1], out = Array(n);
  for (let i = 0; i < PAGE.tensors[l + 1].shape[side + 1]; i++) {
    for (const { j, outside } of taps(axis, i, n)) {
      if (j === null || (outside && axis.mode === "circular")) continue; // the far end is no neighbour
      out[j] = [Math.min(i, out[j]?.[0] ?? i), Math.max(i, out[j]?.[1] ?? i)];
    }
  }
  return out;
}

// The input channels that an output channel is made of.
function inputsOf(l, c) {
  const { kind, groups, factor } = PAGE.layers[l], ins = PAGE.tensors[l].shape[0], outs = PAGE.tensors[l + 1].shape[0];
  if (kind === "convolution" || kind === "transposed") return range(Math.floor(c / (outs / groups)) * (ins / groups), ins / groups);
  if (kind === "softmax2d" || kind === "magnitude") return kind === "softmax2d" ? [c] : range(0, ins);
  if (kind === "shuffle") return range(c * factor * factor, factor * factor);
  if (kind === "gate") return [c, c + outs];
  if (kind === "channels") return [shuffledFrom(l, c)];
  if (kind === "unshuffle") return [Math.floor(c / (factor * factor))];
  return [Math.min(c, ins - 1)];
}

// The pixel of tensor t whose receptive field lies around the place where the page begins.
function placeIn(t) {
  const { shape } = PAGE.tensors[t], full = PAGE.tensors[0].shape;
  const aims = [1, 2].map((i) => PAGE.place[i - 1] * full[i] - 0.5), steps = [1, 2].map((i) => full[i] / shape[i]);
  let place = [1, 2].map((i) => Math.floor(PAGE.place[i - 1] * shape[i]));
  for (let times = 0; times < 3; times++) {
    let field = { rows: [place[0], place[0]], columns: [place[1], place[1]] };
    for (let l = t - 1; l >= 0; l--) field = back(l, field);
    place = [field.rows, field.columns].map(([first, last], i) => {
      const next = place[i] + Math.round((aims[i] - (first + last) / 2) / steps[i]);
      return Math.min(shape[i + 1] - 1, Math.max(0, next));
    });
  }
  return place;
}
