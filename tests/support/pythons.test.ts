import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { allPythons, describeEachPython, onePythonPerMinor, startPython } from './pythons.ts';

const program = `
import json, os, sys
print(json.dumps({"pid": os.getpid(), "version": list(sys.version_info[:2]), "args": sys.argv[1:]}))
for line in sys.stdin:
    print(line.strip().upper())
`;

interface Ready {
  pid: number;
  version: [number, number];
  args: string[];
}

describeEachPython(
  'a started Python',
  (python) => {
    it('is the process that the program sees, of the version that was asked for, and answers', async () => {
      const target = await startPython<Ready>(python, program, { args: ['a', 'b c'] });
      try {
        expect(target.ready.pid).toBe(target.pid);
        expect(target.ready.version.join('.')).toBe(python.minor);
        expect(target.ready.args).toEqual(['a', 'b c']);
        target.send('hello');
        expect(await target.nextLine()).toBe('HELLO');
      } finally {
        await target.stop();
      }
      expect(() => readFileSync(`/proc/${target.pid}/stat`)).toThrow();
    });
  },
  { all: true },
);

it('says what a program that failed wrote', async () => {
  const [python] = allPythons();
  await expect(startPython(python, 'raise SystemExit("no such luck")')).rejects.toThrow(
    'such luck',
  );
});

it('has one Python per version where asked', () => {
  const minors = onePythonPerMinor().map((python) => python.minor);
  expect(new Set(minors).size).toBe(minors.length);
  expect(minors.length).toBeGreaterThan(0);
});

it('fails where a required version is missing', async () => {
  vi.stubEnv('LEAKSCOPE_REQUIRED_PYTHONS', '3.8,2.7');
  vi.resetModules();
  const fresh = await import('./pythons.ts');
  expect(() => fresh.allPythons()).toThrow('2.7');
  vi.unstubAllEnvs();
});
