import { RateLimiter } from './limiter';
import { MemoryThrottlerStorage } from './memory-storage';

const POLICY = { limit: 2, windowMs: 1_000 };
const OPTIONS = { onStorageFailure: 'refuse', storageTimeoutMs: 100, maxKeys: 10 } as const;

it('a memory of ours that is given as storage counts at once, as that of the limiter itself', () => {
  const storage = new MemoryThrottlerStorage(10, () => 0);
  const limiter = new RateLimiter(storage, OPTIONS, () => 0);
  expect([1, 2, 3].map(() => limiter.hit('a', POLICY, 1))).toMatchObject([
    { passed: true },
    { passed: true },
    { passed: false },
  ]);
  expect(storage.hit('a', POLICY, 1)).toMatchObject({ passed: false });
});
