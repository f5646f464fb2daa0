import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { temporaryFolder } from '../../../../test/support/folder';
import { openSession } from './bin-session';

const required = (name: string) => `require(${JSON.stringify(require.resolve(name))})`;
const LIBRARY = required('../index');
const TYPEORM = required('@nestjs/typeorm');
const COMMON = required('@nestjs/common');
const ignore = () => {};

/** A file of this source text. */
function fileOf(source: string): string {
  const file = join(temporaryFolder(), 'app.js');
  writeFileSync(file, `${source}\n`);
  return file;
}

const settingsOf = (database: string) =>
  `{ type: 'postgres', url: '${database}', entities: [${LIBRARY}.ApiKey] }`;

const appFile = (imports: readonly string[]) =>
  fileOf(`exports.AppModule = class {}; ${COMMON}.Module({ imports: [${imports}] })(exports.AppModule);`);

const newSource = (database: string) => `new (${required('typeorm')}.DataSource)(${settingsOf(database)})`;
const sourceFile = (database: string) => fileOf(`exports.dataSource = ${newSource(database)};`);

it('the session of an application has its options, and finds users by their email address', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database, 'ada@example.com');
  const app = appFile([
    `${TYPEORM}.TypeOrmModule.forRoot(${settingsOf(database)})`,
    `${LIBRARY}.ApiKeyModule.forRoot({ prefix: 'acme_live', scopes: { 'orders:read': 'Read' } })`,
  ]);
  const session = await openSession({ app }, ignore);
  expect(await session.findOwner('ada@example.com', { create: true })).toBe(userId);
  expect(await session.findOwner('eve@example.com', { create: true })).toBeNull();
  const { key } = await session.keys.create({ userId, name: 'ci', scopes: ['orders:read'] as never });
  expect(key).toMatch(/^acme_live_/);
  await session.close();
});

it('the session of a data source finds users and revokes keys', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database, 'ada@example.com');
  const dataSource = sourceFile(database);
  const session = await openSession({ dataSource }, ignore);
  expect(await session.findOwner('ada@example.com', { create: true })).toBe(userId);
  const { apiKey } = await session.keys.create({ userId, name: 'ci' });
  expect(await session.keys.revoke(apiKey.id)).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  await session.close();
});

it.each<[string, (source: string) => string]>([
  ['as the module itself', (source) => `module.exports = ${source};`],
  ['twice', (source) => `exports.dataSource = ${source}; exports.default = exports.dataSource;`],
  ['as a promise', (source) => `exports.default = Promise.resolve(${source});`],
  ['as a promise of one that is connected', (source) => `exports.dataSource = ${source}.initialize();`],
  [
    'before it is connected',
    (source) => `exports.dataSource = ${source}; exports.ready = exports.dataSource.initialize();`,
  ],
  [
    'beside other values',
    (source) => `exports.port = 1; exports.nothing = null; exports.source = ${source};`,
  ],
])('the file of a data source may export it %s', async (_, textOf) => {
  const database = await createMigratedDatabase();
  const session = await openSession({ dataSource: fileOf(textOf(newSource(database))) }, ignore);
  expect(await session.keys.list()).toEqual({ items: [], nextCursor: null });
  await session.close();
});

it('a file with several data sources is an error, so that no command runs on the wrong one', async () => {
  const [one, other] = [newSource('postgres://one'), newSource('postgres://other')];
  const file = fileOf(`exports.one = ${one}; exports.other = ${other};`);
  await expect(openSession({ dataSource: file }, ignore)).rejects.toThrow(
    'The file of --data-source exports 2 DataSources: export one.',
  );
});

it('a database without emails of users is an error that names --user-id', async () => {
  const database = await createMigratedDatabase();
  const session = await openSession({ dataSource: sourceFile(database) }, ignore);
  const missing = 'there is no table users with columns id and email. Give --user-id <id>.';
  const find = () => session.findOwner('ada@example.com', { create: false });
  await sql(database, 'ALTER TABLE users RENAME email TO address');
  await expect(find()).rejects.toThrow(missing);
  await sql(database, 'ALTER TABLE users RENAME TO accounts');
  await expect(find()).rejects.toThrow(missing);
  await session.close();
});

it('an application without ApiKeyModule is an error that says so', async () => {
  await expect(openSession({ app: appFile([]) }, ignore)).rejects.toThrow(
    'The module of --app does not import ApiKeyModule, or imports that of another copy of nestjs-api-key.',
  );
});

it('a file without a module or a data source is an error that names the option', async () => {
  const file = fileOf('exports.port = 3000;');
  await expect(openSession({ app: file }, ignore)).rejects.toThrow(
    'The file of --app must export one module',
  );
  await expect(openSession({ dataSource: file }, ignore)).rejects.toThrow(
    'The file of --data-source exports no DataSource.',
  );
});
