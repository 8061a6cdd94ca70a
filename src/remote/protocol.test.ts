// Lines from an agent are the target's: whatever comes, nothing but whole lines within limits goes on.

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineReader, parseHello, parseObject } from './protocol.ts';

const makeSocket = (): Socket =>
  new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }) as unknown as Socket;

function readLines(chunks: readonly Buffer[]): string[] {
  const socket = makeSocket();
  const lines: string[] = [];
  new LineReader(socket, (line) => lines.push(line));
  for (const chunk of chunks) socket.emit('data', chunk);
  return lines;
}

describe('lines', () => {
  test('come whole, however they are cut on the way', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }).filter((each) => !each.includes('\n'))),
        fc.array(fc.nat(50)),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          const chunks: Buffer[] = [];
          let at = 0;
          for (const cut of cuts) {
            chunks.push(bytes.subarray(at, at + cut));
            at += cut;
          }
          chunks.push(bytes.subarray(at));
          expect(readLines(chunks)).toEqual(lines);
        },
      ),
    );
  });

  test('that are too long end the connection', () => {
    const socket = makeSocket();
    new LineReader(socket, () => {});
    const chunk = Buffer.alloc(16 << 20, 'x');
    for (let i = 0; i < 4; i++) socket.emit('data', chunk);
    expect(socket.destroyed).toBe(false);
    socket.emit('data', Buffer.from('x'));
    expect(socket.destroyed).toBe(true);
  });

  test('wait for whoever listens next', () => {
    const socket = makeSocket();
    const first: string[] = [];
    const reader = new LineReader(socket, (line) => {
      first.push(line);
      reader.onLine = undefined;
    });
    socket.emit('data', Buffer.from('a\nb\nc\n'));
    const second: string[] = [];
    reader.listen((line) => second.push(line));
    socket.emit('data', Buffer.from('d\n'));
    expect([first, second]).toEqual([['a'], ['b', 'c', 'd']]);
  });
});

describe('documents', () => {
  test('are objects or nothing', () => {
    for (const text of ['1', 'null', '[]', '"x"', '{', '', 'nan'])
      expect(parseObject(text)).toBeUndefined();
    expect(parseObject('{"a":1}')).toEqual({ a: 1 });
  });

  test('are a hello only with all that it takes', () => {
    const hello = { hello: 1, token: 't', pid: 7, python: '3.11.7' };
    expect(parseHello(JSON.stringify(hello))).toEqual(hello);
    for (const wrong of [
      { pid: '7' },
      { hello: '1' },
      { python: '3.11' },
      { python: '3.11.7\u001b[2J' },
      { pad: 'x'.repeat(1000) },
    ]) {
      expect(parseHello(JSON.stringify({ ...hello, ...wrong }))).toBeUndefined();
    }
  });
});
