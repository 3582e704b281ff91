// The pipeline that is edited: its layers, their values as the Worker computes them, and its place in the page's address.

const ROOM = 60e6; // values of all layers together that a page holds, four bytes each, here and in the Worker

// {layers, seed, rows, input, change, useInput, ...}; `about` is {vocabulary, seed, bins, shown: channels that have a
// picture, at most}, `input` the picture {shape, data}. `show(model)` is called with what showModel() of page.js takes
// once all layers are computed, `wait(true)` while that takes its time.
function makeLive(about, input, { show, wait }) {
  const pipelines = makePipelines(about.vocabulary, about.carried), computer = startComputer(receive);
  const have = []; // by tensor: {serial, data}
  let latest = 0, parts = [], started = 0;
  const live = { pipelines, layers: [], rows: [], seed: about.seed, input, milliseconds: 0, change, useInput, forget };

  // Take other layers, or another seed; the problem {layer, reason, argument} where they do not fit, and then nothing changes.
  function change(layers, seed = live.seed) {
    const { rows, error } = pipelines.follow(layers, live.input.shape, seed);
    if (error) return error;
    const room = [live.input, ...rows].reduce((sum, { shape: [c, h, w] }) => sum + c * h * w, 0);
    if (room > ROOM) {
      const reason = `all layers together have ${Math.ceil(room / 1e6)} million values, and the page computes ${ROOM / 1e6} million at most`;
      return { layer: rows.length - 1, reason, argument: null };
    }
    Object.assign(live, { layers, rows, seed });
    compute();
    return null;
  }

  // Take another picture.
  function useInput(input) {
    const { error } = pipelines.follow(live.layers, input.shape, live.seed);
    if (error) return error;
    live.input = input;
    forget();
    return change(live.layers);
  }

  // The Worker is to take the input anew.
  function forget() {
    have.length = 0;
  }

  function compute() {
    started = performance.now();
    parts = [];
    wait(true);
    const layers = live.rows.map(({ about, shape, weights }) => ({ about, shape, weights }));
    const known = have.map((one) => one?.serial ?? 0), fresh = have.length === 0;
    computer({ id: ++latest, input: fresh ? live.input : null, layers, known, bins: about.bins });
  }

  function receive(message) {
    if (message.data) have[message.t] = { serial: message.serial, data: message.data };
    if (message.id !== latest) return;
    if (!message.done) {
      parts.push(message);
      return;
    }
    have.length = parts.length;
    live.milliseconds = performance.now() - started;
    wait(false);
    show(modelOf());
  }

  function modelOf() {
    const shown = Math.max(1, Math.floor(about.shown / parts.length));
    const tensors = parts.map(({ t, shape, channels }) => {
      const some = channels.slice(0, shown), each = (name) => some.map((channel) => channel[name]);
      return {
        shape, source: "carried", part: [0, 0, shape[1], shape[2]], values: have[t].data, factor: 1,
        low: each("low"), high: each("high"), spread: each("spread"), mean: each("mean"), bars: each("bars"), bad: each("bad"),
      };
    });
    const layers = live.rows.map((row, l) => ({
      ...row.about, kind: row.about.kind in RULES || row.weights ? row.about.kind : "unknown", ...parts[l + 1].about, names: row.names, weights: row.weights ?? undefined, facts: factsOf(row),
    }));
    return { tensors, layers };
  }

  function factsOf({ layer, sums, shape, field: [height, width], parameters }) {
    const [rows, columns] = sums.map((sum, i) => sum || `${shape[i + 1]}, unchanged`);
    return {
      text: shorten(pipelines.writeLayer(layer)), lesson: about.vocabulary.layers[layer.name].lesson, field: `${width}×${height} pixels of the picture`,
      parameters: parameters.toLocaleString("en"), rows, columns,
    };
  }

  const shorten = (text) => (text.length > 200 ? `${text.slice(0, 197)}...` : text);
  return live;
}

// A function that takes requests: a Worker does them, which starts with the first one, or the page itself where there can
// be no Worker.
function startComputer(receive) {
  let take = null;
  return (request) => (take ??= startWorker(receive))(request);
}

function startWorker(receive) {
  const code = document.getElementById("arithmetic").textContent, address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    const worker = new Worker(address);
    worker.onmessage = ({ data }) => receive(data);
    return (request) => worker.postMessage(request);
  } catch {
    return makeComputer(receive);
  }
}

// The pipeline as the part of an address after "#", and what such a part holds: {text, seed}, or null.
function writeFragment(text, seed, usual) {
  const words = encodeURIComponent(text).replaceAll("%20", "+").replaceAll("%2C", ",").replaceAll("%3D", "=");
  return `#pipeline=${words}${seed === usual ? "" : `&seed=${seed}`}`;
}

function readFragment(fragment, usual) {
  const found = /^#pipeline=([^&]*)(?:&seed=(\d{1,15}))?$/.exec(fragment);
  if (!found) return null;
  try {
    return { text: decodeURIComponent(found[1].replaceAll("+", " ")), seed: found[2] === undefined ? usual : Number(found[2]) };
  } catch {
    return { text: found[1], seed: usual };
  }
}
