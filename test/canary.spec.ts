import { createHash } from 'node:crypto';
import { ADAPTERS } from './support/app';
import { createEmptyDatabase, sql } from './support/database';
import { demoKey, startSample } from './support/sample';

const KEY = /acme_live_[0-9A-Za-z]{49}/g;

/** Text, and the same in a column of bytes. */
const inTextOrBytes = (text: string) => [text, Buffer.from(text).toString('hex')];

/**
 * A digest as a text, an answer or a row may hold it; base64 without its padding, which not all
 * write.
 */
function formsOf(digest: Buffer): string[] {
  const hex = digest.toString('hex');
  const base64 = [digest.toString('base64').replace('=', ''), digest.toString('base64url')];
  return [hex, hex.toUpperCase(), ...base64].flatMap(inTextOrBytes);
}

/** Every row of a table as PostgreSQL writes it, so that bytes are hex. */
async function textOf(database: string, table: string): Promise<string> {
  const rows = await sql<{ text: string }>(database, `SELECT t::text AS text FROM "${table}" t`);
  return rows.map(({ text }) => text).join('\n');
}

it.each(
  ADAPTERS,
)('on %s a raw key is only in the answer of create or rotate, and in no table, log line, event or other answer; its digest is only in the table of keys', async (adapter) => {
  const database = await createEmptyDatabase();
  const sample = await startSample({
    DATABASE_URL: database,
    LOG_LEVEL: 'verbose',
    HTTP_ADAPTER: adapter,
    RATE_LIMIT_STORAGE: 'postgres',
  });
  const demo = await demoKey(sample);
  const answers: string[] = [];
  const call = async (key: string, method: string, path: string, body?: object) => {
    const response = await fetch(sample.url + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        'x-request-id': key,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (response.status !== 201) answers.push(text);
    return response.status === 201 ? JSON.parse(text) : {};
  };
  const created = await call(demo, 'POST', '/api-keys', {
    name: 'canary',
    scopes: ['orders:read', 'api-keys:*'],
    rateLimit: { limit: 1_000, windowSeconds: 60 },
    quota: { limit: 1_000, period: 'day' },
  });
  const rotated = await call(created.key, 'POST', `/api-keys/${created.id}/rotate`, { overlapSeconds: 60 });
  const canaries = [created.key, rotated.key];
  expect(new Set(canaries).size).toBe(2);
  for (const key of canaries) {
    await call(key, 'GET', '/me');
    await call(key, 'POST', '/orders', { item: 'x', quantity: 1 });
    await call(key, 'GET', `/api-keys/${rotated.id}/events`);
    await call(key, 'GET', `/api-keys?cursor=${key}`);
    await call(key, 'PATCH', `/api-keys/${rotated.id}`, { [key]: key, name: 5 });
    await call(key, 'GET', `/api-keys/${key}`);
    await call(key, 'GET', `/${key}`);
    await call(`${key}x`, 'GET', '/me');
  }
  await call(demo, 'DELETE', `/api-keys/${rotated.id}`);
  await call(rotated.key, 'GET', '/me');
  await sample.stop();
  const tables = await sql<{ name: string }>(
    database,
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm')`,
  );
  const texts = await Promise.all(
    tables.map(async ({ name }) => [name, await textOf(database, name)] as const),
  );
  const ofKeys = new Map(texts).get('api_keys');
  const elsewhere = texts.filter(([name]) => name !== 'api_keys');
  const filled = elsewhere.filter(([, text]) => text !== '').map(([name]) => name);
  expect(filled).toEqual(
    expect.arrayContaining(['api_key_events', 'api_key_usage', 'api_key_quotas', 'api_key_windows']),
  );
  const notNotFound = answers.filter((text) => !text.startsWith('{"message":"Cannot GET'));
  const rows = texts.map(([, text]) => text).join('\n');
  const world = rows + sample.output() + notNotFound.join('\n');
  for (const key of canaries) {
    for (const form of [key, key.slice(-20)].flatMap(inTextOrBytes)) expect(world).not.toContain(form);
  }
  const withoutDigests = elsewhere.join('\n') + sample.output() + answers.join('\n');
  for (const key of [demo, ...canaries]) {
    const digest = createHash('sha256').update(key).digest();
    expect(ofKeys).toContain(digest.toString('hex'));
    for (const form of formsOf(digest)) expect(withoutDigests).not.toContain(form);
  }
  expect(sample.output().match(KEY)).toEqual([demo, demo]);
});
