import { describe, expect, test } from 'vitest';
import type { LossKind, LossRecord, NativeFrame } from './loss-record.ts';
import { addRecord, createSiteTable, foldStack, foldUncertain } from './loss-sites.ts';

const LIBRARIES: Record<string, string> = {
  py: '/usr/lib/libpython3.11.so.1.0',
  c: '/lib/x86_64-linux-gnu/libc.so.6',
  vg: '/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so',
  ext: '/app/fast.cpython-311-x86_64-linux-gnu.so',
  ssl: '/usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so',
};

/** `vg:malloc ext:make@fast.c:12 py:_PyEval_EvalFrameDefault`: the innermost function first. */
function stack(text: string): NativeFrame[] {
  return text.split(' ').map((part, i) => {
    const match = /^(\w+):([^@]*)(?:@([^:]+):(\d+))?$/.exec(part)!;
    const [, library, name, file, line] = match;
    return {
      function: name === '' ? undefined : name,
      object: LIBRARIES[library],
      directory: file === undefined ? undefined : '/src',
      file,
      line: line === undefined ? undefined : Number(line),
      instruction: `0x${i}`,
    };
  });
}

const loss = (frames: string, kind: LossKind = 'definite', blocks = 1): LossRecord => ({
  kind,
  bytes: blocks * 10,
  blocks,
  holdsBytes: 0,
  frames: stack(frames),
});

function sitesOf(...records: LossRecord[]) {
  const table = createSiteTable();
  for (const record of records) addRecord(table, record);
  return { table, names: [...table.sites.values()].map((site) => site.function) };
}

describe('a block belongs to', () => {
  test.each([
    ['the function that called malloc', 'vg:malloc ext:make@fast.c:3 py:call', 'make'],
    ['the function that called the interpreter', 'vg:malloc py:PyBytes_FromSize ext:make', 'make'],
    [
      'the function into which std:: was inlined',
      'vg:malloc ext:allocate@new_allocator.h:9 ext:std::vector<int>::vector(int) ext:make',
      'make',
    ],
    [
      'the Cython function, not its helper',
      'vg:malloc ext:__Pyx_New ext:__pyx_pf_1a_b',
      '__pyx_pf_1a_b',
    ],
    [
      'glue, where there is nothing else',
      'vg:malloc ext:std::string::string(int) c:start',
      'std::string::string(int)',
    ],
  ])('%s', (_, frames, name) => {
    expect(sitesOf(loss(frames.replaceAll('(int)', '()'))).names).toEqual([
      name.replaceAll('(int)', '()'),
    ]);
  });

  test.each([
    ['it allocated by itself', 'vg:malloc py:PyTuple_New py:main c:start'],
    [
      'Python code allocated, called back by an extension',
      'vg:malloc py:PyList_New py:_PyEval_EvalFrameDefault py:PyObject_Call ext:visit',
    ],
    [
      'a module allocated that comes with it',
      'vg:malloc py:PyTuple_New ssl:init py:_PyEval_EvalFrameDefault',
    ],
    ['no library is known for', 'vg:malloc other:'],
  ])('the interpreter, where %s', (_, frames) => {
    const { table, names } = sitesOf(loss(frames));
    expect(names).toEqual([]);
    expect(table.interpreter.definite).toEqual({ bytes: 10, blocks: 1 });
  });
});

describe('sites', () => {
  test('are told apart by line and summed up by kind', () => {
    const { table } = sitesOf(
      loss('vg:malloc ext:make@fast.c:3', 'definite', 5),
      loss('vg:malloc ext:make@fast.c:3 py:other', 'possible', 2),
      loss('vg:malloc ext:make@fast.c:4', 'definite', 1),
    );
    const [first, second] = [...table.sites.values()];
    expect(first.losses).toMatchObject({ definite: { blocks: 5 }, possible: { blocks: 2 } });
    expect([first.line, second.line, first.records, second.records]).toEqual([3, 4, 2, 1]);
  });

  test('without symbols are told apart by address', () => {
    const { table } = sitesOf(loss('vg:malloc ext:'), loss('vg:malloc c:x ext:'));
    expect(table.sites.size).toBe(2);
  });

  test('of the beginning of a module are known, unless Python code ran in between', () => {
    const { table } = sitesOf(
      loss('vg:malloc ext:prepare ext:PyInit_fast py:_PyImport_LoadDynamicModuleWithSpec'),
      loss('vg:malloc ext:call py:_PyEval_EvalFrameDefault py:PyModule_ExecDef'),
    );
    expect([...table.sites.values()].map((site) => site.atImport)).toEqual([true, false]);
  });

  test('have the name that Python gives the nearest caller', () => {
    const { table } = sitesOf(loss('vg:malloc ext:helper ext:__pyx_pf_4fast_3Foo_run py:x'));
    expect([...table.sites.values()][0].pythonName).toBe('fast.Foo.run');
  });
});

describe('possible losses', () => {
  const object = 'vg:malloc py:PyTuple_New ext:make@fast.c:3';
  const bytes = 'vg:malloc ext:make@fast.c:4';

  test('of objects count only beside definite ones', () => {
    const { table } = sitesOf(loss(object, 'possible'), loss(bytes, 'possible'));
    foldUncertain(table, true);
    expect([...table.sites.values()].map((site) => site.line)).toEqual([4]);
    expect(table.interpreter.possible.blocks).toBe(1);

    const { table: both } = sitesOf(loss(object, 'possible'), loss(object, 'definite'));
    foldUncertain(both, true);
    expect([...both.sites.values()][0].losses.possible.blocks).toBe(1);
  });

  test('do not count where the interpreter kept its objects', () => {
    const held = 'vg:malloc ext:hold@fast.c:9';
    const { table } = sitesOf(
      loss(bytes, 'possible', 3),
      loss(bytes, 'definite', 2),
      loss(held, 'indirect', 2),
      loss('vg:malloc ext:keep@fast.c:7', 'possible'),
    );
    foldUncertain(table, false);
    const [site, other, ...rest] = [...table.sites.values()];
    expect([other.losses.indirect.blocks, rest]).toEqual([2, []]);
    expect(site.losses).toMatchObject({ possible: { blocks: 0 }, definite: { blocks: 2 } });
  });
});

test('runs of runtime frames are one row of a stack, which names what the extension called', () => {
  const rows = foldStack(
    stack('vg:malloc py:_PyObject_Malloc py:PyBytes_New ext:make@fast.c:3 py:call py:eval c:start'),
  );
  expect(rows.map((row) => [row.function, row.folded])).toEqual([
    ['PyBytes_New', 3],
    ['make', 0],
    ['call', 3],
  ]);
});
