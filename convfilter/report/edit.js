// The controls with which the pipeline is changed in the page: the toolbar at the top, and in each layer's section those of
// its arguments and of its kernel. Every change makes a whole new pipeline; one that fits is computed and shown, and one that
// does not is explained where it was made.

const EDITABLE = 15; // rows and columns of a kernel whose numbers are fields
const HIDDEN = new Set(["inplace", "device", "dtype", "return_indices", "_random_samples", "min_value", "max_value", "momentum", "weight",
  "running_mean", "running_var", "process_group", "dim"]);
const LONGEST_SIDE = 768; // pixels of a learner's own picture

// Put the controls into the page, and follow the pipeline in its address; afterwards the page shows what that says.
function startEditing() {
  const about = PAGE.editing, picture = PAGE.tensors[0], [channelCount] = picture.shape;
  const usual = { tensors: PAGE.tensors, layers: PAGE.layers.map((layer, l) => ({ ...layer, facts: readFacts(layerSections()[l]) })) };
  const part = picture.part, input = { shape: [channelCount, part[2], part[3]], data: picture.values };
  const live = makeLive({ ...about, carried: carriedWeights(usual.layers), bins: PAGE.bins }, input, { show: take, wait });
  const changes = makeChanges(live.pipelines, about.vocabulary), editors = [], history = [];
  let edited = false, focus = null;
  const tools = makeTools();

  const layers = parsed();
  if (!layers) return;
  live.layers = layers;
  live.rows = live.pipelines.follow(layers, input.shape, about.seed).rows;
  drawEditors();
  followAddress();
  addEventListener("hashchange", followAddress);

  // The page's own layers, or null where one of them is not for the page to compute.
  function parsed() {
    try {
      if (about.isSummed) throw new Problem("--gray-weights has summed the kernels of its first layer over red, green and blue");
      const layers = live.pipelines.parse(about.text), { error } = live.pipelines.follow(layers, input.shape, about.seed);
      if (!error) return layers;
      throw new Problem(error.reason);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      document.getElementById("tools").replaceChildren(el("p", { class: "note" }, `This pipeline cannot be changed in the page: ${problem.message}.`));
      return null;
    }
  }

  // Take changed layers, made in section l or in the toolbar (null): where they do not fit, say so there.
  function apply(next, { l = null, seed = live.seed, changed = [], remember = true } = {}) {
    const before = { layers: live.layers, seed: live.seed }, problem = live.change(next, seed);
    if (problem) return explain(problem, l);
    if (remember) history.push(before);
    edited = true;
    explain(null);
    if (live.layers.length === before.layers.length) drawEditors(); // at once, and not when all is computed
    tools.say(changed.length ? `${changed.length === 1 ? "Layer" : "Layers"} ${changed.map((i) => i + 1).join(", ")} now ${changed.length === 1 ? "takes" : "take"} the channels that come in.` : "");
    return true;
  }

  // The same, with later layers following the number of channels.
  function applyFitting(next, options = {}, start = 0) {
    const { layers, changed } = changes.fit(next, live.input.shape[0], start);
    return apply(layers, { ...options, changed });
  }

  // Where the last change does not fit; the page goes on showing the last pipeline that did.
  function explain(problem, l = null) {
    const place = problem && (l ?? problem.layer), editor = l === null ? null : editors[l];
    for (const one of editors) one.explain(null);
    const where = problem && problem.layer !== undefined && problem.layer !== l ? `Layer ${problem.layer + 1}, ` : "";
    tools.explain(problem && !editor ? `${where}${problem.reason}` : null);
    if (editor) editor.explain(`${where}${problem.reason}`);
    layerSections().forEach((section, i) => section.classList.toggle("stale", problem !== null && place !== null && i >= place));
    return false;
  }

  // All layers are computed: show them.
  function take(model) {
    if (!edited) return;
    showModel(model);
    finish();
    tools.time(live.milliseconds);
  }

  function wait(waiting) {
    document.querySelector("main").toggleAttribute("aria-busy", waiting);
    tools.wait(waiting);
  }

  // What showModel() leaves: the sums of the shapes, the notes, the address, and the controls.
  function finish() {
    layerSections().forEach((section, l) => fillSums(section, PAGE.layers[l].facts));
    fillHeader(live, edited);
    drawEditors();
    const text = live.pipelines.write(live.layers);
    tools.show(text);
    if (edited) replaceAddress(writeFragment(text, live.seed, about.seed));
    if (focus) focus();
    focus = null;
  }

  function drawEditors() {
    layerSections().forEach((section, l) => {
      editors[l] ??= makeEditor(section.querySelector(".edit"), l);
      if (!section.querySelector(".edit").contains(editors[l].place)) editors[l] = makeEditor(section.querySelector(".edit"), l);
      editors[l].show();
    });
    editors.length = live.layers.length;
    const text = live.pipelines.write(live.layers);
    tools.show(text);
  }

  // The address says another pipeline (a link, the back button): show that.
  function followAddress() {
    const said = readFragment(location.hash, about.seed);
    if (!said) {
      if (edited && location.hash) replaceAddress(writeFragment(live.pipelines.write(live.layers), live.seed, about.seed));
      return;
    }
    if (said.text === live.pipelines.write(live.layers) && said.seed === live.seed && edited) return;
    takeText(said.text, said.seed);
  }

  function takeText(text, seed = live.seed) {
    try {
      if (apply(live.pipelines.parse(text), { seed })) return true;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      explain({ reason: pointAt(text, problem) });
    }
    return false;
  }

  function replaceAddress(fragment) {
    window.history.replaceState(null, "", fragment || location.pathname + location.search);
  }

  // The page as it was made.
  function reset() {
    const same = live.input === input;
    edited = false;
    history.length = 0;
    live.input = input;
    if (!same) live.forget();
    live.change(layers, about.seed);
    explain(null);
    showModel(usual);
    fillHeader(live, false);
    layerSections().forEach((section, l) => fillSums(section, usual.layers[l].facts));
    drawEditors();
    replaceAddress("");
    tools.say("The page is as it was made.");
  }

  function undo() {
    const before = history.pop();
    if (!before) return tools.say("There is nothing to undo.");
    apply(before.layers, { seed: before.seed, remember: false });
  }

  // ---- The toolbar.

  function makeTools() {
    const text = el("textarea", { id: "pipeline-text", rows: 2, spellcheck: "false", autocapitalize: "off", autocomplete: "off" });
    const problem = el("p", { class: "problem", role: "alert", hidden: true }), status = el("p", { class: "status", role: "status" });
    const seed = el("input", { type: "number", min: 0, max: 999999999999999, value: about.seed, "aria-label": "Seed of the random weights" });
    const adder = layerMenu("Add a layer at the end", (choice) => insert(choice, live.layers.length));
    const button = (name, onclick, more = {}) => el("button", { type: "button", onclick, ...more }, name);
    const file = el("input", { type: "file", accept: "image/*", hidden: true, tabindex: -1, "aria-hidden": "true" });
    const copies = el("span", { class: "group", role: "group", "aria-label": "Copy" }, el("span", {}, "Copy"),
      button("pipeline", () => copy(live.pipelines.write(live.layers))), button("command", () => copy(code.command(live.layers, live.seed, about.inputs, source()))),
      button("PyTorch code", () => copy(code.pytorch(live.rows, live.seed, about.inputs, source()))), button("link", () => copy(link())));
    const code = makeCode(live.pipelines);
    const source = () => live.name ?? about.source;
    const link = () => location.href.split("#")[0] + writeFragment(live.pipelines.write(live.layers), live.seed, about.seed);
    const place = el("div", { class: "editor" },
      el("label", { class: "wide", for: "pipeline-text" }, "Pipeline"), text, problem,
      el("div", { class: "tools" }, adder, el("label", {}, "Seed", seed), button("Undo", undo), button("Reset", reset), copies,
        button("Your own picture", () => file.click(), { title: "Or drop one on the page; it is read here, and sent nowhere" }), file, status));
    document.getElementById("tools").replaceChildren(place);
    if (part[2] < picture.shape[1] || part[3] < picture.shape[2]) {
      place.append(el("p", { class: "note" }, `The page has the exact values of ${part[3]}×${part[2]} pixels of the picture, those in the dashed frame: changes are computed on them alone.`));
    }
    document.querySelector("pre.pipeline").classList.add("replaced");
    text.addEventListener("input", () => takeText(text.value));
    seed.addEventListener("change", () => apply(live.layers, { seed: Math.max(0, Math.floor(Number(seed.value)) || 0) }));
    file.addEventListener("change", () => {
      if (file.files[0]) takePicture(file.files[0]);
      file.value = ""; // or the same file could not be chosen again
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) takePicture(event.dataTransfer.files[0]);
    });

    // The text goes on the clipboard; where the browser does not let it, it is selected to be copied by hand.
    async function copy(words) {
      try {
        await navigator.clipboard.writeText(words);
        tools.say("Copied.");
      } catch {
        const field = el("textarea", { readonly: true, rows: 6, "aria-label": "Text to copy" });
        field.value = words;
        status.replaceChildren("Copy this text: ", field);
        field.select();
      }
    }

    return {
      show(words) {
        if (document.activeElement !== text) text.value = words;
        if (document.activeElement !== seed) seed.value = live.seed;
      },
      explain(reason) {
        problem.hidden = !reason;
        problem.textContent = reason ?? "";
        text.setAttribute("aria-invalid", String(Boolean(reason)));
      },
      say: (words) => (status.textContent = words),
      time: (milliseconds) => (status.textContent = `${status.textContent.replace(/ ?Computed in .*$/, "")} Computed in ${Math.round(milliseconds)} ms.`.trim()),
      wait: (waiting) => place.toggleAttribute("data-waiting", waiting),
    };
  }

  function insert(choice, at) {
    const preset = about.vocabulary.presets[choice], words = preset ? preset.text : about.vocabulary.layers[choice].example;
    focus = () => focusOn(at, ".kind select");
    if (!applyFitting(changes.add(live.layers, at, words))) focus = null;
  }

  function focusOn(l, selector) {
    const section = layerSections()[Math.min(l, layerSections().length - 1)];
    section.turn(true);
    section.querySelector(".controls").open = true;
    (section.querySelector(`.edit ${selector}:enabled`) ?? section.querySelector(".kind select")).focus();
  }

  // A menu of all layers, by families, and of the presets.
  function layerMenu(title, choose) {
    const select = el("select", { "aria-label": title }, el("option", { value: "" }, title), ...layerGroups(),
      el("optgroup", { label: "presets" }, ...Object.keys(about.vocabulary.presets).map((name) => el("option", { value: name }, name))));
    select.addEventListener("change", () => {
      const choice = select.value;
      select.value = "";
      if (choice) choose(choice);
    });
    return select;
  }

  function layerGroups() {
    const families = {};
    for (const [name, { family }] of Object.entries(about.vocabulary.layers)) if (live.pipelines.knows(name)) (families[family] ??= []).push(name);
    return Object.entries(families).map(([family, names]) => el("optgroup", { label: family }, ...names.map((name) => el("option", { value: name }, name))));
  }

  // ---- The learner's own picture: gray as the program makes it, and never larger than the page can compute.

  async function takePicture(file) {
    try {
      const { white, mean, std } = about.inputs, normalized = mean.some(Boolean) || std.some((x) => x !== 1);
      const data = await createImageBitmap(file, { colorSpaceConversion: "none" });
      const scale = Math.min(1, LONGEST_SIDE / Math.max(data.width, data.height));
      const width = Math.max(1, Math.round(data.width * scale)), height = Math.max(1, Math.round(data.height * scale));
      const canvas = el("canvas", { width, height }), context = canvas.getContext("2d", { willReadFrequently: true });
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.imageSmoothingQuality = "high";
      context.drawImage(data, 0, 0, width, height);
      const pixels = context.getImageData(0, 0, width, height).data, size = width * height, values = new Float32Array(channelCount * size);
      for (let i = 0; i < size; i++) {
        const [r, g, b] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
        const levels = channelCount === 3 ? [r, g, b] : [(19595 * r + 38470 * g + 7471 * b + 32768) >> 16]; // Pillow's gray
        levels.forEach((level, c) => {
          const value = Math.fround(level * (white / 255));
          values[c * size + i] = normalized ? Math.fround(value - Math.fround(mean[c] ?? mean[0])) / Math.fround(std[c] ?? std[0]) : value;
        });
      }
      edited = true;
      const before = live.name;
      live.name = file.name;
      const problem = live.useInput({ shape: [channelCount, height, width], data: values });
      if (problem) {
        live.name = before;
        explain(problem);
      } else tools.say(`${file.name}, ${data.width}×${data.height} pixels${scale < 1 ? `, reduced to ${width}×${height}` : ""}. It stays in this page.`);
    } catch (error) {
      if (error instanceof TypeError) throw error;
      tools.explain(`${file.name} is no picture that this browser can read.`);
    }
  }

  // ---- The controls of one layer.

  function makeEditor(place, l) {
    const problem = el("p", { class: "problem", role: "alert", hidden: true }), row = el("div", { class: "arguments" });
    const weights = el("div", { class: "weights" });
    const kind = el("select", {}, ...layerGroups());
    const button = (name, title, onclick) => el("button", { type: "button", class: name, onclick, "aria-label": `${title} layer ${l + 1}` }, title);
    const up = button("up", "Move up", () => moveTo(-1)), down = button("down", "Move down", () => moveTo(1));
    const remove = button("remove", "Remove", () => {
      focus = () => focusOn(l, ".kind select");
      if (!applyFitting(changes.remove(live.layers, l))) focus = null;
    });
    const adder = layerMenu("Add a layer after this one", (choice) => insert(choice, l + 1));
    const buttons = el("div", { class: "tools" }, up, down, remove, adder);
    const inner = el("details", { class: "controls" }, el("summary", {}, "Change this layer"), el("div", { class: "columns" }, el("div", {}, row, buttons), weights));
    let shown = "", fields = {}, kernels = null;
    kind.addEventListener("change", () => applyFitting(changes.rename(live.layers, l, kind.value), { l }, l + 1));
    place.replaceChildren(inner, problem);
    place.hidden = false;

    function moveTo(by) {
      focus = () => focusOn(l + by, by < 0 ? ".up" : ".down");
      if (!applyFitting(changes.move(live.layers, l, by))) focus = null;
    }

    // The controls show what the pipeline says, but for a field that the learner is in.
    function show() {
      const layer = live.layers[l], all = live.pipelines.argumentsOf(layer), { arguments: expected } = about.vocabulary.layers[layer.name];
      if (shown !== layer.name) {
        shown = layer.name;
        fields = Object.fromEntries(expected.filter(({ name }) => !HIDDEN.has(name)).map((one) => [one.name, makeField(one, l, setOne)]));
        row.replaceChildren(el("label", { class: "kind" }, "Layer", kind), ...Object.values(fields).map((field) => field.place));
        kernels = null;
        weights.replaceChildren();
      }
      kind.value = layer.name;
      for (const [name, field] of Object.entries(fields)) field.show(all[name]);
      up.disabled = l === 0;
      down.disabled = l === live.layers.length - 1;
      remove.disabled = live.layers.length === 1;
      const written = about.vocabulary.layers[changes.explicitName(layer.name)];
      const editable = live.rows[l]?.effect.matrices && (written.rest || written.arguments.some(({ name }) => name === "weight"));
      if (editable) {
        kernels ??= makeKernelEditor(weights, l);
        kernels.show();
      } else weights.replaceChildren();
      if (!editable) kernels = null;
    }

    function setOne(name, value) {
      applyFitting(changes.setArgument(live.layers, l, name, value), { l }, l + 1);
    }

    return {
      place: inner, show,
      explain(reason) {
        problem.hidden = !reason;
        problem.textContent = reason ?? "";
      },
    };
  }

  // The control of one argument: a box to tick, a menu, or a field that takes what the pipeline's text takes, with buttons
  // that make its numbers larger and smaller.
  function makeField({ name, default: usual }, l, set) {
    const choices = choicesOf(name, live.layers[l]), id = `argument-${l}-${name}`;
    if (typeof usual === "boolean" && name !== "bias") {
      const box = el("input", { type: "checkbox", id });
      box.addEventListener("change", () => set(name, box.checked));
      return { place: el("label", { class: "field" }, box, name), show: (value) => (box.checked = value) };
    }
    if (choices) {
      const select = el("select", { id }, ...choices.map((one) => el("option", { value: one }, live.pipelines.show(one))));
      select.addEventListener("change", () => set(name, choices[select.selectedIndex]));
      return { place: el("label", { class: "field" }, name, select), show: (value) => (select.selectedIndex = choices.indexOf(value)) };
    }
    const input = el("input", { type: "text", id, size: 6, spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const read = () => {
      try {
        const value = live.pipelines.readValue(input.value);
        set(name, value);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        explain({ reason: `${name}: ${problem.message}` }, l);
      }
    };
    const step = (by) => {
      const value = live.pipelines.argumentsOf(live.layers[l])[name], now = value === null ? standIn(name, l) : value;
      const more = (one) => (typeof one === "number" ? Number((one + by * stepOf(one, usual)).toPrecision(12)) : one);
      if (typeof now === "boolean" || now === null || typeof now === "string") return;
      const next = Array.isArray(now) ? now.map(more) : more(now);
      input.value = live.pipelines.show(next);
      set(name, next);
    };
    input.addEventListener("input", read);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
      event.preventDefault();
      step((event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : 1));
    });
    input.addEventListener("blur", () => show(live.pipelines.argumentsOf(live.layers[l])[name], true));
    const stepper = (sign, by) => el("button", { type: "button", class: "step", tabindex: -1, "aria-label": `${name} ${by > 0 ? "larger" : "smaller"}`, onclick: () => step(by) }, sign);
    const show = (value, leave = false) => {
      if (leave || document.activeElement !== input) input.value = value?.text ?? live.pipelines.show(value);
    };
    return { place: el("span", { class: "field" }, el("label", { for: id }, name), el("span", { class: "stepper" }, stepper("−", -1), input, stepper("+", 1))), show };
  }

  // What an argument that is None stands for, where that is a number: a pooling layer's stride is its kernel_size.
  const standIn = (name, l) => (name === "stride" ? live.pipelines.argumentsOf(live.layers[l]).kernel_size : null);
  const stepOf = (value, usual) => (Number.isInteger(value) && (usual === undefined || usual === null || Number.isInteger(usual)) ? 1 : 0.1);

  function choicesOf(name, layer) {
    const { kind, limits } = about.vocabulary.layers[layer.name];
    if (limits?.[name]?.choices) return limits[name].choices;
    if (name === "padding_mode") return kind === "transposed" ? ["zeros"] : ["zeros", "reflect", "replicate", "circular"];
    if (name === "mode" && kind === "blend") return ["nearest", "nearest-exact", "bilinear", "bicubic", "area"];
    return name === "align_corners" || name === "recompute_scale_factor" ? [null, true, false] : null;
  }

  // ---- The numbers of a kernel.

  function makeKernelEditor(place, l) {
    const output = el("select", { "aria-label": "Output channel whose kernel is shown" }), input = el("select", { "aria-label": "Input channel" });
    const names = el("select", { "aria-label": "Kernels by name" }), table = el("table", { class: "matrix numbers" }), bias = numberField("bias", (value) => setBias(value));
    const more = el("button", { type: "button", onclick: () => applyFitting(changes.addKernel(live.layers, l, live.pipelines.kernelOf({ name: "identity", arguments: [] })), { l }, l + 1) }, "Add a kernel");
    const less = el("button", { type: "button", onclick: () => applyFitting(changes.removeKernel(live.layers, l, channel), { l }, l + 1) }, "Remove this kernel");
    const large = el("p", { class: "note" }, "Its numbers are too many to be changed one by one.");
    const inputLabel = el("label", {}, "from input channel", input), biasLabel = el("label", { class: "field" }, "bias", bias);
    const known = about.vocabulary.kernels.known.filter(({ matrices }) => matrices.length === 1), written = known.map(({ matrices: [rows] }) => JSON.stringify(rows));
    names.append(el("option", { value: "" }, "your own numbers"), ...known.map(({ text }, i) => el("option", { value: i }, text)));
    place.replaceChildren(el("fieldset", {}, el("legend", {}, "Kernel"),
      el("div", { class: "tools" }, el("label", {}, "of channel", output), inputLabel, el("label", {}, "named", names), biasLabel, more, less), large, el("div", { class: "scroll" }, table)));
    let channel = 0, plane = 0, cells = [];
    output.addEventListener("change", () => look(Number(output.value), plane));
    input.addEventListener("change", () => look(channel, Number(input.value)));
    names.addEventListener("change", () => {
      if (names.value !== "") applyFitting(changes.setKernel(live.layers, l, live.rows[l], channel, known[names.value]), { l }, l + 1);
    });

    function look(c, i) {
      [channel, plane] = [c, i];
      show();
    }

    function setBias(value) {
      apply(changes.setBias(live.layers, l, live.rows[l], channel, value), { l });
    }

    function set(y, x, value) {
      const matrix = changes.planeOf(live.rows[l], channel, plane);
      matrix[y][x] = value;
      apply(changes.setPlane(live.layers, l, live.rows[l], channel, plane, matrix), { l });
    }

    function show() {
      const row = live.rows[l], { rows: { size: height }, columns: { size: width }, groups } = row.about, ins = row.input[0] / groups;
      const own = Boolean(about.vocabulary.layers[row.layer.name].rest), outs = own ? row.effect.matrices.length : row.shape[0];
      [channel, plane] = [Math.min(channel, outs - 1), Math.min(plane, ins - 1)];
      fillOptions(output, outs, (c) => row.names[c].replace(/^channel /, ""));
      fillOptions(input, ins, String);
      output.value = channel;
      input.value = plane;
      inputLabel.hidden = ins === 1;
      more.hidden = less.hidden = !own;
      less.disabled = outs === 1;
      biasLabel.hidden = !row.about.bias.length;
      if (!biasLabel.hidden) bias.show(row.about.bias[channel]);
      const planes = Array.from({ length: ins }, (_, i) => JSON.stringify(changes.planeOf(row, channel, i)));
      const alike = planes.every((one) => one === planes[0]) ? written.indexOf(planes[0]) : -1;
      names.value = alike < 0 ? "" : alike;
      large.hidden = height <= EDITABLE && width <= EDITABLE;
      if (!large.hidden) {
        table.replaceChildren();
        cells = [];
        return;
      }
      if (cells.length !== height || cells[0].length !== width) {
        cells = Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => numberField(`row ${y}, column ${x}`, (value) => set(y, x, value))));
        table.replaceChildren(el("tbody", {}, ...cells.map((line) => el("tr", {}, ...line.map((cell) => el("td", {}, cell))))));
      }
      const numbers = changes.planeOf(row, channel, plane), most = highest(numbers.flat().map(Math.abs));
      numbers.forEach((line, y) => line.forEach((value, x) => {
        cells[y][x].show(value);
        cells[y][x].parentElement.className = value ? `${value < 0 ? "n" : "p"} w${Math.ceil((8 * Math.abs(value)) / most)}` : "";
      }));
    }

    return { show };
  }

  function fillOptions(select, count, name) {
    const words = Array.from({ length: count }, (_, i) => name(i));
    if (words.join("\n") === [...select.options].map((option) => option.textContent).join("\n")) return;
    select.replaceChildren(...words.map((word, i) => el("option", { value: i }, word)));
  }

  // A field for one number; fractions such as 1/9 are numbers, too. The arrow keys change it by 1, by 10 with Shift, by 0.1
  // with Alt.
  function numberField(name, set) {
    const input = el("input", { type: "text", inputmode: "decimal", size: 5, "aria-label": name, spellcheck: "false", autocomplete: "off" });
    let last = 0;
    const read = () => {
      let value;
      try {
        value = live.pipelines.readValue(input.value);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
      }
      const good = typeof value === "number" && Number.isFinite(Math.fround(value));
      input.setAttribute("aria-invalid", String(!good));
      if (good) set(value);
    };
    input.addEventListener("input", read);
    input.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
      event.preventDefault();
      const by = (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : event.altKey ? 0.1 : 1);
      input.value = Number((Number(last) + by).toPrecision(7));
      read();
    });
    input.addEventListener("blur", () => input.show(last, true));
    input.show = (value, leave = false) => {
      last = live.pipelines.shortest(value);
      if (!leave && document.activeElement === input) return;
      input.value = last;
      input.setAttribute("aria-invalid", "false");
    };
    return input;
  }
}

// The facts of a section as it was made, for Reset.
function readFacts(section) {
  const facts = Object.fromEntries([...section.querySelectorAll("[data-fact]")].map((place) => [place.dataset.fact, place.textContent]));
  return { ...facts, rows: facts["sum-1"] ?? facts["sum-0"], columns: facts["sum-0"], notes: [...section.querySelectorAll(".body > .note")].map((note) => note.textContent) };
}

// The arithmetic of the shapes, and notes.
function fillSums(section, { rows, columns, notes = [], written = null }) {
  const list = section.querySelector(".body > .facts"), after = list.querySelector("[data-fact=shapes]").closest("div");
  for (const old of list.querySelectorAll("[data-fact^=sum]")) old.closest("div").remove();
  const sums = rows === columns ? [["Width and height", rows]] : [["Width", columns], ["Height", rows]];
  after.after(...sums.map(([name, sum], i) => el("div", { class: "wide" }, el("dt", {}, name), el("dd", { "data-fact": `sum-${i}` }, el("code", {}, sum)))));
  const line = list.querySelector("[data-fact=written]");
  if (line && !written) line.closest("div").remove();
  for (const note of section.querySelectorAll(".body > .note")) note.remove();
  section.querySelector(".body").append(...notes.map((note) => el("p", { class: "note" }, note)));
}

// What stands at the top of the page.
function fillHeader(live, edited) {
  const [c, h, w] = live.input.shape, facts = {
    size: `${w}×${h} pixels${c === 1 ? ", gray" : ""}`, tensor: `${c}×${h}×${w}, black 0, white ${write(PAGE.white)}`,
    parameters: live.rows.reduce((sum, row) => sum + row.parameters, 0).toLocaleString("en"), seed: String(live.seed),
  };
  for (const place of document.querySelectorAll("header.top [data-fact]")) if (place.dataset.fact in facts) place.textContent = facts[place.dataset.fact];
  const title = document.querySelector("h1"), text = document.querySelector("pre.pipeline code");
  title.dataset.made ??= title.textContent;
  text.dataset.made ??= text.textContent;
  title.textContent = (edited && live.name) || title.dataset.made;
  for (const tour of document.querySelectorAll("#questions")) tour.hidden = edited;
  text.textContent = edited ? live.pipelines.write(live.layers) : text.dataset.made;
}

// The weights that came from files, by the text that names them.
function carriedWeights(layers) {
  const carried = {};
  for (const { files = {}, weights } of layers) {
    for (const [argument, { name, shape, values }] of Object.entries(files)) {
      const size = shape.reduce((all, one) => all * one, 1); // of a layer that has a bias as large, that stands at the end
      if (values || weights) carried[name] = { shape, data: values ? Float32Array.from(values) : argument === "bias" ? weights.slice(-size) : weights.slice(0, size) };
    }
  }
  return carried;
}

// A problem in a text, with the words where it is.
function pointAt(text, { message, start, end }) {
  const words = text.slice(start, Math.max(end, start + 1));
  return words && words !== text ? `At "${words.length > 40 ? `${words.slice(0, 37)}...` : words}": ${message}` : message;
}
