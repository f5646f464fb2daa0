import { type Connections, sendRequests, statusWithoutKey, withConnections } from './load';
import { countOf, type Plan, type Subject } from './plan';
import type { ServerProcess } from './server-process';
import { percentile } from './statistics';
import { OPEN, type VariantName, WAITING } from './variants';

/** How often each key is used at the beginning of a turn: the machine did something else since the last one. */
const TURN_WARM_UP = 3;

/** What one turn of a subject showed. */
export interface Turn {
  /** CPU microseconds of the whole process, in user and system mode, for one request or call. */
  readonly cpuMicrosPerRequest: number;
  readonly requestsPerSecond: number;
  /** Milliseconds that 99 of 100 requests stayed below; null for calls, which are not timed one by one. */
  readonly p99Ms: number | null;
}

/** Lets a subject compile what it needs, with every key. */
export async function warmUp(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<void> {
  const port = await server.port();
  const count = plan.warmUpTurns * countOf(plan, server.subject);
  if (port === null) return void (await server.cpuMicros(count));
  await requireGuarded(server.subject, port);
  await withConnections(port, plan.concurrency, (connections) =>
    sendRequests(connections, keys, count, isAwake(server.subject)),
  );
}

/** Uses each key once, which also opens the connections, and then measures. */
export async function takeTurn(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<Turn> {
  const port = await server.port();
  const count = countOf(plan, server.subject);
  if (port === null) return measureCalls(server, count);
  return withConnections(port, plan.concurrency, async (connections) => {
    await sendRequests(connections, keys, TURN_WARM_UP * keys.length, isAwake(server.subject));
    return measureRequests(server, connections, keys, count);
  });
}

/** Where the server waits for PostgreSQL, a load that never sleeps would take its processor. */
function isAwake({ variant }: Subject): boolean {
  return !WAITING.includes(variant as VariantName);
}

/** A guard that lets everyone in would measure well. */
async function requireGuarded({ variant }: Subject, port: number): Promise<void> {
  const wanted = OPEN.includes(variant as VariantName) ? 200 : 401;
  const status = await statusWithoutKey(port);
  if (status !== wanted)
    throw new Error(`A request without a key was answered with ${status} instead of ${wanted}`);
}

async function measureRequests(
  server: ServerProcess,
  connections: Connections,
  keys: readonly string[],
  requests: number,
): Promise<Turn> {
  const before = await server.cpuMicros();
  const { seconds, latenciesMs } = await sendRequests(connections, keys, requests, isAwake(server.subject));
  const cpuMicros = (await server.cpuMicros()) - before;
  return {
    cpuMicrosPerRequest: cpuMicros / requests,
    requestsPerSecond: requests / seconds,
    p99Ms: percentile(latenciesMs, 0.99),
  };
}

async function measureCalls(server: ServerProcess, calls: number): Promise<Turn> {
  const before = await server.cpuMicros();
  const start = performance.now();
  const cpuMicros = (await server.cpuMicros(calls)) - before;
  const seconds = (performance.now() - start) / 1_000;
  return { cpuMicrosPerRequest: cpuMicros / calls, requestsPerSecond: calls / seconds, p99Ms: null };
}
