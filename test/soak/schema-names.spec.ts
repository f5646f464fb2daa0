import { apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { keysDataSource } from '../support/data-source';
import { createEmptyDatabase, sql } from '../support/database';
import { bootOn, UNCACHED } from '../support/ground';

const quoted = (schema: string) => `"${schema.replaceAll('"', '""')}"`;

const searching = (schema: string) => ({
  options: `-c search_path=${quoted(schema).replaceAll(' ', '\\ ')}`,
});

/** A database whose tables of keys are to lie in a schema of its own. */
async function databaseWith(schema: string): Promise<string> {
  const url = await createEmptyDatabase();
  await sql(url, `CREATE SCHEMA ${quoted(schema)}`);
  return url;
}

async function migrate(url: string, typeorm: object): Promise<void> {
  const dataSource = await keysDataSource(url, { migrations: apiKeyMigrations(), ...typeorm });
  try {
    await runMigrations(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

async function roundTrip(url: string, typeorm: object): Promise<void> {
  const { keys, close } = await bootOn(url, { typeorm, options: UNCACHED });
  try {
    const { key, apiKey } = await keys.create({
      userId: '1',
      name: 'ci',
      quota: { limit: 5, period: 'day' },
    });
    expect(await keys.verify(key)).toMatchObject({ ok: true });
    await keys.revoke(apiKey.id, { everywhere: true });
    expect(await keys.verify(key)).toMatchObject({ ok: false });
    expect((await keys.events(apiKey.id))?.items).toHaveLength(2);
  } finally {
    await close();
  }
}

const NAMES = ['my.schema', 'Äpfel', 'a"b', 'a b', "it's", 'api_keys'];

it.each(NAMES)('issues and revokes keys in a schema of the search path: %s', async (schema) => {
  const url = await databaseWith(schema);
  const extra = searching(schema);
  await migrate(url, { extra });
  await roundTrip(url, { extra });
});

it.each(NAMES)('issues and revokes keys in the schema of the data source: %s', async (schema) => {
  const url = await databaseWith(schema);
  const isUnquotable = /[."]/.test(schema);
  await migrate(url, isUnquotable ? { extra: searching(schema) } : { schema });
  await roundTrip(url, { schema });
});

it.each([
  'my.schema',
  'a"b',
])('reports what to do if TypeORM cannot migrate in the schema of the data source: %s', async (schema) => {
  const url = await databaseWith(schema);
  await expect(migrate(url, { schema })).rejects.toThrow(/set the search_path/);
});
