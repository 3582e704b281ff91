// What the page's Web Worker does: it computes a pipeline's layers, keeps what has not changed, and says of every channel
// what its picture and its histogram need. It is compute.js and what that needs, and this; the page has the same code.

const NORMALISING = ["affine", "layer norm", "root mean square"];

// What a channel's values come to, as `summarise` in values.py says it: range, spread, mean, histogram of `bins` bars.
function summarise(values, bins) {
  let low = Infinity, high = -Infinity, sum = 0, bad = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value - value !== 0) bad++; // NaN or infinite
    else {
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
  }
  if (bad === values.length) return { low: 0, high: 0, mean: 0, spread: 0, bad, bars: Array(bins).fill(0) };
  const finite = bad ? values.filter(Number.isFinite) : values, step = Math.max(1, Math.floor(finite.length / 50000));
  const some = Float32Array.from({ length: Math.ceil(finite.length / step) }, (_, i) => Math.abs(finite[i * step]));
  const counts = new Float64Array(bins), scale = high > low ? bins / (high - low) : 0;
  if (scale) for (let i = 0; i < finite.length; i++) counts[Math.min(bins - 1, Math.floor((finite[i] - low) * scale))]++;
  else counts.fill(1, 0, 1);
  const most = Math.sqrt(counts.reduce((a, b) => Math.max(a, b)));
  const bars = Array.from(counts, (count) => Math.ceil((99 * Math.sqrt(count)) / most));
  return { low, high, mean: sum / finite.length, spread: smallest(some, Math.max(1, Math.ceil(0.99 * some.length)) - 1), bad, bars };
}

// The k-th smallest of some values, which are put into another order.
function smallest(values, k) {
  for (let first = 0, last = values.length - 1; first < last; ) {
    const pivot = values[(first + last) >> 1];
    let i = first, j = last;
    while (i <= j) {
      while (values[i] < pivot) i++;
      while (values[j] > pivot) j--;
      if (i <= j) {
        [values[i], values[j]] = [values[j], values[i]];
        i++;
        j--;
      }
    }
    if (k <= j) last = j;
    else if (k >= i) first = i;
    else break;
  }
  return values[k];
}

// A function that takes requests {id, input: {shape, data} or null for the one before, layers: [{about, shape, weights}],
// known: the serial numbers of the outputs that the page has, bins}. It answers with `post(message, transferred)`: for the
// input and each layer, {id, t, serial, channels: summaries, about: what was found out, data: unless it is known}, and
// {id, done: true} at the end. A newer request ends one that is not done.
function makeComputer(post) {
  const kept = []; // by tensor: {key, weights, tensor, serial, channels, about}
  let latest = 0, serial = 0;
  const keyOf = (value) => JSON.stringify(value, (_, x) => (typeof x === "number" && !Number.isFinite(x) ? String(x) : x));
  const same = (a, b) => a === b || (a && b && a.length === b.length && a.every((value, i) => Object.is(value, b[i])));
  const keep = (t, key, weights, tensor, about, bins) => {
    const [channels] = tensor.shape, size = tensor.data.length / channels;
    const summaries = Array.from({ length: channels }, (_, c) => summarise(tensor.data.subarray(c * size, (c + 1) * size), bins));
    kept.length = t;
    kept[t] = { key, weights, tensor, about, serial: ++serial, channels: summaries };
  };
  return async ({ id, input, layers, known, bins }) => {
    latest = id;
    if (input) keep(0, null, null, input, {}, bins);
    for (let t = 0; t <= layers.length; t++) {
      const { about, shape, weights } = t ? layers[t - 1] : {}, key = t ? keyOf([about, shape]) : null;
      if (t && !(kept[t] && kept[t].key === key && same(kept[t].weights, weights))) {
        const before = kept[t - 1].tensor, more = NORMALISING.includes(about.kind) && !about.mean ? TENSORS.statistics(about, before) : {};
        keep(t, key, weights, TENSORS.forward({ ...about, ...more }, before, shape, weights), more, bins);
        await pause(); // a newer request comes in here
        if (latest !== id) return;
      }
      const { tensor, serial, channels, about: found } = kept[t], data = known.includes(serial) ? null : tensor.data.slice();
      post({ id, t, serial, shape: tensor.shape, channels, about: found, data }, data ? [data.buffer] : []);
    }
    post({ id, done: true }, []);
  };
}

// Let other messages be heard; a timer would take 4 ms.
function pause() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resume) => {
    port1.onmessage = resume;
    port2.postMessage(null);
  });
}

if (typeof WorkerGlobalScope !== "undefined") {
  const computer = makeComputer((message, transferred) => postMessage(message, transferred));
  onmessage = ({ data }) => computer(data);
}
