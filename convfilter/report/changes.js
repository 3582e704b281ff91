// Changes of a pipeline: each takes layers as pipeline.js has them, and returns others.

function makeChanges(pipelines, vocabulary) {
  const { argumentsOf, effectOf, tidy, literal, asArgument, shortest } = pipelines, { layers: LAYERS, kernels: KERNELS } = vocabulary;
  const replace = (layers, l, layer) => layers.map((one, i) => (i === l ? layer : one));
  const takes = (layer, name) => LAYERS[layer.name].arguments.some((one) => one.name === name);

  // Another value of an argument. Kernels follow kernel_size, and weights the numbers of channels.
  function setArgument(layers, l, name, value) {
    const layer = layers[l], given = { ...layer.given, [name]: value };
    return replace(layers, l, reshape({ ...layer, given }, layer));
  }

  // A layer whose weights fit its arguments again, as those of `before` fitted.
  function reshape(layer, before) {
    const all = argumentsOf(layer), old = argumentsOf(before), sizes = pairOf(all.kernel_size), given = { ...layer.given };
    if (!sizes || LAYERS[layer.name].rest) return tidy(layer);
    let { kernels } = layer;
    const wanted = shapeOf(layer, sizes);
    if (given.weight?.data && String(given.weight.shape) !== String(wanted)) given.weight = refit(given.weight, wanted);
    if (kernels.length && String(sizes) !== String(pairOf(old.kernel_size))) kernels = kernels.map((kernel) => resizeKernel(kernel, sizes));
    if (kernels.length) kernels = single(kernels).slice(0, all.out_channels);
    if (Array.isArray(given.bias)) given.bias = Array.from({ length: all.out_channels }, (_, i) => given.bias[i] ?? 0);
    return tidy({ ...layer, given, kernels });
  }

  const pairOf = (value) => (Array.isArray(value) ? value : Number.isInteger(value) ? [value, value] : null);

  function shapeOf(layer, sizes) {
    const { in_channels: c, out_channels: out, groups } = argumentsOf(layer);
    return LAYERS[layer.name].kind === "transposed" ? [c, out / groups, ...sizes] : [out, c / groups, ...sizes];
  }

  // Weights of another shape: cut or filled up with zeros, the planes around their centres.
  function refit({ data, shape }, wanted) {
    const [outs, ins, height, width] = wanted, [o0, i0, h0, w0] = shape;
    if (!wanted.every((n) => Number.isInteger(n) && n > 0)) return { data, shape, ...asArgument(data, shape) };
    const top = Math.floor((h0 - 1) / 2) - Math.floor((height - 1) / 2), left = Math.floor((w0 - 1) / 2) - Math.floor((width - 1) / 2);
    const out = new Float32Array(outs * ins * height * width);
    for (let o = 0, n = 0; o < outs; o++) {
      for (let i = 0; i < ins; i++) {
        for (let y = top; y < top + height; y++) {
          for (let x = left; x < left + width; x++, n++) {
            if (o < o0 && i < i0 && y >= 0 && y < h0 && x >= 0 && x < w0) out[n] = data[((o * i0 + i) * h0 + y) * w0 + x];
          }
        }
      }
    }
    return asArgument(out, wanted);
  }

  // The kernel of the same name in another size, else its numbers in the middle of that size.
  function resizeKernel(kernel, [height, width]) {
    const name = /^\w+/.exec(kernel.text)?.[0], others = KERNELS.known.filter((one) => one.name === name && one.matrices.length === 1);
    const fitting = others.find(({ matrices: [m], text }) => m.length === height && m[0].length === width && (text === name || text.includes("size=")));
    if (fitting && (kernel.text === name || kernel.text.includes("size") || /^\w+\(\d+\)$/.test(kernel.text))) return { text: fitting.text, matrices: fitting.matrices };
    const [first] = kernel.matrices, shape = [kernel.matrices.length, 1, first.length, first[0].length];
    const { data } = refit({ data: Float32Array.from(kernel.matrices.flat(2)), shape }, [shape[0], 1, height, width]);
    const rows = (o) => Array.from({ length: height }, (_, y) => Array.from(data.subarray((o * height + y) * width, (o * height + y + 1) * width), shortest));
    return kernel.matrices.length === 1 ? literal(rows(0)) : { ...literal(rows(0)), matrices: kernel.matrices.map((_, o) => rows(o)) };
  }

  // Kernels of one matrix each; those of a bank become numbers.
  const single = (kernels) => kernels.flatMap((kernel) => (kernel.matrices.length === 1 ? [kernel] : kernel.matrices.map(literal)));

  // Where the weights from input channel i (of its group) to output channel o begin.
  function startOf({ about, input, shape }, o, i) {
    const { groups, kind, rows, columns } = about, ins = input[0] / groups, outs = shape[0] / groups;
    return (kind === "transposed" ? (Math.floor(o / outs) * ins + i) * outs + (o % outs) : o * ins + i) * rows.size * columns.size;
  }

  // Those weights as rows of numbers.
  function planeOf(row, o, i) {
    const { rows: { size: height }, columns: { size: width } } = row.about, start = startOf(row, o, i);
    return Array.from({ length: height }, (_, y) => Array.from(row.weights.subarray(start + y * width, start + (y + 1) * width), shortest));
  }

  // A lazy layer, which has no weights to be written, as the one that says how many channels it takes.
  function explicit(layers, l, row) {
    const name = explicitName(layers[l].name);
    return name === layers[l].name ? layers : replace(layers, l, tidy({ name, given: { in_channels: row.input[0], ...layers[l].given }, kernels: [] }));
  }

  const explicitName = (name) => (LAYERS[name].lazy && LAYERS[name.replace(/^Lazy/, "")] ? name.replace(/^Lazy/, "") : name);

  // Other numbers from input channel i to output channel o.
  function setPlane(layers, l, row, o, i, matrix) {
    if (LAYERS[layers[l].name].rest || row.input[0] === row.about.groups) return setKernel(layers, l, row, o, literal(matrix));
    return setWeights(layers, l, row, o, [i], matrix);
  }

  function setWeights(layers, l, row, o, inputs, matrix) {
    layers = explicit(layers, l, row);
    const data = Float32Array.from(row.weights);
    for (const i of inputs) data.set(matrix.flat(), startOf(row, o, i));
    const weight = asArgument(data, row.effect.weights(row.input[0]));
    return replace(layers, l, tidy({ ...layers[l], kernels: [], given: { ...layers[l].given, weight } }));
  }

  // A kernel, with its name, for one output channel, from all its input channels. One of another size changes kernel_size
  // where it is the only one; else it is put into the middle of the size that there is. Filter2d takes kernels of any sizes.
  function setKernel(layers, l, row, o, kernel) {
    layers = explicit(layers, l, row);
    const layer = layers[l], { rest, kernels: takesNames } = LAYERS[layer.name];
    if (rest) {
      const kernels = single(layer.kernels);
      kernels[o % kernels.length] = kernel;
      return replace(layers, l, { ...layer, kernels });
    }
    const sizes = [row.about.rows.size, row.about.columns.size], wanted = [kernel.matrices[0].length, kernel.matrices[0][0].length];
    const same = String(sizes) === String(wanted), alone = row.shape[0] === 1 && takesNames && !layer.given.weight;
    const fitting = same || alone ? kernel : resizeKernel(kernel, sizes), named = single(layer.kernels), ins = row.input[0] / row.about.groups;
    if (!takesNames || layer.given.weight || (ins > 1 && named.length < o)) {
      return setWeights(layers, l, row, o, Array.from({ length: ins }, (_, i) => i), fitting.matrices[0]);
    }
    const kernels = Array.from({ length: Math.max(named.length, o + 1) }, (_, n) => (n === o ? fitting : (named[n] ?? literal(planeOf(row, n, 0)))));
    return replace(layers, l, tidy({ ...layer, kernels, given: { ...layer.given, ...(same ? {} : alone ? { kernel_size: wanted } : {}) } }));
  }

  // Another bias of one output channel; those that were random stay as they are.
  function setBias(layers, l, row, o, value) {
    layers = explicit(layers, l, row);
    const bias = Array.from(row.about.bias, shortest);
    bias[o] = value;
    return replace(layers, l, tidy({ ...layers[l], given: { ...layers[l].given, bias } }));
  }

  // One more kernel, or one less, of a Filter2d.
  const addKernel = (layers, l, kernel) => replace(layers, l, { ...layers[l], kernels: [...layers[l].kernels, kernel] });
  const removeKernel = (layers, l, n) => replace(layers, l, { ...layers[l], kernels: single(layers[l].kernels).filter((_, i) => i !== n) });

  // Another kind of layer in a layer's place; it keeps the arguments that both have, where they fit.
  function rename(layers, l, name) {
    const usual = pipelines.parse(LAYERS[name].example)[0], given = { ...usual.given };
    for (const [argument, value] of Object.entries(layers[l].given)) if (takes(usual, argument) && !value?.data) given[argument] = value;
    const tries = [{ ...usual, given, kernels: LAYERS[name].rest || LAYERS[name].kernels ? layers[l].kernels : [] }, { ...usual, given, kernels: [] }, usual];
    return replace(layers, l, tidy(tries.find(fits)));
  }

  function fits(layer) {
    try {
      return Boolean(effectOf(layer));
    } catch (problem) {
      if (problem instanceof Problem) return false;
      throw problem;
    }
  }

  const add = (layers, at, text) => [...layers.slice(0, at), ...pipelines.parse(text), ...layers.slice(at)];
  const remove = (layers, l) => layers.filter((_, i) => i !== l);
  const move = (layers, l, by) => {
    const next = remove(layers, l);
    next.splice(l + by, 0, layers[l]);
    return next;
  };

  // The layers from `first` on with as many input channels as come in: {layers, changed: the numbers of those layers}.
  function fit(layers, channels, first = 0) {
    const changed = [];
    let c = channels;
    const next = layers.map((layer, l) => {
      if (!fits(layer)) return layer;
      let effect = effectOf(layer);
      if (l >= first && effect.ins && effect.ins !== c) {
        const name = ["in_channels", "num_features", "num_parameters"].find((one) => takes(layer, one)), given = { ...layer.given, [name]: c };
        const { groups = 1, out_channels: out } = argumentsOf(layer);
        if (groups > 1 && groups === effect.ins) Object.assign(given, { groups: c, out_channels: (out / groups) * c });
        else if (c % groups) given.groups = 1;
        const fitting = reshape({ ...layer, given }, layer);
        if (fits(fitting)) {
          [layer, effect] = [fitting, effectOf(fitting)];
          changed.push(l);
        }
      }
      c = effect.outs || Math.floor((c * (effect.multiply ?? 1)) / (effect.divide ?? 1)) || c;
      return layer;
    });
    return { layers: next, changed };
  }

  return { setArgument, explicitName, planeOf, setPlane, setKernel, setBias, addKernel, removeKernel, rename, add, remove, move, fit };
}
