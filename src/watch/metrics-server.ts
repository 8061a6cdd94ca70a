// A watch as Prometheus metrics: events in, the text format out, on an address of this machine. The format is prom-client's;
// docs/watch.md lists the names.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import { UsageError } from '../base/errors.ts';
import type { WatchEvent, WatchSample } from '../report/watch-schema.ts';

export interface MetricsServer {
  /** `127.0.0.1:9099` */
  address: string;
  observe(event: WatchEvent): void;
  close(): void;
}

interface ListenAddress {
  host: string;
  port: number;
}

const SAMPLE_GAUGES: [
  name: string,
  help: string,
  (sample: WatchSample) => number | null | undefined,
][] = [
  ['rss_bytes', 'Resident set', (sample) => sample.rssBytes],
  ['anonymous_bytes', 'Resident memory of its own', (sample) => sample.anonymousBytes],
  ['file_bytes', 'Resident pages of files', (sample) => sample.fileBytes],
  ['shared_bytes', 'Resident shared memory', (sample) => sample.sharedBytes],
  ['swap_bytes', 'Memory that was swapped out', (sample) => sample.swapBytes],
  ['pss_bytes', 'Proportional set, some samples old', (sample) => sample.pssBytes],
  ['threads', 'Threads', (sample) => sample.threads],
  ['limit_bytes', 'The tightest limit above the process', (sample) => sample.limit?.maxBytes],
  [
    'limit_used_bytes',
    'Taken below that limit, less what the kernel can drop',
    (sample) => sample.limit?.usedBytes,
  ],
  [
    'seconds_until_limit',
    'At the trend of limit_used_bytes; absent while that does not rise persistently',
    (sample) => sample.limit?.secondsLeft,
  ],
  ['memory_events_high', 'Times that the group met memory.high', (sample) => sample.events?.high],
  ['memory_events_oom_kill', 'Processes of the group killed', (sample) => sample.events?.oomKills],
  [
    'slope_bytes_per_second',
    'Theil-Sen slope of the resident set',
    (sample) => sample.trend && sample.trend.bytesPerHour / 3600,
  ],
  [
    'slope_low_bytes_per_second',
    'Lower end of its 95 % interval',
    (sample) => (sample.trend?.low != null ? sample.trend.low / 3600 : undefined),
  ],
  [
    'slope_high_bytes_per_second',
    'Upper end of its 95 % interval',
    (sample) => (sample.trend?.high != null ? sample.trend.high / 3600 : undefined),
  ],
  ['trend_p_value', 'Of the Mann-Kendall test', (sample) => sample.trend?.pValue],
];

/** `:9099`, `9099`, `127.0.0.1:9099`, `[::1]:9099`; without a host it is 127.0.0.1. Undefined if it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[\w.-]+)?:)?(\d{1,5})$/.exec(text.trim());
  if (match === null || Number(match[2]) > 65535) return undefined;
  return { host: match[1]?.replace(/[[\]]/g, '') ?? '127.0.0.1', port: Number(match[2]) };
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host);

/** Listens until it is closed. Throws UsageError when the address cannot be had. */
export async function startMetrics({ host, port }: ListenAddress): Promise<MetricsServer> {
  const { registry, observe } = makeMetrics();
  const server = createServer(async (request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404).end('GET /metrics\n');
      return;
    }
    const text = await registry.metrics();
    response.writeHead(200, { 'Content-Type': registry.contentType }).end(text);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('listening', () => resolve());
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new UsageError(
          {
            fact: `Cannot serve metrics on ${host}:${port}`,
            reason: cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.message,
            next: 'Give another address: --metrics 127.0.0.1:PORT (0: any free port).',
          },
          { cause },
        ),
      ),
    );
    server.listen(port, host);
  });
  const bound = server.address() as AddressInfo;
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${bound.port}`,
    observe,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function makeMetrics(): { registry: Registry; observe: (event: WatchEvent) => void } {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `leakscope_${name}`, help, labelNames, registers: [registry] });
  const up = gauge('up', '1 while the process runs, 0 while there is none', ['pid', 'command']);
  const restarts = gauge('restarts_total', 'Processes that took the place of one that ended');
  const samples = SAMPLE_GAUGES.map(([name, help, read]) => ({ gauge: gauge(name, help), read }));
  const captures = gauge('captures_total', 'Captures that were taken');
  const failures = gauge('capture_failures_total', 'Captures that failed');
  const pause = gauge('capture_pause_seconds', 'For how long the last capture stopped the process');
  const capturedAt = gauge('capture_timestamp_seconds', 'When the last capture was taken');
  const objects = gauge('objects', 'Python objects in the last capture');
  const accounts = gauge('ledger_bytes', 'Resident bytes by account, last capture', ['account']);
  const leak = gauge('leak', '1: the last hunt found a leak, 0: none, -1: inconclusive');
  const suspects = gauge('suspect_bytes_per_hour', 'Growth of what the last hunt suspects', [
    'fingerprint',
    'kind',
    'type',
    'holder',
  ]);
  const clearSample = () => {
    for (const { gauge } of samples) gauge.remove();
  };
  // prom-client begins with 0, and what is not known yet is absent.
  for (const each of [pause, capturedAt, objects, leak]) each.remove();
  clearSample();
  const observe = (event: WatchEvent): void => {
    switch (event.event) {
      case 'started':
        up.reset();
        up.set({ pid: event.pid, command: event.command.join(' ').slice(0, 200) }, 1);
        restarts.set(event.restarts);
        return;
      case 'ended':
        up.reset();
        up.set({ pid: event.pid, command: '' }, 0);
        clearSample();
        return;
      case 'sample':
        for (const { gauge, read } of samples) {
          const value = read(event);
          // What is not known is absent: a 0 would be a lie.
          if (value === null || value === undefined) gauge.remove();
          else gauge.set(value);
        }
        return;
      case 'capture':
        captures.inc();
        pause.set(event.pauseMs / 1000);
        capturedAt.set(Date.parse(event.at) / 1000);
        objects.set(event.objects);
        accounts.reset();
        for (const [account, bytes] of Object.entries(event.accounts)) {
          accounts.set({ account }, bytes ?? 0);
        }
        return;
      case 'capture-failed':
        failures.inc();
        return;
      case 'verdict':
        leak.set({ leak: 1, 'no-leak': 0, inconclusive: -1 }[event.verdict]);
        suspects.reset();
        for (const { fingerprint, kind, type, holder, bytesPerHour } of event.suspects) {
          suspects.set({ fingerprint, kind, type, holder: holder ?? '' }, bytesPerHour);
        }
    }
  };
  return { registry, observe };
}
