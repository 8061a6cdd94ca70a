// The fingerprint of a suspect: eight hexadecimal digits that are the same for the same leak in every run, on every
// machine and on every version of Python, for allow-lists, CI and searching. A hash of the shape of the path.

import { HASH_START, hashText } from '../base/hash.ts';
import { type ShapeIndex, type ShapeTable, shapeSteps } from './shapes.ts';

/** Objects that hold others on behalf of CPython and are not the same in every version, or are where values lie anyway. */
const HIDDEN_TYPES = new Set(['cell', 'dict_keys', 'dict_values', 'functools._lru_list_elem']);

/** `5f2c91ab` */
export function computeFingerprint(table: ShapeTable, shape: ShapeIndex): string {
  let hash = HASH_START;
  for (const step of shapeSteps(table, shape)) {
    const type = table.names[table.typeName[step]];
    const edge = table.names[table.edgeName[step]];
    if (step !== shape && HIDDEN_TYPES.has(type)) continue;
    // Which C field or byte it is found at changes with the version.
    const isNamed = !edge.startsWith('<');
    hash = hashText(`${isNamed ? edge : '<>'}|${type}|`, hash);
  }
  return hash.toString(16).padStart(8, '0');
}
