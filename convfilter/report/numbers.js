// How numbers are written: as numbers.py writes them, with a minus sign instead of a hyphen. A test holds the two together.

// What toFixed or toExponential gives, but halves become even digits, as in Python.
function roundToEven(value, method, places) {
  const [exact, power] = value[method](places + 40).split("e"), kept = exact.slice(0, -40), rest = exact.slice(-40);
  const half = /^50*$/.test(rest) && "02468".includes(kept.replace(".", "").at(-1));
  return half ? kept.replace(/\.$/, "") + (power ? `e${power}` : "") : value[method](places);
}

const typeset = (text) => text.replace("e+", "e").replaceAll("-", "−");

// A number with `digits` significant ones, whole numbers below ten million as they are.
function write(value, digits = 5) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const near = roundToEven(value, "toExponential", digits - 1), power = Number(near.split("e")[1]);
  if (power >= digits && Math.abs(value) < 1e7) return typeset(roundToEven(value, "toFixed", 0));
  return typeset(power < -4 || power >= digits ? near.replace(/\.?0*e/, "e") : String(Number(near)));
}

// A function that writes each number of a matrix with as many decimals as give the largest of them `digits` digits.
function align(values, digits = 3) {
  const all = values.flat().filter(Number.isFinite), most = all.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (all.every(Number.isInteger) || most >= 1e7 || most < 1e-4) return (value) => write(value, digits);
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(most)));
  return (value) => (Number.isFinite(value) ? typeset(roundToEven(value, "toFixed", decimals).replace(/^-([0.]*)$/, "$1")) : write(value));
}
