// The programs of demos/ must run on every supported Python, or `leakscope demo` fails where it is tried first.

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeEachPython, startPython } from './pythons.ts';

const folder = fileURLToPath(new URL('../../demos/', import.meta.url));
const demos = readdirSync(folder).filter((name) => name.endsWith('.py'));

describeEachPython('the demos', (python) => {
  it.each(demos)('%s says that it is ready and writes no error', async (demo) => {
    const target = await startPython<{ ready: boolean; pid: number }>(python, `${folder}${demo}`);
    await target.stop();
    expect(target.ready).toEqual({ ready: true, pid: target.pid });
    expect(target.stderr()).toBe('');
  });
});
