import { Lease } from './lease';
import { OwnerCache } from './owner-cache';

const BOUND_MS = 2_000;
const USER_CACHE_MS = 500;
const DEADLINE_MS = 200;

/** A cache under a lease that is held, and the loads that a test answers when it likes. */
function build(options: { size?: number; lookUpTimeoutMs?: number; userCacheMs?: number } = {}) {
  const clock = { at: 1_000, monotonic: () => clock.at, wall: () => clock.at };
  const moment = () => ({ monotonic: clock.at, wall: clock.at });
  const lease = new Lease(BOUND_MS, clock);
  lease.begin();
  lease.renew(moment());
  const defaults = { size: 10, lookUpTimeoutMs: 60_000, userCacheMs: USER_CACHE_MS };
  const cache = new OwnerCache(lease, { ...defaults, ...options }, clock);
  const asked: { answer: (user: unknown) => Promise<void>; fail: () => Promise<void> }[] = [];
  const load = () =>
    new Promise((resolve, reject) => {
      const end = async (settle: () => void) => {
        settle();
        await new Promise(setImmediate);
      };
      asked.push({
        answer: (user) => end(() => resolve(user)),
        fail: () => end(() => reject(new Error('away'))),
      });
    });
  const find = (id = 'u', keyId = `key of ${id}`) => cache.find(id, load, keyId);
  return { cache, clock, lease, moment, asked, find };
}

it('a user is loaded once, and then cached for the configured time', async () => {
  const { cache, clock, asked, find } = build();
  const found = find();
  await asked[0]?.answer('user');
  expect(await found).toBe('user');
  clock.at += USER_CACHE_MS - 1;
  expect(cache.recall('u')).toBe('user');
  clock.at += 1;
  expect(cache.recall('u')).toBeUndefined();
});

it('a request for a user that is being loaded joins the load, and a request for another user does not', async () => {
  const { asked, find } = build();
  const [first, second, other] = [find(), find(), find('other')];
  expect(asked).toHaveLength(2);
  await asked[0]?.answer('user');
  await asked[1]?.answer('other user');
  expect(await Promise.all([first, second, other])).toEqual(['user', 'user', 'other user']);
});

it('a load that takes longer than its caller waits is not joined, so that a hanging load blocks no later request', async () => {
  const { clock, asked, find } = build({ lookUpTimeoutMs: DEADLINE_MS });
  void find();
  clock.at += DEADLINE_MS - 1;
  void find();
  expect(asked).toHaveLength(1);
  clock.at += 1;
  const found = find();
  await asked[1]?.answer('user');
  expect(await found).toBe('user');
});

it('a load that is as old as a cache entry may be is not joined, and its result is not used', async () => {
  const { cache, clock, asked, find } = build();
  void find();
  clock.at += USER_CACHE_MS;
  void find();
  expect(asked).toHaveLength(2);
  await asked[0]?.answer('old');
  expect(cache.recall('u')).toBeUndefined();
  await asked[1]?.answer('new');
  expect(cache.recall('u')).toBe('new');
});

it('a user that loadUser returns synchronously is cached', async () => {
  const { cache } = build();
  expect(await cache.find('u', async (id) => ({ id }), '1')).toEqual({ id: 'u' });
  expect(cache.recall('u')).toEqual({ id: 'u' });
});

it.each([null, undefined, false, 0, ''])('a missing user, returned as %p, is not cached', async (nobody) => {
  const { cache, asked, find } = build();
  const found = find();
  await asked[0]?.answer(nobody);
  expect([await found, cache.recall('u')]).toEqual([nobody, undefined]);
  expect(await cache.find('u', async () => nobody, '1')).toBe(nobody);
  void find();
  expect(asked).toHaveLength(2);
});

it('a failed load fails all requests that wait for it, and the next request loads again', async () => {
  const { asked, find } = build();
  const failed = Promise.all([
    expect(find()).rejects.toThrow('away'),
    expect(find()).rejects.toThrow('away'),
  ]);
  await asked[0]?.fail();
  await failed;
  void find();
  expect(asked).toHaveLength(2);
});

it.each<[string, (parts: ReturnType<typeof build>) => void]>([
  ['the eviction of the owner', ({ cache }) => cache.evict('u')],
  ['the eviction of the key of its request', ({ cache }) => cache.closeLoadsFor('key of u')],
  ['an eviction of all', ({ cache }) => cache.clear()],
])('a load that is overtaken by %s is not joined, and its result is not cached', async (_, overtake) => {
  const parts = build();
  const { cache, asked, find } = parts;
  const before = find();
  overtake(parts);
  void find();
  expect(asked).toHaveLength(2);
  await asked[0]?.answer('old');
  expect([await before, cache.recall('u')]).toEqual(['old', undefined]);
  await asked[1]?.answer('new');
  expect(cache.recall('u')).toBe('new');
});

it('a load that two keys of an owner wait for is not joined after either key changed', async () => {
  for (const changed of ['first', 'second']) {
    const { cache, asked, find } = build();
    const waiting = [find('u', 'first'), find('u', 'second')];
    cache.closeLoadsFor(changed);
    void find('u', 'second');
    expect(asked).toHaveLength(2);
    await asked[0]?.answer('old');
    expect([await Promise.all(waiting), cache.recall('u')]).toEqual([['old', 'old'], undefined]);
  }
});

it.each<[string, (parts: ReturnType<typeof build>) => void]>([
  ['another owner is evicted', ({ cache }) => cache.evict('v')],
  ['the key of another owner changes', ({ cache }) => cache.closeLoadsFor('key of v')],
])('a load is joined and its result is cached although %s in the meantime', async (_, change) => {
  const parts = build();
  const { cache, asked, find } = parts;
  const users = [find(), find('v')];
  change(parts);
  users.push(find());
  expect(asked).toHaveLength(2);
  await asked[0]?.answer('user');
  await asked[1]?.answer('other user');
  expect(await Promise.all(users)).toEqual(['user', 'other user', 'user']);
  expect([cache.recall('u'), cache.recall('v')]).toEqual(['user', undefined]);
});

it('an eviction removes only its own user, and an eviction of all removes all users', async () => {
  const { cache } = build();
  for (const id of ['u', 'v']) await cache.find(id, async () => id, '1');
  cache.evict('u');
  expect([cache.recall('u'), cache.recall('v')]).toEqual([undefined, 'v']);
  cache.closeLoadsFor('1');
  expect(cache.recall('v')).toBe('v');
  cache.clear();
  expect(cache.recall('v')).toBeUndefined();
});

it('a user is cached no longer than the lease holds, and not in another session', async () => {
  const { cache, clock, lease, moment } = build({ userCacheMs: 60_000 });
  await cache.find('u', async () => 'user', '1');
  clock.at += BOUND_MS;
  expect(cache.recall('u')).toBeUndefined();
  lease.renew(moment());
  expect(cache.recall('u')).toBe('user');
  lease.begin();
  lease.renew(moment());
  expect(cache.recall('u')).toBeUndefined();
});

it('a load of an earlier session is not cached in the next session', async () => {
  const { cache, lease, moment, asked, find } = build();
  void find();
  lease.begin();
  lease.renew(moment());
  await asked[0]?.answer('user');
  void find();
  expect([cache.recall('u'), asked.length]).toEqual([undefined, 2]);
});

it('without a session no load is joined or cached', async () => {
  const { cache, lease, asked, find } = build();
  lease.lose();
  void find();
  void find();
  expect(asked).toHaveLength(2);
  await asked[1]?.answer('user');
  await cache.find('v', async () => 'v', '1');
  expect([cache.recall('u'), cache.recall('v')]).toEqual([undefined, undefined]);
});

it('a cache time of 0 caches no user', async () => {
  const { cache } = build({ userCacheMs: 0 });
  await cache.find('u', async () => 'user', '1');
  expect(cache.recall('u')).toBeUndefined();
});

it.each([
  [3, 3],
  [0, 1],
])('at most as many users are cached as a size of %p allows', async (size, kept) => {
  const { cache } = build({ size });
  const ids = Array.from({ length: 100 }, (_, i) => String(i));
  for (const id of ids) await cache.find(id, async () => id, '1');
  expect(ids.filter((id) => cache.recall(id))).toHaveLength(kept);
});
