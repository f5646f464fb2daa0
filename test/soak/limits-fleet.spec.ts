import type { CreateApiKeyInput, IssuedApiKey } from 'nestjs-api-key';
import { Fleet } from '../support/fleet';
import { call } from '../support/load';
import { awayFromMidnight } from '../support/midnight';
import { until } from '../support/until';

const RUNS = Array.from({ length: 10 }, (_, i) => i + 1);
const HOURLY = { limit: 5, windowSeconds: 3_600 };
const MANAGES = ['api-keys:write', 'orders:read'] as const;

let fleet: Fleet;
beforeAll(async () => {
  const options = { cache: { lookUpTimeoutMs: 10_000 }, rateLimit: { storageTimeoutMs: 30_000 } };
  const env = { RATE_LIMIT_STORAGE: 'postgres' };
  fleet = await Fleet.start(
    (['express', 'fastify'] as const).map((adapter) => ({ adapter, isDirect: true, options, env })),
  );
});
beforeEach(awayFromMidnight);
afterAll(() => fleet.stop());

let sent = 0;
/** One request to one of the instances in turn. */
function ask(method: string, path: string, key: string, body?: object): Promise<Response> {
  sent += 1;
  return fetch(`${fleet.urls[sent % fleet.urls.length]}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
}

/** How many of so many requests of each key pass that are sent at once. */
async function passesAtOnce(keys: readonly string[], each: number): Promise<number> {
  const calls = keys.flatMap((key) => Array.from({ length: each }, () => ask('GET', '/me', key)));
  const found = (await Promise.all(calls)).map(({ status }) => status);
  expect(new Set([...found, 200, 429])).toEqual(new Set([200, 429]));
  return found.filter((status) => status === 200).length;
}

/** A key, and an unlimited one of the same owner that manages it. */
async function pair(fields: Partial<CreateApiKeyInput>): Promise<[IssuedApiKey, IssuedApiKey]> {
  const [key] = (await fleet.issue(1, { scopes: MANAGES, ...fields })) as [IssuedApiKey];
  const manager = await fleet.keys.create({ userId: key.apiKey.userId, name: 'ops', scopes: ['*'] });
  return [key, manager];
}

/**
 * Changes a key and waits until each instance has heard of it: notifications come in the order of
 * the commits, so an instance that refuses a key which was revoked later has heard of the change.
 */
async function change(manager: IssuedApiKey, { apiKey }: IssuedApiKey, body: object): Promise<void> {
  const later = await fleet.keys.create({ userId: apiKey.userId, name: 'later', scopes: [] });
  await untilEverywhere(later.key, 200);
  const { status } = await ask('PATCH', `/api-keys/${apiKey.id}`, manager.key, body);
  expect(status).toBe(200);
  await fleet.keys.revoke(later.apiKey.id);
  await untilEverywhere(later.key, 401);
}

/** Asks each instance until it answers a key so. */
async function untilEverywhere(key: string, expected: number): Promise<void> {
  for (let at = 0; at < fleet.urls.length; at++)
    await until(async () => (await call(fleet.urls, at, key)).status === expected);
}

it.each(RUNS)('A used-up monthly quota is also used up as a daily quota, run %i', async () => {
  const [key, manager] = await pair({ quota: { limit: 62, period: 'month' } });
  expect(await passesAtOnce([key.key], 61)).toBe(61);
  await change(manager, key, { quota: { limit: 2, period: 'day' } });
  expect(await passesAtOnce([key.key], 10)).toBe(0);
  await change(manager, key, { quota: { limit: 62, period: 'month' } });
  expect(await passesAtOnce([key.key], 10)).toBe(1);
});

it.each(RUNS)('A window that is narrowed and restored keeps its use, run %i', async () => {
  const [key, manager] = await pair({ rateLimit: HOURLY });
  expect(await passesAtOnce([key.key], 10)).toBe(5);
  await change(manager, key, { rateLimit: { limit: 1, windowSeconds: 1 } });
  await until(async () => (await passesAtOnce([key.key], 1)) === 1);
  await change(manager, key, { rateLimit: HOURLY });
  expect(await passesAtOnce([key.key], 10)).toBe(0);
});

it.each(RUNS)('A window that grows keeps the use of the shorter windows before, run %i', async () => {
  const [key, manager] = await pair({ rateLimit: { limit: 2, windowSeconds: 1 } });
  let passed = 0;
  await until(async () => {
    passed += await passesAtOnce([key.key], 2);
    return passed >= 6;
  });
  await change(manager, key, { rateLimit: { limit: 10, windowSeconds: 600 } });
  expect(await passesAtOnce([key.key], 20)).toBe(10 - passed);
});

it.each(
  RUNS,
)('A limited key, the keys that it creates and their successors are accepted no more often than its limit, run %i', async () => {
  const [key] = await pair({ rateLimit: { limit: 8, windowSeconds: 3_600 } });
  const minted: string[] = [];
  for (let i = 0; i < 4; i++) {
    const answer = await ask('POST', '/api-keys', key.key, { name: 'child', scopes: MANAGES });
    expect(answer.status).toBe(201);
    minted.push(((await answer.json()) as { key: string }).key);
  }
  const rotated = await ask('POST', `/api-keys/${key.apiKey.id}/rotate`, key.key, { overlapSeconds: 3_600 });
  const successor = ((await rotated.json()) as { key: string }).key;
  expect(await passesAtOnce([key.key, successor, ...minted], 10)).toBe(8 - 5);
});

it.each(
  RUNS,
)('A quota of a key and its children holds while its owner keeps the pool busy, run %i', async () => {
  const [key, manager] = await pair({ quota: { limit: 10, period: 'day' } });
  const child = await ask('POST', '/api-keys', key.key, { name: 'child', scopes: MANAGES });
  const { key: childKey } = (await child.json()) as { key: string };
  const busy = Array.from({ length: 60 }, (_, i) =>
    ask('PATCH', `/api-keys/${key.apiKey.id}`, manager.key, { name: `x${i}` }).catch(() => null),
  );
  const calls = Array.from({ length: 60 }, (_, i) => ask('GET', '/me', i % 2 ? key.key : childKey));
  const found = (await Promise.all(calls)).map(({ status }) => status);
  expect(found.filter((status) => status === 200).length).toBeLessThanOrEqual(9);
  expect(found.every((status) => [200, 429, 503].includes(status))).toBe(true);
  await Promise.all(busy);
});
