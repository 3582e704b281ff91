// Links the pixels of all pictures of a comparison: pointing at one shows its counterparts, and the value of each.
//
// The page's JSON is a list of panels: name, width, height, factor (each dot is the mean of as many pixels across), and
// x and y: for each column and row the middle of what it sees of the input. Their values stand in values-N.

"use strict";

const PANELS = JSON.parse(document.getElementById("page").textContent);
let held = false, at = { panel: 0, x: 0, y: 0 };

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Float32Array(await new Response(stream).arrayBuffer());
}

// The number of the middle that is nearest to a place of the input; -1 where the outputs do not reach it.
function nearest(middles, place) {
  let best = 0;
  for (let i = 1; i < middles.length; i++) if (Math.abs(middles[i] - place) < Math.abs(middles[best] - place)) best = i;
  const step = middles.length > 1 ? Math.abs(middles[middles.length - 1] - middles[0]) / (middles.length - 1) : Infinity;
  return Math.abs(middles[best] - place) <= Math.max(step, 1) / 2 + 1e-6 ? best : -1;
}

function show(number, x, y) {
  const from = PANELS[number], words = [];
  at = { panel: number, x, y };
  PANELS.forEach((panel, i) => {
    const column = i === number ? x : nearest(panel.x, from.x[x]), row = i === number ? y : nearest(panel.y, from.y[y]);
    const found = column >= 0 && row >= 0, mark = panel.element.querySelector(".mark");
    mark.hidden = !found;
    let text = "no output here: the windows do not reach the rim";
    if (found) {
      const place = { left: column / panel.width, top: row / panel.height, width: 1 / panel.width, height: 1 / panel.height };
      for (const [side, share] of Object.entries(place)) mark.style[side] = `${100 * share}%`;
      const size = panel.width * panel.height, index = row * panel.width + column, values = [];
      for (let k = index; k < panel.values.length; k += size) values.push(write(panel.values[k], 7));
      text = `x,y ${column * panel.factor},${row * panel.factor}: ${values.join(", ")}`;
    }
    panel.element.querySelector("output").textContent = text;
    words.push(`${panel.title}: ${text}`);
  });
  return words;
}

function hold(on) {
  held = on;
  document.body.classList.toggle("held", on);
}

function listen(panel, number) {
  const picture = panel.element.querySelector(".picture");
  const place = (event) => {
    const box = picture.getBoundingClientRect();
    const share = (at, start, length, count) => Math.max(0, Math.min(count - 1, Math.floor(((at - start) / length) * count)));
    return [share(event.clientX, box.left, box.width, panel.width), share(event.clientY, box.top, box.height, panel.height)];
  };
  picture.addEventListener("pointermove", (event) => { if (!held) show(number, ...place(event)); });
  picture.addEventListener("click", (event) => {
    hold(!held);
    if (held) show(number, ...place(event));
  });
  picture.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") hold(false);
    if (event.key === "Enter") hold(!held);
    if (!moves[event.key]) return;
    event.preventDefault();
    if (at.panel !== number) at = { panel: number, x: panel.width >> 1, y: panel.height >> 1 };
    const [dx, dy] = moves[event.key].map((step) => step * (event.shiftKey ? 10 : 1));
    const x = Math.max(0, Math.min(panel.width - 1, at.x + dx)), y = Math.max(0, Math.min(panel.height - 1, at.y + dy));
    document.getElementById("status").textContent = show(number, x, y).join("; ");
  });
}

async function start() {
  for (const [i, panel] of PANELS.entries()) {
    panel.element = document.getElementById(`panel-${i}`);
    panel.title = panel.element.querySelector(".picture").getAttribute("aria-label");
    panel.values = await unpack(document.getElementById(`values-${i}`).textContent);
  }
  PANELS.forEach(listen);
  show(0, PANELS[0].width >> 1, PANELS[0].height >> 1);
  document.body.dataset.ready = "yes";
}

start();
