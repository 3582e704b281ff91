// The layers' arithmetic on whole tensors: PyTorch's results up to the last digits of a float32.
// It needs axes.js and curves.js, and no page: a Web Worker runs it as well. A tensor is {shape: [C, H, W], data:
// Float32Array}, and a layer is described in numbers, as `describe` in values.py does. Sums are taken in double
// precision. Windows are rectangles, so that maxima, means and blends go along the columns first, and then along the rows.

const TENSORS = (() => {
  // What comes out of a layer, of `shape`; `weights` are a convolution's, as PyTorch lays them out.
  function forward(layer, input, shape, weights) {
    return { shape, data: KINDS[layer.kind](layer, input, shape, weights) };
  }

  const KINDS = {
    convolution: convolve,
    transposed: transpose,
    maximum: (layer, input, shape) => pool(layer, input, shape, greatest),
    mean(layer, input, shape) {
      const [channels, height, width] = shape, data = pool(layer, input, shape, sumUp);
      const rows = divisors(layer, layer.rows, input.shape[1], height), columns = divisors(layer, layer.columns, input.shape[2], width);
      for (let c = 0, i = 0; c < channels; c++) {
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++, i++) data[i] /= layer.divisor || rows[y] * columns[x];
      }
      return Float32Array.from(data);
    },
    power(layer, input, shape) {
      const p = layer.power, sign = Math.sign(p);
      const raise = Number.isFinite(p) ? (x) => x ** p : (x) => sign * Math.abs(x); // the smallest is minus the greatest of minus
      const raised = { shape: input.shape, data: Float64Array.from(input.data, raise) };
      if (!Number.isFinite(p)) return pool(layer, raised, shape, greatest).map((x) => sign * x);
      const means = KINDS.mean({ ...layer, divisor: 0, padded: false }, raised, shape), size = layer.rows.size * layer.columns.size;
      return means.map((mean) => (mean * size) ** (1 / p));
    },
    blend: (layer, input, shape) => Float32Array.from(pool(layer, input, shape, sumUp)),
    fractional(layer, input, shape) {
      const [channels, height, width] = shape, out = new Float32Array(channels * height * width);
      for (let c = 0; c < channels; c++) {
        const [across, down] = layer.samples[c], [, h, w] = input.shape;
        const rows = scattered(down, h, height, layer.size[0]), columns = scattered(across, w, width, layer.size[1]);
        out.set(greatest(planeOf(input, c), h, w, rows, columns), c * height * width);
      }
      return out;
    },
    padding(layer, input, [channels, height, width]) {
      const [, h, w] = input.shape, rows = origins(layer.rows, height, h), columns = origins(layer.columns, width, w);
      return fill(input, channels, h, w, rows, columns, layer.value);
    },
    shuffle(layer, input, [channels, height, width]) {
      const r = layer.factor, [, h, w] = input.shape, out = new Float32Array(channels * height * width);
      for (let c = 0, i = 0; c < channels; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            out[i++] = input.data[((c * r * r + (y % r) * r + (x % r)) * h + Math.floor(y / r)) * w + Math.floor(x / r)];
          }
        }
      }
      return out;
    },
    unshuffle(layer, input, [channels, height, width]) {
      const r = layer.factor, [, h, w] = input.shape, out = new Float32Array(channels * height * width);
      for (let c = 0, i = 0; c < channels; c++) {
        const from = Math.floor(c / (r * r)), down = Math.floor((c % (r * r)) / r), across = c % r;
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[i++] = input.data[(from * h + y * r + down) * w + x * r + across];
      }
      return out;
    },
    magnitude(layer, { shape: [channels], data }) {
      const size = data.length / channels, sums = new Float64Array(size);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) sums[n] += data[i] * data[i];
      return Float32Array.from(sums, Math.sqrt);
    },
    softmin: (layer, { shape, data }) => KINDS.softmax2d(layer, { shape, data: data.map((x) => -x) }),
    "log softmax"(layer, { shape: [channels], data }) {
      const size = data.length / channels, top = new Float32Array(size).fill(-Infinity), sums = new Float64Array(size);
      const out = new Float32Array(data.length);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) top[n] = Math.max(top[n], data[i]);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) sums[n] += Math.exp(data[i] - top[n]);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) out[i] = data[i] - top[n] - Math.log(sums[n]);
      return out;
    },
    gate(layer, { data }) {
      const half = data.length / 2;
      return Float32Array.from({ length: half }, (_, i) => data[i] * sigmoid(data[half + i]));
    },
    channels({ groups }, { shape: [channels], data }) {
      const size = data.length / channels, out = new Float32Array(data.length);
      for (let c = 0; c < channels; c++) {
        const from = (c % groups) * (channels / groups) + Math.floor(c / groups);
        out.set(data.subarray(from * size, (from + 1) * size), c * size);
      }
      return out;
    },
    "cross response"({ size: count, alpha, beta, k }, { shape: [channels], data }) {
      const size = data.length / channels, reach = Math.floor((count - 1) / 2 + 1), out = new Float32Array(data.length);
      for (let n = 0; n < size; n++) {
        for (let c = 0; c < channels; c++) {
          let squares = c < reach ? 0 : data[n] ** 2; // PyTorch never takes channel 0 off its sum
          for (let other = Math.max(0, c - reach + 1); other < Math.min(channels, c + reach); other++) squares += data[other * size + n] ** 2;
          out[c * size + n] = data[c * size + n] / (k + (alpha * squares) / count) ** beta;
        }
      }
      return out;
    },
    "layer norm": normalise,
    "root mean square": normalise,
    softmax2d(layer, { shape: [channels], data }) {
      const size = data.length / channels, top = new Float32Array(size).fill(-Infinity), sums = new Float64Array(size);
      const out = new Float32Array(data.length);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) top[n] = Math.max(top[n], data[i]);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) sums[n] += Math.exp(data[i] - top[n]);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) out[i] = Math.exp(data[i] - top[n]) / sums[n];
      return out;
    },
    response(layer, { shape: [channels], data }) {
      const { size: count, alpha, beta, k } = layer, size = data.length / channels, out = new Float32Array(data.length);
      for (let n = 0; n < size; n++) {
        for (let c = 0; c < channels; c++) {
          let squares = 0;
          const first = c - Math.floor(count / 2), last = Math.min(channels, first + count);
          for (let other = Math.max(0, first); other < last; other++) squares += data[other * size + n] ** 2;
          out[c * size + n] = data[c * size + n] / (k + (alpha * squares) / count) ** beta;
        }
      }
      return out;
    },
    affine(layer, input) {
      const { mean, root, weight, bias } = layer.mean ? layer : { ...layer, ...statistics(layer, input) };
      const [channels] = input.shape, size = input.data.length / channels, out = new Float32Array(input.data.length);
      for (let c = 0, i = 0; c < channels; c++) {
        for (let n = 0; n < size; n++, i++) out[i] = ((input.data[i] - mean[c]) / root[c]) * weight[c] + bias[c];
      }
      return out;
    },
    curve(layer, { shape: [channels], data }) {
      const curve = CURVES[layer.curve], given = layer.arguments, size = data.length / channels, out = new Float32Array(data.length);
      for (let c = 0, i = 0; c < channels; c++) for (let n = 0; n < size; n++, i++) out[i] = curve(data[i], given, c);
      return out;
    },
  };

  // What a normalising layer takes from its input: means, and the roots of variances. They are those of each channel (or of
  // each group of channels, once for each of them); of a layer with a `length`, those of as many values next to each other.
  function statistics(layer, { shape: [channels], data }) {
    if (layer.length) return statisticsOfRuns(layer, data);
    const mean = [], root = [], groups = channels / layer.together, size = data.length / groups;
    for (let g = 0; g < groups; g++) {
      let total = 0, squares = 0;
      for (let i = g * size; i < (g + 1) * size; i++) total += data[i];
      for (let i = g * size; i < (g + 1) * size; i++) squares += (data[i] - total / size) ** 2;
      for (let c = 0; c < channels / groups; c++) {
        mean.push(total / size);
        root.push(Math.sqrt(Math.fround(squares / size) + layer.eps));
      }
    }
    return { mean, root };
  }

  function statisticsOfRuns({ kind, length, eps }, data) {
    const mean = [], root = [];
    for (let start = 0; start < data.length; start += length) {
      let total = 0, squares = 0;
      if (kind === "layer norm") for (let i = start; i < start + length; i++) total += data[i];
      for (let i = start; i < start + length; i++) squares += (data[i] - total / length) ** 2;
      mean.push(total / length);
      root.push(Math.sqrt(Math.fround(squares / length) + eps));
    }
    return { mean, root };
  }

  // `weights` are the weights and after them the biases that have been learnt, for `length` values each.
  function normalise(layer, input, shape, weights) {
    const { length } = layer, { data } = input, { mean, root } = layer.mean ? layer : statistics(layer, input), out = new Float32Array(data.length);
    for (let run = 0, i = 0; i < data.length; run++) {
      for (let n = 0; n < length; n++, i++) {
        const value = (data[i] - mean[run]) / root[run];
        out[i] = weights ? value * weights[n] + weights[length + n] : value;
      }
    }
    return out;
  }

  function convolve(layer, input, [channels, height, width], weights) {
    const { rows, columns, groups, bias } = layer, ins = input.shape[0] / groups, outs = channels / groups;
    const { data, height: h, width: w } = frame(input, rows, columns, height, width);
    const out = new Float32Array(channels * height * width), sums = new Float64Array(width);
    for (let o = 0; o < channels; o++) {
      const first = Math.floor(o / outs) * ins;
      for (let y = 0; y < height; y++) {
        sums.fill(bias.length ? bias[o] : 0);
        for (let i = 0; i < ins; i++) {
          for (let k = 0; k < rows.size; k++) {
            const start = ((first + i) * h + y * rows.stride + k * rows.dilation) * w;
            addRow(sums, data, start, columns, weights, ((o * ins + i) * rows.size + k) * columns.size);
          }
        }
        out.set(sums, (o * height + y) * width);
      }
    }
    return out;
  }

  // A row of the input times a row of a kernel, added to a row of sums: five or three products at a time, for a sum is
  // read and written as often as the loop is gone through.
  function addRow(sums, data, start, { size, stride, dilation: step }, weights, from) {
    const n = sums.length;
    let k = 0, p = start;
    for (; k + 5 <= size; k += 5, p += 5 * step) {
      const a = weights[from + k], b = weights[from + k + 1], c = weights[from + k + 2], d = weights[from + k + 3], e = weights[from + k + 4];
      for (let x = 0, i = p; x < n; x++, i += stride) {
        sums[x] += a * data[i] + b * data[i + step] + c * data[i + 2 * step] + d * data[i + 3 * step] + e * data[i + 4 * step];
      }
    }
    for (; k + 3 <= size; k += 3, p += 3 * step) {
      const a = weights[from + k], b = weights[from + k + 1], c = weights[from + k + 2];
      for (let x = 0, i = p; x < n; x++, i += stride) sums[x] += a * data[i] + b * data[i + step] + c * data[i + 2 * step];
    }
    for (; k < size; k++, p += step) {
      const a = weights[from + k];
      for (let x = 0, i = p; x < n; x++, i += stride) sums[x] += a * data[i];
    }
  }

  // The input with its padding, as far as the windows reach.
  function frame(input, rows, columns, height, width) {
    const [channels, h, w] = input.shape;
    const [tall, wide] = [[rows, height], [columns, width]].map(([axis, n]) => (n - 1) * axis.stride + axis.dilation * (axis.size - 1) + 1);
    if (!rows.before && !columns.before && tall <= h && wide <= w) return { data: input.data, height: h, width: w };
    const places = (axis, count, n) => Int32Array.from({ length: count }, (_, i) => inside(i - axis.before, n, axis) ?? -1);
    return { data: fill(input, channels, h, w, places(rows, tall, h), places(columns, wide, w), 0), height: tall, width: wide };
  }

  // A tensor whose rows and columns are those of another; -1 stands for the value.
  function fill(input, channels, h, w, rows, columns, value) {
    const width = columns.length, out = new Float32Array(channels * rows.length * width);
    for (let c = 0, i = 0; c < channels; c++) {
      for (const y of rows) {
        const start = (c * h + y) * w;
        if (y < 0) out.fill(value, i, i + width);
        else for (let x = 0; x < width; x++) out[i + x] = columns[x] < 0 ? value : input.data[start + columns[x]];
        i += width;
      }
    }
    return out;
  }

  const origins = (axis, count, n) => Int32Array.from({ length: count }, (_, i) => inside(i - axis.before, n, axis) ?? -1);

  function transpose(layer, input, [channels, height, width], weights) {
    const { rows, columns, groups, bias } = layer, [all, h, w] = input.shape, ins = all / groups, outs = channels / groups;
    const out = new Float32Array(channels * height * width), sums = new Float64Array(width);
    const down = Array.from({ length: height }, (_, y) => taps(rows, y, h));
    for (let o = 0; o < channels; o++) {
      const first = Math.floor(o / outs) * ins;
      for (let y = 0; y < height; y++) {
        sums.fill(bias.length ? bias[o] : 0);
        for (let c = first; c < first + ins; c++) {
          for (const { k, j } of down[y]) {
            for (let b = 0; b < columns.size; b++) {
              const weight = weights[((c * outs + (o % outs)) * rows.size + k) * columns.size + b];
              const shift = b * columns.dilation - columns.padding, from = (c * h + j) * w;
              const start = Math.max(0, Math.ceil(-shift / columns.stride)), stop = Math.min(w, Math.floor((width - 1 - shift) / columns.stride) + 1);
              for (let i = start, x = start * columns.stride + shift; i < stop; i++, x += columns.stride) sums[x] += weight * input.data[from + i];
            }
          }
        }
        out.set(sums, (o * height + y) * width);
      }
    }
    return out;
  }

  // Each channel reduced along its columns, and then along its rows, to the largest value or to a weighted sum.
  function pool(layer, input, [channels, height, width], reduce) {
    const [, h, w] = input.shape, size = height * width, out = new (reduce === sumUp ? Float64Array : Float32Array)(channels * size);
    const columns = listTaps(layer.columns, width, w), rows = listTaps(layer.rows, height, h);
    for (let c = 0; c < channels; c++) out.set(reduce(planeOf(input, c), h, w, rows, columns), c * size);
    return out;
  }

  const planeOf = ({ shape: [, h, w], data }, c) => data.subarray(c * h * w, (c + 1) * h * w);

  // The taps of all outputs of an axis, those outside left out: of output i they stand from first[i] to first[i + 1].
  function listTaps(axis, count, n) {
    return flatten(Array.from({ length: count }, (_, i) => taps(axis, i, n).filter((tap) => tap.j !== null)));
  }

  function flatten(lists) {
    const first = new Int32Array(lists.length + 1), all = lists.flat();
    lists.forEach((list, i) => (first[i + 1] = first[i] + list.length));
    return { first, at: Int32Array.from(all, (tap) => tap.j), weight: Float64Array.from(all, (tap) => tap.weight) };
  }

  function greatest(plane, h, w, rows, columns) {
    const width = columns.first.length - 1, height = rows.first.length - 1;
    const lines = new Float32Array(h * width), out = new Float32Array(height * width).fill(-Infinity);
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < width; x++, i++) {
        let most = -Infinity;
        for (let k = columns.first[x]; k < columns.first[x + 1]; k++) {
          const value = plane[y * w + columns.at[k]];
          if (value > most || value !== value) most = value; // what is not equal to itself is NaN, and stays
        }
        lines[i] = most;
      }
    }
    for (let y = 0; y < height; y++) {
      for (let k = rows.first[y]; k < rows.first[y + 1]; k++) {
        const from = rows.at[k] * width, to = y * width;
        for (let x = 0; x < width; x++) {
          const value = lines[from + x];
          if (value > out[to + x] || value !== value) out[to + x] = value;
        }
      }
    }
    return out;
  }

  function sumUp(plane, h, w, rows, columns) {
    const width = columns.first.length - 1, height = rows.first.length - 1;
    const lines = new Float64Array(h * width), out = new Float64Array(height * width);
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0; x < width; x++, i++) {
        let sum = 0;
        for (let k = columns.first[x]; k < columns.first[x + 1]; k++) sum += columns.weight[k] * plane[y * w + columns.at[k]];
        lines[i] = sum;
      }
    }
    for (let y = 0; y < height; y++) {
      for (let k = rows.first[y]; k < rows.first[y + 1]; k++) {
        const from = rows.at[k] * width, to = y * width, by = rows.weight[k];
        for (let x = 0; x < width; x++) out[to + x] += by * lines[from + x];
      }
    }
    return out;
  }

  // Of how many places along an axis each mean is: a last window may go past the padding, and those never count.
  function divisors(layer, axis, n, count) {
    const counts = (tap) => !tap.outside || (layer.padded && tap.from < n + axis.after);
    return Array.from({ length: count }, (_, i) => taps(axis, i, n).filter(counts).length);
  }

  // The windows of fractional pooling, in 32-bit floats as PyTorch places them.
  function scattered(sample, n, count, size) {
    const f = Math.fround, step = count > 1 ? f(f(n - size) / f(count - 1)) : 0;
    const start = (i) => (i === count - 1 ? n - size : Math.trunc(f(f(i + sample) * step)) - Math.trunc(f(sample * step)));
    return flatten(Array.from({ length: count }, (_, i) => Array.from({ length: size }, (_, k) => ({ j: start(i) + k, weight: 1 }))));
  }

  return { forward, statistics };
})();
