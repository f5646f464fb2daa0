import { type Connections, sendRequests, statusWithoutKey, withConnections } from './load';
import { countOf, type Plan, type Subject } from './plan';
import type { ServerProcess } from './server-process';
import { percentile } from './statistics';
import { OPEN, type VariantName, WAITING } from './variants';

/**
 * Number of unmeasured uses of each key at the start of a turn. This warm-up is needed because
 * other subjects ran before the turn.
 */
const TURN_WARM_UP = 3;

/** Results of one turn of a subject. */
export interface Turn {
  /** CPU microseconds of the process per request or call, in user and system mode. */
  readonly cpuMicrosPerRequest: number;
  readonly requestsPerSecond: number;
  /**
   * 99th percentile of the latency, in milliseconds. `null` for calls in process, because these
   * calls are not timed individually.
   */
  readonly p99Ms: number | null;
}

/** Runs a subject with every key before the first round, so that V8 compiles the code. */
export async function warmUp(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<void> {
  const port = await server.port();
  const count = plan.warmUpTurns * countOf(plan, server.subject);
  if (port === null) return void (await server.cpuMicros(count));
  await requireGuarded(server.subject, port);
  await withConnections(port, plan.concurrency, (connections) =>
    sendRequests(connections, keys, count, isAwake(server.subject)),
  );
}

/** Uses each key TURN_WARM_UP times without measuring. Then measures one turn. */
export async function takeTurn(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<Turn> {
  const port = await server.port();
  const count = countOf(plan, server.subject);
  if (port === null) return measureCalls(server, count);
  return withConnections(port, plan.concurrency, async (connections) => {
    await sendRequests(connections, keys, TURN_WARM_UP * keys.length, isAwake(server.subject));
    return measureRequests(server, connections, keys, count);
  });
}

/**
 * Returns whether the load polls without sleeping. If the server waits for PostgreSQL or Redis, the
 * load must sleep. Otherwise the load would take the processor from PostgreSQL or Redis.
 */
function isAwake({ variant }: Subject): boolean {
  return !WAITING.includes(variant as VariantName);
}

/**
 * Checks that a guarded route refuses a request without a key. A route with a broken guard would
 * look fast.
 */
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
