// Maps and pictures to other sizes, as common/photos/geometry.py and common/colorize/upsampling.py.

/** For each of `m` positions [first of `n`, its weights]: the mean of an area, or linear. */
function weights(n, m) {
  const scale = n / m;
  return Array.from({ length: m }, (_, i) => {
    if (m <= n) {
      const start = i * scale, stop = start + scale, first = Math.floor(start + 1e-9);
      const shares = [];
      for (let j = first; j < Math.min(n, stop - 1e-9); j++) {
        shares.push((Math.min(stop, j + 1) - Math.max(start, j)) / scale);
      }
      return [first, shares];
    }
    const at = Math.min(Math.max((i + 0.5) * scale - 0.5, 0), n - 1);
    const first = Math.min(Math.floor(at), Math.max(n - 2, 0));
    return n === 1 ? [0, [1]] : [first, [1 - (at - first), at - first]];
  });
}

/** A row (width, channels) -> (to, channels), by weights. */
function row(values, at, channels, table, out, to) {
  for (let i = 0; i < table.length; i++) {
    const [first, shares] = table[i];
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let k = 0; k < shares.length; k++) {
        sum += shares[k] * values[at + (first + k) * channels + c];
      }
      out[to + i * channels + c] = sum;
    }
  }
}

/** `lines(y)`, each (width, channels), for y of [0, height) -> a function of y' of [0, toHeight). */
export function resized(lines, height, width, channels, toHeight, toWidth) {
  const across = weights(width, toWidth), down = weights(height, toHeight);
  const narrow = new Float32Array(height * toWidth * channels);
  for (let y = 0; y < height; y++) {
    row(lines(y), 0, channels, across, narrow, y * toWidth * channels);
  }
  const out = new Float32Array(toWidth * channels);
  return (y) => {
    const [first, shares] = down[y];
    out.fill(0);
    for (let k = 0; k < shares.length; k++) {
      const at = (first + k) * out.length;
      for (let i = 0; i < out.length; i++) out[i] += shares[k] * narrow[at + i];
    }
    return out;
  };
}

/** A whole map (height, width, channels) at another size. */
export function map(values, height, width, channels, toHeight, toWidth) {
  const length = width * channels;
  const line = resized((y) => values.subarray(y * length, (y + 1) * length), height, width, channels,
    toHeight, toWidth);
  const out = new Float32Array(toHeight * toWidth * channels);
  for (let y = 0; y < toHeight; y++) out.set(line(y), y * toWidth * channels);
  return out;
}

const SIGMA = 0.8, REACH = 3, FLAT = 10;
const BELL = Array.from({ length: 2 * REACH + 1 }, (_, i) =>
  Math.exp(-((i - REACH) ** 2) / (2 * SIGMA ** 2)));
const TOTAL = BELL.reduce((sum, value) => sum + value);

/** The weighted mean around each position of a map of one channel; the border is mirrored. */
function around(values, size) {
  const mirrored = (i) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i);
  const pass = (source, step, other) => {
    const out = new Float32Array(source.length);
    for (let j = 0; j < size; j++) {
      for (let i = 0; i < size; i++) {
        let sum = 0;
        for (let k = -REACH; k <= REACH; k++) {
          sum += BELL[k + REACH] * source[mirrored(i + k) * step + j * other];
        }
        out[i * step + j * other] = sum / TOTAL;
      }
    }
    return out;
  };
  return pass(pass(values, 1, size), size, 1);
}

/** ab (size, size, 2) and L* (size, size) -> (size, size, 4): slopes over L*, and offsets. */
export function slopes(ab, l, size) {
  const count = size * size, out = new Float32Array(4 * count);
  const mean = around(l, size), square = around(l.map((value) => value * value), size);
  for (let c = 0; c < 2; c++) {
    const channel = l.map((_, i) => ab[2 * i + c]);
    const average = around(channel, size);
    const product = around(l.map((value, i) => value * channel[i]), size);
    for (let i = 0; i < count; i++) {
      const covariance = product[i] - average[i] * mean[i];
      const slope = covariance / (square[i] - mean[i] * mean[i] + FLAT);
      out[4 * i + c] = slope;
      out[4 * i + 2 + c] = channel[i] - slope * l[i];
    }
  }
  return out;
}
