// Writes the previews of all nodes, end to end.

import { growableUint8 } from '../base/columns.ts';
import type { ObjectReader, TypeInfo } from '../cpython/object-reader.ts';
import type { WritePreview } from '../cpython/preview.ts';
import type { HeapGraph } from '../graph/heap-graph.ts';

/** The previews' bytes, and where each begins. */
export type Previews = Pick<HeapGraph, 'previewBytes' | 'previewStart'>;

/** Per node in `word` and `typeId`; `types` by typeId. */
export interface PreviewInputs {
  word: Uint32Array;
  typeId: Uint32Array;
  types: readonly TypeInfo[];
}

/** About 60 ns a node. */
export function writePreviews(
  reader: ObjectReader,
  writePreview: WritePreview,
  { word, typeId, types }: PreviewInputs,
): Previews {
  const nodeCount = word.length;
  const previewStart = new Uint32Array(nodeCount + 1);
  // Untouched capacity costs no memory; growing copies.
  const previews = growableUint8(nodeCount * 32 + 1024);
  for (let node = 0; node < nodeCount; node++) {
    writePreview(reader, word[node], types[typeId[node]], previews);
    previewStart[node + 1] = previews.length;
  }
  return { previewBytes: previews.finish(), previewStart };
}
