// The registry of object decoders: which function knows the C struct of which built-in type. `type-table.ts` asks it once
// per type object; what the decoders do is in decode-*.ts.

import type { Address } from '../memory/memory-reader.ts';
import { asyncTables } from './decode-async.ts';
import { containerDecoders } from './decode-containers.ts';
import { dataFormatTables } from './decode-data-formats.ts';
import { dictDecoders } from './decode-dict.ts';
import { frameDecoders } from './decode-frames.ts';
import { functionTables } from './decode-functions.ts';
import { ioTables } from './decode-io.ts';
import { iteratorTables } from './decode-iterators.ts';
import { libraryTables } from './decode-libraries.ts';
import { moduleTables } from './decode-modules.ts';
import { numberAndTextDecoders } from './decode-numbers-and-text.ts';
import { numpyDecoders } from './decode-numpy.ts';
import { decodersOfTables, type StructTable } from './decode-struct.ts';
import { typeDecoders } from './decode-types.ts';
import type { Layout } from './layout.ts';
import type { ObjectDecoder } from './object-reader.ts';

/** The types whose decoders are tables. */
export const TABLES: readonly StructTable[] = [
  ...functionTables,
  ...iteratorTables,
  ...asyncTables,
  ...moduleTables,
  ...ioTables,
  ...dataFormatTables,
  ...libraryTables,
];

/**
 * Decoders by `tp_name` as it stands in memory of the C type: `dict`, `collections.deque`, `functools._lru_cache_wrapper`.
 * `typesStates` are the addresses of `PyInterpreterState.types` of all interpreters (3.12 and newer keep there what static
 * types refer to). The closures keep caches of the reader they last worked for: one map per reader is the fast way.
 */
export function decodersByTypeName(
  layout: Layout,
  typesStates: readonly Address[] = [],
): ReadonlyMap<string, ObjectDecoder> {
  return new Map<string, ObjectDecoder>([
    ...decodersOfTables(layout, TABLES),
    ...dictDecoders(layout),
    ...containerDecoders(layout),
    ...numberAndTextDecoders(layout),
    ...frameDecoders(layout),
    ...typeDecoders(layout, typesStates),
    ...numpyDecoders(),
  ]);
}
