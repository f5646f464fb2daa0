import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, sql } from '../../../../test/support/database';
import { Database } from '../database/database';
import { FEED_TRIGGER_NAMES, feedTriggerSql } from '../database/feed-triggers';
import { checkFeedTriggers } from './feed-missing';

const TRIGGERS = FEED_TRIGGER_NAMES.flatMap((name) =>
  Object.values(feedTriggerSql(name, 'api_keys', 'nestjs_api_key_feed')),
).join('; ');
const PARTITIONED = `ALTER TABLE api_keys RENAME TO former;
  CREATE TABLE api_keys (LIKE former INCLUDING DEFAULTS) PARTITION BY RANGE (id);
  CREATE TABLE low PARTITION OF api_keys FOR VALUES FROM (1) TO (100) PARTITION BY RANGE (id);
  CREATE TABLE lowest PARTITION OF low FOR VALUES FROM (1) TO (10); ${TRIGGERS}`;
const ELSEWHERE = 'CREATE FOREIGN DATA WRAPPER other; CREATE SERVER elsewhere FOREIGN DATA WRAPPER other';

let url: string;
let dataSource: DataSource;

beforeEach(async () => {
  url = await createMigratedDatabase();
  dataSource = await keysDataSource(url);
});
afterEach(() => dataSource.destroy());

const check = () => new Database(dataSource).read(checkFeedTriggers);

it.each([
  ['an ordinary table', 'SELECT'],
  ['a partitioned table with partitions of partitions', PARTITIONED],
  [
    'a partition that notifies of each inserted key',
    `${PARTITIONED}; ALTER TABLE api_keys ENABLE ALWAYS TRIGGER nestjs_api_key_feed_replicated`,
  ],
])('receives all changes of rows in %s', async (_, change) => {
  await sql(url, change);
  await expect(check()).resolves.toBeUndefined();
});

it.each([
  ['a table that inherits', 'CREATE TABLE archive () INHERITS (api_keys)', 'archive'],
  [
    'a table that inherits from an inheriting table',
    'CREATE TABLE archive () INHERITS (api_keys); CREATE TABLE oldest () INHERITS (archive)',
    'archive, oldest',
  ],
  [
    'a partition whose trigger is off',
    `${PARTITIONED}; ALTER TABLE lowest DISABLE TRIGGER nestjs_api_key_feed_update`,
    'lowest',
  ],
  [
    'a partition whose trigger for replicated keys is off',
    `${PARTITIONED}; ALTER TABLE lowest DISABLE TRIGGER nestjs_api_key_feed_replicated`,
    'lowest',
  ],
  [
    'a partition whose trigger fires only in replication',
    `${PARTITIONED}; ALTER TABLE lowest ENABLE REPLICA TRIGGER nestjs_api_key_feed_delete`,
    'lowest',
  ],
  [
    'a foreign table that inherits',
    `${ELSEWHERE}; CREATE FOREIGN TABLE far () INHERITS (api_keys) SERVER elsewhere`,
    'far',
  ],
  [
    'the foreign table itself',
    `${ELSEWHERE}; ALTER TABLE api_keys RENAME TO former;
     CREATE FOREIGN TABLE api_keys (id bigint) SERVER elsewhere; ${TRIGGERS}`,
    'api_keys',
  ],
])('caches nothing if keys can be in %s, because their changes are not notified', async (_, change, names) => {
  await sql(url, change);
  await expect(check()).rejects.toMatchObject({
    isHopeless: true,
    message: expect.stringContaining(`are in ${names}, whose changes are not notified`),
  });
});
