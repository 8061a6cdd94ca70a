// Formats a float as Python's repr does: the shortest digits that read back as the same number, with an exponent below
// 1e-4 and from 1e16 on. Source: Python/pystrtod.c (format_float_short with 'r'), Objects/complexobject.c.

/** `1.0`, `1e+16`, `inf`; without `.0` where `addDotZero` is false (parts of a complex number). */
export function formatFloatRepr(value: number, addDotZero: boolean): string {
  const size = Math.abs(value);
  // In this range JavaScript writes a float as Python does, but for `.0`: nearly all floats of a heap take this way.
  if (size >= 1e-4 && size < 1e16) {
    return addDotZero && Number.isInteger(value) ? `${value}.0` : `${value}`;
  }
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  // JavaScript's shortest digits are the same; its exponent begins elsewhere and has no leading zero.
  const [mantissa, exponentText] = Math.abs(value).toExponential().split('e');
  const exponent = Number(exponentText);
  const digits = mantissa.replace('.', '');
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const fraction = digits.slice(exponent + 1);
  if (fraction !== '') return `${sign}${whole}.${fraction}`;
  return sign + whole + (addDotZero ? '.0' : '');
}
