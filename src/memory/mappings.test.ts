import { expect, test } from 'vitest';
import { decodeMappings, findMappings, isSpecialMapping, Pagemap } from './mappings.ts';
import { PAGE_SIZE, type PageRun } from './memory-image.ts';

const TEXT = `00400000-00420000 r--p 00000000 fe:00 316527                             /usr/bin/python3.11
00a00000-00a10000 rw-p 00600000 fe:00 316527                             /usr/bin/python3.11
01234000-01334000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000001000 rw-s 00000000 00:01 1024                       /dev/zero (deleted)
7f0000001000-7f0000002000 r-xp 00000000 fe:00 99                         /opt/my lib/a b.so (deleted)
7f0000002000-7f0000003000 rw-p 00000000 00:00 0 
7f0000003000-7f0000004000 r--p 00000000 00:00 0                          [vvar]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;

test('a maps file becomes mappings in its order', () => {
  const mappings = decodeMappings(TEXT);
  expect(mappings).toHaveLength(8);
  expect(mappings[1]).toEqual({
    start: 0xa00000,
    end: 0xa10000,
    readable: true,
    writable: true,
    executable: false,
    isPrivate: true,
    offset: 0x600000,
    device: 'fe:00',
    inode: 316527,
    path: '/usr/bin/python3.11',
    isDeleted: false,
  });
  expect(mappings[5].path).toBe('');
});

test('paths keep their spaces and lose the mark of deletion', () => {
  const mappings = decodeMappings(TEXT);
  expect(mappings[4]).toMatchObject({ path: '/opt/my lib/a b.so', isDeleted: true, inode: 99 });
  expect(mappings[3]).toMatchObject({ path: '/dev/zero', isPrivate: false, isDeleted: true });
});

test("the kernel's own mappings are special, the heap is not", () => {
  const special = decodeMappings(TEXT).filter(isSpecialMapping);
  expect(special.map(({ path }) => path)).toEqual(['[vvar]', '[vsyscall]']);
});

test('lines that are no mappings are left out', () => {
  expect(decodeMappings('garbage\n\n12-zz rw-p\n')).toEqual([]);
});

test('a process that does not exist has no mappings', () => {
  expect(findMappings(2 ** 22 + 1)).toBeUndefined();
});

test('runs of neighbouring ranges are joined', () => {
  const mapping = findMappings(process.pid)!.find(({ path }) => path === '[stack]')!;
  const pagemap = Pagemap.open(process.pid)!;
  const whole: PageRun[] = [];
  pagemap.appendRuns(mapping.start, mapping.end, false, whole);
  const parts: PageRun[] = [];
  const middle = mapping.end - PAGE_SIZE;
  pagemap.appendRuns(mapping.start, middle, false, parts);
  pagemap.appendRuns(middle, mapping.end, false, parts);
  pagemap.close();
  expect(parts).toEqual(whole);
});
