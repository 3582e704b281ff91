// The arithmetic behind one output pixel, written out: {result, approximate, parts: elements, said: one sentence}.

const TABLE = 961; // numbers of a window that are still shown one by one
const TERMS = 6;
const NUMBERED = 7; // rows and columns of a matrix that is shown in numbers at once
const PLANES = 8; // of a kernel, side by side

function workOut(l, state) {
  const { channel: c, y, x } = state, [, height, width] = PAGE.tensors[l].shape, layer = PAGE.layers[l];
  const v = taps(layer.rows, y, height), h = taps(layer.columns, x, width);
  const known = layer.kind !== "unknown" && !(layer.weights === null) && v.length * h.length <= 40 * TABLE;
  if (!known || !Number.isFinite(PAGE.tensors[l + 1].low[c])) {
    const value = grid(l + 1, [y], [x]);
    return { ...total(value.at(c, y, x), value.approximate), parts: [], window: [v, h] };
  }
  const input = grid(l, needed([v]), needed([h]));
  const result = compute(l, [y], [x]).values[c];
  const parts = (PARTS[layer.kind] || PARTS.window)(l, state, input, v, h, result);
  return { ...total(result, input.approximate), parts, window: [v, h] };
}

const total = (result, approximate) => ({ result, approximate });

function say(text, ...rest) {
  return el("p", { class: "said" }, text, ...rest);
}

function result(value, approximate) {
  return el("output", { class: "result", "data-value": value }, `${approximate ? "≈ " : ""}${write(value, 6)}`);
}

const table = (v, h, f) => v.map((a) => h.map((b) => f(a, b)));
const at = (input, c, a, b, other = 0) => (a.j === null || b.j === null ? other : input.at(c, a.j, b.j));
const padding = (v, h) => (y, x) => (v[y].outside || h[x].outside ? "padding" : "");
const small = (v, h) => v.length * h.length <= TABLE;

// Window times weights equals products: convolutions, and blends that have weights of their own.
function weighted(l, c, input, v, h, weight) {
  const values = table(v, h, (a, b) => at(input, c, a, b)), weights = table(v, h, weight);
  const products = values.map((row, y) => row.map((value, x) => value * weights[y][x]));
  const sum = products.flat().reduce((a, b) => a + b, 0);
  const mark = padding(v, h), show = () => equation([
    ["window", values, limits(l, c), mark], ["weights", weights, around0(weights), mark],
    ["products", products, around0(products), mark]]);
  return { sum, show, count: products.flat().length };
}

// Matrices side by side with signs between them; large ones as colours, with their numbers below on demand.
function equation(matrices) {
  const large = Math.max(matrices[0][1].length, matrices[0][1][0].length) > NUMBERED;
  const draw = large ? ([caption, values, scale]) => el("figure", {}, el("figcaption", {}, caption), heatmap([values], scale)) : (one) => matrix(...one);
  const row = el("div", { class: "equation" }, ...matrices.map((one, i) => el("div", {}, i ? sign(i === 1 ? "×" : "=") : null, draw(one))));
  return large ? el("div", {}, row, onDemand("numbers", () => matrices.map((one) => matrix(...one)))) : row;
}

const unfolded = { numbers: false };

// What is unfolded once stays so while the pixel moves.
function onDemand(title, make) {
  const more = el("details", { open: unfolded[title] }, el("summary", {}, title));
  const fill = () => more.open && more.children.length === 1 && more.append(...make());
  more.addEventListener("toggle", () => {
    unfolded[title] = more.open;
    fill();
  });
  fill();
  return more;
}

const sign = (text) => el("span", { class: "sign" }, text);

function sums(l, state, input, v, h, result, channels, weight, bias) {
  const terms = channels.map((c) => weighted(l, c, input, v, h, (a, b) => weight(c, a, b)));
  if (!channels.includes(state.input)) state.input = channels[0];
  const chosen = terms[channels.indexOf(state.input)], parts = [];
  if (!v.length || !h.length) return [say("No input pixel reaches this one: it is the bias alone.")];
  if (small(v, h)) parts.push(chosen.show());
  else parts.push(say(`The window holds ${v.length}×${h.length} values, too many to show one by one.`));
  let line = `Sum of the ${chosen.count} products`;
  if (channels.length > 1) {
    parts.push(el("div", { class: "terms", role: "group", "aria-label": "What each input channel adds" },
      ...channels.map((c, i) => el("button", {
        type: "button", "aria-pressed": String(c === state.input), onclick: () => state.choose(c),
      }, el("span", {}, `in ${c}`), el("b", {}, write(terms[i].sum, 4))))));
    line += ` of input channel ${state.input}: ${write(chosen.sum, 6)}. Sum over the ${channels.length} input channels`;
  }
  const sum = terms.reduce((all, term) => all + term.sum, 0);
  if (bias !== undefined) line += `: ${write(sum, 6)}, and the bias ${write(bias, 4)}`;
  return [...parts, say(line)];
}

const PARTS = {
  convolution(l, state, input, v, h, result) {
    const { groups, bias } = PAGE.layers[l], ins = PAGE.tensors[l].shape[0] / groups;
    const first = Math.floor(state.channel / (PAGE.tensors[l + 1].shape[0] / groups)) * ins;
    const weight = (c, a, b) => kernelWeight(l, state.channel, c - first, a.k, b.k);
    return sums(l, state, input, v, h, result, range(first, ins), weight, bias[state.channel]);
  },
  transposed(l, state, input, v, h, result) {
    const { groups, bias } = PAGE.layers[l], ins = PAGE.tensors[l].shape[0] / groups;
    const outs = PAGE.tensors[l + 1].shape[0] / groups, first = Math.floor(state.channel / outs) * ins;
    const weight = (c, a, b) => transposedWeight(l, c, state.channel % outs, a.k, b.k);
    return sums(l, state, input, v, h, result, range(first, ins), weight, bias[state.channel]);
  },
  blend(l, state, input, v, h) {
    const one = weighted(l, state.channel, input, v, h, (a, b) => a.weight * b.weight);
    return v.length * h.length === 1 ? [copied(state.channel, v[0], h[0])] : [one.show(), say("Sum of the products")];
  },
  maximum(l, state, input, v, h, result) {
    const values = table(v, h, (a, b) => at(input, state.channel, a, b, -Infinity)), flat = values.flat();
    const count = seen(input, state.channel, v, h).length;
    const first = count ? flat.indexOf(flat.find((value) => Math.fround(value) === result)) : -1;
    const where = first < 0 ? "" : `, at x ${h[first % h.length].j}, y ${v[Math.floor(first / h.length)].j}`;
    const mark = (y, x) => (y * h.length + x === first ? "largest" : padding(v, h)(y, x));
    return [...windowOf(l, state, values, v, h, mark), say(count ? `The largest of ${count} values${where}` : "All of the window is padding, which is −∞ here")];
  },
  mean(l, state, input, v, h) {
    const sum = seen(input, state.channel, v, h).reduce((a, b) => a + b, 0);
    const values = table(v, h, (a, b) => at(input, state.channel, a, b));
    return [...windowOf(l, state, values, v, h), say(`Sum ${write(sum, 6)}, divided by ${write(divisor(l, v, h))}`)];
  },
  power(l, state, input, v, h) {
    const p = PAGE.layers[l].power, values = table(v, h, (a, b) => at(input, state.channel, a, b, null));
    const there = seen(input, state.channel, v, h), size = v.length * h.length;
    const more = there.length < size ? `, times ${size}/${there.length} for the missing values` : "";
    const sum = (there.reduce((a, b) => a + b ** p, 0) * size) / there.length;
    const text = Number.isFinite(p)
      ? `The sum of the values to the power of ${write(p)}${more} is ${write(sum, 6)}; its root of that order`
      : `The ${p > 0 ? "largest" : "smallest"} of the values without their signs`;
    return [...windowOf(l, state, values, v, h), say(text)];
  },
  curve(l, state, input, v, h, result) {
    const x = input.at(state.channel, v[0].j, h[0].j), [picture, show] = plot(l, state.channel);
    show(x);
    const { name } = PAGE.layers[l], place = `x ${h[0].j}, y ${v[0].j}`;
    return [picture, say(`The input at ${place} is ${write(x, 6)}. `, el("code", {}, `${name}(${write(x, 6)}) = ${write(result, 6)}`))];
  },
  padding(l, state, input, v, h, result) {
    const [a, b] = [v[0], h[0]];
    if (!a.outside && !b.outside) return [copied(state.channel, a, b)];
    const where = `x ${write(b.from)}, y ${write(a.from)} lies outside of the input`;
    const what = a.j === null || b.j === null ? "the padding's value" : `padded with the value at x ${b.j}, y ${a.j}`;
    return [say(`${where}: ${what}`)];
  },
  shuffle(l, state, input, v, h) {
    const r = PAGE.layers[l].factor;
    return [copied(state.channel * r * r + (state.y % r) * r + (state.x % r), v[0], h[0])];
  },
  unshuffle(l, state, input, v, h) {
    const r = PAGE.layers[l].factor, rest = state.channel % (r * r);
    return [copied(Math.floor(state.channel / (r * r)), v[Math.floor(rest / r)], h[rest % r])];
  },
  magnitude(l, state, input, v, h) {
    const values = pixel(l, input, v, h), squares = values.map((value) => `${bracket(value)}²`);
    return [say(`The root of ${joined(squares)} = √${write(values.reduce((sum, x) => sum + x * x, 0), 6)}`)];
  },
  softmax2d: (l, state, input, v, h) => shareOfSum(pixel(l, input, v, h), state.channel),
  softmin: (l, state, input, v, h) => shareOfSum(pixel(l, input, v, h).map((x) => -x), state.channel, "minus "),
  "log softmax"(l, state, input, v, h) {
    const values = pixel(l, input, v, h), top = highest(values), sum = values.reduce((a, x) => a + Math.exp(x - top), 0);
    const others = `log of the sum of exp(x − ${bracket(top, 4)}) over the ${values.length} channels, log(${write(sum, 5)}) = ${write(Math.log(sum), 5)}`;
    return [say(`${write(values[state.channel], 5)} − ${bracket(top, 5)} − the ${others}`)];
  },
  gate(l, state, input, v, h) {
    const values = pixel(l, input, v, h), c = state.channel, other = values.length / 2 + c;
    return [say(`Input channel ${c}, ${write(values[c], 6)}, times Sigmoid of input channel ${other}, Sigmoid(${write(values[other], 6)}) = ${write(sigmoid(values[other]), 6)}`)];
  },
  channels: (l, state, input, v, h) => [copied(shuffledFrom(l, state.channel), v[0], h[0])],
  response(l, state, input, v, h) {
    const values = pixel(l, input, v, h), { size, alpha, beta, k } = PAGE.layers[l];
    const mean = neighbours(l, state.channel, values);
    return [say(`${write(values[state.channel], 5)} / (${k} + ${alpha}·${write(mean, 5)})^${beta}, where ${write(mean, 5)} is the mean square of ${size} channels`)];
  },
  "cross response"(l, state, input, v, h) {
    const values = pixel(l, input, v, h), { size, alpha, beta, k } = PAGE.layers[l];
    const sum = squaresAcross(l, state.channel, values);
    return [say(`${write(values[state.channel], 5)} / (${k} + ${alpha}·${write(sum, 5)}/${size})^${beta}, where ${write(sum, 5)} is the sum of squares of the channels around this one`)];
  },
  affine(l, state, input, v, h) {
    const { mean, root, weight, bias, eps, together } = PAGE.layers[l], c = state.channel, first = c - (c % together);
    const whose = together ? `of ${together > 1 ? `channels ${first} to ${first + together - 1}` : `channel ${c}`}` : `that the layer keeps of channel ${c}`;
    return normalisation(input.at(c, v[0].j, h[0].j), { mean: mean[c], root: root[c], weight: weight[c], bias: bias[c] }, eps, whose);
  },
  "layer norm": partsOverValues,
  "root mean square": partsOverValues,
};

// A layer that normalises as many values next to each other as a row, a channel or the whole tensor has.
function partsOverValues(l, { channel }, input, [{ j: y }], [{ j: x }]) {
  const { length, eps } = PAGE.layers[l], [, height, width] = PAGE.tensors[l].shape;
  const whose = length === width ? `of row ${y} of channel ${channel}` : length === height * width ? `of channel ${channel}` : "of all values";
  return normalisation(input.at(channel, y, x), normalising(l, channel, y, x), eps, whose, PAGE.layers[l].kind === "layer norm");
}

// A value less a mean, over the root of a variance (or over the root of a mean square, where nothing is subtracted), and
// then by what has been learnt. Of `root` eps is a part.
function normalisation(x, { mean, root, weight, bias }, eps, whose, shifted = true) {
  const rest = root * root - eps, variance = rest > 1e-12 * eps ? rest : 0, small = write(eps, 3);
  const value = (x - mean) / root, size = `√(${write(variance, 6)} + ${small})`;
  const line = shifted ? `(${write(x, 6)} − ${bracket(mean, 6)}) / ${size}` : `${write(x, 6)} / ${size}`;
  const learnt = weight === 1 && bias === 0 ? [] : [say(`Times the weight ${write(weight, 6)}, plus the bias ${write(bias, 6)}`)];
  return [
    say(shifted ? `Mean ${whose}: ${write(mean, 6)}, variance: ${write(variance, 6)}` : `Mean square ${whose}: ${write(variance, 6)}`),
    say(el("code", {}, `${line} = ${write(value, 6)}`)), ...learnt,
  ];
}

function shareOfSum(values, c, signed = "") {
  const top = highest(values), sum = values.reduce((a, x) => a + Math.exp(x - top), 0);
  const less = `exp(${write(values[c], 4)} − ${bracket(top, 4)})`;
  return [say(`${less} = ${write(Math.exp(values[c] - top), 5)}, divided by the sum of exp(${signed}x − ${bracket(top, 4)}) over the ${values.length} channels, ${write(sum, 5)}`)];
}

const range = (first, count) => Array.from({ length: count }, (_, i) => first + i);
const bracket = (value, digits = 5) => (value < 0 ? `(${write(value, digits)})` : write(value, digits));
const joined = (words) => (words.length > TERMS ? `${words.slice(0, TERMS).join(" + ")} + … (${words.length} channels)` : words.join(" + "));
const copied = (c, a, b) => say(`The value of input channel ${c} at x ${b.j}, y ${a.j}, unchanged`);

function windowOf(l, state, values, v, h, mark = padding(v, h)) {
  if (!small(v, h)) return [say(`The window holds ${v.length}×${h.length} values, too many to show one by one.`)];
  return [equation([["window", values, limits(l, state.channel), mark]])];
}

function kernelWeight(l, o, i, a, b) {
  const { groups, rows, columns } = PAGE.layers[l], ins = PAGE.tensors[l].shape[0] / groups;
  return PAGE.layers[l].weights[((o * ins + i) * rows.size + a) * columns.size + b];
}
