import { ApiKey } from '../model/api-key.entity';
import { KeyCache, type LookUp } from './key-cache';
import type { StoredKey } from './key-store';
import { Lease } from './lease';

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
  return { apiKey, digest: 'd', revoked: false, lifeMs };
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

it('a key is looked up once, and then answered without a promise', async () => {
  const { cache, asked } = build();
  const first = find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  expect(await idOf(first)).toBe('1');
  expect(find(cache, 'd')).toMatchObject({ apiKey: { id: '1' }, expired: false, revoked: false });
  expect(asked).toHaveLength(1);
  expect(cache.statistics).toEqual({ size: 1, hitRate: 0.5 });
});

it('a digest of no key is looked up once, until a key is inserted', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  await asked[0]?.answer(null);
  expect(find(cache, 'd')).toBeNull();
  cache.evictUnknown();
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
});

it('a thousand requests of one cold key make one look-up, and share its failure', async () => {
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
  ['nothing is remembered', { size: 0 }],
])('also where %s, a look-up that waits for a connection may be joined, until it is sent', async (_, options) => {
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
  ['the eviction of another key, for the digest does not tell which it is', ({ cache }) => cache.evict('2')],
  ['an eviction of all', ({ cache }) => cache.clear()],
])('a look-up that is overtaken by %s may not be joined, and its answer is not remembered', async (_, overtake) => {
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

it('a look-up that is overtaken by an insert may not be joined; what it finds is remembered, that it finds none is not', async () => {
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

it('a look-up that is overtaken by an insert and then by an eviction is not remembered', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  cache.evictUnknown();
  cache.evict('1');
  await asked[0]?.answer(stored('1'));
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
});

it('a look-up whose place another has taken is not remembered either where an eviction overtook it', async () => {
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

it('a look-up of an earlier session is not remembered', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  lease.lose();
  lease.begin();
  lease.renew(clock.moment());
  await asked[0]?.answer(stored('1'));
  void find(cache, 'd');
  expect(asked).toHaveLength(2);
});

it('a look-up asked before a session is not remembered in it, nor joined', async () => {
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

it('a look-up as old as a lease is neither joined nor remembered', async () => {
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

it('what is remembered is used while the lease holds, and again once it is renewed', async () => {
  const { cache, asked, lease, clock } = build();
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  clock.at += BOUND_MS;
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
  lease.renew(clock.moment());
  expect(find(cache, 'd')).not.toBeInstanceOf(Promise);
});

it('a key expires on the monotonic clock while it is remembered', async () => {
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
])('a key that expired %s is expired, also where it is remembered', async (_, lifeMs) => {
  const { cache, asked } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer(stored('1', lifeMs));
  expect([await found, cache.recall('d')]).toMatchObject([{ expired: true }, { expired: true }]);
});

it('a key that has a millisecond left is live', async () => {
  const { cache, asked } = build();
  const found = find(cache, 'd');
  await asked[0]?.answer(stored('1', 1));
  expect(await found).toMatchObject({ expired: false });
});

it('what is found after a session has ended takes no place of what is remembered', async () => {
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
])('what is found after %i ms without a session is remembered %i times under a staleForMs of 500', async (ms, size) => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  clock.at += ms;
  await asked[0]?.answer(stored('1'));
  expect(cache.statistics.size).toBe(size);
});

it('of keys that fell out nothing is left behind', async () => {
  const { cache, asked } = build({ size: 3 });
  for (let i = 0; i < 100; i++) {
    void cache.find(`d${i}`, 'alone');
    await asked[i]?.answer(stored(String(i)));
  }
  expect((cache as unknown as { digests: Map<string, string> }).digests.size).toBe(3);
});

it('before the first look-up there is no rate of hits', () => {
  expect(build().cache.statistics).toEqual({ size: 0, hitRate: null });
});

it('memory is bounded, and a key that fell out can still be evicted and looked up', async () => {
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

it('an eviction tells the owner of the key, where it was remembered', async () => {
  const { cache, asked } = build();
  void find(cache, 'd');
  await asked[0]?.answer(stored('1', null, 'owner'));
  expect([cache.evict('2'), cache.evict('1'), cache.evict('1')]).toEqual([undefined, 'owner', undefined]);
});

it('nothing of a shared key can be changed by one request for the others', async () => {
  const { cache, asked } = build();
  const waiting = find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  const apiKey = (await waiting)?.apiKey as ApiKey;
  expect(() => apiKey.scopes.push('*')).toThrow(TypeError);
  expect(() => apiKey.allowedIps?.push('0.0.0.0/0')).toThrow(TypeError);
  expect(() => Object.assign(apiKey, { scopes: ['*'] })).toThrow(TypeError);
  expect(() => Object.assign(apiKey.metadata.deep as object, { a: 1 })).toThrow(TypeError);
});

it('a size of 0 remembers nothing and lets nobody wait for another', async () => {
  const { cache, asked } = build({ size: 0 });
  void find(cache, 'd');
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  void find(cache, 'd');
  expect(asked).toHaveLength(3);
});

it('without a session, keys are trusted for staleForMs, and not longer', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  await asked[0]?.answer(stored('1'));
  clock.at += 499;
  expect(find(cache, 'd')).not.toBeInstanceOf(Promise);
  clock.at += 1;
  expect(find(cache, 'd')).toBeInstanceOf(Promise);
});

it('so they are where the machine sleeps meanwhile', async () => {
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

it('what is found by a look-up during which the machine slept is not remembered', async () => {
  const { cache, asked, clock } = build({ session: false, staleForMs: 500 });
  void find(cache, 'd');
  clock.slept = 500;
  await asked[0]?.answer(stored('1'));
  expect(cache.statistics.size).toBe(0);
});

it('a full cache forgets a key that changed as any other does', async () => {
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
  ['the new one is looked up before the note of the change has come', ['old', 'new']],
  ['the old one lands last', ['new', 'old']],
])('a key whose digest was changed is forgotten by either: %s', async (_, order) => {
  const { cache, asked } = build();
  for (const digest of order) {
    void cache.find(digest, 'alone');
    await asked.at(-1)?.answer(stored('1'));
  }
  cache.evict('1');
  expect(order.map((digest) => cache.recall(digest))).toEqual([undefined, undefined]);
});
