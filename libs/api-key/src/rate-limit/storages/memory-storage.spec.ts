import { heapInUse } from '../../../../../test/support/heap';
import { MemoryThrottlerStorage } from './memory-storage';

const POLICY = { limit: 2, windowMs: 1_000 };

it('each key has its own count', () => {
  const storage = new MemoryThrottlerStorage(10, () => 0);
  expect([1, 2, 3].map(() => storage.hit('a', POLICY, 1).passed)).toEqual([true, true, false]);
  expect(storage.hit('b', POLICY, 1).passed).toBe(true);
});

it('of a hundred thousand keys at most the allowed number is kept', () => {
  const storage = new MemoryThrottlerStorage(1_000, () => 0);
  for (let i = 0; i < 100_000; i++) storage.hit(String(i), POLICY, 1);
  expect(storage.size).toBe(1_000);
});

it('a key with a full log takes at most 7 kilobytes of memory, however long it is used', () => {
  let now = 0.5;
  const [keys, policy] = [Array.from({ length: 500 }, (_, i) => String(i)), { limit: 256, windowMs: 1_000 }];
  const before = heapInUse();
  const storage = new MemoryThrottlerStorage(keys.length, () => now);
  for (let i = 0; i < 600; i++, now += 4.1) for (const key of keys) storage.hit(key, policy, 1);
  expect((heapInUse() - before) / storage.size).toBeLessThan(7_500);
});

it('the refusal of a used-up limit is known in advance, and the check uses no request', () => {
  let now = 0;
  const storage = new MemoryThrottlerStorage(10, () => now);
  expect(storage.refusalOf([{ key: 'a', policy: POLICY }], 1)).toBeNull();
  for (const cost of [1, 1]) storage.hit('a', POLICY, cost);
  expect(storage.refusalOf([{ key: 'a', policy: POLICY }], 1)).toEqual([storage.hit('a', POLICY, 1)]);
  now = 1_000;
  expect(storage.refusalOf([{ key: 'a', policy: POLICY }], 2)).toBeNull();
  expect(storage.hit('a', POLICY, 2).passed).toBe(true);
});

it('keys with expired use make room for new keys', () => {
  let now = 0;
  const storage = new MemoryThrottlerStorage(100_000, () => now);
  for (let i = 0; i < 1_000; i++) storage.hit(`old ${i}`, POLICY, 1);
  now = 3_600_000;
  for (let i = 0; i < 1_000; i++) storage.hit(`new ${i}`, POLICY, 1);
  expect(storage.size).toBe(1_000);
});

it('the guard of @nestjs/throttler gets its times in seconds', async () => {
  let now = 0;
  const storage = new MemoryThrottlerStorage(10, () => now);
  const increment = () => storage.increment('a', 60_000, 2, 60_000, 'default');
  expect(await increment()).toEqual({
    totalHits: 1,
    timeToExpire: 60,
    isBlocked: false,
    timeToBlockExpire: 0,
  });
  await increment();
  now = 30_500;
  expect(await increment()).toEqual({
    totalHits: 3,
    timeToExpire: 30,
    isBlocked: true,
    timeToBlockExpire: 30,
  });
});

it('a hit on several buckets counts in all of them or in none', () => {
  const storage = new MemoryThrottlerStorage(10, () => 0);
  const buckets = [
    { key: 'a', policy: { limit: 5, windowMs: 1_000 } },
    { key: 'b', policy: POLICY },
  ];
  for (const left of [1, 0])
    expect(storage.hitAll(buckets, 1)).toMatchObject([{ passed: true }, { passed: true, remaining: left }]);
  for (const _ of [1, 2])
    expect(storage.hitAll(buckets, 1)).toMatchObject([
      { passed: true, remaining: 3, retryAfterMs: 0 },
      { passed: false, remaining: 0, retryAfterMs: 1_000 },
    ]);
  expect(storage.hitAll([], 1)).toEqual([]);
});

it('needs no options', () => {
  expect(new MemoryThrottlerStorage().hit('a', POLICY, 1)).toMatchObject({ passed: true, remaining: 1 });
});

it('a key whose first hit is refused takes no memory', () => {
  const storage = new MemoryThrottlerStorage(10, () => 0);
  expect(storage.hit('a', POLICY, 3)).toMatchObject({ passed: false, remaining: 2 });
  expect(storage.size).toBe(0);
});
