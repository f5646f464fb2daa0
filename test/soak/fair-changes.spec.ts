import { setTimeout as delay } from 'node:timers/promises';
import type { IssuedApiKey } from 'nestjs-api-key';
import { bootApp, type TestApp } from '../support/app';
import { createMigratedDatabase, createUser } from '../support/database';
import { Flood, type FloodRequest, send } from '../support/flood';
import { type Sample, startSample } from '../support/sample';
import { until } from '../support/until';

const OWNERS = 19;
const ROUNDS = 10;
/** Longer than a user is cached, so that each owner's user is loaded again during the flood. */
const BETWEEN_ROUNDS_MS = 250;
/** How much more of the requests of others may fail than beside reads, as a share of them. */
const TOLERANCE = 0.01;

let sample: Sample;
let manager: TestApp;
let flooder: IssuedApiKey;
let others: readonly string[];

beforeAll(async () => {
  const database = await createMigratedDatabase();
  sample = await startSample({ DATABASE_URL: database, API_KEY_OPTIONS: '{}' });
  manager = await bootApp({ database, options: { prefix: 'acme_live' } });
  const issue = async () =>
    manager.keys.create({ userId: await createUser(database), name: 'ci', scopes: ['*'] as never });
  flooder = await issue();
  others = await Promise.all(Array.from({ length: OWNERS }, async () => (await issue()).key));
});

afterAll(async () => {
  await manager.close();
  await sample.stop();
});

const me = (key: string) => send(sample.url, { method: 'GET', path: '/me', key });

/** Sends requests of the other owners, whose keys are cached, during a flood of one owner. */
async function sharesDuring(connections: number, wanted: FloodRequest) {
  for (const key of others) await until(async () => (await me(key)) === 200);
  const flood = new Flood(sample.url, connections, wanted);
  await until(() => flood.answered >= connections);
  const statuses: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    statuses.push(...(await Promise.all(others.map(me))));
    await delay(BETWEEN_ROUNDS_MS);
  }
  await flood.stop();
  const failed = statuses.filter((status) => status !== 200).length;
  return { failed, requests: statuses.length, share: failed / statuses.length, flood: flood.statuses };
}

it.each([
  100, 300,
])('%i connections that change one key make no more requests of other owners fail than so many connections that read it', async (connections) => {
  const path = `/api-keys/${flooder.apiKey.id}`;
  const { key } = flooder;
  const reading = await sharesDuring(connections, { method: 'GET', path, key });
  const changing = await sharesDuring(connections, {
    method: 'PATCH',
    path,
    key,
    body: (n) => ({ name: `ci ${n}` }),
  });
  const line = (name: string, { failed, requests, flood }: typeof reading) =>
    `${name}: ${failed} of ${requests} requests of others failed; the flood was answered ${JSON.stringify(Object.fromEntries(flood))}`;
  process.stdout.write(
    `${connections} connections\n${line('GET', reading)}\n${line('PATCH', changing)}\nbound: the share beside GET and ${100 * TOLERANCE} %\n`,
  );
  expect(changing.share).toBeLessThanOrEqual(reading.share + TOLERANCE);
});
