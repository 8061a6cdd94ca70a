// Names the functions that lines of code belong to, from the code objects of the heap: tracemalloc records files and lines
// only. Turns sites of traces into rows of function names.
// Source: Include/cpython/code.h, the line tables (line-tables.ts). Before 3.11 a code object has no qualified name.
//
// Of several code objects that have a line (a comprehension in a function) the one with a plain name is meant.

import { MemoryReadError } from '../base/errors.ts';
import type { AllocationTraces } from '../graph/allocation-traces.ts';
import { findStrText } from './dict-entries.ts';
import type { RuntimeLocation } from './find-runtime.ts';
import type { FoundObjects } from './found-objects.ts';
import { findBytesContent } from './known-objects.ts';
import { forEachLine } from './line-tables.ts';

const NO_NAME = 0xffffffff;
/** More lines than this in one code object are damage, or data that was written as code. */
const MAX_LINE = 2 ** 31;

interface SiteNames {
  siteFunction: Uint32Array;
  functions: string[];
}

/** O(objects); a few microseconds per code object of a file that has sites. */
export function findFunctionNames(
  found: FoundObjects,
  { layout, features }: RuntimeLocation,
  { siteFile, siteLine, facts }: AllocationTraces,
): SiteNames {
  const { image } = found;
  const sitesByFile = groupSites(siteFile, siteLine, facts.files);
  const siteFunction = new Uint32Array(siteFile.length).fill(NO_NAME);
  const functions: string[] = [];
  const sitesByName = new Map<number, ReadonlyMap<number, number> | undefined>();
  const field = (name: string) => layout.offset(`PyCodeObject.${name}`);
  const tableField = layout.has('PyCodeObject.co_linetable') ? 'co_linetable' : 'co_lnotab';
  const nameField = layout.has('PyCodeObject.co_qualname') ? 'co_qualname' : 'co_name';

  const nameSites = (code: number): void => {
    const filename = image.readAddress(code + field('co_filename'));
    if (!sitesByName.has(filename)) {
      const file = findStrText(image, layout, filename);
      sitesByName.set(filename, file === undefined ? undefined : sitesByFile.get(file));
    }
    const sites = sitesByName.get(filename);
    if (sites === undefined) return;
    const table = findBytesContent(image, layout, image.readAddress(code + field(tableField)));
    if (table === undefined) return;
    let row = NO_NAME;
    forEachLine(
      features.lineTable,
      table,
      image.readI32(code + field('co_firstlineno')),
      (line) => {
        const site = line > MAX_LINE ? undefined : sites.get(line);
        if (site === undefined) return;
        const known = siteFunction[site];
        if (known === row && row !== NO_NAME) return;
        if (known !== NO_NAME && !functions[known].endsWith('>')) return;
        if (row === NO_NAME) {
          const name = findStrText(image, layout, image.readAddress(code + field(nameField)));
          row = functions.push(name ?? '?') - 1;
        }
        siteFunction[site] = row;
      },
    );
  };

  const isCode = found.types.map((type) => !type.isHeapType && type.tp_name === 'code');
  const typeIds = found.typeId.array;
  for (let node = 0; node < found.word.length; node++) {
    if (!isCode[typeIds[node]]) continue;
    try {
      nameSites(image.addressOfWord(found.word.array[node]));
    } catch (error) {
      if (!(error instanceof MemoryReadError)) throw error;
    }
  }
  return { siteFunction, functions };
}

/** By file, by line: the site. */
function groupSites(
  siteFile: Uint32Array,
  siteLine: Uint32Array,
  files: readonly string[],
): Map<string, Map<number, number>> {
  const byFile = new Map<string, Map<number, number>>(files.map((file) => [file, new Map()]));
  for (let site = 0; site < siteFile.length; site++) {
    byFile.get(files[siteFile[site]])?.set(siteLine[site], site);
  }
  return byFile;
}
