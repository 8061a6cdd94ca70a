// Where `npm test` puts the packages of PyPI that some tests import.

import { fileURLToPath } from 'node:url';

/** `.cache/packages/3.13`, for the `PYTHONPATH` of a Python of that version. */
export const packagesFolder = (minor: string): string =>
  fileURLToPath(new URL(`../../.cache/packages/${minor}`, import.meta.url));
