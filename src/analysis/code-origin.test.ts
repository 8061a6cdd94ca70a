import { expect, test } from 'vitest';
import { findFileOrigin, nameWithModule } from './code-origin.ts';

test('the path of a file tells whose code it is', () => {
  expect(findFileOrigin('/srv/app/broker.py')).toBe('application');
  expect(findFileOrigin('<string>')).toBe('application');
  expect(findFileOrigin('/usr/lib/python3.11/asyncio/queues.py')).toBe('standard');
  expect(findFileOrigin('<frozen importlib._bootstrap>')).toBe('standard');
  expect(findFileOrigin('/venv/lib/python3.11/site-packages/aiohttp/web.py')).toBe('library');
  expect(findFileOrigin('/usr/lib/python3/dist-packages/redis/client.py')).toBe('library');
  // A program that is installed beside the standard library is none of it.
  expect(findFileOrigin('/opt/lib/python3.11/ourapp/main.py')).toBe('application');
});

test("a library's function has the name of its module, the program's has not", () => {
  expect(nameWithModule('Queue.get', '/usr/lib/python3.11/asyncio/queues.py')).toBe(
    'asyncio.Queue.get',
  );
  expect(nameWithModule('connect', '/v/lib/python3.9/site-packages/redis/asyncio/client.py')).toBe(
    'redis.asyncio.client.connect',
  );
  expect(nameWithModule('f', '/v/lib/python3.9/site-packages/one/__init__.py')).toBe('one.f');
  expect(nameWithModule('pump', '/srv/app/broker.py')).toBe('pump');
});
