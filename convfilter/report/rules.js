// The arithmetic of every kind of layer, once more: PyTorch's results up to the last digits of a float32.

function convolve(l, input, down, across, set) {
  const { groups, bias, rows, columns } = PAGE.layers[l], weights = PAGE.layers[l].weights;
  const ins = PAGE.tensors[l].shape[0] / groups, outs = PAGE.tensors[l + 1].shape[0] / groups;
  const window = ins * rows.size * columns.size, patch = new Float64Array(groups * window);
  down.forEach((v, r) =>
    across.forEach((h, k) => {
      let i = 0;
      for (let c = 0; c < ins * groups; c++) {
        for (const a of v) for (const b of h) patch[i++] = a.j === null || b.j === null ? 0 : input.at(c, a.j, b.j);
      }
      for (let o = 0; o < outs * groups; o++) {
        const start = Math.floor(o / outs) * window, from = o * window;
        let sum = bias.length ? bias[o] : 0;
        for (let n = 0; n < window; n++) sum += patch[start + n] * weights[from + n];
        set(o, r, k, sum);
      }
    }),
  );
}

// One output value of each kind of layer, from the window's taps down and across (and the output's place).
const RULES = {
  transposed(l, o, input, v, h) {
    const { groups, bias } = PAGE.layers[l];
    const ins = PAGE.tensors[l].shape[0] / groups, outs = PAGE.tensors[l + 1].shape[0] / groups;
    const first = Math.floor(o / outs) * ins;
    let sum = bias.length ? bias[o] : 0;
    for (let c = first; c < first + ins; c++) {
      for (const a of v) for (const b of h) sum += input.at(c, a.j, b.j) * transposedWeight(l, c, o % outs, a.k, b.k);
    }
    return sum;
  },
  maximum: (l, c, input, v, h) => seen(input, c, v, h).reduce((best, x) => (x > best || Number.isNaN(x) ? x : best), -Infinity),
  mean: (l, c, input, v, h) => seen(input, c, v, h).reduce((sum, x) => sum + x, 0) / divisor(l, v, h),
  power(l, c, input, v, h) {
    const p = PAGE.layers[l].power, { rows, columns } = PAGE.layers[l];
    const values = seen(input, c, v, h);
    if (p === Infinity) return highest(values.map(Math.abs));
    if (p === -Infinity) return lowest(values.map(Math.abs));
    const mean = values.reduce((sum, x) => sum + x ** p, 0) / values.length;
    return (mean * rows.size * columns.size) ** (1 / p);
  },
  blend(l, c, input, v, h) {
    let sum = 0;
    for (const a of v) for (const b of h) sum += a.weight * b.weight * input.at(c, a.j, b.j);
    return sum;
  },
  padding: (l, c, input, v, h) =>
    v[0].j === null || h[0].j === null ? PAGE.layers[l].value : input.at(c, v[0].j, h[0].j),
  shuffle(l, c, input, v, h, y, x) {
    const r = PAGE.layers[l].factor;
    return input.at(c * r * r + (y % r) * r + (x % r), v[0].j, h[0].j);
  },
  unshuffle(l, c, input, v, h) {
    const r = PAGE.layers[l].factor, rest = c % (r * r);
    return input.at(Math.floor(c / (r * r)), v[Math.floor(rest / r)].j, h[rest % r].j);
  },
  magnitude: (l, c, input, v, h) => Math.sqrt(pixel(l, input, v, h).reduce((sum, x) => sum + x * x, 0)),
  softmax2d: (l, c, input, v, h) => softmax(pixel(l, input, v, h), c),
  softmin: (l, c, input, v, h) => softmax(pixel(l, input, v, h).map((x) => -x), c),
  "log softmax"(l, c, input, v, h) {
    const values = pixel(l, input, v, h), top = highest(values);
    return values[c] - top - Math.log(values.reduce((sum, x) => sum + Math.exp(x - top), 0));
  },
  gate(l, c, input, v, h) {
    const values = pixel(l, input, v, h);
    return values[c] * sigmoid(values[values.length / 2 + c]);
  },
  channels: (l, c, input, v, h) => input.at(shuffledFrom(l, c), v[0].j, h[0].j),
  response(l, c, input, v, h) {
    const values = pixel(l, input, v, h), { alpha, beta, k } = PAGE.layers[l];
    return values[c] / (k + alpha * neighbours(l, c, values)) ** beta;
  },
  "cross response"(l, c, input, v, h) {
    const values = pixel(l, input, v, h), { size, alpha, beta, k } = PAGE.layers[l];
    return values[c] / (k + (alpha * squaresAcross(l, c, values)) / size) ** beta;
  },
  affine(l, c, input, v, h) {
    const { mean, root, weight, bias } = PAGE.layers[l];
    return ((input.at(c, v[0].j, h[0].j) - mean[c]) / root[c]) * weight[c] + bias[c];
  },
  "layer norm": overValues,
  "root mean square": overValues,
  curve: (l, c, input, v, h) => bend(l, c, input.at(c, v[0].j, h[0].j)),
};

// A value of a layer that normalises `length` values next to each other.
function overValues(l, c, input, v, h) {
  const { mean, root, weight, bias } = normalising(l, c, v[0].j, h[0].j);
  return ((input.at(c, v[0].j, h[0].j) - mean) / root) * weight + bias;
}

// What is done to the value at a place: {mean, root, weight, bias}, as numbers.
function normalising(l, c, y, x) {
  const { mean, root, length, weights } = PAGE.layers[l], [, height, width] = PAGE.tensors[l].shape;
  const at = (c * height + y) * width + x, run = Math.floor(at / length), n = at % length;
  return { mean: mean[run], root: root[run], weight: weights ? weights[n] : 1, bias: weights ? weights[length + n] : 0 };
}

function seen(input, c, v, h) {
  const values = [];
  for (const a of v) for (const b of h) if (a.j !== null && b.j !== null) values.push(input.at(c, a.j, b.j));
  return values;
}

function pixel(l, input, v, h) {
  return Array.from({ length: PAGE.tensors[l].shape[0] }, (_, c) => input.at(c, v[0].j, h[0].j));
}

function transposedWeight(l, c, o, a, b) {
  const { groups, rows, columns } = PAGE.layers[l], outs = PAGE.tensors[l + 1].shape[0] / groups;
  return PAGE.layers[l].weights[((c * outs + o) * rows.size + a) * columns.size + b];
}

// What a sum is divided by in a mean: a last window may go past the padding, and those places never count.
function divisor(l, v, h) {
  const { divisor, padded, rows, columns } = PAGE.layers[l], [, height, width] = PAGE.tensors[l].shape;
  if (divisor) return divisor;
  const count = (list, axis, n) =>
    list.filter((tap) => !tap.outside || (padded && tap.from < n + axis.after)).length;
  return count(v, rows, height) * count(h, columns, width);
}

// The mean square of the channels next to c, zeros past the ends, as LocalResponseNorm takes them.
function neighbours(l, c, values) {
  const { size } = PAGE.layers[l];
  const first = c - Math.floor(size / 2);
  let sum = 0;
  for (let i = first; i < first + size; i++) sum += i >= 0 && i < values.length ? values[i] ** 2 : 0;
  return sum / size;
}

// The sum of squares of the channels less than (size + 1) / 2 away; PyTorch never takes channel 0 off its sum.
function squaresAcross(l, c, values) {
  const reach = Math.floor((PAGE.layers[l].size - 1) / 2 + 1);
  return values.reduce((sum, x, i) => sum + (Math.abs(i - c) < reach || (i === 0 && c >= reach) ? x * x : 0), 0);
}

function softmax(values, c) {
  const top = highest(values);
  return Math.exp(values[c] - top) / values.reduce((sum, x) => sum + Math.exp(x - top), 0);
}

// The input channel that ChannelShuffle makes output channel c of.
function shuffledFrom(l, c) {
  const { groups } = PAGE.layers[l], size = PAGE.tensors[l].shape[0] / groups;
  return (c % groups) * size + Math.floor(c / groups);
}

function bend(l, c, x) {
  const { curve, arguments: given } = PAGE.layers[l];
  return CURVES[curve](x, given, c);
}
