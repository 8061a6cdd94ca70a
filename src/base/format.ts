// Numbers, sizes, times and foreign text as people read them: `+2 400`, `18.1 MB`, `4.5 GB/h`, `3 h 12 min`. Sizes are
// decimal (1 kB = 1000 B), as the kernel's tools and dashboards count RSS. Pure; no domain; runs in a browser too.

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `41 204`: groups of three from 1 000 on. Fractions are rounded away. */
export function formatCount(count: number): string {
  const digits = Math.round(Math.abs(count)).toString();
  const grouped = digits.replace(/\B(?=(\d{3})+$)/g, ' ');
  return count < 0 && digits !== '0' ? `-${grouped}` : grouped;
}

/** `+2 400`, `-3`, `0`. */
export function formatSignedCount(count: number): string {
  return Math.round(count) > 0 ? `+${formatCount(count)}` : formatCount(count);
}

const formatScaled = (value: number): string =>
  value >= 99.95 ? formatCount(value) : value.toFixed(1);

function findUnit(bytes: number): number {
  let unit = 0;
  // 999.5 would be printed as 1000: it belongs to the next unit.
  for (let value = Math.abs(bytes); value >= 999.5 && unit < BYTE_UNITS.length - 1; unit++) {
    value /= 1000;
  }
  return unit;
}

function formatBytesInUnit(bytes: number, unit: number): string {
  if (unit === 0) return `${formatCount(bytes)} B`;
  const scaled = Math.abs(bytes) / 1000 ** unit;
  const text = formatScaled(scaled);
  return `${bytes < 0 && Number(text) !== 0 ? '-' : ''}${text} ${BYTE_UNITS[unit]}`;
}

/** `7.5 kB`, `18.1 MB`, `412 MB`. */
export const formatBytes = (bytes: number): string => formatBytesInUnit(bytes, findUnit(bytes));

/** `+18.1 MB`, `-0.1 MB`; in the unit of `reference` where one is given, so that a row of terms adds up by eye. */
export function formatSignedBytes(bytes: number, reference = bytes): string {
  const text = formatBytesInUnit(bytes, findUnit(reference));
  return text.startsWith('-') || bytes <= 0 ? text : `+${text}`;
}

/** `+4.5 GB/h`. */
export const formatBytesPerHour = (bytesPerHour: number): string =>
  `${formatSignedBytes(bytesPerHour)}/h`;

/** `+160/s`, `+12/min`, `+3/h`: the largest unit of time in which at least one comes. */
export function formatCountRate(perSecond: number): string {
  const size = Math.abs(perSecond);
  const sign = perSecond > 0 ? '+' : '';
  if (size === 0) return '0/s';
  if (size >= 9.5) return `${sign}${formatCount(perSecond)}/s`;
  if (size >= 1) return `${sign}${perSecond.toFixed(1)}/s`;
  if (size * 60 >= 1) return `${sign}${formatCount(perSecond * 60)}/min`;
  return `${sign}${formatCount(Math.sign(perSecond) * Math.max(1, size * 3600))}/h`;
}

/** `450 ms`, `15 s`, `12 min`, `3 h 12 min`, `2 d 4 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(minutes / 60);
  return `${formatCount(Math.floor(hours / 24))} d ${hours % 24} h`;
}

/** `41` or `0.4`: milliseconds without their unit. */
export const formatMs = (ms: number): string => (ms >= 9.5 ? formatCount(ms) : ms.toFixed(1));

/** `95 %`, `0.3 %`; a share that is not the whole is never rounded up to `100 %`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0 || percent >= 100) return `${formatCount(percent)} %`;
  if (percent > 99) {
    const digits = percent > 99.99 ? 3 : percent > 99.9 ? 2 : 1;
    const scale = 10 ** digits;
    return `${Math.floor(Number((percent * scale).toPrecision(12))) / scale} %`;
  }
  return percent < 9.5 ? `${Number(percent.toPrecision(1))} %` : `${Math.round(percent)} %`;
}

/** `0x7f3a2c1d9e50`. */
export const formatAddress = (address: number): string => `0x${address.toString(16)}`;

/** `1 object`, `2 400 objects`. */
export const formatNumberOf = (count: number, noun: string, plural = `${noun}s`): string =>
  `${formatCount(count)} ${Math.round(count) === 1 ? noun : plural}`;

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * Text that comes from a target, made safe for a terminal: control characters, line breaks, bidirectional overrides
 * and lone surrogates are written as escapes, so that a string in a heap cannot move the cursor or hide a line.
 */
export function sanitizeText(text: string): string {
  return text
    .replace(LONE_SURROGATE, '\ufffd')
    .replace(
      /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (character) => {
        const code = character.charCodeAt(0);
        return code < 256
          ? `\\x${code.toString(16).padStart(2, '0')}`
          : `\\u${code.toString(16).padStart(4, '0')}`;
      },
    );
}

/** At most `width` characters; what is cut off is shown as one `…` at the end. */
export const cutEnd = (text: string, width: number): string =>
  text.length <= width ? text : `${trimHalf(text.slice(0, Math.max(0, width - 1)))}…`;

/** At most `width` characters; the middle is cut, since both ends of a path or command matter. */
export function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const head = Math.ceil((width - 1) / 2);
  const tail = text.slice(text.length - Math.max(0, width - 1 - head));
  return `${trimHalf(text.slice(0, head))}…${tail.replace(/^[\udc00-\udfff]/, '')}`;
}

// Half of a surrogate pair at the cut would be printed as a replacement character.
const trimHalf = (text: string): string => text.replace(/[\ud800-\udbff]$/, '');

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text of the target for HTML and SVG: what the terminal must not see is not in it either. */
export const escapeMarkup = (text: string): string =>
  sanitizeText(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** As a shell reads it back. */
export const quoteForShell = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
