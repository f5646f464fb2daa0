import { Agent, get } from 'node:http';
import { ROUTE } from './variants/route';

/** Where requests go. */
export interface Target {
  readonly port: number;
  /** Keeps its connections open; its number of sockets is that of requests in flight at a time. */
  readonly agent?: Agent;
}

/** How a number of requests went. */
interface Load {
  /** From the first request to the last answer. */
  readonly seconds: number;
  /** Of each request, from sending it to the end of its answer. */
  readonly latenciesMs: readonly number[];
}

const TIMEOUT_MS = 10_000;

/** Does something with connections of its own to a port, each opened at its first request. */
export async function withConnections<T>(
  port: number,
  count: number,
  use: (target: Target) => Promise<T>,
): Promise<T> {
  const agent = new Agent({ keepAlive: true, maxSockets: count });
  try {
    return await use({ port, agent });
  } finally {
    agent.destroy();
  }
}

/**
 * Sends requests with the keys in turn, as many at a time as there are connections.
 * @throws Error where any of them is not answered with 200
 */
export async function sendRequests(target: Target, keys: readonly string[], count: number): Promise<Load> {
  const latenciesMs: number[] = [];
  let sent = 0;
  const sendInTurn = async () => {
    while (sent < count) {
      const key = keys[sent++ % keys.length];
      const start = performance.now();
      await requireOk(target, { authorization: `Bearer ${key}` });
      latenciesMs.push(performance.now() - start);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: target.agent?.maxSockets ?? 1 }, sendInTurn));
  return { seconds: (performance.now() - start) / 1_000, latenciesMs };
}

async function requireOk(target: Target, headers: Record<string, string>): Promise<void> {
  const status = await statusOf(target, headers);
  if (status !== 200) throw new Error(`A request was answered with ${status} instead of 200`);
}

/** The status of the answer to one request, read to its end. */
export function statusOf(target: Target, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { ...target, host: '127.0.0.1', path: `/${ROUTE}`, headers, timeout: TIMEOUT_MS };
    const request = get(options, (response) => {
      response.once('error', reject).once('end', () => resolve(response.statusCode));
      response.resume();
    });
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new Error(`No answer within ${TIMEOUT_MS} ms`)));
  });
}
