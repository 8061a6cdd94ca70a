// Load for a server on this machine: a few keep-alive connections that send requests with pauses, until stopped.

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const CONNECTIONS = 6;
const PAUSE_MS = 20;
const MAX_ERRORS = 5;
/** A test that hangs must not load the machine for ever. */
const MAX_REQUESTS = 50_000;

export interface HttpLoad {
  /** Ends it; returns how many requests were answered, and what went wrong with others. */
  stop(): Promise<{ answered: number; errors: string[] }>;
}

/** Of every five requests one is an order with a body, the others ask for an article each of its own. */
export function startHttpLoad(port: number, { hasOrders = false } = {}): HttpLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const errors: string[] = [];
  let sent = 0;
  let answered = 0;
  let stopped = false;
  const connection = async () => {
    while (!stopped && sent < MAX_REQUESTS) {
      const number = sent++;
      const isOrder = hasOrders && number % 5 === 0;
      try {
        await send(agent, port, number, isOrder);
        answered++;
      } catch (error) {
        if (!stopped && errors.length < MAX_ERRORS) errors.push(`${error}`);
      }
      await sleep(PAUSE_MS);
    }
  };
  const connections = Array.from({ length: CONNECTIONS }, connection);
  return {
    stop: async () => {
      stopped = true;
      await Promise.all(connections);
      agent.destroy();
      return { answered, errors };
    },
  };
}

function send(agent: Agent, port: number, number: number, isOrder: boolean): Promise<void> {
  const body = JSON.stringify({ lines: Array.from({ length: 10 }, (_, i) => ({ price: i })) });
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        agent,
        method: isOrder ? 'POST' : 'GET',
        path: isOrder ? '/order' : `/article/${number}`,
        headers: {
          'X-Visitor': `visitor-${number}`,
          ...(isOrder && { 'Content-Type': 'application/json', 'Content-Length': body.length }),
        },
      },
      (answer) => {
        answer.resume();
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`status ${answer.statusCode}`));
        });
        answer.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(isOrder ? body : undefined);
  });
}
