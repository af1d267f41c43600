// sRGB <-> CIE L*a*b* (D65), as common/color/lab.py has it.

const TO_XYZ = [
  [0.412453 / 0.95047, 0.35758 / 0.95047, 0.180423 / 0.95047],
  [0.212671, 0.71516, 0.072169],
  [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
];
const FROM_XYZ = inverse(TO_XYZ);
const KNEE = 0.008856, KNEE_F = 0.206893, SLOPE = 7.787, MARGIN = 1e-5;

const LINEAR = Float64Array.from({ length: 256 }, (_, value) => {
  const x = value / 255;
  return x > 0.04045 ? ((x + 0.055) / 1.055) ** 2.4 : x / 12.92;
});

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const A = e * i - f * h, B = f * g - d * i, C = d * h - e * g;
  const determinant = a * A + b * B + c * C;
  return [
    [A, c * h - b * i, b * f - c * e],
    [B, a * i - c * g, c * d - a * f],
    [C, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / determinant));
}

/** L* of an sRGB colour of 8 bits, in [0, 100]. */
export function lightness(r, g, b) {
  const y = TO_XYZ[1][0] * LINEAR[r] + TO_XYZ[1][1] * LINEAR[g] + TO_XYZ[1][2] * LINEAR[b];
  const f = y > KNEE ? Math.cbrt(y) : Math.cbrt(KNEE) + SLOPE * (y - KNEE);
  return 116 * f - 16;
}

function unbent(f) {
  return f > KNEE_F ? f * f * f : KNEE_F ** 3 + (f - KNEE_F) / SLOPE;
}

/** Lab -> linear light in `out`; beyond [0, 1] where the colour is beyond the gamut. */
function linear(l, a, b, out) {
  const fy = (l + 16) / 116;
  const x = unbent(fy + a / 500), y = unbent(fy), z = unbent(fy - b / 200);
  let inside = true;
  for (let i = 0; i < 3; i++) {
    const value = FROM_XYZ[i][0] * x + FROM_XYZ[i][1] * y + FROM_XYZ[i][2] * z;
    out[i] = value;
    inside &&= value >= -MARGIN && value <= 1 + MARGIN;
  }
  return inside;
}

const light = new Float64Array(3);

/** Write Lab as sRGB of 8 bits at `data[at]`; beyond the gamut chroma is reduced, L* and hue stay. */
export function write(l, a, b, data, at) {
  if (!linear(l, a, b, light)) {
    let low = 0, high = 1;
    for (let i = 0; i < 14; i++) {
      const middle = (low + high) / 2;
      if (linear(l, middle * a, middle * b, light)) low = middle;
      else high = middle;
    }
    linear(l, low * a, low * b, light);
  }
  for (let i = 0; i < 3; i++) {
    const x = Math.min(Math.max(light[i], 0), 1);
    data[at + i] = Math.round(255 * (x > 0.0031308 ? 1.055 * x ** (1 / 2.4) - 0.055 : 12.92 * x));
  }
}
