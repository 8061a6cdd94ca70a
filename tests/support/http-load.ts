// Load for a server on this machine, over keep-alive connections: requests with pauses until stopped, or so many and no more.

import { Agent, type RequestOptions, request } from 'node:http';
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
        await (isOrder ? sendOrder(agent, port, number) : get(agent, port, `/article/${number}`));
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

/** Connections that stay open until closed. */
export interface HttpClient {
  /** Asks for all of them, as many at a time as there are connections; rejects if one is not answered with 200. */
  getAll(paths: readonly string[]): Promise<void>;
  order(number: number): Promise<void>;
  /** The answer, as JSON. */
  ask<Answer>(path: string): Promise<Answer>;
  close(): void;
}

export function openHttpClient(port: number, connections: number): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  return {
    getAll: async (paths) => {
      await Promise.all(paths.map((path) => get(agent, port, path)));
    },
    order: async (number) => {
      await sendOrder(agent, port, number);
    },
    ask: async <Answer>(path: string) => JSON.parse(await get(agent, port, path)) as Answer,
    close: () => agent.destroy(),
  };
}

const get = (agent: Agent, port: number, path: string): Promise<string> =>
  send(agent, port, { method: 'GET', path, headers: { 'X-Visitor': `visitor${path}` } });

function sendOrder(agent: Agent, port: number, number: number): Promise<string> {
  const body = JSON.stringify({ lines: Array.from({ length: 10 }, (_, i) => ({ price: i })) });
  const headers = {
    'X-Visitor': `visitor-${number}`,
    'Content-Type': 'application/json',
    'Content-Length': body.length,
  };
  return send(agent, port, { method: 'POST', path: '/order', headers }, body);
}

/** The body of the answer; rejects unless the status is 200. */
function send(agent: Agent, port: number, options: RequestOptions, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, agent, ...options }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`status ${answer.statusCode}`));
      });
      answer.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
