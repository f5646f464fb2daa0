import { MemoryQuotaStorage } from './memory-quota-storage';

const DAY_MS = 86_400_000;
const NOON = Date.parse('2026-11-30T12:00:00Z');
const policy = (period: 'day' | 'month') => ({ limit: 3, windowMs: DAY_MS, period });

it('what was used comes back all at once, when the day or month of UTC ends', () => {
  let now = NOON;
  const storage = new MemoryQuotaStorage(10, () => now);
  const hit = (period: 'day' | 'month') => storage.hit('a', policy(period), 2);
  for (const period of ['day', 'month'] as const) {
    expect(hit(period)).toEqual({ passed: true, remaining: 1, resetMs: DAY_MS / 2, retryAfterMs: 0 });
    expect(hit(period)).toEqual({
      passed: false,
      remaining: 1,
      resetMs: DAY_MS / 2,
      retryAfterMs: DAY_MS / 2,
    });
  }
  now = NOON + DAY_MS / 2 - 1;
  expect(hit('day').passed).toBe(false);
  now += 1;
  expect([hit('day').passed, hit('month').passed]).toEqual([true, true]);
});

it('of many keys no more are kept than it may', () => {
  const storage = new MemoryQuotaStorage(10, () => NOON);
  for (let i = 0; i < 11; i++) storage.hit(String(i), policy('day'), 1);
  expect(storage.hit('0', policy('day'), 1).remaining).toBe(2);
  expect(storage.hit('10', policy('day'), 1).remaining).toBe(1);
});
