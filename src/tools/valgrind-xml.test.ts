import { describe, expect, test } from 'vitest';
import type { LossRecord } from './loss-record.ts';
import { decodeMemcheckXml, type MemcheckFile } from './valgrind-xml.ts';

const ERROR = `<error>
  <unique>0x4</unique>
  <tid>1</tid>
  <kind>Leak_DefinitelyLost</kind>
  <xwhat>
    <text>1,088 (1,024 direct, 64 indirect) bytes in 2 blocks are definitely lost in loss record 5 of 7</text>
    <leakedbytes>1088</leakedbytes>
    <leakedblocks>2</leakedblocks>
  </xwhat>
  <stack>
    <frame><ip>0x48</ip><obj>/lib/vgpreload_memcheck.so</obj><fn>malloc</fn></frame>
    <frame><ip>0x49</ip><obj>/app/a &amp; b.so</obj><fn>std::vector&lt;int&gt;::grow()</fn><dir>/src</dir><file>a.cpp</file><line>12</line></frame>
  </stack>
</error>`;

const page = (body: string): string => `<?xml version="1.0"?>
<valgrindoutput>
<preamble><line>Memcheck</line></preamble>
<pid>42</pid><ppid>41</ppid><tool>memcheck</tool>
<args><vargv><exe>/usr/bin/valgrind</exe><arg>--xml=yes</arg></vargv><argv><exe>/usr/bin/python3</exe><arg>a.py</arg></argv></args>
<status><state>RUNNING</state></status>
${body}
</valgrindoutput>
`;

async function decode(text: string, chunkSize = text.length) {
  async function* chunks() {
    for (let i = 0; i < text.length; i += chunkSize) yield text.slice(i, i + chunkSize);
  }
  const losses: LossRecord[] = [];
  const file: MemcheckFile = await decodeMemcheckXml(chunks(), (record) => losses.push(record));
  return { file, losses };
}

describe("memcheck's XML", () => {
  test.each([1, 7, 100_000])('gives the same records in chunks of %i', async (chunkSize) => {
    const { file, losses } = await decode(page(ERROR), chunkSize);

    expect(file).toMatchObject({
      pid: 42,
      command: ['/usr/bin/python3', 'a.py'],
      complete: true,
      fatalSignal: undefined,
    });
    expect(losses).toHaveLength(1);
    expect(losses[0]).toMatchObject({ kind: 'definite', bytes: 1024, blocks: 2, holdsBytes: 64 });
    expect(losses[0].frames).toEqual([
      {
        function: 'malloc',
        object: '/lib/vgpreload_memcheck.so',
        directory: undefined,
        file: undefined,
        line: undefined,
        instruction: '0x48',
      },
      {
        function: 'std::vector<int>::grow()',
        object: '/app/a & b.so',
        directory: '/src',
        file: 'a.cpp',
        line: 12,
        instruction: '0x49',
      },
    ]);
  });

  test('counts other errors, suppressed records and the signal that ended the program', async () => {
    const { file, losses } = await decode(
      page(
        '<fatal_signal><tid>1</tid><signo>15</signo><signame>SIGTERM</signame><stack><frame><ip>0x1</ip></frame></stack></fatal_signal>' +
          '<error><kind>InvalidRead</kind><what>Invalid read of size 8</what><stack><frame><ip>0x1</ip></frame></stack></error>' +
          ERROR +
          '<suppcounts><pair><count>1</count><name>a</name></pair></suppcounts>' +
          '<suppcounts><pair><count>3</count><name>a</name></pair><pair><count>2</count><name>b</name></pair></suppcounts>',
      ),
    );

    expect(losses).toHaveLength(1);
    expect(file.fatalSignal).toBe('SIGTERM');
    expect([...file.otherErrors]).toEqual([['InvalidRead', 1]]);
    expect(file.suppressed).toBe(5);
  });

  test('that ends anywhere gives what was before, and never throws', async () => {
    const text = page(ERROR + ERROR);
    const afterFirst = text.indexOf('</error>') + '</error>'.length;
    for (let length = 0; length < text.length - '</valgrindoutput>\n'.length; length++) {
      const { file, losses } = await decode(text.slice(0, length), 64);
      expect(file.complete).toBe(false);
      expect(losses.length).toBe(
        length < afterFirst ? 0 : length < text.lastIndexOf('</error>') + 8 ? 1 : 2,
      );
    }
  });

  test('is read on where an argument has control characters', async () => {
    const { file, losses } = await decode(page(`<usercomment>a\u0001b</usercomment>${ERROR}`));
    expect([file.complete, losses.length]).toEqual([true, 1]);
  });

  test('that is none at all gives nothing', async () => {
    for (const text of ['', 'Segmentation fault', '<html><body>', '\0\0\0']) {
      expect(await decode(text)).toMatchObject({ file: { complete: false, pid: 0 }, losses: [] });
    }
  });
});
