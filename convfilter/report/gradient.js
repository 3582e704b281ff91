// The gradient of one output pixel with respect to the picture, by the chain rule from layer to layer.

const MOST_STEPS = 5e6; // products: about a second
const EXACT = { // kinds whose derivatives are known; [input channel, tap down, tap across, factor] for every input
  convolution: (l, o, input, v, h) => linear(l, o, v, h, (i, first, a, b) => kernelWeight(l, o, i - first, a.k, b.k)),
  transposed(l, o, input, v, h) {
    const outs = PAGE.tensors[l + 1].shape[0] / PAGE.layers[l].groups;
    return linear(l, o, v, h, (i, first, a, b) => transposedWeight(l, i, o % outs, a.k, b.k));
  },
  mean: (l, c, input, v, h) => there(c, v, h).map((one) => [...one, 1 / divisor(l, v, h)]),
  blend: (l, c, input, v, h) => there(c, v, h).map(([i, a, b]) => [i, a, b, a.weight * b.weight]),
  padding: (l, c, input, v, h) => there(c, v, h).map((one) => [...one, 1]),
  maximum(l, c, input, v, h) {
    const all = there(c, v, h), values = all.map(([i, a, b]) => input.at(i, a.j, b.j)), most = highest(values);
    return all.length ? [[...all[Math.max(0, values.indexOf(most))], 1]] : [];
  },
  affine: (l, c, input, v, h) => [[c, v[0], h[0], PAGE.layers[l].weight[c] / PAGE.layers[l].root[c]]],
  "layer norm": overRun,
  "root mean square": overRun,
  curve(l, c, input, v, h) {
    const x = input.at(c, v[0].j, h[0].j), step = 1e-5 * Math.max(1, Math.abs(x)), y = bend(l, c, x);
    const [left, right] = [(y - bend(l, c, x - step)) / step, (bend(l, c, x + step) - y) / step];
    const smooth = Math.abs(left - right) < 1e-3 * (1 + Math.abs(left)); // at a corner PyTorch takes the left side
    return [[c, v[0], h[0], smooth ? (left + right) / 2 : left]];
  },
};

function overRun(l, c, input, v, h) {
  const { root, weight } = normalising(l, c, v[0].j, h[0].j);
  return [[c, v[0], h[0], weight / root]];
}

const there = (c, v, h) => v.flatMap((a) => h.map((b) => [c, a, b])).filter(([, a, b]) => a.j !== null && b.j !== null);

function linear(l, o, v, h, weight) {
  const ins = inputsOf(l, o);
  return ins.flatMap((i) => there(i, v, h).map(([, a, b]) => [i, a, b, weight(i, ins[0], a, b)]));
}

// Any other kind: the difference that a small change of each input makes.
function measured(l, c, input, v, h, y, x) {
  const { kind } = PAGE.layers[l], all = kind === "power" ? there(c, v, h) : channelsOf(l, c, v, h, y, x);
  return all.map(([i, a, b]) => {
    const value = input.at(i, a.j, b.j), step = 1e-4 * Math.max(1e-3, Math.abs(value));
    const moved = (by) => RULES[kind](l, c, { at: (k, j, m) => input.at(k, j, m) + (k === i && j === a.j && m === b.j ? by : 0) }, v, h, y, x);
    return [i, a, b, (moved(step) - moved(-step)) / (2 * step)];
  });
}

function channelsOf(l, c, v, h, y, x) {
  const { kind, factor } = PAGE.layers[l], rest = c % (factor * factor || 1);
  if (kind === "shuffle") return [[c * factor * factor + (y % factor) * factor + (x % factor), v[0], h[0]]];
  if (kind === "channels") return [[shuffledFrom(l, c), v[0], h[0]]];
  if (kind === "unshuffle") return [[Math.floor(c / (factor * factor)), v[Math.floor(rest / factor)], h[rest % factor]]];
  return range(0, PAGE.tensors[l].shape[0]).map((i) => [i, v[0], h[0]]);
}

// {at(y, x): the derivative of pixel y, x of channel c of layer l's output with respect to pixel y, x of the picture (the
// sum over its channels), undefined where there is none; most: the largest magnitude}, or {why} where it is not computed.
// The mean and the standard deviation that a normalising layer takes from the picture count as constants.
function gradient(l, c, y, x) {
  const [, rows, columns] = PAGE.tensors[l + 1].shape;
  let heat = new Map([[(c * rows + y) * columns + x, 1]]), steps = 0; // by the values' numbers in their tensor
  for (let k = l; k >= 0; k--) {
    const layer = PAGE.layers[k], [, height, width] = PAGE.tensors[k].shape, [, h, w] = PAGE.tensors[k + 1].shape;
    if (layer.kind === "unknown" || layer.weights === null) return { why: `not known through layer ${k + 1}` };
    const places = [...heat].map(([n, factor]) => [Math.floor(n / (h * w)), Math.floor(n / w) % h, n % w, factor]);
    const lists = (side, axis, n) => new Map([...new Set(places.map((place) => place[side]))].map((i) => [i, taps(axis, i, n)]));
    const down = lists(1, layer.rows, height), across = lists(2, layer.columns, width), next = new Map();
    const input = grid(k, needed([...down.values()]), needed([...across.values()]));
    for (const [o, i, j, factor] of places) {
      if (!factor) continue;
      for (const [channel, a, b, own] of (EXACT[layer.kind] || measured)(k, o, input, down.get(i), across.get(j), i, j)) {
        const n = (channel * height + a.j) * width + b.j;
        next.set(n, (next.get(n) || 0) + factor * own);
        if (++steps > MOST_STEPS) return { why: "the receptive field is too large" };
      }
    }
    heat = next;
  }
  const [, height, width] = PAGE.tensors[0].shape, sums = new Map();
  for (const [n, value] of heat) sums.set(n % (height * width), (sums.get(n % (height * width)) || 0) + value);
  return { at: (i, j) => sums.get(i * width + j), most: highest([...sums.values()].map(Math.abs).filter(Number.isFinite)) || 1 };
}
