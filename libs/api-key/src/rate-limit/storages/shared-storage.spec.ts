import { SharedThrottlerStorage, type Taken, TooManyWaiting } from './shared-storage';
import type { Hit, LimitPolicy } from './sliding-window';
import type { Bucket } from './storage';

const POLICY = { limit: 10, windowMs: 60_000 };
const OTHER = { limit: 20, windowMs: 60_000 };

/** A database that answers when a test likes. */
class Storage extends SharedThrottlerStorage {
  readonly asked: {
    readonly buckets: readonly Bucket[];
    readonly cost: number;
    readonly count: number;
    readonly answer: (taken: Taken) => void;
    readonly fail: (error: Error) => void;
  }[] = [];

  protected override take(buckets: readonly Bucket[], cost: number, count: number): Promise<Taken> {
    return new Promise((answer, fail) => this.asked.push({ buckets, cost, count, answer, fail }));
  }
}

/** The answer of a database that has one bucket. */
const taken = (granted: number, remaining = 10, resetMs = 0, retryAfterMs = 0): Taken => ({
  granted,
  buckets: [{ remaining, resetMs, retryAfterMs }],
});
const turn = () => new Promise(setImmediate);
const hitsOf = (storage: Storage, ...hits: readonly (readonly [LimitPolicy, number])[]) =>
  hits.map(async ([policy, cost]) => storage.hit('a', policy, cost));
const refusalIn = (storage: Storage, policy: LimitPolicy, cost: number): Hit | null =>
  storage.refusalOf([{ key: 'a', policy }], cost)?.[0] ?? null;

it('hits that arrive during a statement are sent in one batch per policy and cost', async () => {
  const storage = new Storage();
  const hits = hitsOf(storage, [POLICY, 1], [POLICY, 1], [POLICY, 2], [OTHER, 1], [POLICY, 1]);
  const questions = [
    [POLICY, 1, 1],
    [POLICY, 1, 2],
    [POLICY, 2, 1],
    [OTHER, 1, 1],
  ] as const;
  for (const [i, [policy, cost, count]] of questions.entries()) {
    expect(storage.asked[i]).toMatchObject({ buckets: [{ key: 'a', policy }], cost, count });
    storage.asked[i]?.answer(taken(count));
    await turn();
  }
  expect((await Promise.all(hits)).every(({ passed }) => passed)).toBe(true);
  expect(storage.asked).toHaveLength(4);
});

it('each accepted hit gets its remaining limit, and each refused hit the time when its cost fits', async () => {
  const storage = new Storage();
  const [first, ...hits] = hitsOf(storage, [POLICY, 1], [POLICY, 3], [POLICY, 3], [POLICY, 3]);
  storage.asked[0]?.answer(taken(1, 9));
  await first;
  await turn();
  storage.asked[1]?.answer(taken(2, 2, 5, 7_000));
  expect(await Promise.all(hits)).toEqual([
    { passed: true, remaining: 5, resetMs: 5, retryAfterMs: 0 },
    { passed: true, remaining: 2, resetMs: 5, retryAfterMs: 0 },
    { passed: false, remaining: 2, resetMs: 5, retryAfterMs: 7_000 },
  ]);
  expect(refusalIn(storage, POLICY, 3)).toMatchObject({ passed: false, remaining: 2 });
  expect(refusalIn(storage, POLICY, 1)).toBeNull();
  expect(refusalIn(storage, OTHER, 3)).toBeNull();
});

describe('several buckets of one hit', () => {
  const BUCKETS = [
    { key: 'c', policy: POLICY },
    { key: 'a', policy: OTHER },
    { key: 'b', policy: POLICY },
  ];
  const stateOf = (remaining: number) => ({ remaining, resetMs: 5, retryAfterMs: remaining > 0 ? 0 : 7_000 });

  it('are sent in the order of their keys, and returned in their own order', async () => {
    const storage = new Storage();
    const hits = storage.hitAll(BUCKETS, 1);
    expect(storage.asked[0]?.buckets.map(({ key }) => key)).toEqual(['a', 'b', 'c']);
    storage.asked[0]?.answer({ granted: 0, buckets: [stateOf(1), stateOf(0), stateOf(3)] });
    expect(await hits).toMatchObject([
      { passed: true, remaining: 3 },
      { passed: true, remaining: 1 },
      { passed: false, remaining: 0, retryAfterMs: 7_000 },
    ]);
  });

  it('are refused together if one of them is known to refuse, also for other hits on it', async () => {
    const storage = new Storage();
    const hits = storage.hitAll(BUCKETS, 1);
    storage.asked[0]?.answer({ granted: 0, buckets: [stateOf(1), stateOf(0), stateOf(3)] });
    await hits;
    const others = [{ key: 'd', policy: POLICY }, BUCKETS[2] as Bucket];
    expect(storage.refusalOf(others, 1)).toMatchObject([null, { passed: false }]);
    expect(await storage.hitAll(others, 1)).toMatchObject([null, { passed: false }]);
    expect(storage.asked).toHaveLength(1);
  });

  it('wait in one queue with other hits that share the last bucket', async () => {
    const storage = new Storage();
    const [first, second] = ['x', 'y'].map(async (key) =>
      storage.hitAll([{ key, policy: POLICY }, ...BUCKETS], 1),
    );
    const answer = { granted: 1, buckets: [1, 1, 1, 1].map(stateOf) };
    expect(storage.asked).toHaveLength(1);
    storage.asked[0]?.answer(answer);
    await first;
    await turn();
    expect(storage.asked[1]?.buckets.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'y']);
    storage.asked[1]?.answer(answer);
    expect(await second).toHaveLength(4);
  });

  it('need no statement if the list is empty', async () => {
    const storage = new Storage();
    expect(await storage.hitAll([], 1)).toEqual([]);
    expect(storage.asked).toHaveLength(0);
  });
});

it('a cached refusal never allows a retry earlier than the original refusal', async () => {
  const storage = new Storage();
  const hit = storage.hit('a', POLICY, 1);
  await turn();
  const answeredAt = performance.now();
  storage.asked[0]?.answer(taken(0, 0, 59_000, 60_000));
  await hit;
  const { retryAfterMs = 0, resetMs = 0 } = refusalIn(storage, POLICY, 1) ?? {};
  const now = performance.now();
  expect(now + retryAfterMs).toBeGreaterThanOrEqual(answeredAt + 60_000);
  expect(now + resetMs).toBeGreaterThanOrEqual(answeredAt + 59_000);
});

it('at most ten thousand hits of a key wait, and hits of another key are not affected', async () => {
  const storage = new Storage();
  storage.waitAtLeast(60_000);
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
  ])('is abandoned when a guard that waits %i ms stops waiting, but not within half a second: after %i', async (waits, expected) => {
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

it('a failed statement fails its own hits, and the hits behind them are sent again', async () => {
  const storage = new Storage();
  const [first, second] = [storage.hit('a', POLICY, 1), storage.hit('a', POLICY, 1)];
  const failed = expect(first).rejects.toThrow('away');
  storage.asked[0]?.fail(new Error('away'));
  await failed;
  await turn();
  storage.asked[1]?.answer(taken(1));
  expect(await second).toMatchObject({ passed: true });
});

describe('hits that wait for a database that does not answer', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('are rejected at their deadline without a statement, and later hits are still sent', async () => {
    const storage = new Storage();
    const early = hitsOf(storage, [POLICY, 1], [POLICY, 2], [OTHER, 1]);
    const tooLate = Promise.all(early.map((hit) => expect(hit).rejects.toThrow('no answer within 500 ms')));
    await jest.advanceTimersByTimeAsync(100);
    const [later] = hitsOf(storage, [OTHER, 1]);
    await jest.advanceTimersByTimeAsync(410);
    await tooLate;
    expect(storage.asked.map(({ cost, count }) => [cost, count])).toEqual([
      [1, 1],
      [1, 1],
    ]);
    storage.asked[1]?.answer(taken(1));
    expect(await later).toMatchObject({ passed: true });
  });
});
