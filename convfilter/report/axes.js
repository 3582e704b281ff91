// Which inputs an output pixel sees along an axis, rows or columns, and what each of them weighs.

// What output i of an axis sees of n inputs: {k: place in the window, j: input or null outside of it, outside, weight}.
function taps(axis, i, n) {
  const out = [];
  if (axis.kind === "window") {
    for (let k = 0; k < axis.size; k++) {
      const j = i * axis.stride - axis.before + k * axis.dilation;
      out.push({ k, j: inside(j, n, axis), from: j, outside: j < 0 || j >= n, weight: 1 });
    }
  } else if (axis.kind === "transposed") {
    for (let k = axis.size - 1; k >= 0; k--) {
      const j = (i + axis.padding - k * axis.dilation) / axis.stride;
      if (Number.isInteger(j) && j >= 0 && j < n) out.push({ k, j, from: j, outside: false, weight: 1 });
    }
  } else if (axis.kind === "blocks") {
    const j = Math.floor(i / axis.size);
    out.push({ k: 0, j, from: j, outside: false, weight: 1 });
  } else if (axis.kind === "parts") {
    const first = Math.floor((i * n) / axis.count), last = Math.ceil(((i + 1) * n) / axis.count);
    for (let j = first; j < last; j++) out.push({ k: j - first, j, from: j, outside: false, weight: 1 });
  } else {
    const [first, weights] = blend(axis, i, n);
    weights.forEach((weight, k) => {
      const j = Math.min(n - 1, Math.max(0, first + k));
      out.push({ k, j, from: j, outside: false, weight });
    });
  }
  return out;
}

// The input whose value stands at a place in or outside of n inputs; null for a pad of zeros.
function inside(j, n, { mode, before, after }) {
  if (j >= 0 && j < n) return j;
  if (mode === "replicate") return j < 0 ? 0 : n - 1;
  if (mode === "reflect") return j < 0 ? -j : 2 * (n - 1) - j;
  if (mode === "circular") { // of what is left where the other side is cropped
    const first = Math.max(0, -before), left = n + Math.min(0, after) - first;
    return first + ((((j - first) % left) + left) % left);
  }
  return null;
}

// Upsample's places in float32, as PyTorch computes them: the first input, and the weights of it and those after it.
function blend(axis, i, n) {
  const f = Math.fround, scale = f(axis.scale);
  if (axis.taps === 1) return [Math.min(n - 1, Math.floor(axis.exact ? f(f(i + 0.5) * scale) : f(i * scale))), [1]];
  let place = axis.align ? f(i * scale) : f(f(scale * f(i + 0.5)) - 0.5);
  if (axis.taps === 2) place = Math.max(0, place);
  const first = Math.floor(place), t = f(place - first);
  if (axis.taps === 2) return [first, [1 - t, t]];
  const a = -0.75;
  const near = (d) => ((a + 2) * d - (a + 3)) * d * d + 1, far = (d) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return [first - 1, [far(t + 1), near(t), near(1 - t), far(2 - t)]];
}
