import type { RequestTrail } from '../audit/request-trail';
import { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { resolveOptions } from '../options/api-key.options';
import type { KeyUses } from '../usage/key-uses';
import { ApiKeyAuthenticator } from './api-key.authenticator';
import { type InvalidKey, KeyVerifier, MALFORMED } from './key-verifier';
import type { OwnerLoader } from './owner-loader';
import { RefusalDelay } from './refusal-delay';

const VALID = Object.assign(new ApiKey(), { id: '7', userId: '3', allowedIps: null });
const BOUND = Object.assign(new ApiKey(), { id: '8', userId: '3', allowedIps: ['192.0.2.0/24'] });
const REVOKED: InvalidKey = { reason: 'revoked', apiKey: VALID, masked: 'acme...wxyz' };
const GONE = new ApiKeyRefusal('INVALID_API_KEY');
const CALLER = { route: 'OrdersController.list', address: '203.0.113.7', requestId: null };
const BEAT_MS = 10;

interface World {
  readonly cachedKey?: ApiKey;
  readonly verified?: Promise<ApiKey | InvalidKey>;
  readonly cachedUser?: unknown;
  readonly loaded?: () => Promise<unknown>;
  readonly lookUpTimeoutMs?: number;
}

/** An authenticator of one key, and what it noted. */
function build({ cachedKey, verified, cachedUser, loaded, lookUpTimeoutMs = 200 }: World) {
  const keys: KeyVerifier = Object.assign(Object.create(KeyVerifier.prototype), {
    recall: () => cachedKey,
    verify: () => verified ?? Promise.resolve(cachedKey),
  });
  const owners = { recall: () => cachedUser, load: loaded } as unknown as OwnerLoader;
  const uses = { note: jest.fn() };
  const trail = { hearsAccepted: true, accepted: jest.fn(), refused: jest.fn(), unavailable: jest.fn() };
  const authenticator = new ApiKeyAuthenticator(
    keys,
    owners,
    uses as unknown as KeyUses,
    new RefusalDelay({ cache: { ...resolveOptions({}).cache, lookUpTimeoutMs } }),
    trail as unknown as RequestTrail,
    { cache: { ...resolveOptions({}).cache, lookUpTimeoutMs } },
  );
  return { authenticator, uses, trail };
}

const lookUp = (world: World) => build(world).authenticator.lookUp('key', CALLER);

const user = async () => 'user';
const never = async () => {
  throw new Error('a key that is not valid was let in');
};

/** Whether it had settled before the beat, and how it settled. */
async function outcomeOf(entering: Promise<unknown>) {
  let early = true;
  let isEarly: boolean | undefined;
  const note = <T>(outcome: T): T => {
    isEarly = early;
    return outcome;
  };
  const settled = entering.then(note, note);
  await jest.advanceTimersByTimeAsync(2 * BEAT_MS - 1);
  early = false;
  await jest.advanceTimersByTimeAsync(1);
  return [isEarly, await settled];
}

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('authenticates a cached key with its cached owner without a promise, and records its use', () => {
  const { authenticator, uses, trail } = build({ cachedKey: VALID, cachedUser: 'user' });
  expect(authenticator.recall('key', CALLER)).toMatchObject({ apiKey: VALID, user: 'user' });
  expect(uses.note).toHaveBeenCalledWith('7');
  expect(trail.accepted).toHaveBeenCalledWith(VALID, CALLER);
});

it.each<[string, World]>([
  ['is not cached', { cachedUser: 'user' }],
  ['is cached, but whose owner is not cached', { cachedKey: VALID }],
  ['is cached, but not allowed from the address of the caller', { cachedKey: BOUND, cachedUser: 'user' }],
])('returns no cached result and records no use for a key that %s', (_, world) => {
  const { authenticator, uses, trail } = build(world);
  expect(authenticator.recall('key', CALLER)).toBeUndefined();
  for (const told of [uses.note, trail.accepted, trail.refused]) expect(told).not.toHaveBeenCalled();
});

it('refuses a malformed key at once', async () => {
  const outcome = await outcomeOf(lookUp({ verified: Promise.resolve(MALFORMED), loaded: never }));
  expect(outcome).toEqual([true, expect.objectContaining({ code: 'INVALID_API_KEY' })]);
});

it.each<[string, World]>([
  ['cached', { cachedKey: VALID, loaded: user }],
  ['looked up', { verified: Promise.resolve(VALID), loaded: user }],
])('accepts a valid key that is %s without waiting for a tick', async (_, world) => {
  expect(await outcomeOf(lookUp(world))).toEqual([true, expect.objectContaining({ user: 'user' })]);
});

it.each<[string, () => World]>([
  ['is revoked', () => ({ verified: Promise.resolve(REVOKED), loaded: never })],
  [
    'is cached, but whose owner was deleted',
    () => ({ cachedKey: VALID, loaded: () => Promise.reject(GONE) }),
  ],
  [
    'is looked up, but whose owner was deleted',
    () => ({ verified: Promise.resolve(VALID), loaded: () => Promise.reject(GONE) }),
  ],
])('refuses a key that %s on a tick', async (_, world) => {
  const outcome = await outcomeOf(lookUp(world()));
  expect(outcome).toEqual([false, expect.objectContaining({ code: 'INVALID_API_KEY' })]);
});

it('refuses a valid key from a forbidden address without waiting for a tick', async () => {
  const outcome = await outcomeOf(lookUp({ cachedKey: BOUND, loaded: never }));
  expect(outcome).toEqual([true, expect.objectContaining({ code: 'IP_NOT_ALLOWED' })]);
});

it('answers 503 after lookUpTimeoutMs, and not before, if the look-up of a key does not finish', async () => {
  let refused: unknown;
  const { authenticator, trail } = build({ verified: new Promise(() => {}) });
  authenticator.lookUp('key', CALLER).catch((error) => {
    refused = error;
  });
  await jest.advanceTimersByTimeAsync(199);
  expect(refused).toBeUndefined();
  await jest.advanceTimersByTimeAsync(10);
  expect(refused).toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  expect(trail.unavailable).toHaveBeenCalledWith(
    new Error('no answer within 200 ms (cache.lookUpTimeoutMs)'),
  );
});

it('records no use of a key that is found after the deadline', async () => {
  let find: (apiKey: ApiKey) => void = () => {};
  const verified = new Promise<ApiKey>((resolve) => {
    find = resolve;
  });
  const { authenticator, uses, trail } = build({ verified, loaded: user });
  const refused = expect(authenticator.lookUp('key', CALLER)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
  await jest.advanceTimersByTimeAsync(250);
  find(VALID);
  await jest.advanceTimersByTimeAsync(0);
  await refused;
  for (const told of [uses.note, trail.accepted]) expect(told).not.toHaveBeenCalled();
});
