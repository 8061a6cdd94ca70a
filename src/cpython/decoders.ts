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
import { decodersOfTables, type StructTable } from './decode-struct.ts';
import { typeDecoders } from './decode-types.ts';
import type { Layout } from './layout.ts';
import type { DecodeObject } from './object-reader.ts';

/** What knows the C struct that the instances of a type begin with. */
export interface ObjectDecoder {
  /**
   * tp_basicsize of the C type itself: bytes from the start of the object that the decoder explains. A type of that name
   * and another size is of another micro release and not decoded with it.
   */
  structSize: number;
  /** Smallest instance in bytes where that is less than tp_basicsize: compact str. */
  minimumSize?: number;
  decode: DecodeObject;
  /** The word behind ob_type is no number of items (or not in items of tp_itemsize): the caller must not multiply it. */
  ignoresObSize?: boolean;
  /**
   * Items begin at structSize, also where tp_basicsize is larger: such bytes are items that are not counted (hidden fields
   * of a structseq) or a slot of the end that tp_dictoffset tells. Nothing of the body is unexplained.
   */
  explainsBody?: boolean;
}

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
  ]);
}
