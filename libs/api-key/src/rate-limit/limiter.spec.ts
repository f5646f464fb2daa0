import type { ThrottlerStorage } from '@nestjs/throttler';
import type { DataSource } from 'typeorm';
import { RateLimiter } from './limiter';
import { MemoryThrottlerStorage } from './storages/memory-storage';
import { SharedThrottlerStorage, type Taken, TooManyWaiting } from './storages/shared-storage';

const POLICY = { limit: 2, windowMs: 1_000 };
const OPTIONS = { onStorageFailure: 'refuse', storageTimeoutMs: 100, maxKeys: 10 } as const;

/** A limiter that counts in a storage. */
function limiterOf(storage: ThrottlerStorage, options = {}, now?: () => number): RateLimiter {
  return new RateLimiter({ rateLimit: { ...OPTIONS, ...options, storage } }, {} as DataSource, null, now);
}

it('a MemoryStorage that is given as storage counts synchronously, like the limiter itself', () => {
  const storage = new MemoryThrottlerStorage(10, () => 0);
  const limiter = limiterOf(storage, {}, () => 0);
  expect([1, 2, 3].map(() => limiter.hitInMemory([{ key: 'a', policy: POLICY }], 1))).toMatchObject([
    [{ passed: true }],
    [{ passed: true }],
    [{ passed: false }],
  ]);
  expect(storage.hit('a', POLICY, 1)).toMatchObject({ passed: false });
});

it('too many waiting hits of one key do not make the storage count as failed for other keys', async () => {
  class Full extends SharedThrottlerStorage {
    protected take(): Promise<Taken> {
      throw new TooManyWaiting();
    }
  }
  const limiter = limiterOf(new Full());
  const ofOthers = jest.spyOn(limiter, 'failed' as never);
  await expect(limiter.hit([{ key: 'a', policy: POLICY }], 1)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
  expect(ofOthers).not.toHaveBeenCalled();
});

it('a built-in storage waits as long as the limiter', () => {
  class Storage extends SharedThrottlerStorage {
    readonly waits: number[] = [];
    override waitAtLeast(ms: number): void {
      this.waits.push(ms);
    }
    protected take(): Promise<Taken> {
      return new Promise(() => {});
    }
  }
  const storage = new Storage();
  limiterOf(storage, { storageTimeoutMs: 3_000 });
  expect(storage.waits).toEqual([3_000]);
});

it('a custom storage that answers at once does not block the process, whatever a hit costs', async () => {
  let hits = 0;
  const storage: ThrottlerStorage = {
    increment: async () => ({ totalHits: ++hits, timeToExpire: 1, isBlocked: false, timeToBlockExpire: 0 }),
  };
  const limiter = limiterOf(storage);
  const policy = { limit: 1_000_000_000, windowMs: 1_000 };
  await expect(limiter.hit([{ key: 'a', policy }], 1_000_000_000)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
  expect(hits).toBeLessThan(1_000_000_000);
});

describe('while its storage fails,', () => {
  const BUCKETS = [
    { key: 'a', policy: { limit: 5, windowMs: 60_000 } },
    { key: 'b', policy: { limit: 3, windowMs: 60_000 } },
  ];
  const stateOf = (remaining: number) => ({ remaining, resetMs: 60_000, retryAfterMs: 0 });

  /** Answers once, and then fails. */
  class Failing extends SharedThrottlerStorage {
    private answered = false;
    constructor(private readonly answer: Taken) {
      super();
    }
    protected async take(): Promise<Taken> {
      if (this.answered) throw new Error('away');
      this.answered = true;
      return this.answer;
    }
  }

  it.each<[string, Taken, number]>([
    [
      'the use that the storage reported when a hit passed',
      { granted: 1, buckets: [stateOf(4), stateOf(1)] },
      1,
    ],
    [
      'the use that the storage reported when another bucket refused',
      { granted: 0, buckets: [stateOf(2), stateOf(0)] },
      0,
    ],
  ])('the local count starts from %s', async (_, answer, passes) => {
    const limiter = limiterOf(new Failing(answer), { onStorageFailure: 'local' });
    await limiter.hit(BUCKETS, 1);
    let passed = 0;
    for (let i = 0; i < 5; i++) if ((await limiter.hit(BUCKETS, 1)).every((hit) => hit?.passed)) passed += 1;
    expect(passed).toBe(passes);
  });
});

it('a custom storage gets no further hit after a bucket that refuses', async () => {
  const asked: string[] = [];
  const storage: ThrottlerStorage = {
    increment: async (key) => {
      asked.push(key);
      return { totalHits: 1, timeToExpire: 1, isBlocked: key === 'b', timeToBlockExpire: 1 };
    },
  };
  const limiter = limiterOf(storage);
  const hits = await limiter.hit(
    ['a', 'b', 'c'].map((key) => ({ key, policy: POLICY })),
    1,
  );
  expect(hits.map((hit) => hit?.passed)).toEqual([true, false, undefined]);
  expect(asked).toEqual(['a', 'b']);
});
