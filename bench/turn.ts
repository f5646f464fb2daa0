import { sendRequests, statusOf, type Target, withConnections } from './load';
import type { Plan, Subject } from './plan';
import type { ServerProcess } from './server-process';
import { percentile } from './statistics';

/** What one turn of a server showed. */
export interface Turn {
  /** CPU microseconds of the whole server process, in user and system mode. */
  readonly cpuMicrosPerRequest: number;
  readonly requestsPerSecond: number;
  /** Milliseconds that 99 of 100 requests stayed below. */
  readonly p99Ms: number;
}

/** Lets a server compile what it needs, with every key. */
export async function warmUp(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<void> {
  const port = await server.port();
  await requireGuarded(server.subject, port);
  await withConnections(port, plan.concurrency, (target) => sendRequests(target, keys, plan.warmUpRequests));
}

/** Uses each key once, which also opens the connections, and then measures. */
export async function takeTurn(server: ServerProcess, plan: Plan, keys: readonly string[]): Promise<Turn> {
  const port = await server.port();
  return withConnections(port, plan.concurrency, async (target) => {
    await sendRequests(target, keys, keys.length);
    return measureTurn(server, target, keys, plan.requests);
  });
}

/** A guard that lets everyone in would measure well. */
async function requireGuarded({ variant }: Subject, port: number): Promise<void> {
  const wanted = variant === 'bare' ? 200 : 401;
  const status = await statusOf({ port }, {});
  if (status !== wanted)
    throw new Error(`A request without a key was answered with ${status} instead of ${wanted}`);
}

async function measureTurn(
  server: ServerProcess,
  target: Target,
  keys: readonly string[],
  requests: number,
): Promise<Turn> {
  const before = await server.cpuMicros();
  const { seconds, latenciesMs } = await sendRequests(target, keys, requests);
  const cpuMicros = (await server.cpuMicros()) - before;
  return {
    cpuMicrosPerRequest: cpuMicros / requests,
    requestsPerSecond: requests / seconds,
    p99Ms: percentile(latenciesMs, 0.99),
  };
}
