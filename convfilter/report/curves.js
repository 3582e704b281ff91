// The curves of the elementwise layers: from a value, the layer's arguments and the channel to the value that comes out.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const CURVES = {
  ELU: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)),
  CELU: (x, { alpha }) => Math.max(x, 0) + Math.min(0, alpha * Math.expm1(x / alpha)),
  SELU: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  GELU: (x, { approximate }) =>
    approximate === "tanh"
      ? (x / 2) * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x ** 3)))
      : (x / 2) * (1 + erf(x / Math.SQRT2)),
  Hardshrink: (x, { lambd }) => (Math.abs(x) > lambd ? x : 0),
  Hardsigmoid: (x) => clamp(x / 6 + 0.5, 0, 1),
  Hardswish: (x) => x * clamp(x / 6 + 0.5, 0, 1),
  Hardtanh: (x, { min_val, max_val }) => clamp(x, min_val, max_val),
  Identity: (x) => x,
  Dropout: (x) => x,
  Dropout2d: (x) => x,
  LeakyReLU: (x, { negative_slope }) => (x > 0 ? x : negative_slope * x),
  LogSigmoid: (x) => -softplus(-x),
  Mish: (x) => x * Math.tanh(softplus(x)),
  PReLU: (x, { init }, c) => (x > 0 ? x : init[c % init.length] * x),
  RReLU: (x, { lower, upper }) => (x > 0 ? x : ((lower + upper) / 2) * x),
  ReLU: (x) => Math.max(x, 0),
  ReLU6: (x) => clamp(x, 0, 6),
  SiLU: (x) => x * sigmoid(x),
  Sigmoid: sigmoid,
  Softplus: (x, { beta, threshold }) => (x * beta > threshold ? x : softplus(x * beta) / beta),
  Softshrink: (x, { lambd }) => (x > lambd ? x - lambd : x < -lambd ? x + lambd : 0),
  Softsign: (x) => x / (1 + Math.abs(x)),
  Tanh: Math.tanh,
  Tanhshrink: (x) => x - Math.tanh(x),
  Threshold: (x, { threshold, value }) => (x > threshold ? x : value),
};

// The error function by its series near 0, by a continued fraction beyond: good to the last digits of a double.
function erf(x) {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction));
}
