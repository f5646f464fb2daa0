import { setImmediate as turn } from 'node:timers/promises';
import { type Block, type KeysOfKinds, KINDS, type Kind } from './kinds';
import { AT_ONCE, type Way } from './ways';

/** Number of blocks of a sample. Medians are compared within each block. */
const BLOCKS = 100;

/** The plan of one sample. */
export interface SamplePlan {
  readonly way: Way;
  readonly keys: KeysOfKinds;
  /** Number of measurements of all kinds together. Each kind gets the same number. */
  readonly count: number;
  /** Returns a number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  /** Artificial delay for one kind of key, or `null`. */
  readonly leak: Leak | null;
}

/** Plan of a sample, with the state of its measurements. */
interface Sampling extends SamplePlan {
  /**
   * Waits for a turn of the event loop in which no other measurement starts. Look-ups that start in
   * one turn are sent in one statement, which would hide their differences.
   */
  readonly ownTurn: () => Promise<void>;
}

/** Artificial delay for one kind of key. It shows that the test finds a leak. */
export interface Leak {
  readonly kind: Kind;
  readonly micros: number;
}

/**
 * Measures all kinds of keys in random order, with `AT_ONCE` measurements in flight. Discards the
 * first block.
 */
export async function takeSample(plan: SamplePlan): Promise<Block[]> {
  const each = Math.ceil(plan.count / BLOCKS / KINDS.length);
  const sampling = { ...plan, ownTurn: turns() };
  await takeBlock(sampling, each);
  const blocks: Block[] = [];
  while (blocks.length < BLOCKS) blocks.push(await takeBlock(sampling, each));
  return blocks;
}

async function takeBlock(plan: Sampling, each: number): Promise<Block> {
  const times: Record<Kind, number[]> = { unknown: [], revoked: [], expired: [], ownerless: [] };
  const order = shuffled(repeated(KINDS, each), plan.random)[Symbol.iterator]();
  const takeNext = async () => {
    for (const kind of order) times[kind].push(await timeOf(kind, plan));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, takeNext));
  return times;
}

async function timeOf(kind: Kind, plan: Sampling): Promise<number> {
  const { way, random, leak } = plan;
  const keys = plan.keys[kind];
  const ask = way.prepare(keys[Math.floor(random() * keys.length)] ?? '');
  const wasted = leak?.kind === kind ? leak.micros : 0;
  await plan.ownTurn();
  const start = process.hrtime.bigint();
  await ask();
  if (wasted > 0) waste(wasted);
  return microsSince(start);
}

function turns(): () => Promise<void> {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => turn());
    return last;
  };
}

function waste(micros: number): void {
  const start = process.hrtime.bigint();
  while (microsSince(start) < micros);
}

function microsSince(start: bigint): number {
  return Number(process.hrtime.bigint() - start) / 1_000;
}

function repeated<T>(values: readonly T[], times: number): T[] {
  return Array.from({ length: times }, () => values).flat();
}

/** Shuffles an array in place (Fisher–Yates). */
function shuffled<T>(values: T[], random: () => number): T[] {
  for (let last = values.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [values[last], values[other]] = [values[other] as T, values[last] as T];
  }
  return values;
}
