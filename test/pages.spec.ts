import { Client, type QueryConfig } from 'pg';
import { bootApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const KEYS = 20_000;

/**
 * Plans are PostgreSQL's own; a million keys are measured by `npm run bench -- --scale`, the plan
 * is the same.
 */
describe('a page of keys is read from an index, the last page like the first,', () => {
  let database: string;
  let owner: string;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    owner = await createUser(database);
    await sql(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, created_at, updated_at)
       SELECT $1, 'k', encode(sha256(i::text::bytea), 'hex'), 'key_aaaa', now(), now() FROM generate_series(1, ${KEYS}) i`,
      [owner],
    );
    await sql(database, 'ANALYZE api_keys');
  });

  it.each<[string, boolean]>([
    ['of all owners', false],
    ['of one owner', true],
  ])('%s', async (_, ofOwner) => {
    const app = await bootApp({ database });
    const query = jest.spyOn(Client.prototype, 'query');
    const input = ofOwner ? { userId: owner } : {};
    for (const cursor of [null, String(KEYS / 2), '50']) await app.keys.list({ ...input, cursor });
    const sent = query.mock.calls.map(([config]) => config as unknown as QueryConfig<unknown[]>);
    query.mockRestore();
    await app.close();
    const pages = sent.filter(({ text }) => /ORDER BY k.id DESC LIMIT/.test(text));
    expect(pages).toHaveLength(3);
    for (const { text, values } of pages) {
      const plan = await sql<{ 'QUERY PLAN': string }>(
        database,
        `EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) ${text}`,
        values,
      );
      const lines = plan.map((row) => row['QUERY PLAN']).join('\n');
      expect(lines).toMatch(/Index Scan Backward using (api_keys_pkey|index_api_keys_on_user_id_and_id)/);
      expect(lines).not.toMatch(/Sort|Seq Scan/);
      expect(Number(/Index Scan.*actual rows=(\d+)/.exec(lines)?.[1])).toBeLessThanOrEqual(51);
    }
  });
});
