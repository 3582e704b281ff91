// The arithmetic of every kind of layer, once more: PyTorch's results up to the last digits of a float32.

function convolve(l, input, down, across, set) {
  const { groups, bias, rows, columns } = PAGE.layers[l], weights = carried.weights[l];
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
  softmax2d(l, c, input, v, h) {
    const values = pixel(l, input, v, h), top = highest(values);
    return Math.exp(values[c] - top) / values.reduce((sum, x) => sum + Math.exp(x - top), 0);
  },
  response(l, c, input, v, h) {
    const values = pixel(l, input, v, h), { alpha, beta, k } = PAGE.layers[l];
    return values[c] / (k + alpha * neighbours(l, c, values)) ** beta;
  },
  affine(l, c, input, v, h) {
    const { mean, root, weight, bias } = PAGE.layers[l];
    return ((input.at(c, v[0].j, h[0].j) - mean[c]) / root[c]) * weight[c] + bias[c];
  },
  curve: (l, c, input, v, h) => bend(l, c, input.at(c, v[0].j, h[0].j)),
};

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
  return carried.weights[l][((c * outs + o) * rows.size + a) * columns.size + b];
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

function bend(l, c, x) {
  const { curve, arguments: given } = PAGE.layers[l];
  return CURVES[curve](x, given, c);
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const CURVES = {
  ELU: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
  CELU: (x, { alpha }) => Math.max(x, 0) + Math.min(0, alpha * Math.expm1(x / alpha)),
  SELU: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  GELU: (x, { approximate }) =>
    approximate === "tanh"
      ? (x / 2) * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x ** 3)))
      : (x / 2) * (1 + erf(x / Math.SQRT2)),
  Hardshrink: (x, { lambd }) => (Math.abs(x) > lambd ? x : 0),
  Hardsigmoid: (x) => clamp(x / 6 + 0.5, 0, 1),
  Hardswish: (x) => x * clamp(x / 6 + 0.5, 0, 1),
  Hardtanh: (x, { min_val, max_val }) => clamp(x, min_val, max_val),
  Identity: (x) => x,
  Dropout: (x) => x,
  Dropout2d: (x) => x,
  LeakyReLU: (x, { negative_slope }) => (x > 0 ? x : negative_slope * x),
  LogSigmoid: (x) => -softplus(-x),
  Mish: (x) => x * Math.tanh(softplus(x)),
  PReLU: (x, { init }, c) => (x > 0 ? x : init[c % init.length] * x),
  RReLU: (x, { lower, upper }) => (x > 0 ? x : ((lower + upper) / 2) * x),
  ReLU: (x) => Math.max(x, 0),
  ReLU6: (x) => clamp(x, 0, 6),
  SiLU: (x) => x * sigmoid(x),
  Sigmoid: sigmoid,
  Softplus: (x, { beta, threshold }) => (x * beta > threshold ? x : softplus(x * beta) / beta),
  Softshrink: (x, { lambd }) => (x > lambd ? x - lambd : x < -lambd ? x + lambd : 0),
  Softsign: (x) => x / (1 + Math.abs(x)),
  Tanh: Math.tanh,
  Tanhshrink: (x) => x - Math.tanh(x),
  Threshold: (x, { threshold, value }) => (x > threshold ? x : value),
};

// The error function by its series near 0, by a continued fraction beyond: good to the last digits of a double.
function erf(x) {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x, sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
}
