// Pipelines while they are edited: from a text to layers and back, and what each layer makes of a picture's shape.
// What layers and kernels there are comes from Python, as `vocabulary` (vocabulary.py); how a layer's arguments are
// checked, and what comes of them, depends on the kind of its arithmetic and on which arguments it has. Errors have the
// words that Python's have.
//
// A layer is {name, given: {argument: value}, kernels: [{text, matrices}]}: `given` holds what is not PyTorch's default,
// a pair as an array, weights that are given as a whole as {text, shape, data}; kernels are those of weight=, or Filter2d's.
// An axis is one of those of axes.js.

class Problem extends Error {
  // `argument` is the one that is wrong, if it is one; `start` and `end` are where in the text.
  constructor(reason, { argument = null, start = 0, end = 0 } = {}) {
    super(reason);
    Object.assign(this, { argument, start, end });
  }
}

// `carried` holds the weights that the page has from files, {shape, data} by the text that names them.
function makePipelines(vocabulary, carried = {}) {
  const MOST = 1000000, LARGEST_FLOAT = 3.4e38, LARGEST_KERNEL = 999, MOST_WEIGHTS = 1e9;
  const MODES = ["zeros", "reflect", "replicate", "circular"];
  const { layers: LAYERS, kernels: KERNELS, presets: PRESETS } = vocabulary;

  // ---- From a text to layers.

  const NUMBER = "(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?";
  const TOKEN = new RegExp(
    `(?:\\s|#[^\\n]*)*(?:(?<mark>[()\\[\\],=|])|(?<number>[+-]?(?:${NUMBER}|inf\\b)(?:\\s*/\\s*${NUMBER})?)` +
      "|(?<keyword>[A-Za-z_]\\w*)\\s*=|(?<name>[A-Za-z_]\\w*(?:\\.[A-Za-z_]\\w*)*)" +
      "|(?<string>'[^'\\n]*'|\"[^\"\\n]*\")|(?<end>$)|(?<wrong>[^]))",
    "y",
  );
  const CONSTANTS = new Map([["True", true], ["False", false], ["None", null]]);

  function parse(text) {
    const reader = read(text), layers = [];
    if (reader.kind === "end") throw reader.error("the pipeline is empty; write layers joined by '|', such as ReLU | MaxPool2d(2)");
    for (let expected = "a layer, such as ReLU"; ; expected = "a layer after '|'") {
      const call = reader.call(expected);
      if (reader.kind !== "|" && reader.kind !== "end") throw reader.error(`expected '|' or the end, not ${reader.shown()}`);
      layers.push(...layersOf(call));
      if (reader.kind === "end") return layers;
      reader.advance();
    }
  }

  // The value that a text writes, as an argument has it: a number, a word, a constant, or a pair of them.
  function readValue(text) {
    const reader = read(text), at = { start: 0, end: text.length }, value = reader.value("a value");
    if (reader.kind !== "end") throw reader.error(`expected nothing more after the value, not ${reader.shown()}`);
    return plain(value, at);
  }

  function read(text) {
    let after = 0;
    const reader = {
      advance() {
        after = reader.end ?? 0;
        TOKEN.lastIndex = after;
        const groups = TOKEN.exec(text).groups, kind = Object.keys(groups).find((name) => groups[name] !== undefined);
        reader.word = groups[kind];
        reader.end = TOKEN.lastIndex;
        reader.start = reader.end - (kind === "keyword" ? text.slice(0, reader.end).match(/[A-Za-z_]\w*\s*=$/)[0].length : reader.word.length);
        reader.kind = kind === "mark" ? reader.word : kind;
        if (kind === "wrong") throw reader.error(`${quote(reader.word)} has no place in a pipeline`);
      },
      error: (reason) => new Problem(reason, { start: reader.start, end: reader.end }),
      shown: () => (reader.kind === "end" ? "the end" : quote(reader.word)),
      skip(mark) {
        if (reader.kind !== mark) return false;
        reader.advance();
        return true;
      },
      close(mark) {
        if (!reader.skip(mark)) throw reader.error(`expected ',' or '${mark}', not ${reader.shown()}`);
      },
      call(expected) {
        if (reader.kind !== "name") throw reader.error(`expected ${expected}, not ${reader.shown()}`);
        const call = { name: reader.word.replace(/^torch\./, "").replace(/^nn\./, ""), arguments: [], start: reader.start };
        reader.advance();
        if (reader.skip("(")) {
          while (reader.kind !== ")") {
            const { start } = reader, name = reader.kind === "keyword" ? reader.word : null;
            if (name) reader.advance();
            call.arguments.push({ name, value: reader.value("an argument or ')'"), start, end: after });
            if (!reader.skip(",")) break;
          }
          reader.close(")");
        }
        call.end = after;
        return call;
      },
      value(expected) {
        const { kind, word } = reader;
        if (kind === "name" && !CONSTANTS.has(word)) return reader.call(expected);
        if (kind === "(" || kind === "[") return reader.items();
        if (kind !== "number" && kind !== "string" && kind !== "name") throw reader.error(`expected ${expected}, not ${reader.shown()}`);
        const value = kind === "number" ? number(word) : kind === "string" ? word.slice(1, -1) : CONSTANTS.get(word);
        reader.advance();
        return value;
      },
      items() {
        const mark = reader.kind === "(" ? ")" : "]", items = [];
        let comma = false;
        reader.advance();
        while (reader.kind !== mark) {
          items.push(reader.value(`a value or '${mark}'`));
          comma = reader.skip(",");
          if (!comma) break;
        }
        reader.close(mark);
        return mark === ")" && items.length === 1 && !comma ? items[0] : items;
      },
    };
    const number = (word) => {
      const [top, bottom] = word.split("/").map((part) => Number(part.replace("inf", "Infinity")));
      if (bottom === 0) throw reader.error("this fraction divides by zero");
      return bottom === undefined ? top : top / bottom;
    };
    reader.advance();
    return reader;
  }

  const isCall = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  function layersOf(call) {
    if (LAYERS[call.name]) return [layerOf(call)];
    const at = { start: call.start, end: call.start + call.name.length };
    if (PRESETS[call.name] && !call.arguments.length) return parse(PRESETS[call.name].text);
    if (PRESETS[call.name]) throw new Problem(`the page knows the preset ${call.name} without arguments alone; write its layers`, at);
    if (KERNELS.signatures[call.name] || call.name === "flip") return [{ name: "Filter2d", given: {}, kernels: [kernelOf(call)] }];
    throw new Problem(`there is no layer, preset or kernel ${quote(call.name)}`, at);
  }

  function layerOf(call) {
    const layer = { name: call.name, given: {}, kernels: [] }, { rest } = LAYERS[call.name], bound = bind(call, LAYERS[call.name]);
    for (const [name, { value, start, end }] of Object.entries(bound.given)) {
      const nested = depth(value), at = { start, end };
      const { kind, lazy } = LAYERS[call.name], listed = Array.isArray(value) && kind !== "convolution" && kind !== "transposed";
      if (value !== null && !lazy && TENSORS.includes(name) && (name !== "bias" || listed || typeof value === "string")) {
        const list = LAYERS[call.name].kernels && name === "weight" && typeof value !== "string" && nested !== 4;
        if (list) layer.kernels = severalKernels(value, at);
        else layer.given[name] = typeof value === "string" ? fromFile(value, at) : tensor(value, nested, at);
      } else layer.given[name] = plain(value, at);
    }
    if (rest === "kernel") layer.kernels = bound.rest.map(({ value, start, end }) => kernelOf(value, { start, end }));
    try {
      effectOf(layer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      throw new Problem(`${layer.name}: ${problem.message}`, { ...(bound.given[problem.argument] ?? call), argument: problem.argument });
    }
    return tidy(layer);
  }

  // The arguments of a call by name, and those that *args takes.
  function bind(call, { arguments: expected, rest, anything }) {
    const given = {}, others = [], positional = expected.filter((one) => !one.keyword);
    let named = false;
    call.arguments.forEach((argument, i) => {
      let { name } = argument;
      if (name !== null) {
        named = true;
        const takes = expected.map((one) => one.name).join(", ") || "none";
        if (!anything && !expected.some((one) => one.name === name)) throw new Problem(`${call.name} has no argument ${quote(name)}; it takes ${takes}`, argument);
      } else if (named) throw new Problem(`${call.name}: an argument without a name must stand before those with one`, argument);
      else if (i < positional.length) ({ name } = positional[i]);
      else if (rest) {
        others.push(argument);
        return;
      } else {
        const takes = positional.length ? `at most ${positional.length} without a name` : expected.length ? "none without a name" : "none";
        throw new Problem(`${call.name}: one argument too many; it takes ${takes}`, argument);
      }
      if (name in given) throw new Problem(`${call.name}: ${name} is given twice`, argument);
      given[name] = argument;
    });
    const required = expected.filter((one) => !("default" in one)), missing = required.find(({ name }) => !(name in given));
    if (missing) {
      const write = `${call.name}(${required.map((one) => one.name).join(", ")}${expected.length > 1 ? ", ..." : ""})`;
      throw new Problem(`${call.name}: ${missing.name} is missing; write ${write}`, call);
    }
    return { given, rest: others };
  }

  // A number, word, constant or pair of them; a printed layer has padding=same, without quotes.
  function plain(value, at) {
    if (Array.isArray(value)) return value.map((one) => plain(one, at));
    if (!isCall(value)) return value;
    if (value.arguments.length) throw new Problem("a call makes no sense here; expected a number, a word or a tuple", at);
    return value.name;
  }

  const TENSORS = ["weight", "bias", "running_mean", "running_var"];
  const depth = (value) => (Array.isArray(value) && value.length ? 1 + depth(value[0]) : 0);

  function fromFile(name, at) {
    if (!carried[name]) throw new Problem(`the page does not carry the weights ${quote(name)}`, at);
    return { text: quote(name), ...carried[name] };
  }

  // Numbers in as many brackets as a layer's weights have axes.
  function tensor(value, nested, at) {
    const shape = [], data = [value].flat(nested);
    for (let one = value, n = nested; n > 0; n--, [one] = one) shape.push(one.length);
    const even = (one, [n, ...rest]) => (n === undefined ? !Array.isArray(one) : Array.isArray(one) && one.length === n && one.every((part) => even(part, rest)));
    if (!nested || !even(value, shape)) throw new Problem("expected lists of one length, one bracket for each axis", at);
    if (data.some((x) => typeof x !== "number" || !(Math.abs(x) <= LARGEST_FLOAT))) throw new Problem("expected a number", at);
    return asArgument(Float32Array.from(data), shape);
  }

  // Weights as a layer's argument, with the text that writes them.
  function asArgument(data, shape) {
    let parts = Array.from(data, (x) => show(shortest(x)));
    for (const n of [...shape].reverse()) parts = Array.from({ length: parts.length / n }, (_, i) => `[${parts.slice(i * n, (i + 1) * n).join(", ")}]`);
    return { text: parts[0], shape, data };
  }

  const isMatrix = (value) => Array.isArray(value) && value.length > 0 && value.every((row) => Array.isArray(row) && row.every((cell) => !Array.isArray(cell) && !isCall(cell)));

  function severalKernels(value, at) {
    return Array.isArray(value) && !isMatrix(value) ? value.map((one) => kernelOf(one, at)) : [kernelOf(value, at)];
  }

  function kernelOf(value, at = value) {
    if (Array.isArray(value)) {
      if (!isMatrix(value)) throw new Problem("expected a row of numbers, such as [0, 1, 0]", at);
      if (value.some((row) => row.length !== value[0].length || !row.length)) throw new Problem("the rows of a kernel must be of one length", at);
      if (value.flat().some((cell) => typeof cell !== "number" || !(Math.abs(cell) <= LARGEST_FLOAT))) throw new Problem("expected a number in the kernel's row", at);
      if (Math.max(value.length, value[0].length) > LARGEST_KERNEL) throw new Problem(`a kernel has 1 to ${LARGEST_KERNEL} rows and columns`, at);
      return literal(value);
    }
    if (!isCall(value)) throw new Problem("expected a kernel: a name such as sobel_x, or rows [[0, 1], [1, 0]]", at);
    if (value.name === "flip" && value.arguments.length === 1) {
      const inner = kernelOf(value.arguments[0].value, value);
      return { text: `flip(${inner.text})`, matrices: inner.matrices.map((matrix) => matrix.map((row) => [...row].reverse()).reverse()) };
    }
    const signature = KERNELS.signatures[value.name];
    if (!signature) throw new Problem(`there is no kernel ${quote(value.name)}`, { start: value.start, end: value.start + value.name.length });
    const { given } = bind(value, signature);
    const values = signature.arguments.map((one) => (one.name in given ? given[one.name].value : one.default));
    const found = KERNELS.known.find((one) => one.name === value.name && String(one.values) === String(values));
    if (!found) throw new Problem(`the page does not carry ${value.name} with these arguments; choose one of its menu, or write the numbers`, value);
    const words = value.arguments.map((one) => (one.name ? `${one.name}=` : "") + show(one.value));
    return { text: words.length ? `${value.name}(${words.join(", ")})` : value.name, matrices: found.matrices };
  }

  const literal = (rows) => ({ text: `[${rows.map((row) => `[${row.map(show).join(", ")}]`).join(", ")}]`, matrices: [rows] });

  // ---- From layers to a text.

  const write = (layers) => layers.map(writeLayer).join(" | ");

  function writeLayer({ name, given, kernels }) {
    const { arguments: expected, rest, kernels: takes } = LAYERS[name], words = rest === "kernel" ? kernels.map((kernel) => kernel.text) : [];
    for (const one of expected) {
      if (one.name === "weight" && takes && kernels.length) words.push(`weight=[${kernels.map((kernel) => kernel.text).join(", ")}]`);
      else if (one.name in given) words.push(("default" in one ? `${one.name}=` : "") + (given[one.name]?.text ?? show(given[one.name])));
    }
    return `${name}(${words.join(", ")})`;
  }

  // The layer without what means the same: pairs of equal numbers, and PyTorch's defaults.
  function tidy({ name, given, kernels }) {
    const kept = {};
    for (const one of LAYERS[name].arguments) {
      if (!(one.name in given)) continue;
      let value = given[one.name];
      const alike = Array.isArray(value) && value.length === (LAYERS[name].equal?.[one.name] ?? value.length); // so many equal numbers are one
      if (alike && value.length && value.every((x) => typeof x === "number" && x === value[0])) value = one.name === "bias" ? value : value[0];
      if (value?.text || !("default" in one) || JSON.stringify(value) !== JSON.stringify(one.default)) kept[one.name] = value;
    }
    return { name, given: kept, kernels };
  }

  // All arguments of a layer by name, PyTorch's defaults too.
  const argumentsOf = ({ name, given }) => Object.fromEntries(LAYERS[name].arguments.map((one) => [one.name, one.name in given ? given[one.name] : one.default]));

  // ---- Checks of one argument.

  const wrong = (argument, reason) => new Problem(`${argument} ${reason}`, { argument });

  function whole(value, name, least = 1, most = MOST) {
    if (!Number.isInteger(value) || value < least || value > most) throw wrong(name, `must be a whole number from ${group(least)} to ${group(most)}, not ${show(value)}`);
    return value;
  }

  function pair(value, name, least = 1, most = MOST) {
    if (!Array.isArray(value)) return [whole(value, name, least, most), value];
    if (value.length !== 2) throw wrong(name, `must be one number or a pair (height, width), not ${show(value)}`);
    return value.map((one) => whole(one, name, least, most));
  }

  // `two`: whether (left, right) alone is taken as well.
  function sides(value, name, two) {
    if (!Array.isArray(value)) return Array(4).fill(whole(value, name, -MOST));
    if (value.length === 2 && two) value = [...value, 0, 0];
    const shape = two ? "two (left, right) or four (left, right, top, bottom)" : "four (left, right, top, bottom)";
    if (value.length !== 4) throw wrong(name, `must be one number or ${shape}, not ${show(value)}`);
    return value.map((one) => whole(one, name, -MOST));
  }

  function real(value, name, { above, least, most = LARGEST_FLOAT, finite = true } = {}) {
    if (typeof value !== "number" || Number.isNaN(value) || (finite && !Number.isFinite(value))) throw wrong(name, `must be a number, not ${show(value)}`);
    if (above !== undefined && !(value > above)) throw wrong(name, `must be greater than ${show(above)}, not ${show(value)}`);
    if (least !== undefined && !(value >= least)) throw wrong(name, `must be at least ${show(least)}, not ${show(value)}`);
    if (Number.isFinite(value) && Math.abs(value) > most) throw wrong(name, `must be no larger than ${show(most)}, and it is ${show(value)}`);
    return value;
  }

  function flag(value, name) {
    if (typeof value !== "boolean") throw wrong(name, `must be True or False, not ${show(value)}`);
    return value;
  }

  function choice(value, name, choices) {
    const words = choices.map(quote), last = words.pop();
    if (!choices.includes(value)) throw wrong(name, `must be ${words.join(", ")}${words.length ? " or " : ""}${last}, not ${show(value)}`);
    return value;
  }

  // ---- What a layer does to a shape: {rows, columns, ins, outs, multiply, divide, pixels, parameters(c), weights(c): shape,
  // numbers(c): what compute.js takes}. `seen` are the axes of what one pixel is computed of, where they are others.

  const POINT = windowOf(1);

  function windowOf(size, stride = 1, { dilation = 1, before = 0, after = 0, mode = "zeros", ceil = false } = {}) {
    return { kind: "window", size, stride, dilation, before, after, mode, ceil };
  }

  function convolution(layer, given) {
    const own = LAYERS[layer.name].rest === "kernel"; // Filter2d: each kernel on each channel by itself
    const c = own || LAYERS[layer.name].lazy ? null : whole(given.in_channels, "in_channels"), out = own ? null : whole(given.out_channels, "out_channels");
    if (own && !layer.kernels.length) throw wrong("kernel", "is missing; give one or more, such as Filter2d(sobel_x)");
    const matrices = own ? sameSize(layer.kernels.flatMap((kernel) => kernel.matrices)) : layer.kernels.flatMap((kernel) => kernel.matrices);
    const sizes = own ? [matrices[0].length, matrices[0][0].length] : pair(given.kernel_size, "kernel_size");
    const steps = pair(given.stride, "stride"), apart = pair(given.dilation, "dilation");
    const mode = choice(given.padding_mode, "padding_mode", MODES);
    let pads;
    if (typeof given.padding === "string") {
      if (given.padding !== "same" && given.padding !== "valid") throw wrong("padding", `must be a number, 'same' or 'valid', not ${show(given.padding)}`);
      if (given.padding === "same" && !own && (steps[0] !== 1 || steps[1] !== 1)) {
        const fits = [...new Set(apart.map((d, i) => Math.floor((d * (sizes[i] - 1)) / 2)))].join(" or ");
        throw wrong("padding", `'same' goes with stride 1 only, and stride is ${show(given.stride)}; try padding=${fits}`);
      }
      const totals = apart.map((d, i) => (given.padding === "same" ? d * (sizes[i] - 1) : 0));
      pads = totals.map((total) => [Math.floor(total / 2), total - Math.floor(total / 2)]);
    } else pads = pair(given.padding, "padding", 0).map((p) => [p, p]);
    const [rows, columns] = [0, 1].map((i) => windowOf(sizes[i], steps[i], { dilation: apart[i], before: pads[i][0], after: pads[i][1], mode }));
    if (own) {
      const n = matrices.length;
      return {
        rows, columns, multiply: n, parameters: (channels) => channels * n * sizes[0] * sizes[1],
        weights: () => null, matrices,
        numbers: (channels) => ({ groups: channels, bias: [] }),
      };
    }
    if (LAYERS[layer.name].lazy) return lazily(rows, columns, out, given, sizes, (channels, groups) => [out, channels / groups, ...sizes]);
    const groups = groupsOf(given.groups, c, out), biases = biasesOf(given.bias, out), total = checkWeights(c / groups, out, sizes);
    checkKernels(layer.kernels, matrices, out, sizes);
    return {
      rows, columns, ins: c, outs: out, parameters: () => total + (given.bias === false ? 0 : out),
      ...weightsOf(given, [out, c / groups, ...sizes], out, biases), matrices,
      numbers: () => ({ groups }),
    };
  }

  // A convolution that takes the channels that its input has, a multiple of its groups.
  function lazily(rows, columns, out, given, sizes, weights) {
    const groups = whole(given.groups, "groups");
    if (out % groups) throw wrong("groups", `must divide out_channels ${out}, and ${groups} does not`);
    const biases = flag(given.bias, "bias") ? out : 0, each = checkWeights(1, out / groups, sizes);
    return {
      rows, columns, outs: out, divide: groups, parameters: (channels) => channels * each + biases,
      weights: (channels) => weights(channels, groups), biases, known: null, matrices: [], numbers: () => ({ groups }),
    };
  }

  // What a convolution says of its weights: their shape, and those and the biases that are given.
  function weightsOf(given, shape, out, known) {
    const all = given.weight ? checkShape(given.weight, "weight", shape).data : null;
    return { weights: () => shape, all, biases: given.bias === false ? 0 : out, known };
  }

  function checkShape(weights, name, shape) {
    if (String(weights.shape) !== String(shape)) throw wrong(name, `has the shape ${show(weights.shape)}, and that of this layer is ${show(shape)}`);
    return weights;
  }

  function transposed(layer, given) {
    const { lazy } = LAYERS[layer.name], c = lazy ? null : whole(given.in_channels, "in_channels"), out = whole(given.out_channels, "out_channels");
    const sizes = pair(given.kernel_size, "kernel_size"), steps = pair(given.stride, "stride"), apart = pair(given.dilation, "dilation");
    const pads = pair(given.padding, "padding", 0), more = pair(given.output_padding, "output_padding", 0);
    more.forEach((extra, i) => {
      const most = Math.max(steps[i], apart[i]);
      if (extra >= most) throw wrong("output_padding", `must be smaller than stride or dilation, ${most}, and it is ${extra}`);
    });
    const groups = lazy ? given.groups : groupsOf(given.groups, c, out), biases = lazy ? null : biasesOf(given.bias, out);
    choice(given.padding_mode, "padding_mode", ["zeros"]);
    const [rows, columns] = [0, 1].map((i) => ({ kind: "transposed", size: sizes[i], stride: steps[i], dilation: apart[i], padding: pads[i], more: more[i] }));
    if (lazy) return lazily(rows, columns, out, given, sizes, (channels) => [channels, out / groups, ...sizes]);
    const total = checkWeights(c, out / groups, sizes);
    return {
      rows, columns, ins: c, outs: out, parameters: () => total + (given.bias === false ? 0 : out),
      ...weightsOf(given, [c, out / groups, ...sizes], out, biases), matrices: [],
      numbers: () => ({ groups }),
    };
  }

  function groupsOf(groups, c, out) {
    whole(groups, "groups");
    if (c % groups || out % groups) throw wrong("groups", `must divide in_channels ${c} and out_channels ${out}, and ${groups} does not`);
    return groups;
  }

  // The biases that are given; null where they are random or none.
  function biasesOf(bias, out) {
    if (typeof bias === "boolean") return null;
    if (bias?.data) return [...checkShape(bias, "bias", [out]).data];
    if (Array.isArray(bias)) {
      if (bias.length !== out) throw wrong("bias", `holds ${count(bias.length, "number")}, and out_channels is ${out}`);
      return bias.map((one) => real(one, "bias"));
    }
    if (typeof bias !== "number") throw wrong("bias", `must be True, False, a number or a list of numbers, not ${show(bias)}`);
    return Array(out).fill(real(bias, "bias"));
  }

  function checkWeights(c, out, sizes) {
    const n = c * out * sizes[0] * sizes[1];
    if (n > MOST_WEIGHTS) throw wrong("kernel_size", `of ${sizes.join("x")} makes ${group(n)} weights with these channels, and ${group(MOST_WEIGHTS)} is the most`);
    return n;
  }

  function checkKernels(kernels, matrices, out, sizes) {
    if (matrices.length > out) throw wrong("weight", `holds ${matrices.length} kernels, and out_channels is ${out}`);
    for (const { matrices: [matrix] } of kernels) {
      const [h, w] = [matrix.length, matrix[0].length];
      if (h === sizes[0] && w === sizes[1]) continue;
      const reason = `holds a kernel of ${h}x${w}, and kernel_size is ${sizes.join("x")}`;
      throw wrong("weight", `${reason}; write ${h === w ? h : show([h, w])} for kernel_size`);
    }
  }

  // The matrices in one size, zeros around the smaller ones; an even side's centre is the pixel before its middle.
  function sameSize(matrices) {
    const heights = matrices.map((m) => m.length), widths = matrices.map((m) => m[0].length);
    const before = (n) => Math.floor((n - 1) / 2), after = (n) => Math.floor(n / 2), most = (sizes, f) => Math.max(...sizes.map(f));
    const above = most(heights, before), below = most(heights, after), left = most(widths, before), right = most(widths, after);
    const at = (matrix, y, x) => matrix[y - above + before(matrix.length)]?.[x - left + before(matrix[0].length)] ?? 0;
    return matrices.map((matrix) => Array.from({ length: above + 1 + below }, (_, y) => Array.from({ length: left + 1 + right }, (_, x) => at(matrix, y, x))));
  }

  function pooling(layer, given) {
    if ("output_ratio" in given) return fractional(given);
    if ("output_size" in given) {
      const size = given.output_size, both = Array.isArray(size) ? size : [size, size];
      if (both.length !== 2 || size === null) throw wrong("output_size", `must be one number or a pair (height, width), not ${show(size)}`);
      const [rows, columns] = both.map((n) => ({ kind: "parts", count: n === null ? null : whole(n, "output_size") }));
      return { rows, columns, numbers: () => ({ padded: false, divisor: 0 }) };
    }
    const power = "norm_type" in given ? real(given.norm_type, "norm_type", { finite: false }) : null;
    if (power === 0) throw wrong("norm_type", "must not be 0: there is no 0-th root");
    const sizes = pair(given.kernel_size, "kernel_size"), apart = pair(given.dilation ?? 1, "dilation"), pads = pair(given.padding ?? 0, "padding", 0);
    const steps = given.stride === null ? sizes : pair(given.stride, "stride"), ceil = flag(given.ceil_mode, "ceil_mode");
    pads.forEach((pad, i) => {
      if (pad > Math.floor(sizes[i] / 2)) throw wrong("padding", `must be at most ${Math.floor(sizes[i] / 2)}, half of kernel_size ${sizes[i]}, and it is ${pad}`);
    });
    const [rows, columns] = [0, 1].map((i) => windowOf(sizes[i], steps[i], { dilation: apart[i], before: pads[i], after: pads[i], ceil }));
    const padded = "count_include_pad" in given && flag(given.count_include_pad, "count_include_pad");
    const divisor = given.divisor_override == null ? 0 : whole(given.divisor_override, "divisor_override", -MOST);
    if (divisor === 0 && given.divisor_override === 0) throw wrong("divisor_override", "must not be 0");
    return { rows, columns, numbers: () => ({ padded, divisor, power }) };
  }

  function fractional(given) {
    const sizes = pair(given.kernel_size, "kernel_size");
    if ((given.output_size === null) === (given.output_ratio === null)) throw wrong("output_size", "or output_ratio must be given, and not both");
    let axes;
    if (given.output_size !== null) axes = pair(given.output_size, "output_size").map((n, i) => ({ kind: "scattered", size: sizes[i], count: n }));
    else {
      const ratios = Array.isArray(given.output_ratio) ? given.output_ratio : [given.output_ratio, given.output_ratio];
      const fits = ratios.length === 2 && ratios.every((ratio) => real(ratio, "output_ratio") > 0 && ratio < 1);
      if (!fits) throw wrong("output_ratio", `must be between 0 and 1, or two such, not ${show(given.output_ratio)}`);
      axes = ratios.map((ratio, i) => ({ kind: "scattered", size: sizes[i], ratio }));
    }
    return { rows: axes[0], columns: axes[1], places: true, numbers: () => ({ size: sizes }) };
  }

  function padding(layer, given) {
    const { mode } = LAYERS[layer.name], [left, right, top, bottom] = sides(given.padding, "padding", LAYERS[layer.name].mode === "zeros");
    const value = "value" in given ? real(given.value, "value", { finite: false }) : 0;
    return { rows: windowOf(1, 1, { before: top, after: bottom, mode }), columns: windowOf(1, 1, { before: left, after: right, mode }), numbers: () => ({ value }) };
  }

  function upsample(layer, given) {
    const { mode: only } = LAYERS[layer.name]; // of UpsamplingNearest2d and UpsamplingBilinear2d
    if (only) given = { ...given, mode: only, align_corners: only === "bilinear" ? true : null, recompute_scale_factor: null };
    const mode = choice(given.mode, "mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"]);
    if ((given.size === null) === (given.scale_factor === null)) throw wrong("size", "or scale_factor must be given, and not both");
    if (given.align_corners !== null) {
      flag(given.align_corners, "align_corners");
      if (mode !== "bilinear" && mode !== "bicubic") throw wrong("align_corners", `goes with mode='bilinear' or 'bicubic', not ${quote(mode)}`);
    }
    const recompute = given.recompute_scale_factor !== null && flag(given.recompute_scale_factor, "recompute_scale_factor");
    if (recompute && given.size !== null) throw wrong("size", "must be None: recompute_scale_factor=True goes with scale_factor");
    let counts = [null, null], factors = [null, null];
    if (given.size !== null) counts = pair(given.size, "size");
    else {
      factors = Array.isArray(given.scale_factor) ? given.scale_factor : [given.scale_factor, given.scale_factor];
      if (factors.length !== 2) throw wrong("scale_factor", `must be one number or a pair, not ${show(given.scale_factor)}`);
      factors.forEach((factor) => real(factor, "scale_factor", { above: 0, most: MOST }));
    }
    const count = { bilinear: 2, bicubic: 4 }[mode] ?? 1;
    const [rows, columns] = [0, 1].map((i) => ({
      kind: "resize", factor: factors[i], count: counts[i], taps: count, align: Boolean(given.align_corners), exact: mode === "nearest-exact", fixed: !recompute,
    }));
    if (mode !== "area") return { rows, columns, numbers: () => ({}) };
    const [down, across] = [rows, columns].map((axis) => ({ kind: "parts", like: axis }));
    return { rows: down, columns: across, kind: "mean", numbers: () => ({ padded: false, divisor: 0 }) };
  }

  function shuffle(layer, given) {
    const factor = whole(given.upscale_factor, "upscale_factor", 1, 1000), axis = { kind: "resize", factor, count: null, taps: 1, align: false, exact: false, fixed: true };
    return { rows: axis, columns: axis, divide: factor * factor, seen: [{ kind: "blocks", size: factor }, { kind: "blocks", size: factor }], numbers: () => ({ factor }) };
  }

  function unshuffle(layer, given) {
    const factor = whole(given.downscale_factor, "downscale_factor", 1, 1000), axis = windowOf(factor, factor, { mode: "divide" });
    return { rows: axis, columns: axis, multiply: factor * factor, numbers: () => ({ factor }) };
  }

  function affine(layer, given) {
    if ("num_groups" in given) return groupNorm(given);
    if (given.process_group) throw wrong("process_group", `must be None, because nothing is trained here, not ${show(given.process_group)}`);
    const c = LAYERS[layer.name].lazy ? null : whole(given.num_features, "num_features");
    const strict = layer.name.includes("BatchNorm") && given.track_running_stats === false;
    const eps = real(given.eps, "eps", strict ? { above: 0 } : { least: 0 });
    if (given.momentum !== null) real(given.momentum, "momentum");
    const still = flag(given.track_running_stats, "track_running_stats"), learnt = learntOf(given, c, still);
    const all = (channels, value) => Array(channels).fill(value), { weight, bias, running_mean: mean, running_var: variance } = learnt.given;
    const kept = (n) => (still ? { mean: mean ?? all(n, 0), root: (variance ?? all(n, 1)).map((x) => Math.sqrt(Math.fround(x) + eps)) } : { mean: null, root: null });
    const axis = still ? POINT : { kind: "whole" };
    return {
      rows: axis, columns: axis, ins: c, outs: c, pixels: still ? 1 : 2, parameters: (n) => learnt.count * n, seen: [POINT, POINT],
      numbers: (n) => ({ eps, together: still ? 0 : 1, weight: weight ?? all(n, 1), bias: bias ?? all(n, 0), ...kept(n) }),
    };
  }

  // What a normalising layer of c channels has learnt: {count: of numbers a channel, given: those that are given, by name}.
  function learntOf(given, c, still = false) {
    const affine = flag(given.affine, "affine"), biased = given.bias?.data ? true : flag(given.bias, "bias"), found = {};
    const allowed = { weight: affine, bias: affine && biased, running_mean: still, running_var: still };
    for (const [name, right] of Object.entries(allowed)) {
      if (!given[name]?.data) continue;
      if (!right) throw wrong(name, `goes with ${name.startsWith("running") ? "track_running_stats" : "affine"}=True`);
      found[name] = [...checkShape(given[name], name, [c]).data];
    }
    return { count: affine + allowed.bias, given: found };
  }

  function groupNorm(given) {
    const groups = whole(given.num_groups, "num_groups"), c = whole(given.num_channels, "num_channels");
    if (c % groups) throw wrong("num_groups", `must divide num_channels ${c}, and ${groups} does not`);
    const eps = real(given.eps, "eps", { least: 0 }), { count: learnt, given: { weight, bias } } = learntOf(given, c), axis = { kind: "whole" };
    return {
      rows: axis, columns: axis, ins: c, outs: c, pixels: c === groups ? 2 : 1, parameters: () => learnt * c, seen: [POINT, POINT],
      numbers: () => ({ eps, together: c / groups, weight: weight ?? Array(c).fill(1), bias: bias ?? Array(c).fill(0), mean: null, root: null }),
    };
  }

  // LayerNorm and RMSNorm: `length` values next to each other are normalised together.
  function normalised(layer, given) {
    const shape = Array.isArray(given.normalized_shape) ? given.normalized_shape : [given.normalized_shape];
    if (shape.length < 1 || shape.length > 3) throw wrong("normalized_shape", `must be W, (H, W) or (C, H, W), not ${show(given.normalized_shape)}`);
    shape.forEach((size) => whole(size, "normalized_shape"));
    const eps = given.eps === null ? 2 ** -23 : real(given.eps, "eps", { least: 0 }), length = shape.reduce((all, size) => all * size, 1);
    const affine = flag(given.elementwise_affine, "elementwise_affine"), own = ["weight", "bias"].filter((name) => given[name]?.data);
    for (const name of own) {
      if (!affine) throw wrong(name, "goes with elementwise_affine=True");
      checkShape(given[name], name, shape);
    }
    const all = (name, value) => given[name]?.data ?? Array(length).fill(value);
    const values = own.length ? Float32Array.from([...all("weight", 1), ...all("bias", 0)]) : null;
    const biased = "bias" in given && (own.includes("bias") || flag(given.bias, "bias")), learnt = affine + (affine && biased);
    const [w, h = null, c = null] = [...shape].reverse(), axis = (size) => (size === null ? POINT : { kind: "whole", only: size });
    return { rows: axis(h), columns: axis(w), ins: c, outs: c, parameters: () => learnt * length, seen: [POINT, POINT], learnt: values, numbers: () => ({ eps, length }) };
  }

  // A layer whose one argument is the dimension of the channels.
  function overChannels(layer, given) {
    if ("dim" in given && given.dim !== 1 && given.dim !== -3 && (given.dim !== null || layer.name === "GLU")) throw wrong("dim", `must be 1, the channels, not ${show(given.dim)}: ${LAYERS[layer.name].limits.dim.why}`);
    return nothing();
  }

  function response(layer, given) {
    if (LAYERS[layer.name].kind === "response") whole(given.size, "size", 1, 100);
    else whole(given.size, "size");
    const { size, alpha, beta, k } = given;
    for (const [name, value] of Object.entries({ alpha, beta, k })) real(value, name);
    return { rows: POINT, columns: POINT, numbers: () => ({ size, alpha, beta, k }) };
  }

  // An elementwise layer: its arguments are numbers, within the limits that Python says.
  function curve(layer, given) {
    const { limits = {}, arguments: expected } = LAYERS[layer.name];
    for (const { name, default: usual } of expected) {
      const { than, not, choices, ...limit } = limits[name] ?? {};
      if (given[name]?.data) continue;
      if (choices) choice(given[name], name, choices);
      else if (typeof usual === "boolean") flag(given[name], name);
      else if (limit.whole) whole(given[name], name);
      else if (usual !== null) {
        real(given[name], name, limit);
        if (given[name] === not) throw wrong(name, `must not be ${show(not)}`);
        if (limit.from !== undefined && !(given[name] >= limit.from && given[name] <= limit.to)) throw wrong(name, `must be from ${limit.from} to ${limit.to}, not ${show(given[name])}`);
        if (than) real(given[name], name, { [than.how]: given[than.name], finite: limit.finite });
      }
    }
    const numbers = { ...given };
    let channels = null;
    if ("num_parameters" in given) {
      numbers.weight = given.weight ? [...checkShape(given.weight, "weight", [given.num_parameters]).data] : Array(given.num_parameters).fill(Math.fround(given.init));
      channels = given.num_parameters === 1 ? null : given.num_parameters;
    }
    return { rows: POINT, columns: POINT, ins: channels, outs: channels, parameters: () => given.num_parameters ?? 0, numbers: () => ({ curve: layer.name, arguments: numbers }) };
  }

  const nothing = () => ({ rows: POINT, columns: POINT, numbers: () => ({}) });
  const EFFECTS = {
    convolution, transposed, maximum: pooling, mean: pooling, power: pooling, fractional: pooling, padding, blend: upsample, shuffle,
    unshuffle, affine, response, "cross response": response, curve, softmax2d: overChannels, softmin: overChannels, "log softmax": overChannels,
    gate: (layer, given) => ({ ...overChannels(layer, given), divide: 2 }), "layer norm": normalised, "root mean square": normalised,
    channels: (layer, given) => ({ ...nothing(), multiply: whole(given.groups, "groups"), divide: given.groups, numbers: () => ({ groups: given.groups }) }),
    magnitude: () => ({ ...nothing(), outs: 1 }),
  };

  const knows = (name) => LAYERS[name].kind in EFFECTS && (LAYERS[name].kind !== "curve" || name in CURVES);

  function effectOf(layer) {
    if (!knows(layer.name)) throw new Problem(`the page cannot compute ${layer.name}`);
    return EFFECTS[LAYERS[layer.name].kind](layer, argumentsOf(layer));
  }

  // ---- Along one axis: how many outputs, and the arithmetic behind that.

  function lengthOf(axis, n) {
    if (axis.kind === "window") {
      const { before, after, mode, stride, ceil } = axis, pad = Math.max(before, after), reach = spanOf(axis);
      const left = n + Math.min(before, 0) + Math.min(after, 0);
      if (mode === "zeros" && left < 0) throw new Problem(`at most ${n} pixels can be cropped, and ${n - left} are`);
      if (mode === "reflect" && pad >= n) throw new Problem(`at most ${n - 1} pixels can be padded by reflection, and padding is ${pad}`);
      if (mode === "circular" && pad > left) throw new Problem(`at most ${Math.max(0, left)} pixels can be padded in a circle, and padding is ${pad}`);
      if (mode === "divide" && n % stride) throw new Problem(`that is no multiple of ${stride}`);
      const padded = n + before + after, rest = padded - reach;
      let outputs = (ceil ? Math.ceil(rest / stride) : Math.floor(rest / stride)) + 1;
      if (ceil && (outputs - 1) * stride >= n + before) outputs -= 1;
      if (padded < 1) throw new Problem(`nothing is left after ${-before - after} pixels are cropped`);
      if (outputs < 1) throw new Problem(`the window of ${reach} is larger than the ${padded} pixels (padding included)`);
      return outputs;
    }
    if (axis.kind === "transposed") {
      const outputs = (n - 1) * axis.stride - 2 * axis.padding + axis.dilation * (axis.size - 1) + axis.more + 1;
      if (outputs < 1) throw new Problem(`no output is left of ${n} pixels after padding ${axis.padding} is taken off`);
      return outputs;
    }
    if (axis.kind === "scattered") {
      const outputs = axis.count || Math.floor(n * axis.ratio);
      if (outputs < 1) throw new Problem(`no output is left of ${n} pixels`);
      if (outputs + axis.size - 1 > n) throw new Problem(`${outputs} windows of ${axis.size} do not fit; at most ${Math.max(0, n - axis.size + 1)} do`);
      return outputs;
    }
    if (axis.kind === "resize") {
      const outputs = axis.count ?? Math.floor(n * axis.factor);
      if (outputs < 1) throw new Problem(`no output is left of ${n} pixels`);
      return outputs;
    }
    if (axis.kind === "parts") return axis.like ? lengthOf(axis.like, n) : (axis.count ?? n);
    if (axis.kind === "whole" && axis.only && axis.only !== n) throw new Problem(`normalized_shape says ${axis.only}`);
    return n;
  }

  const spanOf = (axis) => axis.dilation * (axis.size - 1) + 1;

  // The input positions from one output of a resized axis to the next.
  function scaleOf(axis, n) {
    const outputs = lengthOf(axis, n);
    if (axis.align) return outputs > 1 ? (n - 1) / (outputs - 1) : 0;
    const copies = axis.taps < 3 && !axis.exact && (outputs === n || (outputs === 2 * n && axis.taps === 1));
    if (copies) return n / outputs; // whatever the factor, PyTorch copies
    return axis.factor && axis.fixed ? 1 / axis.factor : n / outputs;
  }

  // The arithmetic behind lengthOf(axis, n), in the terms of PyTorch's documentation; empty where n stays.
  function sumOf(axis, n, sliding) {
    const outputs = lengthOf(axis, n);
    if (axis.kind === "window") {
      const { before, after, stride } = axis;
      if (axis.mode === "divide") return `${n}/${stride} = ${outputs}`;
      if (!sliding) return before || after ? `${n} ${[before, after].map((pad) => `${pad >= 0 ? "+" : "-"} ${Math.abs(pad)}`).join(" ")} = ${outputs}` : "";
      const pads = before === after ? `2*${before}` : `${before} + ${after}`, rest = n + before + after - spanOf(axis);
      let text = `(${n} + ${pads} - ${axis.dilation}*(${axis.size}-1) - 1)/${stride}`;
      if (rest % stride) text = `${axis.ceil ? "ceil" : "floor"}(${text})`;
      if (axis.ceil && Math.ceil(rest / stride) + 1 > outputs) return `${text} + 1 - 1 = ${outputs} (the last window would lie in the padding)`;
      return `${text} + 1 = ${outputs}`;
    }
    if (axis.kind === "transposed") return `(${n} - 1)*${axis.stride} - 2*${axis.padding} + ${axis.dilation}*(${axis.size}-1) + ${axis.more} + 1 = ${outputs}`;
    if (axis.kind === "resize" && axis.factor !== null) {
      const text = `${n}*${Number(axis.factor.toPrecision(12))}`;
      return n * axis.factor === outputs ? `${text} = ${outputs}` : `floor(${text}) = ${outputs}`;
    }
    if (axis.kind === "parts" && (axis.like || axis.count)) return `${outputs} windows, from floor(i*${n}/${outputs}) to ceil((i+1)*${n}/${outputs})`;
    if (axis.kind === "scattered") return `${outputs} windows of ${axis.size}, at random places`;
    return axis.kind === "resize" ? String(outputs) : "";
  }

  // ---- What one output sees of the picture, along one axis: a pattern of first and last pixels that repeats, as if there
  // were no border, and what the outputs that there are see of the picture itself.

  const PATTERN = 256; // pixels whose windows are remembered one by one
  const SIDE = 2048; // outputs up to which each one's window is followed by itself

  const fieldStart = (length) => ({
    length, seen: [[0, 0]], step: 1, outputs: length > SIDE ? null : Array.from({ length }, (_, at) => ({ seen: [at, at], whole: true })),
  });

  // The largest window of an output; where all reach into the padding, that of a picture that goes on.
  function fieldSize({ seen, outputs }) {
    const all = outputs?.some((one) => one.whole && one.seen) ? outputs.map((one) => one.seen) : seen;
    return all.reduce((most, pair) => Math.max(most, pair ? pair[1] - pair[0] + 1 : 0), 0);
  }

  // What one output sees, [first, last], and null where it sees nothing.
  function seenAt({ seen, step }, pixel) {
    const turns = Math.floor(pixel / seen.length), pair = seen[mod(pixel, seen.length)];
    return pair && pair.map((end) => end + turns * step);
  }

  function fieldThrough(field, axis, n) {
    const outputs = lengthOf(axis, n);
    const [inputs, every] = stepOf(axis, n, outputs), size = field.seen.length, own = ownOutputs(field, axis, n, outputs, [inputs, every]);
    if (axis.kind === "whole") return { length: field.length, seen: [[0, field.length - 1]], step: 0, outputs: own };
    let period = inputs ? every : 1;
    const times = size / gcd(size, inputs), most = axis.kind === "window" || axis.kind === "transposed" ? PATTERN : Math.min(PATTERN, outputs);
    const part = Math.min(1, most / (period * times)); // of a pattern that is too long, the middle stands for all
    const step = roundEven((inputs * times * part * field.step) / size);
    period = Math.min(period * times, most);
    const base = part < 1 ? Math.floor((outputs - period) / 2) : 0, back = Math.floor((base * step) / period);
    const seen = Array.from({ length: period }, (_, i) => {
      const pair = join(placesOf(axis, base + i, n, outputs, [inputs, every]).map((place) => seenAt(field, place)));
      return pair && pair.map((end) => end - back);
    });
    return { length: field.length, seen, step, outputs: own };
  }

  // Each output by itself: what it sees of the picture, and whether no part of its window lies outside; null for too many.
  function ownOutputs(field, axis, n, outputs, step) {
    if (!field.outputs || outputs > SIDE) return null;
    const near = axis.mode === "replicate" || axis.mode === "reflect"; // whose padding shows pixels from near by
    const through = (places) => {
      const within = places.filter((place) => place >= 0 && place < n), all = within.length === places.length;
      const inputs = (near && !all ? places.map((place) => inside(place, n, axis)) : within).map((place) => field.outputs[place]);
      return { seen: join(inputs.map((one) => one.seen)), whole: all && inputs.every((one) => one.whole) };
    };
    if (axis.kind === "whole") return Array(outputs).fill(through(Array.from({ length: n }, (_, place) => place)));
    return Array.from({ length: outputs }, (_, at) => through(placesOf(axis, at, n, outputs, step)));
  }

  // The first and the last pixel of all that are seen.
  function join(seen) {
    return seen.reduce((all, pair) => (all && pair ? [Math.min(all[0], pair[0]), Math.max(all[1], pair[1])] : all ?? pair), null);
  }

  // How many inputs further the next output's window is, on average: [numerator, denominator].
  function stepOf(axis, n, outputs) {
    const reduced = (top, bottom) => [top / gcd(top, bottom), bottom / gcd(top, bottom)];
    if (axis.kind === "window") return [axis.stride, 1];
    if (axis.kind === "transposed") return [1, axis.stride];
    if (axis.kind === "resize" && axis.align) return outputs > 1 ? (n > 1 ? reduced(n - 1, outputs - 1) : [0, 1]) : [0, 1];
    if (axis.kind === "resize" && axis.factor && axis.fixed && scaleOf(axis, n) === 1 / axis.factor) {
      const [top, bottom] = nearestFraction(1 / axis.factor, PATTERN);
      return Math.abs((top / bottom) * axis.factor - 1) < 1e-9 ? [top, bottom] : nearestFraction(1 / axis.factor, 1 << 20);
    }
    return reduced(n, outputs);
  }

  // The inputs that one output sees, as if there were no border.
  function placesOf(axis, at, n, outputs, [inputs, every]) {
    const between = (start, stop) => Array.from({ length: Math.max(0, stop - start) }, (_, i) => start + i);
    if (axis.kind === "window") return Array.from({ length: axis.size }, (_, i) => at * axis.stride - axis.before + i * axis.dilation);
    if (axis.kind === "transposed") {
      const reach = axis.dilation * (axis.size - 1), start = Math.ceil((at + axis.padding - reach) / axis.stride);
      const places = between(start, Math.floor((at + axis.padding) / axis.stride) + 1);
      return places.filter((place) => mod(at + axis.padding - place * axis.stride, axis.dilation) === 0);
    }
    if (axis.kind === "scattered") {
      const start = Math.trunc(at * (outputs > 1 ? (n - axis.size) / (outputs - 1) : 0));
      return between(start, start + axis.size);
    }
    if (axis.kind === "parts") return between(Math.floor((at * n) / outputs), Math.ceil(((at + 1) * n) / outputs));
    const blends = axis.taps > 1, halves = axis.align || !(blends || axis.exact) ? 2 * at * inputs : (2 * at + 1) * inputs - (blends ? every : 0);
    const first = Math.floor(halves / (2 * every)); // on a pixel, all other weights are 0
    return blends && mod(halves, 2 * every) ? between(first - axis.taps / 2 + 1, first + axis.taps / 2 + 1) : [first];
  }

  // ---- A whole pipeline on a picture.

  // What each layer does to a picture of `shape`: {rows, error}. A layer that does not fit ends the rows, and error is
  // {layer: its number, reason, argument}. A row is {layer, input, shape, about: what compute.js takes, weights, sums: [for
  // the height, for the width], parameters, field: [height, width], names: of the channels}. `loaded(i)` gives the weights
  // and biases of layer i that come from a file, {weights, bias}, if they do.
  function follow(layers, shape, seed = 0, loaded = () => null) {
    const rows = [], draw = randomNumbers(seed);
    let fields = [fieldStart(shape[1]), fieldStart(shape[2])], error = null;
    for (const [number, layer] of layers.entries()) {
      try {
        const effect = effectOf(layer), output = outputOf(effect, layer, shape, number === 0), axes = [effect.rows, effect.columns];
        fields = fields.map((field, i) => fieldThrough(field, axes[i], shape[i + 1]));
        const sliding = axes.every((axis) => axis.kind === "window" || axis.kind === "transposed") && "kernel_size" in argumentsOf(layer);
        const own = effect.matrices !== undefined && LAYERS[layer.name].rest === "kernel";
        rows.push({
          layer, effect, input: shape, shape: output, parameters: effect.parameters?.(shape[0]) ?? 0,
          sums: axes.map((axis, i) => sumOf(axis, shape[i + 1], sliding || own)),
          field: fields.map(fieldSize), names: namesOf(layer, effect, output[0], rows.at(-1)?.names),
          ...valuesOf(layer, effect, shape, draw),
        });
        shape = output;
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        error = { layer: number, reason: `${layer.name}: ${problem.message}`, argument: problem.argument };
        break;
      }
    }
    for (const { effect, about, input } of rows) if (effect.places) about.samples = Array.from({ length: input[0] }, () => [draw(), draw()]);
    return { rows, error };
  }

  function outputOf({ rows, columns, ins, outs, multiply = 1, divide = 1, pixels = 1, parameters }, layer, [c, h, w], first) {
    const comes = c === 1 ? "comes" : "come";
    let hint = ["in_channels", "num_features", "num_parameters"].includes(LAYERS[layer.name].arguments[0]?.name) ? `; write ${layer.name}(${c}, ...)` : "";
    if (first && c === 1 && ins === 3) hint += ": pictures are loaded as grayscale; --mode RGB loads colour, --gray-weights sums kernels";
    if (first && c === 3 && ins === 1) hint = "; --mode RGB loads three channels: leave it out, or filter each of them with Filter2d";
    if (ins && c !== ins) throw new Problem(`it takes ${count(ins, "channel")}, and ${group(c)} ${comes} in${hint}`);
    if (c % divide) throw new Problem(`it takes a multiple of ${divide} channels, and ${group(c)} ${comes} in`);
    if (parameters && parameters(c) > MOST_WEIGHTS) {
      throw new Problem(`it has ${group(parameters(c))} weights and biases with ${count(c, "channel")}, and ${group(MOST_WEIGHTS)} is the most`);
    }
    if (h * w < pixels) throw new Problem(`it needs at least ${pixels} pixels, and the picture is ${w}x${h} here`);
    const along = (axis, n, name) => {
      try {
        return lengthOf(axis, n);
      } catch (problem) {
        throw new Problem(`the picture is ${n} ${name} here: ${problem.message}`);
      }
    };
    return [outs || (c * multiply) / divide, along(rows, h, "high"), along(columns, w, "wide")];
  }

  // The numbers from which compute.js computes a layer, and its weights.
  function valuesOf(layer, effect, [c, h, w], draw) {
    const [down, across] = effect.seen ?? [effect.rows, effect.columns];
    const { kind, keeps_scale } = LAYERS[layer.name], numbers = effect.numbers(c);
    const about = { name: layer.name, kind: effect.kind ?? kind, keeps_scale: keeps_scale && !numbers.divisor, ...numbers, rows: settle(down, h), columns: settle(across, w) };
    if (!effect.matrices) return { about, weights: effect.learnt ?? null };
    const shape = effect.weights(c);
    if (!shape) { // Filter2d draws nothing
      const flat = effect.matrices.flat(2);
      return { about, weights: Float32Array.from({ length: flat.length * c }, (_, i) => flat[i % flat.length]) };
    }
    const begun = drawWeights(draw, shape, effect.biases), weights = effect.all ?? begun.weights, size = shape[2] * shape[3];
    effect.matrices.forEach((matrix, o) => {
      for (let i = 0; i < shape[1]; i++) weights.set(matrix.flat(), (o * shape[1] + i) * size);
    });
    about.bias = effect.known ? effect.known.map(Math.fround) : begun.bias;
    return { about, weights };
  }

  // An axis with what depends on the number of its inputs.
  function settle(axis, n) {
    if (axis.kind === "resize") return { ...axis, scale: scaleOf(axis, n) };
    if (axis.kind === "parts") return { kind: "parts", count: lengthOf(axis, n) };
    return axis.kind === "scattered" || axis.kind === "whole" ? { kind: "parts", count: 1 } : axis;
  }

  // What each output channel is called: its number, and the kernel that the text names for it.
  function namesOf(layer, effect, channels, before) {
    if (!effect.matrices && before?.length === channels) return before; // what has no weights of its own keeps them
    const texts = layer.kernels.flatMap((kernel) => kernel.matrices.map((_, i) => (kernel.matrices.length === 1 ? kernel.text : `${kernel.text} ${i}`)));
    const every = effect.ins === undefined || effect.ins === null; // Filter2d's, again for each input channel
    return Array.from({ length: channels }, (_, c) => {
      const text = every && texts.length ? texts[c % texts.length] : texts[c];
      if (text?.startsWith("[")) return `channel ${c}: own numbers`;
      return `channel ${c}${text ? `: ${text.length > 60 ? `${text.slice(0, 57)}...` : text}` : texts.length ? ": random" : ""}`;
    });
  }

  // ---- Numbers and words.

  const group = (n) => n.toLocaleString("en");
  const count = (n, noun) => `${group(n)} ${noun}${n === 1 ? "" : "s"}`;
  const quote = (text) => (text.includes("'") ? `"${text}"` : `'${text}'`);
  const gcd = (a, b) => (b ? gcd(b, a % b) : a);
  const mod = (a, n) => ((a % n) + n) % n;
  const roundEven = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

  // A value as Python writes it.
  function show(value) {
    if (value === null || value === undefined) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "string") return quote(value);
    if (Array.isArray(value)) return `(${value.map(show).join(", ")}${value.length === 1 ? "," : ""})`;
    return String(value).replace("Infinity", "inf");
  }

  // The number of the fewest digits that is this one as a 32-bit float.
  function shortest(x) {
    for (let digits = 1; digits < 9; digits++) {
      const short = Number(x.toPrecision(digits));
      if (Math.fround(short) === Math.fround(x)) return short;
    }
    return Number(x.toPrecision(9));
  }

  // The fraction nearest to x whose denominator is no larger than `most`: [numerator, denominator].
  function nearestFraction(x, most) {
    let [p0, q0, p1, q1] = [0, 1, 1, 0], rest = x;
    for (;;) {
      const a = Math.floor(rest), q2 = q0 + a * q1;
      if (q2 > most) break;
      [p0, q0, p1, q1] = [p1, q1, p0 + a * p1, q2];
      if (rest - a < 1e-12) return [p1, q1];
      rest = 1 / (rest - a);
    }
    const k = Math.floor((most - q0) / q1), other = [p0 + k * p1, q0 + k * q1];
    return Math.abs(p1 / q1 - x) <= Math.abs(other[0] / other[1] - x) ? [p1, q1] : other;
  }

  return { parse, write, knows, writeLayer, tidy, argumentsOf, literal, follow, effectOf, kernelOf, readValue, asArgument, shortest, sameSize, show };
}
