// The sliding window: it goes over a layer's output pixel by pixel, row by row, and the output fills in behind it.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// A player for the output tensor t: {place: its buttons, last: [y, x] up to which the output is drawn or null, keys, ...}.
function makePlayer(t, move, repaint) {
  const [, height, width] = PAGE.tensors[t].shape, fastest = Math.max(40, (height * width) / 5);
  const play = el("button", { type: "button", class: "play" }), step = el("button", { type: "button", title: "One pixel on (full stop)" }, "Step");
  const stop = el("button", { type: "button", hidden: true, title: "Show the whole output (Escape)" }, "Whole output");
  const speed = el("input", { type: "range", min: 0, max: 10, value: 3, "aria-label": "Speed" }), rate = el("span", { class: "shape" });
  const player = { place: el("div", { class: "player" }, play, step, el("label", {}, "Speed", speed, rate), stop), last: null, playing: false };
  let from = 0, due = 0;

  const pixels = () => 2 * (fastest / 2) ** (Number(speed.value) / 10); // a second
  const label = () => {
    play.textContent = player.playing ? "❚❚ Pause" : calm.matches ? "▶ Next row" : "▶ Play";
    play.title = player.playing ? "Pause (space bar)" : calm.matches ? "Your system asks for less motion: each press fills one row (space bar)" : "Slide the window over the input (space bar)";
    rate.textContent = `${write(pixels(), 2)} pixels/s`;
    stop.hidden = !player.last;
  };

  // The window moves on by so many pixels; at the end the whole output is there again.
  function advance(count) {
    const at = player.last ? player.last[0] * width + player.last[1] + count : Math.max(0, count - 1);
    if (at >= height * width || at < 0) return end();
    player.last = [Math.floor(at / width), at % width];
    move(...player.last);
    repaint();
    label();
  }

  function end() {
    pause();
    player.last = null;
    repaint();
    label();
  }

  function pause() {
    player.playing = false;
    label();
  }

  function tick(now) {
    if (!player.playing) return;
    due += ((now - from) / 1000) * pixels();
    from = now;
    if (due >= 1) advance(Math.floor(due));
    due %= 1;
    requestAnimationFrame(tick);
  }

  function toggle() {
    if (calm.matches) return advance(player.last ? width - (player.last[1] + 1 < width ? player.last[1] + 1 : 0) : width);
    player.playing = !player.playing;
    label();
    if (!player.playing) return;
    if (!player.last) advance(1);
    from = performance.now();
    due = 0;
    requestAnimationFrame(tick);
  }

  const faster = (by) => {
    speed.value = Number(speed.value) + by;
    label();
  };
  play.addEventListener("click", toggle);
  step.addEventListener("click", () => advance(1));
  stop.addEventListener("click", end);
  speed.addEventListener("input", label);
  player.stop = pause;
  player.keys = { " ": toggle, ".": () => advance(1), ",": () => player.last && advance(-1), "+": () => faster(1), "-": () => faster(-1), Escape: end };
  label();
  return player;
}
