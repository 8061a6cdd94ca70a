// What an agent answers becomes text that cannot hurt a terminal.

import { describe, expect, test } from 'vitest';
import { plainStyle } from '../report/text-layout.ts';
import { cleanText, formatTask, formatTasks, formatTraceback } from './console-text.ts';

const task = (name: string, line: number) => ({
  ...{ name, address: '0x10', loop: 0, state: 'pending', waitsFor: 'Future' },
  frames: [
    ['app.py', 3, 'serve'],
    ['app.py', line, 'receive\u001b[2J'],
  ],
});

describe('texts of a console', () => {
  test('keep line breaks and tabs, and nothing else that moves the cursor', () => {
    expect(cleanText('a\tb\n\u001b[31mred\r\u202e')).toBe('a\tb\n\\x1b[31mred\\x0d\\u202e');
    expect(formatTraceback('Traceback\n  File "\u0007"\nE: \u001b', plainStyle)).toBe(
      'Traceback\n  File "\\x07"\nE: \\x1b',
    );
  });

  test('show tasks in the same place as one row, the most first', () => {
    const reply = { loops: 1, tasks: [task('a', 1), task('b', 9), task('c', 9)] };
    expect(formatTasks(reply)).toBe(
      [
        '3 tasks of 1 running event loop',
        '     2  pending    serve  (b and 1 more)  receive\\x1b[2J at app.py:9',
        '     1  pending    serve  (a)  receive\\x1b[2J at app.py:1',
      ].join('\n'),
    );
  });

  test('show the await chain of a task', () => {
    expect(formatTask({ task: task('a', 1) })).toBe(
      'a  0x10  pending\n  serve  app.py:3\n  receive\\x1b[2J  app.py:1\n  waits for a Future',
    );
  });
});
