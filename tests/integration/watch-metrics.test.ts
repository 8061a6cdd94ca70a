// The metrics of `leakscope watch` in a real Prometheus: scraped, queried, and its rules accepted.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { runCommand, untilStderr } from '../support/command-line.ts';
import { onePythonPerMinor, type RunningPython, startPython } from '../support/pythons.ts';
import { startWatch } from '../support/watching.ts';

const pathOf = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const python = onePythonPerMinor()[0];
const folder = mkdtempSync(join(tmpdir(), 'leakscope-metrics-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const startTarget = () =>
  startPython<{ pid: number }>(python, pathOf('tests/programs/memory_steps.py'));

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A Prometheus that scrapes `address` four times a second; `query` gives the value of an expression, undefined for none. */
async function startPrometheus(address: string) {
  const port = await findFreePort();
  const config = join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    `global: { scrape_interval: 250ms }\nrule_files: [${pathOf('docs/monitoring/alerts.yaml')}]\n` +
      `scrape_configs:\n  - job_name: leakscope\n    static_configs: [{ targets: ["${address}"] }]\n`,
  );
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise((resolve) => child.once('close', resolve));
  await untilStderr(child, /ready to receive web requests/i);
  const query = async (expression: string) => {
    const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await (await fetch(url)).json()) as {
      data: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    return answer.data.result[0];
  };
  return {
    /** Asks again until it has a value. */
    query: async (expression: string) => {
      const deadline = performance.now() + 60_000;
      for (;;) {
        const result = await query(expression);
        if (result !== undefined) return result;
        if (performance.now() > deadline) throw new Error(`Prometheus has no ${expression}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },
    query1: query,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

test('a Prometheus scrapes a watch, and has its numbers', async () => {
  const running = await startTarget();
  const watch = startWatch(
    String(running.pid),
    ...['--every', '0.2s', '--metrics', '0', '--captures', join(folder, 'captures')],
  );
  let prometheus: Awaited<ReturnType<typeof startPrometheus>> | undefined;
  try {
    const address = /http:\/\/(\S+)\/metrics/.exec(
      await untilStderr(watch.child, /metrics\n/),
    )?.[1];
    prometheus = await startPrometheus(address as string);
    await watch.next('capture');
    const own = await takeMegabytes(running, 30);
    const above = await prometheus.query(`leakscope_rss_bytes > ${own.rss - 5e6}`);
    expect(Number(above.value[1])).toBeLessThan(own.rss + 5e6);
    const up = await prometheus.query('leakscope_up == 1');
    expect(up.metric).toMatchObject({ pid: String(running.pid), job: 'leakscope' });
    expect(up.metric.command).toContain('memory_steps.py');
    const objects = await prometheus.query('leakscope_ledger_bytes{account="pythonObjects"}');
    expect(Number(objects.value[1])).toBeGreaterThan(1e6);
    expect(Number((await prometheus.query('leakscope_captures_total')).value[1])).toBe(1);
    expect(Number((await prometheus.query('leakscope_limit_bytes')).value[1])).toBeGreaterThan(
      own.rss,
    );
    // Not known, and so not there.
    expect(await prometheus.query1('leakscope_leak')).toBeUndefined();
    await running.stop();
    await prometheus.query('leakscope_up == 0');
    expect(await prometheus.query1('leakscope_rss_bytes')).toBeUndefined();
  } finally {
    await watch.interrupt();
    await prometheus?.stop();
    await running.stop();
  }
});

async function takeMegabytes(running: RunningPython, megabytes: number) {
  running.send(String(megabytes));
  return JSON.parse(await running.nextLine()) as { rss: number };
}

test('the rules of docs/monitoring are valid, and name metrics that exist', () => {
  const rules = pathOf('docs/monitoring/alerts.yaml');
  const check = spawnSync('promtool', ['check', 'rules', rules], { encoding: 'utf8' });
  expect(check.status, check.stdout + check.stderr).toBe(0);
  const source = readFileSync(pathOf('src/watch/metrics-server.ts'), 'utf8');
  for (const file of [rules, pathOf('docs/monitoring/grafana-dashboard.json')]) {
    const names = new Set(readFileSync(file, 'utf8').match(/(?<=leakscope_)\w+/g));
    expect(names.size).toBeGreaterThan(4);
    for (const name of names) expect(source, `${name} of ${file}`).toContain(`'${name}'`);
  }
});

test('a port in use is one clear error, and another host says what it exposes', async () => {
  const running = await startTarget();
  const port = await findFreePort();
  const first = startWatch(String(running.pid), '--metrics', String(port));
  try {
    await first.next('sample');
    const { code, stderr } = await runCommand(
      'watch',
      String(running.pid),
      '--metrics',
      String(port),
    );
    expect(code).toBe(2);
    expect(stderr).toContain(`Cannot serve metrics on 127.0.0.1:${port}: the port is in use`);
    const open = startWatch(String(running.pid), '--metrics', '0.0.0.0:0', '--for', '1s');
    await open.next('sample');
    expect(open.stderr()).toContain('0.0.0.0 may be reached from other machines');
    await open.interrupt();
    const other = await fetch(`http://127.0.0.1:${port}/etc/passwd`);
    expect(other.status).toBe(404);
  } finally {
    await first.interrupt();
    await running.stop();
  }
});
