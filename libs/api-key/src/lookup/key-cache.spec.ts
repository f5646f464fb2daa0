import { hash } from 'node:crypto';
import { ApiKey } from '../model/api-key.entity';
import { KeyCache, type LookUp } from './key-cache';
import { Lease } from './lease';
import type { StoredKey } from './stored-key';

const BOUND_MS = 2_000;

class FakeClock {
  at = 1_000;
  /** How long the machine has slept, which its monotonic clock does not know. */
  slept = 0;
  monotonic = () => this.at;
  wall = () => this.at + this.slept;
  moment = () => ({ monotonic: this.at, wall: this.wall() });
}

function stored(id: string, lifeMs: number | null = null, userId = 'u'): StoredKey {
  const apiKey = Object.assign(new ApiKey(), {
    id,
    userId,
    scopes: ['a'],
    allowedIps: ['10.0.0.0/8'],
    metadata: { deep: {}, text: 'ab', nothing: null },
  });
  return { apiKey, digest: 'd', stopped: null, lifeMs, unusedMs: null };
}

/** A cache over look-ups that a test answers when it likes. */
function build(options: { size?: number; staleForMs?: number; session?: boolean; waits?: boolean } = {}) {
  const clock = new FakeClock();
  const lease = new Lease(BOUND_MS, clock);
  const asked: {
    digest: string;
    send: () => void;
    answer: (found: StoredKey | null) => Promise<void>;
    fail: () => void;
  }[] = [];
  const look = (digest: string, { sent: send }: LookUp) =>
    new Promise<StoredKey | null>((resolve, reject) => {
      if (!options.waits) send();
      asked.push({
        digest,
        send,
        answer: async (found) => {
          resolve(found);
          await new Promise(setImmediate);
        },
        fail: () => reject(new Error('away')),
      });
    });
  const cache = new KeyCache(look, lease, { size: 10, staleForMs: 0, ...options }, clock);
  if (options.session !== false) {
    lease.begin();
    lease.renew(clock.moment());
  }
  return { clock, lease, cache, asked };
}

/** What is remembered, at once, or else the look-up. */
function find(cache: KeyCache, digest: string) {
  const known = cache.recall(digest);
  return known === undefined ? cache.find(digest, 'alone') : known;
}

const idOf = async (found: ReturnType<typeof find>) => (await found)?.apiKey.id ?? null;

it('a key is looked up once, and then returned without a promise', async () => {
  const { cache, asked } = build();
  const first = find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  expect(await idOf(first)).toBe('1');
  expect(find(cache, 'd')).toMatchObject({ apiKey: { id: '1' }, expired: false, stopped: null });
  expect(asked).toHaveLength(1);
  expect(cache.statistics).toEqual({ size: 1, hitRate: 0.5 });
});

it('an unknown digest is looked up only once until a key is inserted', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  await asked[0]?.answer(null);
  expect(find(cache, 'd')).toBeNull();
  cache.evictUnknown();
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
});

it('a thousand requests with one uncached key cause one look-up and share its failure', async () => {
  const { cache, asked } = build();
  const waiting = Array.from({ length: 1_000 }, () => find(cache, 'd'));
  expect(asked).toHaveLength(1);
  asked[0]?.fail();
  const outcomes = await Promise.allSettled(waiting.map(async (found) => found));
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
});

it.each([
  ['there is no session', { session: false }],
  ['nothing is cached', { size: 0 }],
])('a look-up that waits for a connection can be joined until it is sent, also if %s', async (_, options) => {
  const { cache, asked } = build({ ...options, waits: true });
  const [first, second] = [find(cache, 'd'), find(cache, 'd')];
  expect(asked).toHaveLength(1);
  asked[0]?.send();
  const third = find(cache, 'd');
  expect(asked).toHaveLength(2);
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(null);
  expect([await idOf(first), await idOf(second), await idOf(third)]).toEqual(['1', '1', null]);
});

it.each<[string, (parts: ReturnType<typeof build>) => void]>([
  ['the eviction of a key', ({ cache }) => cache.evict('1')],
  [
    'the evictions of several keys',
    ({ cache }) => {
      for (const id of ['2', '1', '3']) cache.evict(id);
    },
  ],
  ['an eviction of all', ({ cache }) => cache.clear()],
])('a look-up that is overtaken by %s cannot be joined, and its result is not cached', async (_, overtake) => {
  const parts = build();
  const { cache, asked } = parts;
  const before = find(cache, 'd');
  overtake(parts);
  const after = find(cache, 'd');
  expect(asked).toHaveLength(2);
  await asked[0]?.answer(stored('1'));
  expect(await idOf(before)).toBe('1');
  await asked[1]?.answer(null);
  expect(await idOf(after)).toBeNull();
  expect(find(cache, 'd')).toBeNull();
});

it('a look-up that is overtaken by the eviction of another key cannot be joined; a found key is cached, a missing one is not', async () => {
  const { cache, asked } = build();
  void find(cache, 'none');
  void find(cache, 'some');
  cache.evict('2');
  void find(cache, 'some');
  expect(asked).toHaveLength(3);
  await asked[0]?.answer(null);
  await asked[1]?.answer(stored('1'));
  expect(find(cache, 'some')).not.toBeInstanceOf(Promise);
  expect(find(cache, 'none')).toBeInstanceOf(Promise);
});

it('a look-up that is overtaken by an insert cannot be joined; a found key is cached, a missing one is not', async () => {
  const { cache, asked } = build();
  void find(cache, 'none');
  void find(cache, 'some');
  cache.evictUnknown();
  void find(cache, 'none');
  expect(asked).toHaveLength(3);
  await asked[0]?.answer(null);
  await asked[1]?.answer(stored('1'));
  expect(find(cache, 'some')).not.toBeInstanceOf(Promise);
  expect(find(cache, 'none')).toBeInstanceOf(Promise);
});

it('the result of a look-up that is overtaken by an insert and then by an eviction is not cached', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  cache.evictUnknown();
  cache.evict('1');
  await asked[0]?.answer(stored('1'));
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
});

it('the result of a replaced look-up is not cached if an eviction overtook it', async () => {
  const { cache, asked, lease, clock } = build({ staleForMs: 60_000 });
  void find(cache, 'd');
  clock.at += 60_000;
  lease.renew(clock.moment());
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
  cache.evict('1');
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(stored('1'));
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
});

it('the result of a look-up of an earlier session is not cached', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  lease.lose();
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
});

it('a look-up from before a session is neither cached nor joined in that session', async () => {
  const { cache, asked, lease, clock } = build({ session: false });
  void find(cache, 'd');
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(stored('1'));
  void find(cache, 'd');
  expect(asked).toHaveLength(3);
});

it('a look-up as old as a lease is neither joined nor cached', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  clock.at += BOUND_MS;
  lease.renew(clock.moment());
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
  await asked[0]?.answer(stored('1'));
  expect(cache.recall('d')).toBeUndefined();
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
  await asked[1]?.answer(stored('1'));
  expect(find(cache, 'd')).not.toBeInstanceOf(Promise);
});

it('cache entries are used while the lease holds, and again after it is renewed', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  clock.at += BOUND_MS;
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
  lease.renew(clock.moment());
  expect(find(cache, 'd')).not.toBeInstanceOf(Promise);
});

it('a cached key expires by the monotonic clock', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  clock.at += 10;
  await asked[0]?.answer(stored('1', 100));
  clock.at += 89;
  expect(find(cache, 'd')).toMatchObject({ expired: false });
  clock.at += 1;
  expect(find(cache, 'd')).toMatchObject({ expired: true });
  lease.renew(clock.moment());
  expect(find(cache, 'd')).toMatchObject({ expired: true });
});

it.each([
  ['now', 0],
  ['a while ago', -1_000],
])('a key that expired %s is expired, also on a cache hit', async (_, lifeMs) => {
  const { cache, asked } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer(stored('1', lifeMs));
  expect([await found, cache.recall('d')]).toMatchObject([{ expired: true }, { expired: true }]);
});

it('a key that expires in one millisecond is still valid', async () => {
  const { cache, asked } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer(stored('1', 1));
  expect(await found).toMatchObject({ expired: false });
});

it('a key that ends unused is looked up again at its end, because another instance may have written a use', async () => {
  const { cache, asked, clock, lease } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer({ ...stored('1'), unusedMs: 1_000 });
  expect(await found).toMatchObject({ unused: false });
  clock.at += 999;
  expect(cache.recall('d')).toMatchObject({ unused: false });
  clock.at += 1;
  lease.renew(clock.moment());
  expect(cache.recall('d')).toBeUndefined();
  void find(cache, 'd');
  await asked[1]?.answer({ ...stored('1'), unusedMs: 90_000 });
  expect(cache.recall('d')).toMatchObject({ unused: false });
});

it('a key that ended unused is cached for ten seconds only, because a late write of a use revives it', async () => {
  const { cache, asked, clock, lease } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer({ ...stored('1'), unusedMs: 0 });
  expect(await found).toMatchObject({ unused: true, expired: false });
  clock.at += 9_999;
  lease.renew(clock.moment());
  expect(cache.recall('d')).toMatchObject({ unused: true });
  clock.at += 1;
  expect(cache.recall('d')).toBeUndefined();
});

it('a key in use is never ended by its age or its unused end, because each new look-up finds a later use', async () => {
  const { cache, asked, clock, lease } = build();
  const day = 86_400_000;
  const digest = 'f'.repeat(64);
  let looked = 0;
  for (let minute = 0; minute < 26 * 60; minute++) {
    clock.at += 60_000;
    lease.renew(clock.moment());
    if (cache.recall(digest) !== undefined) continue;
    void find(cache, digest);
    await asked[looked++]?.answer({ ...stored('1'), digest, unusedMs: minute < 30 ? 20 * 60_000 : day });
    expect(cache.recall(digest)).toMatchObject({ unused: false, expired: false });
  }
  expect(looked).toBeGreaterThanOrEqual(26);
});

it('a key that nobody used ends at its unused end, however long the age limit is', async () => {
  const { cache, asked, clock, lease } = build();
  void find(cache, 'd');
  await asked[0]?.answer({ ...stored('1'), unusedMs: 60_000 });
  clock.at += 60_000;
  lease.renew(clock.moment());
  expect(cache.recall('d')).toBeUndefined();
  void find(cache, 'd');
  await asked[1]?.answer({ ...stored('1'), unusedMs: -1 });
  expect(cache.recall('d')).toMatchObject({ unused: true });
});

it('a key that may have ended unused is not accepted while its last use cannot be read', async () => {
  const { cache, asked, clock, lease } = build();
  void find(cache, 'd');
  await asked[0]?.answer({ ...stored('1'), unusedMs: 60_000 });
  clock.at += 60_000;
  lease.renew(clock.moment());
  const again = find(cache, 'd');
  asked[1]?.fail();
  await expect(again).rejects.toThrow('away');
  expect(cache.recall('d')).toBeUndefined();
});

it('a key that ended unused stays refused while its row cannot be read', async () => {
  const { cache, asked, clock, lease } = build();
  void find(cache, 'd');
  await asked[0]?.answer({ ...stored('1'), unusedMs: -1 });
  clock.at += 10_000;
  lease.renew(clock.moment());
  const again = find(cache, 'd');
  asked[1]?.fail();
  expect(await again).toMatchObject({ unused: true });
});

it('a new look-up that failed postpones the age limit, but not the unused end', async () => {
  const { cache, asked, clock, lease } = build();
  const ages = '0'.repeat(64);
  void find(cache, ages);
  await asked[0]?.answer({ ...stored('1'), digest: ages, unusedMs: 3_605_000 });
  clock.at += 3_600_000;
  lease.renew(clock.moment());
  expect(cache.recall(ages)).toBeUndefined();
  const again = find(cache, ages);
  asked[1]?.fail();
  expect(await again).toMatchObject({ unused: false });
  clock.at += 4_999;
  lease.renew(clock.moment());
  expect(cache.recall(ages)).toMatchObject({ unused: false });
  clock.at += 1;
  expect(cache.recall(ages)).toBeUndefined();
});

it('a result after the end of a session does not replace a cache entry', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  expect(cache.statistics.size).toBe(0);
});

it.each([
  [499, 1],
  [500, 0],
])('a result after %i ms without a session is cached %i times with a staleForMs of 500', async (ms, size) => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  clock.at += ms;
  await asked[0]?.answer(stored('1'));
  expect(cache.statistics.size).toBe(size);
});

it('nothing is left of keys that were removed from a full cache', async () => {
  const { cache, asked } = build({ size: 3 });
  for (let i = 0; i < 100; i++) {
    void cache.find(`d${i}`, 'alone');
    await asked[i]?.answer(stored(String(i)));
  }
  expect((cache as unknown as { digests: Map<string, string> }).digests.size).toBe(3);
});

it('there is no hit rate before the first look-up', () => {
  expect(build().cache.statistics).toEqual({ size: 0, hitRate: null });
});

it('memory is bounded, and a key that was removed from a full cache can still be evicted and looked up', async () => {
  const { cache, asked } = build({ size: 3 });
  for (let i = 0; i < 100; i++) {
    void cache.find(`d${i}`, 'alone');
    await asked[i]?.answer(stored(String(i)));
    void cache.find(`none${i}`, 'alone');
  }
  expect(cache.statistics.size).toBeLessThanOrEqual(3);
  cache.evict('0');
  expect(find(cache, 'd0')).toBeInstanceOf(Promise);
});

it('an eviction returns the owner of the key if the key was cached', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  await asked[0]?.answer(stored('1', null, 'owner'));
  expect([cache.evict('2'), cache.evict('1'), cache.evict('1')]).toEqual([undefined, 'owner', undefined]);
});

it('one request cannot change a shared key for the other requests', async () => {
  const { cache, asked } = build();
  const waiting = find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  const apiKey = (await waiting)?.apiKey as ApiKey;
  expect(() => apiKey.scopes.push('*')).toThrow(TypeError);
  expect(() => apiKey.allowedIps?.push('0.0.0.0/0')).toThrow(TypeError);
  expect(() => Object.assign(apiKey, { scopes: ['*'] })).toThrow(TypeError);
  expect(() => Object.assign(apiKey.metadata.deep as object, { a: 1 })).toThrow(TypeError);
});

it('a cache of size 0 caches nothing and joins no look-ups', async () => {
  const { cache, asked } = build({ size: 0 });
  void find(cache, 'd');
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  void find(cache, 'd');
  expect(asked).toHaveLength(3);
});

it('without a session, cached keys are trusted for staleForMs and no longer', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  clock.at += 499;
  expect(find(cache, 'd')).not.toBeInstanceOf(Promise);
  clock.at += 1;
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
});

it('without a session, cached keys are trusted no longer than staleForMs even if the machine sleeps', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  void find(cache, 'unknown');
  await asked[0]?.answer(stored('1'));
  await asked[1]?.answer(null);
  clock.slept = 499;
  expect([find(cache, 'd'), find(cache, 'unknown')]).toEqual([expect.anything(), null]);
  clock.slept = 500;
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
  expect(find(cache, 'unknown')).toBeInstanceOf(Promise);
});

it('the result of a look-up during which the machine slept is not cached', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  clock.slept = 500;
  await asked[0]?.answer(stored('1'));
  expect(cache.statistics.size).toBe(0);
});

it('a full cache evicts a changed key like any other cache', async () => {
  const { cache, asked } = build({ size: 3 });
  for (const id of ['1', '2', '3']) {
    void find(cache, `d${id}`);
    await asked.at(-1)?.answer(stored(id));
  }
  expect(cache.statistics.size).toBe(3);
  cache.evict('2');
  expect(find(cache, 'd2')).toBeInstanceOf(Promise);
  expect(find(cache, 'd3')).not.toBeInstanceOf(Promise);
});

it.each([
  ['the new digest is looked up before the notification of the change arrives', ['old', 'new']],
  ['the look-up of the old digest ends last', ['new', 'old']],
])('a key whose digest changed is evicted by the old and the new digest: %s', async (_, order) => {
  const { cache, asked } = build();
  for (const digest of order) {
    void cache.find(digest, 'alone');
    await asked.at(-1)?.answer(stored('1'));
  }
  cache.evict('1');
  expect(order.map((digest) => cache.recall(digest))).toEqual([undefined, undefined]);
});

describe('a cache entry that was read long ago', () => {
  /** The digests of a test are not hex, so that each is looked up again exactly after an hour. */
  const HOUR_MS = 3_600_000;

  /** A cache that has looked up digest `x`, and whose lease is renewed as time passes. */
  async function warm(found: StoredKey | null) {
    const parts = build();
    const { cache, asked, clock, lease } = parts;
    const pass = (ms: number) => {
      clock.at += ms;
      lease.renew(clock.moment());
    };
    void find(cache, 'x');
    await asked[0]?.answer(found);
    return { ...parts, pass };
  }

  it.each<[string, StoredKey | null, object | null]>([
    ['a key', stored('1'), { expired: false }],
    ['a key that expired since', stored('1', 1), { expired: true }],
    ['a digest without a key', null, null],
  ])('is used for an hour and then looked up again, if it is %s', async (_, found, known) => {
    const { cache, asked, pass } = await warm(found);
    pass(HOUR_MS - 1);
    expect(cache.recall('x')).toEqual(known && expect.objectContaining(known));
    pass(1);
    expect(cache.recall('x')).toBeUndefined();
    void find(cache, 'x');
    await asked[1]?.answer(found);
    expect(cache.recall('x')).not.toBeUndefined();
    pass(HOUR_MS - 1);
    expect([cache.recall('x') === undefined, asked.length]).toEqual([false, 2]);
  });

  it('is looked up again once for a thousand requests', async () => {
    const { cache, asked, pass } = await warm(stored('1'));
    pass(HOUR_MS);
    const waiting = Array.from({ length: 1_000 }, () => idOf(find(cache, 'x')));
    await asked[1]?.answer(stored('1'));
    expect(await Promise.all(waiting)).toEqual(Array(1_000).fill('1'));
    expect(asked).toHaveLength(2);
  });

  it('does not make a key expire late on a slow monotonic clock, because the database counts its life anew', async () => {
    const { cache, asked, pass } = await warm(stored('1', HOUR_MS + 10));
    pass(HOUR_MS);
    const found = find(cache, 'x');
    await asked[1]?.answer(stored('1', -1_790));
    expect([await found, cache.recall('x')]).toMatchObject([{ expired: true }, { expired: true }]);
  });

  it('does not make a key expire early on a fast monotonic clock, if the key lives longer than an hour', async () => {
    const { cache, asked, pass } = await warm(stored('1', HOUR_MS + 10));
    pass(HOUR_MS);
    void find(cache, 'x');
    await asked[1]?.answer(stored('1', 1_810));
    pass(1_809);
    expect(cache.recall('x')).toMatchObject({ expired: false });
    pass(1);
    expect(cache.recall('x')).toMatchObject({ expired: true });
  });

  it('is forgotten if the new look-up finds no key', async () => {
    const { cache, asked, pass } = await warm(stored('1'));
    pass(HOUR_MS);
    void find(cache, 'x');
    await asked[1]?.answer(null);
    expect([cache.recall('x'), cache.statistics.size]).toEqual([null, 0]);
  });

  it.each([
    ['a valid key', null, { expired: false }],
    ['a key that expired since', HOUR_MS, { expired: true }],
  ])('is used for ten seconds more if the new look-up of %s fails', async (_, lifeMs, known) => {
    const { cache, asked, pass } = await warm(stored('1', lifeMs));
    pass(HOUR_MS);
    const found = find(cache, 'x');
    asked[1]?.fail();
    expect(await found).toMatchObject(known);
    pass(9_999);
    expect(cache.recall('x')).toMatchObject(known);
    pass(1);
    expect(cache.recall('x')).toBeUndefined();
  });

  it('is used for ten seconds more and no longer if the key expires meanwhile', async () => {
    const { cache, asked, pass } = await warm(stored('1', HOUR_MS + 5));
    pass(HOUR_MS);
    void find(cache, 'x');
    asked[1]?.fail();
    await new Promise(setImmediate);
    pass(4);
    expect(cache.recall('x')).toMatchObject({ expired: false });
    pass(1);
    expect(cache.recall('x')).toMatchObject({ expired: true });
  });

  it.each<[string, (parts: ReturnType<typeof build>) => void]>([
    ['the key was evicted', ({ cache }) => cache.evict('1')],
    [
      'the lease ended',
      ({ clock }) => {
        clock.at += BOUND_MS;
      },
    ],
    [
      'a new session began',
      ({ lease, clock }) => {
        lease.begin();
        lease.renew(clock.moment());
      },
    ],
  ])('is not used after a failed look-up if %s meanwhile', async (_, end) => {
    const parts = await warm(stored('1'));
    parts.pass(HOUR_MS);
    const found = find(parts.cache, 'x');
    end(parts);
    parts.asked[1]?.fail();
    await expect(found).rejects.toThrow('away');
  });

  it('is looked up again at another time than others that were read at the same time', async () => {
    const { cache, asked, clock, lease } = build({ size: 1_000 });
    const digests = Array.from({ length: 1_000 }, (_, i) => hash('sha256', String(i)));
    for (const digest of digests) {
      void find(cache, digest);
      await asked.at(-1)?.answer(stored(digest));
    }
    const left = (ms: number) => {
      clock.at += ms;
      lease.renew(clock.moment());
      return digests.filter((digest) => cache.recall(digest) !== undefined).length;
    };
    expect(left(0.75 * HOUR_MS - 1)).toBe(1_000);
    const minutes = Array.from({ length: 15 }, () => left(60_000));
    expect(minutes.at(-1)).toBe(0);
    const ended = [1_000, ...minutes].slice(0, -1).map((before, i) => before - Number(minutes[i]));
    expect(Math.max(...ended)).toBeLessThan(150);
  });
});
