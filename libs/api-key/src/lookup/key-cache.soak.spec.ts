import { randomBytes } from 'node:crypto';
import { heapInUse } from '../../../../test/support/heap';
import { momentOf } from './clock';
import { KeyCache } from './key-cache';
import { Lease } from './lease';

const BOUND_MS = 2_000;
const CLOCK = { monotonic: () => 1_000, wall: () => 1_000 };

it('a million random unknown digests leave at most as many cache entries as the caps allow', async () => {
  const lease = new Lease(BOUND_MS, CLOCK);
  const cache = new KeyCache(async () => null, lease, { size: 10_000, staleForMs: 0 }, CLOCK);
  lease.begin();
  lease.renew(momentOf(CLOCK));
  const heapAfter = async (digests: number) => {
    for (let i = 0; i < digests; i++) await cache.find(randomBytes(32).toString('hex'), 'alone');
    return heapInUse();
  };
  const full = await heapAfter(100_000);
  const later = await heapAfter(900_000);
  expect(later - full).toBeLessThan(2_000_000);
  expect(cache.statistics).toEqual({ size: 0, hitRate: 0 });
});
