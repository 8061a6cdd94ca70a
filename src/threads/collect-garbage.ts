// Gives memory back that nothing refers to any more. V8 does so by itself, but does not know how much lies behind shared
// arrays.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let gc: (() => void) | undefined;

/** Node.js offers its collector only by a flag, which V8 takes at run time, too. Some 10 ms. */
export function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
  }
  gc();
  // What the first has found is given back beside us; the next waits for that.
  gc();
}
