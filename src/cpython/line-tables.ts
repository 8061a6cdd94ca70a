// Which line an instruction belongs to: decodes co_lnotab and co_linetable, in their three formats.
// Source: Objects/lnotab_notes.txt (3.8 to 3.10), PEP 626 (3.10), Objects/locations.md (3.11; InternalDocs/code_objects.md
// in newer branches) and PEP 657.

const signedByte = (byte: number): number => (byte << 24) >> 24;

/** co_lnotab of 3.8 and 3.9: pairs of an unsigned address and a signed line increment. */
export function lineByLnotab(table: Uint8Array, firstLine: number, offset: number): number {
  let line = firstLine;
  let address = 0;
  for (let i = 0; i + 1 < table.length; i += 2) {
    address += table[i];
    if (address > offset) break;
    line += signedByte(table[i + 1]);
  }
  return line;
}

const NO_LINE = -128;

/**
 * co_linetable of 3.10: pairs of the length of a range of instructions and its line less the line before; -128: no line.
 * undefined for an instruction without a line or behind the table.
 */
export function lineSince310(
  table: Uint8Array,
  firstLine: number,
  offset: number,
): number | undefined {
  let line = firstLine;
  let end = 0;
  for (let i = 0; i + 1 < table.length; i += 2) {
    const delta = signedByte(table[i + 1]);
    if (delta !== NO_LINE) line += delta;
    end += table[i];
    if (offset < end) return delta === NO_LINE ? undefined : line;
  }
  return undefined;
}

const CODE_UNIT_BYTES = 2;
/** Kinds of entries; below ONE_LINE_0 the line is that of the entry before. */
const ONE_LINE_0 = 10;
const ONE_LINE_2 = 12;
const NO_COLUMNS = 13;
const LONG = 14;
const NO_LOCATION = 15;

/**
 * co_linetable of 3.11 to 3.15: entries that begin with a byte 1kkkklll, kind and length in code units less 1; the bytes
 * behind have bit 7 clear. undefined for an instruction without a location or behind the table.
 */
export function lineSince311(
  table: Uint8Array,
  firstLine: number,
  offset: number,
): number | undefined {
  let line = firstLine;
  let end = 0;
  for (let i = 0; i < table.length; ) {
    const kind = (table[i] >>> 3) & 15;
    end += ((table[i] & 7) + 1) * CODE_UNIT_BYTES;
    if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2) line += kind - ONE_LINE_0;
    else if (kind === NO_COLUMNS || kind === LONG) line += signedVarint(table, i + 1);
    if (offset < end) return kind === NO_LOCATION ? undefined : line;
    i++;
    while (i < table.length && (table[i] & 0x80) === 0) i++;
  }
  return undefined;
}

/** Six bits a byte, the lowest first, bit 6: more follow; the sign is the lowest bit of the number. */
function signedVarint(table: Uint8Array, start: number): number {
  let value = 0;
  let shift = 0;
  for (let i = start; i < table.length && shift < 36; i++, shift += 6) {
    value += (table[i] & 63) * 2 ** shift;
    if ((table[i] & 64) === 0) break;
  }
  return value % 2 === 1 ? -Math.floor(value / 2) : value / 2;
}

/** Calls `visit` with each line that instructions of the code belong to, as often as it comes in the table. */
export function forEachLine(
  format: 'lnotab' | 'since310' | 'since311',
  table: Uint8Array,
  firstLine: number,
  visit: (line: number) => void,
): void {
  let line = firstLine;
  if (format === 'since311') {
    for (let i = 0; i < table.length; ) {
      const kind = (table[i] >>> 3) & 15;
      if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2) line += kind - ONE_LINE_0;
      else if (kind === NO_COLUMNS || kind === LONG) line += signedVarint(table, i + 1);
      if (kind !== NO_LOCATION) visit(line);
      i++;
      while (i < table.length && (table[i] & 0x80) === 0) i++;
    }
    return;
  }
  if (format === 'lnotab') visit(line);
  for (let i = 0; i + 1 < table.length; i += 2) {
    const delta = signedByte(table[i + 1]);
    if (format === 'lnotab') line += delta;
    else if (delta !== NO_LINE) line += delta;
    else continue;
    // What takes no instruction is a step on the way to another line.
    if (format === 'lnotab' ? (table[i + 2] ?? 1) > 0 : table[i] > 0) visit(line);
  }
}
