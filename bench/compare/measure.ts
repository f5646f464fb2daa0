import { join } from 'node:path';
import { randomFrom } from '../../test/support/random';
import { Child } from '../child';
import { sendRequests, statusWithoutKey, withConnections } from '../load';
import type { Allocations } from './guarded-calls';
import { type Both, KEY_KINDS, type OfKinds, takePairs } from './pair';
import { type ComparePlan, type CompareSubject, WAYS } from './plan';
import { medianAllocations, type RevisionRatio, ratioOf } from './ratio';
import type { Launch, LaunchOrder, PreparedRevision, Revision, WorkerOrder } from './worker';

const WORKER = join(__dirname, 'worker.js');

/** Results for one way to call the guards and one kind of key. */
export interface Compared {
  readonly subject: CompareSubject;
  readonly ratio: RevisionRatio;
  /** Allocations of one guarded call. `null` if the way is HTTP. */
  readonly allocations: Both<Allocations> | null;
}

/** Settings of a measurement other than its revisions. */
interface Surroundings {
  readonly plan: ComparePlan;
  readonly seed: number;
  readonly report: (line: string) => void;
}

/**
 * Runs the migrations of a revision on an empty database. Then issues `count` keys of each kind
 * with the library of this revision.
 */
export async function prepareRevision(revision: Revision, count: number): Promise<PreparedRevision> {
  const keys = await withWorker(
    { step: 'prepare', revision, count },
    (worker: Child<OfKinds<string[]>>) => worker.ready,
  );
  return { ...revision, keys };
}

/**
 * Measures both revisions. Each launch measures all subjects, so that noise of the machine affects
 * all subjects alike.
 * @throws Error if a request fails, or if a request without a key is accepted
 */
export async function compareRevisions(
  revisions: Both<PreparedRevision>,
  { plan, seed, report }: Surroundings,
): Promise<Compared[]> {
  const measured = WAYS.map((way) => ({ way, launches: [] as Launch[] }));
  for (let number = 0; number < plan.launches; number++) {
    report(`Launch ${number + 1} of ${plan.launches} ...`);
    for (const { way, launches } of measured)
      launches.push(await launch({ revisions, way, plan, seed: seed + number }));
  }
  return measured.flatMap(({ way, launches }) =>
    KEY_KINDS.map((kind) => ({
      subject: { way, kind },
      ratio: ratioOf(launches.map(({ pairs }) => pairs[kind])),
      allocations: medianAllocations(launches.flatMap(({ allocations }) => allocations?.[kind] ?? [])),
    })),
  );
}

function launch(order: LaunchOrder): Promise<Launch> {
  const measure = { ...order, step: 'measure' } as const;
  if (order.way === 'guards') return withWorker(measure, (worker: Child<Launch>) => worker.ready);
  return withWorker(measure, (worker: Child<Both<number>>) => measureRequests(worker, order));
}

async function measureRequests(
  worker: Child<Both<number>>,
  { revisions, plan, seed }: LaunchOrder,
): Promise<Launch> {
  const ports = await worker.ready;
  for (const port of [ports.old, ports.new]) await requireGuarded(port);
  const { count, ...pairPlan } = plan.ways.HTTP;
  const pairs = await withConnections(ports.old, plan.concurrency, (old) =>
    withConnections(ports.new, plan.concurrency, (current) => {
      const connections = { old, new: current };
      return takePairs(pairPlan, randomFrom(seed), async (side, kind) => {
        const before = await worker.ask<number>({});
        await sendRequests(connections[side], revisions[side].keys[kind], count, true);
        return ((await worker.ask<number>({})) - before) / count;
      });
    }),
  );
  return { pairs, allocations: null };
}

/**
 * Checks that a server refuses a request without a key. A server with a broken guard would look
 * fast.
 */
async function requireGuarded(port: number): Promise<void> {
  const status = await statusWithoutKey(port);
  if (status !== 401) throw new Error(`A request without a key was answered with ${status} instead of 401`);
}

async function withWorker<Ready, T>(
  order: WorkerOrder,
  use: (worker: Child<Ready>) => Promise<T>,
): Promise<T> {
  const worker = Child.fork<Ready>(WORKER, order);
  const stopNow = () => void worker.stop();
  // Stop the worker before another `exit` handler removes the folder. The worker may still load
  // modules from the folder.
  process.prependOnceListener('exit', stopNow);
  try {
    return await use(worker);
  } finally {
    process.off('exit', stopNow);
    await worker.stop();
  }
}
