import { type Lot, SharedThrottlerStorage, type Taken, TooManyWaiting } from './shared-storage';
import type { LimitPolicy } from './sliding-window';

const POLICY = { limit: 10, windowMs: 60_000 };
const OTHER = { limit: 20, windowMs: 60_000 };

/** A database that answers when a test likes. */
class Storage extends SharedThrottlerStorage {
  readonly asked: {
    readonly policy: LimitPolicy;
    readonly lots: readonly Lot[];
    readonly answer: (taken: Taken) => void;
    readonly fail: (error: Error) => void;
  }[] = [];

  protected override take(_key: string, policy: LimitPolicy, lots: readonly Lot[]): Promise<Taken> {
    return new Promise((answer, fail) => this.asked.push({ policy, lots, answer, fail }));
  }
}

const taken = (...granted: number[]): Taken => ({
  granted,
  remaining: 0,
  resetMs: 0,
  retryAfterMs: granted.map(() => 0),
});
const turn = () => new Promise(setImmediate);
const hitsOf = (storage: Storage, ...hits: readonly (readonly [LimitPolicy, number])[]) =>
  hits.map(async ([policy, cost]) => storage.hit('a', policy, cost));

it('hits that come while one is under way are asked for together, in lots of one cost, and each policy apart', async () => {
  const storage = new Storage();
  const hits = hitsOf(storage, [POLICY, 1], [POLICY, 1], [POLICY, 2], [OTHER, 1], [POLICY, 1]);
  const questions = [
    [POLICY, [{ cost: 1, count: 1 }], taken(1)],
    [
      POLICY,
      [
        { cost: 1, count: 2 },
        { cost: 2, count: 1 },
      ],
      taken(2, 1),
    ],
    [OTHER, [{ cost: 1, count: 1 }], taken(1)],
  ] as const;
  for (const [i, [policy, lots, answer]] of questions.entries()) {
    expect(storage.asked[i]).toMatchObject({ policy, lots });
    storage.asked[i]?.answer(answer);
    await turn();
  }
  expect((await Promise.all(hits)).every(({ passed }) => passed)).toBe(true);
  expect(storage.asked).toHaveLength(3);
});

it('each that passed is told what was left then, and each that did not when its cost would fit', async () => {
  const storage = new Storage();
  const [first, ...hits] = hitsOf(storage, [POLICY, 1], [POLICY, 3], [POLICY, 3], [POLICY, 1], [POLICY, 1]);
  storage.asked[0]?.answer({ ...taken(1), remaining: 9 });
  await first;
  await turn();
  storage.asked[1]?.answer({ granted: [1, 2], remaining: 4, resetMs: 5, retryAfterMs: [7_000, 0] });
  expect(await Promise.all(hits)).toEqual([
    { passed: true, remaining: 6, resetMs: 5, retryAfterMs: 0 },
    { passed: false, remaining: 4, resetMs: 5, retryAfterMs: 7_000 },
    { passed: true, remaining: 5, resetMs: 5, retryAfterMs: 0 },
    { passed: true, remaining: 4, resetMs: 5, retryAfterMs: 0 },
  ]);
  expect(storage.refusalOf('a', POLICY, 3)).toMatchObject({ passed: false, remaining: 4 });
  expect(storage.refusalOf('a', POLICY, 1)).toBeNull();
  expect(storage.refusalOf('a', OTHER, 3)).toBeNull();
});

it('a refusal that is remembered tells nobody to come back before the one that was refused', async () => {
  const storage = new Storage();
  const hit = storage.hit('a', POLICY, 1);
  await turn();
  const answeredAt = performance.now();
  storage.asked[0]?.answer({ granted: [0], remaining: 0, resetMs: 59_000, retryAfterMs: [60_000] });
  await hit;
  const { retryAfterMs = 0, resetMs = 0 } = storage.refusalOf('a', POLICY, 1) ?? {};
  const now = performance.now();
  expect(now + retryAfterMs).toBeGreaterThanOrEqual(answeredAt + 60_000);
  expect(now + resetMs).toBeGreaterThanOrEqual(answeredAt + 59_000);
});

it('one question names 32 costs at most, and the next one the others', async () => {
  const storage = new Storage();
  const costs = Array.from({ length: 50 }, (_, i) => [POLICY, i + 1] as const);
  const hits = hitsOf(storage, [POLICY, 1], ...costs);
  for (const [i, length] of [1, 32, 18].entries()) {
    expect(storage.asked[i]?.lots).toHaveLength(length);
    storage.asked[i]?.answer(taken(...Array(length).fill(1)));
    await turn();
  }
  await Promise.all(hits);
});

it('no more than ten thousand hits of a key wait, and those of another key are not kept from it', async () => {
  const storage = new Storage();
  const waiting = hitsOf(storage, ...Array(10_001).fill([POLICY, 1]));
  await expect(storage.hit('a', POLICY, 1)).rejects.toThrow(TooManyWaiting);
  const other = storage.hit('b', POLICY, 1);
  storage.asked[1]?.answer(taken(1));
  expect(await other).toMatchObject({ passed: true });
  storage.asked[0]?.answer(taken(1));
  await turn();
  storage.asked[2]?.answer(taken(10_000));
  await Promise.all(waiting);
});

describe('a database that does not answer', () => {
  beforeEach(() => void jest.useFakeTimers({ doNotFake: ['performance'] }));
  afterEach(() => void jest.useRealTimers());

  it.each([
    [10, 500],
    [2_000, 2_000],
  ])('is given up when a guard that waits %i ms has done so, and not within half a second: after %i', async (waits, expected) => {
    const storage = new Storage();
    storage.waitAtLeast(waits);
    const fails = jest.fn();
    (storage.hit('a', POLICY, 1) as Promise<unknown>).catch(fails);
    await jest.advanceTimersByTimeAsync(expected - 1);
    expect(fails).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(10);
    expect(fails).toHaveBeenCalledWith(new Error(`no answer within ${expected} ms`));
  });
});

it('a database that fails fails those that it was asked for, and is asked anew for those behind them', async () => {
  const storage = new Storage();
  const [first, second] = [storage.hit('a', POLICY, 1), storage.hit('a', POLICY, 1)];
  const failed = expect(first).rejects.toThrow('away');
  storage.asked[0]?.fail(new Error('away'));
  await failed;
  await turn();
  storage.asked[1]?.answer(taken(1));
  expect(await second).toMatchObject({ passed: true });
});
