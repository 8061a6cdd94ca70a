// Shell patterns as Python's fnmatch has them: `*` (slashes included), `?`, `[seq]`, `[!seq]`; everything else is itself.
// Source: Lib/fnmatch.py. Names are compared with their case, as on every system that leakscope runs on.

/** A function that tells whether a whole text fits `pattern`. */
export function compileGlob(pattern: string): (text: string) => boolean {
  let source = '';
  for (let i = 0; i < pattern.length; ) {
    const character = pattern[i++];
    if (character === '*') {
      // Several stars mean one; written as several, they would take quadratic time.
      if (!source.endsWith('.*')) source += '.*';
    } else if (character === '?') source += '.';
    else if (character === '[') {
      const set = findSet(pattern, i);
      source += set === undefined ? '\\[' : set.source;
      i = set === undefined ? i : set.end;
    } else source += escapeCharacter(character);
  }
  const regExp = new RegExp(`^${source}$`, 's');
  return (text) => regExp.test(text);
}

/** The set that begins behind a `[`; undefined if nothing closes it. A `]` right at its start belongs to it. */
function findSet(pattern: string, start: number): { source: string; end: number } | undefined {
  const first = pattern[start] === '!' ? start + 1 : start;
  const close = pattern.indexOf(']', pattern[first] === ']' ? first + 1 : first);
  if (close < 0) return undefined;
  const ranges: string[] = [];
  for (let i = first; i < close; i++) {
    if (pattern[i + 1] === '-' && i + 2 < close) {
      // A range that ends before it begins has nothing in it.
      if (pattern[i] <= pattern[i + 2]) {
        ranges.push(`${escapeCharacter(pattern[i])}-${escapeCharacter(pattern[i + 2])}`);
      }
      i += 2;
    } else ranges.push(escapeCharacter(pattern[i]));
  }
  const isInverse = first !== start;
  if (ranges.length === 0) return { source: isInverse ? '.' : '(?!)', end: close + 1 };
  return { source: `[${isInverse ? '^' : ''}${ranges.join('')}]`, end: close + 1 };
}

const escapeCharacter = (character: string): string =>
  character.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&');
