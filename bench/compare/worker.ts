import { join } from 'node:path';
import { randomFrom } from '../../test/support/random';
import type { Allocations, GuardedCalls } from './guarded-calls';
import { type Both, type OfKinds, type Pair, takePairs } from './pair';
import type { ComparePlan, Way } from './plan';
import type { RevisionUnderTest } from './revision';

/** A revision of the library, with the folder of its build and its own database. */
export interface Revision {
  readonly folder: string;
  readonly databaseUrl: string;
}

/** A revision whose database is migrated, with the keys that this revision issued. */
export type PreparedRevision = Revision & { readonly keys: OfKinds<readonly string[]> };

/** Order that the parent process gives to a worker process. */
export type WorkerOrder =
  | { readonly step: 'prepare'; readonly revision: Revision; readonly count: number }
  | ({ readonly step: 'measure' } & LaunchOrder);

/** Order to measure both revisions in one way, in a new process. */
export interface LaunchOrder {
  readonly revisions: Both<PreparedRevision>;
  readonly way: Way;
  readonly plan: ComparePlan;
  readonly seed: number;
}

/** Results of one launch. */
export interface Launch {
  readonly pairs: OfKinds<readonly Pair[]>;
  /** Allocations of one guarded call. `null` if the way is HTTP. */
  readonly allocations: OfKinds<Both<Allocations>> | null;
}

/**
 * Does the work of an order. Both revisions run in one process, so that they share the processor,
 * its caches and its noise.
 */
async function work(order: WorkerOrder): Promise<void> {
  process.on('disconnect', () => process.exit());
  if (order.step === 'prepare') return send(await prepare(order.revision, order.count));
  if (order.way === 'guards') return send(await measureCalls(order));
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    send(user + system);
  });
  send(await both(order, ({ folder, databaseUrl }) => load(folder).listen(databaseUrl)));
}

function prepare({ folder, databaseUrl }: Revision, count: number): Promise<OfKinds<string[]>> {
  return load(folder).prepare(databaseUrl, count);
}

async function measureCalls(order: LaunchOrder): Promise<Launch> {
  const { revisions, plan, seed } = order;
  const calls = await both(order, ({ folder, databaseUrl }) => load(folder).openCalls(databaseUrl));
  const { count, ...pairPlan } = plan.ways.guards;
  const pairs = await takePairs(pairPlan, randomFrom(seed), (side, kind) =>
    calls[side].cpuMicros(revisions[side].keys[kind], count),
  );
  return { pairs, allocations: await allocationsOf(calls, revisions) };
}

async function allocationsOf(
  calls: Both<GuardedCalls>,
  { old, new: current }: Both<PreparedRevision>,
): Promise<OfKinds<Both<Allocations>>> {
  const of = async (kind: keyof OfKinds<unknown>) => ({
    old: await calls.old.allocations(old.keys[kind]),
    new: await calls.new.allocations(current.keys[kind]),
  });
  return { 'no limit': await of('no limit'), limit: await of('limit') };
}

/**
 * Opens both revisions. An even seed opens the old revision first, and an odd seed the new
 * revision. Seeds of successive launches differ by one.
 */
async function both<T>(
  { revisions, seed }: LaunchOrder,
  open: (revision: Revision) => Promise<T>,
): Promise<Both<T>> {
  if (seed % 2 === 0) {
    const old = await open(revisions.old);
    return { old, new: await open(revisions.new) };
  }
  const current = await open(revisions.new);
  return { old: await open(revisions.old), new: current };
}

function load(folder: string): RevisionUnderTest {
  return require(join(folder, 'dist/bench/compare/revision.js')).revision;
}

function send(message: unknown): void {
  process.send?.(message);
}

work(JSON.parse(process.argv[2] ?? '')).catch((error: unknown) => {
  console.error(String(error));
  process.exit(1);
});
