import * as fc from 'fast-check';
import { type LimitPolicy, SlidingWindow } from './sliding-window';

interface Passed {
  readonly at: number;
  readonly cost: number;
}

/** What passes of hits at given distances from each other. */
function passedOf(policy: LimitPolicy, hits: readonly { readonly after: number; readonly cost: number }[]) {
  const window = new SlidingWindow();
  const passed: Passed[] = [];
  let now = 0;
  for (const { after, cost } of hits) {
    now += after;
    if (window.hit(now, cost, policy).passed) passed.push({ at: now, cost });
  }
  return passed;
}

/** The most that passed within any window: one that begins with something that passed. */
function mostInAnyWindow(passed: readonly Passed[], windowMs: number): number {
  const sums = passed.map(({ at: begin }) =>
    passed.filter(({ at }) => at >= begin && at < begin + windowMs).reduce((sum, { cost }) => sum + cost, 0),
  );
  return Math.max(0, ...sums);
}

/** More than what is lost in adding two moments. */
const ROUNDING_MS = 1e-6;

const hits = fc.array(
  fc.record({ after: fc.double({ min: 0, max: 400, noNaN: true }), cost: fc.nat(3).map((n) => n + 1) }),
  {
    minLength: 1,
    maxLength: 400,
  },
);

it('no window at any start contains more accepted hits than the limit, for any traffic', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 1, max: 5_000 }),
      hits,
      (limit, windowMs, some) => {
        const passed = passedOf({ limit, windowMs }, some);
        expect(mostInAnyWindow(passed, windowMs)).toBeLessThanOrEqual(limit);
      },
    ),
    { numRuns: 300 },
  );
});

it('a limit up to 256 accepts exactly the hits that fit into the window that ends now', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 256 }),
      fc.integer({ min: 1, max: 5_000 }),
      hits,
      (limit, windowMs, some) => {
        const window = new SlidingWindow();
        const passed: Passed[] = [];
        let now = 0;
        for (const { after, cost } of some) {
          now += after;
          const used = passed.filter(({ at }) => at > now - windowMs).reduce((sum, hit) => sum + hit.cost, 0);
          expect(window.hit(now, cost, { limit, windowMs }).passed).toBe(used + cost <= limit);
          if (used + cost <= limit) passed.push({ at: now, cost });
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('under steady overload more than 99 % of a large limit is accepted in each window', () => {
  const policy = { limit: 10_000, windowMs: 1_000 };
  const passed = passedOf(
    policy,
    Array.from({ length: 200_000 }, () => ({ after: 0.05, cost: 1 })),
  );
  for (let begin = 0; begin < 10_000; begin += 1_000) {
    const inWindow = passed.filter(({ at }) => at > begin && at <= begin + 1_000).length;
    expect(inWindow).toBeGreaterThanOrEqual(9_900);
    expect(inWindow).toBeLessThanOrEqual(10_000);
  }
});

it('steady traffic under the limit is never refused', () => {
  for (const limit of [7, 100, 1_000, 5_000]) {
    const after = 1_000 / (limit * 0.99);
    const sent = Math.ceil(limit * 0.99 * 3);
    expect(passedOf({ limit, windowMs: 1_000 }, Array(sent).fill({ after, cost: 1 }))).toHaveLength(sent);
  }
});

it('a refused hit is accepted at its retry time, and not earlier', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 1, max: 5_000 }),
      hits,
      (limit, windowMs, some) => {
        const policy = { limit, windowMs };
        const window = new SlidingWindow();
        let now = 0;
        for (const { after, cost } of some) {
          now += after;
          const { passed, retryAfterMs, resetMs } = window.hit(now, cost, policy);
          if (passed || cost > limit) continue;
          expect(resetMs).toBeLessThanOrEqual(retryAfterMs);
          if (retryAfterMs > 1_000 * ROUNDING_MS)
            expect(window.hit(now + retryAfterMs * 0.999, cost, policy).passed).toBe(false);
          now += retryAfterMs + ROUNDING_MS;
          expect(window.hit(now, cost, policy).passed).toBe(true);
        }
      },
    ),
    { numRuns: 200 },
  );
});

it('refused hits use nothing of the limit', () => {
  const window = new SlidingWindow();
  const policy = { limit: 2, windowMs: 1_000 };
  const outcomes = [0, 1, 2, 500, 999, 1_000, 1_000.5, 1_001].map((at) => window.hit(at, 1, policy).passed);
  expect(outcomes).toEqual([true, true, false, false, false, true, false, true]);
});

it('a hit that costs more than the limit never passes, and its retry time is one window', () => {
  expect(new SlidingWindow().hit(0, 3, { limit: 2, windowMs: 1_000 })).toEqual({
    passed: false,
    remaining: 2,
    resetMs: 0,
    retryAfterMs: 1_000,
  });
});

it('a lowered limit counts the use under the higher limit', () => {
  const window = new SlidingWindow();
  for (let i = 0; i < 10; i++) window.hit(i, 1, { limit: 10, windowMs: 1_000 });
  expect(window.hit(10, 1, { limit: 5, windowMs: 1_000 })).toMatchObject({ passed: false, remaining: 0 });
  expect(window.hit(1_005, 1, { limit: 5, windowMs: 1_000 }).passed).toBe(true);
});

it('the reset and retry times are never longer than the window, for any fraction of a millisecond', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      fc.integer({ min: 1, max: 86_400_000 }),
      (now, windowMs) => {
        const window = new SlidingWindow();
        const policy = { limit: 1, windowMs };
        expect(window.hit(now, 1, policy).resetMs).toBe(windowMs);
        expect(window.hit(now, 1, policy)).toMatchObject({ resetMs: windowMs, retryAfterMs: windowMs });
      },
    ),
  );
});

describe('a limit and window that change', () => {
  const HOUR_MS = 3_600_000;
  const steps = fc.array(
    fc.record({
      after: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 30_000, noNaN: true }), fc.nat(2 * HOUR_MS)),
      limit: fc.constantFrom(1, 3, 10, 257, 1_000),
      windowMs: fc.constantFrom(1_000, 10_000, 60_000, HOUR_MS, 24 * HOUR_MS),
      cost: fc.constantFrom(1, 1, 1, 2, 40),
    }),
    { minLength: 1, maxLength: 300 },
  );

  it('accept no more than an exact log of all hits, and refuse only hits that a slightly longer window refuses', () => {
    fc.assert(
      fc.property(steps, (some) => {
        const window = new SlidingWindow();
        const passed: Passed[] = [];
        let logged: readonly Passed[] = [];
        let [now, kept] = [0, HOUR_MS];
        const usedOf = (hits: readonly Passed[], ms: number) =>
          hits.filter(({ at }) => at > now - ms).reduce((sum, { cost }) => sum + cost, 0);
        for (const { after, limit, windowMs, cost } of some) {
          now += after;
          logged = logged.filter(({ at }) => at > now - kept);
          kept = Math.max(kept, windowMs);
          if (window.hit(now, cost, { limit, windowMs }).passed) {
            expect(usedOf(logged, windowMs) + cost).toBeLessThanOrEqual(limit);
            passed.push({ at: now, cost });
            logged = [...logged, { at: now, cost }];
          } else expect(usedOf(passed, windowMs + kept / 64) + cost).toBeGreaterThan(limit);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('keep the log at a bounded length, however often they change', () => {
    const window = new SlidingWindow();
    let [now, most] = [0, 0];
    for (let i = 0; i < 100_000; i++) {
      const [limit, windowMs] = [i % 3 ? 256 : 1_000_000_000, 1_000 * 2 ** (Math.floor(i / 500) % 20)];
      now += windowMs / 300;
      window.hit(now, 1, { limit, windowMs });
      most = Math.max(most, entriesOf(window));
    }
    expect(most).toBeLessThanOrEqual(512 + 65 + 32);
  });

  it('lose no hit of a log that is folded because its window became longer again and again', () => {
    const window = new SlidingWindow();
    const limit = 1_000_000_000;
    let [now, hits] = [0, 0];
    for (let windowMs = 1_000; windowMs <= 512_000; windowMs *= 2)
      for (; now < windowMs; now += windowMs / 300, hits++)
        expect(window.hit(now, 1, { limit, windowMs }).remaining).toBe(limit - hits - 1);
    expect(hits).toBeGreaterThan(1_500);
    expect(entriesOf(window)).toBeLessThanOrEqual(512);
  });

  it('count at least the use that is reported', () => {
    const window = new SlidingWindow();
    const policy = { limit: 5, windowMs: 1_000 };
    window.hit(0, 2, policy);
    window.atLeast(500, 1, policy);
    expect(window.usedIn(500, 1_000)).toBe(2);
    window.atLeast(500, 4, policy);
    expect(window.hit(500, 2, policy)).toMatchObject({ passed: false, remaining: 1 });
    expect(window.usedIn(1_000, 1_000)).toBe(2);
  });

  it('are forgotten after the longest window and one hour', () => {
    const window = new SlidingWindow();
    expect(window.isOver(0)).toBe(true);
    window.hit(0, 1, { limit: 1, windowMs: 1_000 });
    expect([HOUR_MS - 1, HOUR_MS].map((now) => window.isOver(now))).toEqual([false, true]);
    window.hit(2_000, 1, { limit: 1, windowMs: 2 * HOUR_MS });
    expect(window.isOver(HOUR_MS)).toBe(false);
    window.hit(2_000, 1, { limit: 1, windowMs: 1_000 });
    expect(window.isOver(2 * HOUR_MS)).toBe(false);
  });
});

function entriesOf(window: SlidingWindow): number {
  const { entries, tail } = window as unknown as Readonly<Record<'entries' | 'tail', readonly number[]>>;
  return (entries.length + tail.length) / 2;
}
