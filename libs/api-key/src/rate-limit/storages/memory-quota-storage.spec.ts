import { MemoryQuotaStorage } from './memory-quota-storage';
import type { Hit } from './sliding-window';

const DAY_MS = 86_400_000;
const NOON = Date.parse('2026-11-30T12:00:00Z');
const policy = (period: 'day' | 'month', limit = 3) => ({ limit, windowMs: DAY_MS, period });
const hitIn = (storage: MemoryQuotaStorage, key: string, of: ReturnType<typeof policy>, cost: number) =>
  storage.hitAll([{ key, policy: of }], cost)[0] as Hit;

it.each(['day', 'month'] as const)('the whole quota is available again when the %s in UTC ends', (period) => {
  let now = NOON;
  const storage = new MemoryQuotaStorage(10, () => now);
  const hit = () => hitIn(storage, 'a', policy(period), 2);
  expect(hit()).toEqual({ passed: true, remaining: 1, resetMs: DAY_MS / 2, retryAfterMs: 0 });
  expect(hit()).toEqual({ passed: false, remaining: 1, resetMs: DAY_MS / 2, retryAfterMs: DAY_MS / 2 });
  now = NOON + DAY_MS / 2 - 1;
  expect(hit().passed).toBe(false);
  now += 1;
  expect(hit().passed).toBe(true);
});

it('use counts in the day and in the month, whichever period the quota had', () => {
  let now = NOON - DAY_MS;
  const storage = new MemoryQuotaStorage(10, () => now);
  expect(hitIn(storage, 'a', policy('day'), 3).passed).toBe(true);
  expect(hitIn(storage, 'a', policy('month', 4), 2)).toMatchObject({ passed: false, remaining: 1 });
  expect(hitIn(storage, 'a', policy('month', 4), 1).passed).toBe(true);
  now = NOON;
  expect(hitIn(storage, 'a', policy('month', 4), 1).passed).toBe(false);
  expect(hitIn(storage, 'a', policy('day'), 3).passed).toBe(true);
});

it('a hit on several quotas counts in all of them or in none', () => {
  const storage = new MemoryQuotaStorage(10, () => NOON);
  const buckets = [
    { key: 'a', policy: policy('day') },
    { key: 'b', policy: policy('month', 1) },
  ];
  expect(storage.hitAll(buckets, 1)).toMatchObject([{ passed: true }, { passed: true }]);
  expect(storage.hitAll(buckets, 1)).toMatchObject([
    { passed: true, remaining: 2 },
    { passed: false, remaining: 0 },
  ]);
  expect(hitIn(storage, 'a', policy('day'), 2).passed).toBe(true);
});

it('at most the allowed number of keys is kept', () => {
  const storage = new MemoryQuotaStorage(10, () => NOON);
  for (let i = 0; i < 11; i++) hitIn(storage, String(i), policy('day'), 1);
  expect(hitIn(storage, '0', policy('day'), 1).remaining).toBe(2);
  expect(hitIn(storage, '10', policy('day'), 1).remaining).toBe(1);
});

it('a policy that names no period counts by the day', () => {
  const storage = new MemoryQuotaStorage(10, () => NOON);
  const hit = () => storage.hitAll([{ key: 'a', policy: { limit: 1, windowMs: DAY_MS } }], 1);
  expect(hit()).toEqual([{ passed: true, remaining: 0, resetMs: DAY_MS / 2, retryAfterMs: 0 }]);
  expect(hit()).toEqual([{ passed: false, remaining: 0, resetMs: DAY_MS / 2, retryAfterMs: DAY_MS / 2 }]);
});
