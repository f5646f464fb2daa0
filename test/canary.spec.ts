import { createHash } from 'node:crypto';
import { ADAPTERS } from './support/app';
import { createEmptyDatabase, sql } from './support/database';
import { startSample } from './support/sample';
import { until } from './support/until';

const KEY = /acme_live_[0-9A-Za-z]{49}/g;

it.each(
  ADAPTERS,
)('on %s a raw key is in the world once: in the answer of create or rotate; in no table, log line, event or other answer', async (adapter) => {
  const database = await createEmptyDatabase();
  const sample = await startSample({ DATABASE_URL: database, LOG_LEVEL: 'verbose', HTTP_ADAPTER: adapter });
  await until(() => sample.output().includes('curl -H'));
  const [demo = ''] = sample.output().match(KEY) ?? [];
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
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
  );
  const rows = await Promise.all(tables.map(({ name }) => sql(database, `SELECT * FROM "${name}"`)));
  const notNotFound = answers.filter((text) => !text.startsWith('{"message":"Cannot GET'));
  const world = JSON.stringify(rows) + sample.output() + notNotFound.join('\n');
  for (const key of canaries) {
    expect(world).not.toContain(key);
    expect(world).not.toContain(key.slice(-20));
    const digest = createHash('sha256').update(key).digest('hex');
    expect(sample.output() + answers.join()).not.toContain(digest);
  }
  expect(sample.output().match(KEY)).toEqual([demo, demo]);
});
