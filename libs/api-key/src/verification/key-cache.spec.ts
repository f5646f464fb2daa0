import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ApiKey } from '../api-key.entity';
import { KeyCache } from './key-cache';
import type { StoredKey } from './key-store';
import { Lease } from './lease';

const BOUND_MS = 2_000;

class FakeClock {
  at = 1_000;
  monotonic = () => this.at;
  wall = () => this.at;
  moment = () => ({ monotonic: this.at, wall: this.at });
}

function stored(id: string, lifeMs: number | null = null, userId = 'u'): StoredKey {
  const apiKey = Object.assign(new ApiKey(), {
    id,
    userId,
    scopes: ['a'],
    allowedIps: null,
    metadata: { deep: {} },
  });
  return { apiKey, revoked: false, lifeMs };
}

/** A cache over look-ups that a test answers when it likes. */
function build(options: { cacheSize?: number; staleForMs?: number; session?: boolean } = {}) {
  const clock = new FakeClock();
  const lease = new Lease(BOUND_MS, clock);
  const asked: { digest: string; answer: (found: StoredKey | null) => Promise<void>; fail: () => void }[] =
    [];
  const look = (digest: string) =>
    new Promise<StoredKey | null>((resolve, reject) => {
      asked.push({
        digest,
        answer: async (found) => {
          resolve(found);
          await new Promise(setImmediate);
        },
        fail: () => reject(new Error('away')),
      });
    });
  const cache = new KeyCache(look, lease, { cacheSize: 10, staleForMs: 0, ...options }, clock);
  if (options.session !== false) {
    lease.begin();
    lease.renew(clock.moment());
  }
  return { clock, lease, cache, asked };
}

const idOf = async (found: ReturnType<KeyCache['find']>) => (await found)?.apiKey.id ?? null;

it('a key is looked up once, and then answered without a promise', async () => {
  const { cache, asked } = build();
  const first = cache.find('d');
  await asked[0]?.answer(stored('1'));
  expect(await idOf(first)).toBe('1');
  expect(cache.find('d')).toMatchObject({ apiKey: { id: '1' }, expired: false, revoked: false });
  expect(asked).toHaveLength(1);
  expect(cache.statistics).toEqual({ size: 1, hitRate: 0.5 });
});

it('a digest of no key is looked up once, until a key is inserted', async () => {
  const { cache, asked } = build();
  void cache.find('d');
  await asked[0]?.answer(null);
  expect(cache.find('d')).toBeNull();
  cache.evictUnknown();
  void cache.find('d');
  expect(asked).toHaveLength(2);
});

it('a thousand requests of one cold key make one look-up, and share its failure', async () => {
  const { cache, asked } = build();
  const waiting = Array.from({ length: 1_000 }, () => cache.find('d'));
  expect(asked).toHaveLength(1);
  asked[0]?.fail();
  const outcomes = await Promise.allSettled(waiting.map(async (found) => found));
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  void cache.find('d');
  expect(asked).toHaveLength(2);
});

it.each<[string, (parts: ReturnType<typeof build>) => void]>([
  ['the eviction of a key', ({ cache }) => cache.evict('1')],
  ['the eviction of another key, for the digest does not tell which it is', ({ cache }) => cache.evict('2')],
  ['an eviction of all', ({ cache }) => cache.clear()],
])('a look-up that is overtaken by %s may not be joined, and its answer is not remembered', async (_, overtake) => {
  const parts = build();
  const { cache, asked } = parts;
  const before = cache.find('d');
  overtake(parts);
  const after = cache.find('d');
  expect(asked).toHaveLength(2);
  await asked[0]?.answer(stored('1'));
  expect(await idOf(before)).toBe('1');
  await asked[1]?.answer(null);
  expect(await idOf(after)).toBeNull();
  expect(cache.find('d')).toBeNull();
});

it('a look-up that is overtaken by an insert may not be joined; what it finds is remembered, that it finds none is not', async () => {
  const { cache, asked } = build();
  void cache.find('none');
  void cache.find('some');
  cache.evictUnknown();
  void cache.find('none');
  expect(asked).toHaveLength(3);
  await asked[0]?.answer(null);
  await asked[1]?.answer(stored('1'));
  expect(cache.find('some')).not.toBeInstanceOf(Promise);
  expect(cache.find('none')).toBeInstanceOf(Promise);
});

it('a look-up that is overtaken by an insert and then by an eviction is not remembered', async () => {
  const { cache, asked } = build();
  void cache.find('d');
  cache.evictUnknown();
  cache.evict('1');
  await asked[0]?.answer(stored('1'));
  expect(cache.find('d')).toBeInstanceOf(Promise);
});

it('a look-up whose place another has taken is not remembered either where an eviction overtook it', async () => {
  const { cache, asked, lease, clock } = build({ staleForMs: 60_000 });
  void cache.find('d');
  clock.at += 60_000;
  lease.renew(clock.moment());
  void cache.find('d');
  expect(asked).toHaveLength(2);
  cache.evict('1');
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(stored('1'));
  expect(cache.find('d')).toBeInstanceOf(Promise);
});

it('a look-up of an earlier session is not remembered', async () => {
  const { cache, asked, lease, clock } = build();
  void cache.find('d');
  lease.lose();
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  void cache.find('d');
  expect(asked).toHaveLength(2);
});

it('a look-up asked before a session is not remembered in it, nor joined', async () => {
  const { cache, asked, lease, clock } = build({ session: false });
  void cache.find('d');
  void cache.find('d');
  expect(asked).toHaveLength(2);
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(stored('1'));
  void cache.find('d');
  expect(asked).toHaveLength(3);
});

it('a look-up as old as a lease is neither joined nor remembered', async () => {
  const { cache, asked, lease, clock } = build();
  void cache.find('d');
  clock.at += BOUND_MS;
  lease.renew(clock.moment());
  void cache.find('d');
  expect(asked).toHaveLength(2);
  await asked[0]?.answer(stored('1'));
  void cache.find('d');
  expect(asked).toHaveLength(2);
  await asked[1]?.answer(stored('1'));
  expect(cache.find('d')).not.toBeInstanceOf(Promise);
});

it('what is remembered is used while the lease holds, and again once it is renewed', async () => {
  const { cache, asked, lease, clock } = build();
  void cache.find('d');
  await asked[0]?.answer(stored('1'));
  clock.at += BOUND_MS;
  expect(cache.find('d')).toBeInstanceOf(Promise);
  lease.renew(clock.moment());
  expect(cache.find('d')).not.toBeInstanceOf(Promise);
});

it('a key expires on the monotonic clock while it is remembered', async () => {
  const { cache, asked, lease, clock } = build();
  void cache.find('d');
  clock.at += 10;
  await asked[0]?.answer(stored('1', 100));
  clock.at += 89;
  expect(cache.find('d')).toMatchObject({ expired: false });
  clock.at += 1;
  expect(cache.find('d')).toMatchObject({ expired: true });
  lease.renew(clock.moment());
  expect(cache.find('d')).toMatchObject({ expired: true });
});

it('memory is bounded, and a key that fell out can still be evicted and looked up', async () => {
  const { cache, asked } = build({ cacheSize: 3 });
  for (let i = 0; i < 100; i++) {
    void cache.find(`d${i}`);
    await asked[i]?.answer(stored(String(i)));
    void cache.find(`none${i}`);
  }
  expect(cache.statistics.size).toBeLessThanOrEqual(3);
  cache.evict('0');
  expect(cache.find('d0')).toBeInstanceOf(Promise);
});

it('an eviction tells the owner of the key, where it was remembered', async () => {
  const { cache, asked } = build();
  void cache.find('d');
  await asked[0]?.answer(stored('1', null, 'owner'));
  expect([cache.evict('2'), cache.evict('1'), cache.evict('1')]).toEqual([undefined, 'owner', undefined]);
});

it('nothing of a shared key can be changed by one request for the others', async () => {
  const { cache, asked } = build();
  const waiting = cache.find('d');
  await asked[0]?.answer(stored('1'));
  const apiKey = (await waiting)?.apiKey as ApiKey;
  expect(() => apiKey.scopes.push('*')).toThrow(TypeError);
  expect(() => Object.assign(apiKey, { scopes: ['*'] })).toThrow(TypeError);
  expect(() => Object.assign(apiKey.metadata.deep as object, { a: 1 })).toThrow(TypeError);
});

it('a size of 0 remembers nothing and lets nobody wait for another', async () => {
  const { cache, asked } = build({ cacheSize: 0 });
  void cache.find('d');
  void cache.find('d');
  await asked[0]?.answer(stored('1'));
  void cache.find('d');
  expect(asked).toHaveLength(3);
});

it('without a session, keys are trusted for staleForMs, and not longer', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void cache.find('d');
  await asked[0]?.answer(stored('1'));
  clock.at += 499;
  expect(cache.find('d')).not.toBeInstanceOf(Promise);
  clock.at += 1;
  expect(cache.find('d')).toBeInstanceOf(Promise);
});

it('a million random digests of no key leave no more behind than the caps allow', async () => {
  const lease = new Lease(BOUND_MS, new FakeClock());
  const cache = new KeyCache(async () => null, lease, { cacheSize: 10_000, staleForMs: 0 }, new FakeClock());
  lease.begin();
  lease.renew({ monotonic: 1_000, wall: 1_000 });
  const collect = garbageCollector();
  const heapAfter = async (digests: number) => {
    for (let i = 0; i < digests; i++) await cache.find(randomBytes(32).toString('hex'));
    collect();
    return process.memoryUsage().heapUsed;
  };
  const full = await heapAfter(100_000);
  const later = await heapAfter(900_000);
  expect(later - full).toBeLessThan(2_000_000);
  expect(cache.statistics).toEqual({ size: 0, hitRate: 0 });
}, 120_000);

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}
