// PyTorch's random numbers, so that a layer begins with the weights that PyTorch would give it.

// The numbers from 0 to 1 that torch.rand draws after torch.manual_seed(seed): those of a Mersenne Twister, 24 bits of each.
function randomNumbers(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = 624;
  const turn = () => {
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === 624) turn();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return ((y ^ (y >>> 18)) & 0xffffff) / 0x1000000;
  };
}

// `count` numbers from -bound to bound, each multiplied and added with one rounding, as processors do.
function drawEvenly(draw, count, bound) {
  const low = Math.fround(-bound), breadth = Math.fround(Math.fround(bound) - low);
  return Float32Array.from({ length: count }, () => draw() * breadth + low);
}

// The weights and biases with which PyTorch begins a convolution whose weights have this shape (O, I, H, W).
function drawWeights(draw, [outs, ins, height, width], biases) {
  const seen = ins * height * width, bound = Math.sqrt(3) * (Math.sqrt(2 / (1 + Math.sqrt(5) ** 2)) / Math.sqrt(seen));
  const weights = drawEvenly(draw, outs * seen, bound);
  return { weights, bias: [...drawEvenly(draw, biases, 1 / Math.sqrt(seen))] };
}
