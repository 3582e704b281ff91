// A pipeline as other programs take it: as PyTorch code that gives the same values, and as a command line.

function makeCode(pipelines) {
  const { show, argumentsOf } = pipelines, LINE = 100;

  // The code that runs the layers, whose `rows` follow() gave, on a picture file.
  function pytorch(rows, seed, inputs, source) {
    const random = rows.some(({ effect, input }) => effect.places || effect.weights?.(input[0])), modules = [], weights = [];
    for (const row of rows) {
      modules.push(...modulesOf(row, random));
      weights.push(...weightsOf(row, `network[${modules.length - 1}]`));
    }
    const text = pipelines.write(rows.map((row) => row.layer));
    return [
      `# ${text.length > LINE - 2 ? `${text.slice(0, LINE - 5)}...` : text}`,
      "import numpy as np", "import torch", "from PIL import Image, ImageOps", "from torch import nn", "",
      ...(rows.some(({ layer }) => layer.name === "Magnitude")
        ? ["", "class Magnitude(nn.Module):", "    def forward(self, x):", "        return x.square().sum(1, keepdim=True).sqrt()", "", ""] : []),
      ...(random ? [`torch.manual_seed(${seed})`] : []),
      "network = nn.Sequential(", ...modules.map((line) => `    ${line}`), ").eval()",
      ...(weights.length ? ["with torch.no_grad():", ...weights.map((line) => `    ${line}`)] : []),
      "",
      `picture = ImageOps.exif_transpose(Image.open(${JSON.stringify(source)})).convert("${inputs.mean.length === 3 ? "RGB" : "L"}")`,
      ...tensorOf(inputs),
      "with torch.no_grad():", "    y = network(x)[0]", "",
    ].join("\n");
  }

  // The statements that make the picture the tensor x, 1xCxHxW.
  function tensorOf({ white, mean, std }) {
    const array = white === 255 ? "np.array(picture, np.float32)" : `(np.array(picture) * (${white} / 255)).astype(np.float32)`;
    const x = mean.length === 3 ? `x = torch.from_numpy(${array}).permute(2, 0, 1)[None]` : `x = torch.from_numpy(${array})[None, None]`;
    const numbers = (list) => `torch.tensor([${list.map(show).join(", ")}])[:, None, None]`;
    return isNormalized({ mean, std }) ? [x, `x = (x - ${numbers(mean)}) / ${numbers(std)}`] : [x];
  }

  const isNormalized = ({ mean, std }) => mean.some(Boolean) || std.some((x) => x !== 1);

  // The constructor calls of a layer; where others draw random numbers, a Filter2d must draw none.
  function modulesOf({ layer, effect, input: [c], shape: [out] }, random) {
    if (effect.matrices && !effect.weights(c)) return filter(effect, c, out, random);
    const given = argumentsOf(layer), words = [];
    for (const [name, value] of Object.entries(layer.given)) {
      if (name === "inplace" || value?.data || (name === "bias" && typeof value !== "boolean")) continue;
      words.push(`${name}=${show(given[name])}`);
    }
    return [`${layer.name === "Magnitude" ? "" : "nn."}${layer.name}(${layer.name === "Identity" ? "" : words.join(", ")}),`];
  }

  // A Filter2d as Conv2d; padding that Conv2d's own cannot say is a layer before it.
  function filter({ rows, columns }, c, out, random) {
    const both = (name) => show(rows[name] === columns[name] ? rows[name] : [rows[name], columns[name]]);
    const words = [c, out, both("size")], lines = [];
    if (rows.stride * columns.stride !== 1) words.push(`stride=${both("stride")}`);
    if (rows.dilation * columns.dilation !== 1) words.push(`dilation=${both("dilation")}`);
    if (rows.before !== rows.after || columns.before !== columns.after) {
      const kind = { zeros: "Zero", reflect: "Reflection", replicate: "Replication", circular: "Circular" }[rows.mode];
      lines.push(`nn.${kind}Pad2d(${show([columns.before, columns.after, rows.before, rows.after])}),`);
    } else if (rows.before || columns.before) {
      words.push(`padding=${both("before")}`, ...(rows.mode === "zeros" ? [] : [`padding_mode=${show(rows.mode)}`]));
    }
    if (c > 1) words.push(`groups=${c}`);
    const call = [...words, "bias=False"].join(", ");
    return [...lines, random ? `nn.utils.skip_init(nn.Conv2d, ${call}),  # draws no random numbers` : `nn.Conv2d(${call}),`];
  }

  // The statements that put kernels, and biases that are numbers, into a module.
  function weightsOf({ layer, effect, input: [c] }, module) {
    const lines = [], own = effect.matrices && !effect.weights(c), texts = layer.kernels.flatMap((kernel) => kernel.matrices.map(() => kernel.text));
    (effect.matrices ?? []).forEach((matrix, number) => {
      const place = own && c > 1 ? `${number}::${effect.matrices.length}` : number, name = texts[number].startsWith("[") ? "" : `  # ${texts[number]}`;
      lines.push(`${module}.weight[${place}] = torch.tensor([${name}`, ...matrix.map((row) => `    [${row.map(show).join(", ")}],`), "])");
    });
    for (const [name, { data, shape } = {}] of Object.entries(layer.given)) {
      if (data) lines.push(`${module}.${name}[:] = torch.tensor(${pipelines.asArgument(data, shape).text})`);
    }
    const { bias } = layer.given;
    if (Array.isArray(bias)) lines.push(`${module}.bias[:] = torch.tensor([${bias.map(show).join(", ")}])`);
    else if (typeof bias === "number") lines.push(`${module}.bias[:] = ${show(bias)}`);
    return lines;
  }

  // The command that filters a picture file so.
  function command(layers, seed, inputs, source) {
    const { white, mean, std } = inputs, options = [];
    if (seed) options.push(`--seed ${seed}`);
    if (mean.length === 3) options.push("--mode RGB");
    if (white !== 255) options.push(`--white ${white}`);
    if (isNormalized(inputs)) options.push(`--mean ${mean.join(",")}`, `--std ${std.join(",")}`);
    return ["convfilter run", inShell(pipelines.write(layers)), inShell(source), ...options].join(" ");
  }

  // A word in double quotes, which shells of all systems take; in single ones where it holds what is special in double ones.
  function inShell(word) {
    if (/^[\w./-]+$/.test(word) && !word.startsWith("-")) return word;
    return /["$`\\!]/.test(word) ? `'${word.replaceAll("'", `'"'"'`)}'` : `"${word}"`;
  }

  return { pytorch, command };
}
