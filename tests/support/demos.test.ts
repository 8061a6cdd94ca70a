// The programs of demos/ must run on every supported Python, or `leakscope demo` fails where it is tried first.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeEachPython, startPython } from './pythons.ts';

const folder = fileURLToPath(new URL('../../demos/', import.meta.url));
// Those that compile an extension module first: tests/integration/native-demos.test.ts.
const compiled = ['missing_decref.py', 'native_lost.py'];
const demos = readdirSync(folder).filter(
  (name) => name.endsWith('.py') && !compiled.includes(name),
);

describeEachPython('the demos', (python) => {
  it.concurrent.each(demos)('%s is ready, works and ends without an error', async (demo) => {
    const env = { LEAKSCOPE_DEMO_SECONDS: '0.2' };
    const program = `${folder}${demo}`;
    const target = await startPython<{ ready: boolean; pid: number }>(python, program, { env });
    await expect(target.nextLine()).rejects.toThrow('the program ended');
    expect(target.ready).toEqual({ ready: true, pid: target.pid });
    expect(target.stderr()).toBe('');
  });
});
