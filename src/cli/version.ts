// leakscope's own version, from the package.json beside src/ and dist/.

import { readFileSync } from 'node:fs';

const packageJson = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');

/** `0.1.0` */
export const leakscopeVersion = (JSON.parse(packageJson) as { version: string }).version;
