import { describe, expect, test } from 'vitest';
import { formatNativeSitesHtml } from './native-sites-html.ts';
import { type NativeSite, type ValgrindReport, valgrindSchema } from './native-sites-schema.ts';
import { formatNativeSites } from './native-sites-text.ts';

const none = { bytes: 0, blocks: 0 };
const noLosses = { definite: none, indirect: none, possible: none, notFreed: none };

const site: NativeSite = {
  kind: 'definite',
  bytes: 16_000_000,
  blocks: 400,
  losses: {
    ...noLosses,
    definite: { bytes: 15_840_000, blocks: 396 },
    possible: { bytes: 160_000, blocks: 4 },
  },
  holdsBytes: 64,
  counts: true,
  once: false,
  function: '__pyx_pf_4fast_4Grid___cinit__',
  library: '/app/fast.cpython-311-x86_64-linux-gnu.so',
  file: '/src/fast.c',
  line: 3018,
  python: 'fast.Grid.__cinit__',
  pythonSource: 'fast.pyx:13',
  module: 'fast',
  allocator: 'malloc',
  makesObject: false,
  history: null,
  records: 1,
  stack: [
    { function: 'malloc', library: 'vgpreload.so', file: null, line: null, folded: 1 },
    {
      function: 'std::map<K, V>::at()\u001b[31m',
      library: 'fast.so',
      file: '/src/<fast>.c',
      line: 3018,
      folded: 0,
    },
    { function: 'call', library: 'libpython3.11.so.1.0', file: null, line: null, folded: 17 },
  ],
  advice: 'Free what fast.Grid.__cinit__ allocates.',
};

const report: ValgrindReport = {
  schema: 'leakscope/valgrind@1',
  leakscope: '0.1.0',
  tool: { name: 'valgrind', version: '3.19.0', options: ['--leak-check=full'] },
  program: {
    command: ['/usr/bin/python3', 'app.py', '<script>alert(1)</script>'],
    pid: 42,
    python: true,
    pythonMalloc: 'malloc',
    exitCode: 0,
    signal: null,
    interrupted: true,
    processes: 1,
    seconds: 2.6,
  },
  verdict: 'leak',
  summary: '1 place in native code lost 16.0 MB',
  reasons: ['a reason'],
  nextMeasurement: null,
  complete: true,
  finalized: true,
  sites: [
    site,
    {
      ...site,
      counts: false,
      kind: 'indirect',
      function: null,
      file: null,
      line: null,
      python: null,
      pythonSource: null,
      bytes: 0,
      blocks: 0,
      losses: { ...noLosses, indirect: { bytes: 24, blocks: 3 } },
    },
  ],
  interpreter: { ...noLosses, possible: { bytes: 1900, blocks: 23 } },
  suppressed: 11,
  otherErrors: [{ kind: 'InvalidRead', count: 2 }],
  notes: [],
};

describe('a report of valgrind', () => {
  test('follows its schema', () => {
    expect(valgrindSchema.parse(report)).toEqual(report);
  });

  test('as text has a block for each place and fits the page', () => {
    const text = formatNativeSites(report, { limit: 10 });
    expect(text).toMatchInlineSnapshot(`
      "valgrind 3.19.0   python3 app.py <sc…>alert(1)</script>   2.6 s, ended with exit code 0 after Ctrl-C

      LEAK   1 place in native code lost 16.0 MB
           - a reason

      1  definite    16.0 MB in 400 blocks    __pyx_pf_4fast_4Grid___cinit__ at fast.c:3018
         python      fast.Grid.__cinit__ at fast.pyx:13
         library     /app/fast.cpython-311-x86_64-linux-gnu.so
         lost        15.8 MB in 396 blocks definitely lost, 160 kB in 4 blocks possibly lost
         holds       64 B that only these blocks lead to
         stack       malloc   vgpreload.so
                     std::map<K, V>::at()\\x1b[31m   <fast>.c:3018
                     call   17 frames of libpython3.11.so.1.0 and the like
         advice      Free what fast.Grid.__cinit__ allocates.

      2  indirect    24 B in 3 blocks    a function without a symbol
         library     /app/fast.cpython-311-x86_64-linux-gnu.so
         lost        24 B in 3 blocks that only lost blocks lead to
         holds       64 B that only these blocks lead to
         stack       malloc   vgpreload.so
                     std::map<K, V>::at()\\x1b[31m   <fast>.c:3018
                     call   17 frames of libpython3.11.so.1.0 and the like
         advice      Free what fast.Grid.__cinit__ allocates.

      interpreter   1.9 kB in 23 blocks possibly lost: its own and Python code's
      suppressed    11 records
      also seen     2 InvalidRead
      "
    `);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  test('as text counts what the limit leaves out', () => {
    expect(formatNativeSites(report, { limit: 1 })).toContain('and 1 site more with 0 B');
  });

  test('as HTML escapes what comes from the program', () => {
    const html = formatNativeSitesHtml(report);
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(html).toContain('std::map&lt;K, V&gt;::at()\\x1b[31m');
    expect(html).not.toMatch(/<script|\u001b|undefined|\[object/);
  });
});
