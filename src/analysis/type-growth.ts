// What grew by type alone, whatever holds it: the first look that everybody knows, one row per type name.

import type { CaptureTrack } from './capture-track.ts';

export interface TypeGrowth {
  typeName: string;
  /** Per capture. */
  count: number[];
  bytes: number[];
  /** Whether the count grew in every round. */
  everyRound: boolean;
}

/** All types whose count or bytes changed, the most bytes first. O(types of all captures). */
export function computeTypeGrowth(tracks: readonly CaptureTrack[]): TypeGrowth[] {
  const byName = new Map<string, TypeGrowth>();
  tracks.forEach(({ types }, capture) => {
    types.names.forEach((typeName, row) => {
      let growth = byName.get(typeName);
      if (growth === undefined) {
        const zeros = (): number[] => tracks.map(() => 0);
        growth = { typeName, count: zeros(), bytes: zeros(), everyRound: false };
        byName.set(typeName, growth);
      }
      growth.count[capture] = types.nodeCount[row];
      growth.bytes[capture] = types.allocatedBytes[row];
    });
  });
  const rows = [...byName.values()].filter(
    ({ count, bytes }) => differences(count).some(Boolean) || differences(bytes).some(Boolean),
  );
  for (const row of rows) row.everyRound = differences(row.count).every((each) => each > 0);
  const grown = ({ bytes }: TypeGrowth) => bytes[bytes.length - 1] - bytes[0];
  return rows.sort((a, b) => grown(b) - grown(a) || (a.typeName < b.typeName ? -1 : 1));
}

/** Of a column of captures: per round. */
export const differences = (values: ArrayLike<number>): number[] =>
  Array.from({ length: values.length - 1 }, (_, i) => values[i + 1] - values[i]);
