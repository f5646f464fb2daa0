import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { temporaryFolder } from './support/folder';
import { runBin } from './support/sample';
import { schemaOf } from './support/schema';

const FILE = resolve('test/fixtures/app.module.cjs');

let database: string;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database, 'ada@example.com');
});

/** The program `nestjs-api-key` in a process of its own, with the module of an application. */
const withApp = (args: readonly string[], input = '') => runBin([...args, '--app', FILE], database, input);
/** The same with a data source alone, and so without the options of the application. */
const withDataSource = (...args: string[]) =>
  runBin(['--data-source', 'dist/ormconfig.js', ...args], database);

const CREATE = ['create', '--user', 'ada@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'];

/** What the same application says of a key. */
async function verified(key: string) {
  process.env.DATABASE_URL = database;
  const { AppModule } = require(FILE);
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const result = await app.get(ApiKeyService, { strict: false }).verify(key);
  await app.close();
  return result;
}

beforeEach(() => sql(database, 'DELETE FROM api_keys'));

it('a key that the program creates by --app is accepted by the application, with its pepper, prefix and policy', async () => {
  const { code, stdout, stderr } = await withApp(CREATE);
  expect(code).toBe(0);
  expect(stderr).toBe('The application prints this on stdout.\n');
  const created = JSON.parse(stdout);
  expect(created).toMatchObject({ userId, key: expect.stringMatching(/^acme_live_/) });
  const lifetimeMs = Date.parse(created.expiresAt) - Date.parse(created.createdAt);
  expect(Math.round(lifetimeMs / 86_400_000)).toBe(90);
  jest.spyOn(console, 'log').mockReturnValue();
  expect(await verified(created.key)).toMatchObject({ ok: true, apiKey: { id: created.id } });
  const checked = JSON.parse((await withApp(['check', '--json'], created.key)).stdout);
  expect(checked).toMatchObject({ state: 'active', reason: null, id: created.id });
});

it.each([
  ['a scope outside of the catalogue', ['--scopes', 'orders:delete'], 'orders:delete'],
  ['a lifetime that the policy does not allow', ['--expires-in', '91d'], '90 days'],
])('the program refuses %s by --app', async (_, args, words) => {
  const { code, stdout, stderr } = await withApp([...CREATE, ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(words);
  expect(stderr).toMatch(/ Help: nestjs-api-key create --help\n$/);
  expect(await sql(database, 'SELECT FROM api_keys')).toHaveLength(0);
});

it('a key with a pepper is shown and ended by a data source alone', async () => {
  const { id, key, masked } = JSON.parse((await withApp(CREATE)).stdout);
  const [listed, shown, events] = await Promise.all([
    withDataSource('list', '--user', 'ada@example.com', '--json'),
    withDataSource('show', id, '--json'),
    withDataSource('events', id, '--json'),
  ]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ id, masked, state: 'active' }]);
  expect(JSON.parse(shown.stdout)).toMatchObject({ id, masked });
  expect(JSON.parse(events.stdout)).toMatchObject([{ type: 'created' }]);
  expect(await withDataSource('disable', id)).toMatchObject({ code: 0, stderr: '' });
  expect(await withDataSource('revoke', '--user-id', userId)).toMatchObject({ code: 0, stderr: '' });
  expect(await verified(key)).toEqual({ ok: false, reason: 'revoked' });
});

it('a data source that drops, synchronizes and migrates the schema when it connects changes nothing in the program', async () => {
  const url = await createMigratedDatabase();
  await sql(url, 'DROP TABLE orders');
  const before = await schemaOf(url);
  const settings = {
    dropSchema: true,
    synchronize: true,
    migrationsRun: true,
    migrationsTableName: 'other_migrations',
  };
  const file = join(temporaryFolder(), 'data-source.cjs');
  writeFileSync(
    file,
    `exports.dataSource = require(${JSON.stringify(resolve('dist/ormconfig.js'))}).default.setOptions(${JSON.stringify(settings)});`,
  );
  expect(await runBin(['--data-source', file, 'list'], url)).toMatchObject({ code: 0, stderr: '' });
  expect(await schemaOf(url)).toEqual(before);
});

it('the program uses a data source that its file has connected', async () => {
  const file = join(temporaryFolder(), 'data-source.mjs');
  const configuration = JSON.stringify(pathToFileURL(resolve('dist/ormconfig.js')).href);
  writeFileSync(
    file,
    `import config from ${configuration};\nexport const dataSource = await config.default.initialize();\n`,
  );
  expect(await runBin(['--data-source', file, 'list'], database)).toMatchObject({ code: 0, stderr: '' });
});

it('the program loads an ES module that waits at its top level, and ends although a timer of the application runs', async () => {
  const file = join(temporaryFolder(), 'app.module.mjs');
  writeFileSync(
    file,
    `import application from ${JSON.stringify(pathToFileURL(FILE).href)};
setInterval(() => {}, 60_000);
export default await Promise.resolve(application.AppModule);\n`,
  );
  const { code, stdout } = await runBin(['--app', file, 'list'], database);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'No keys.\n' });
});

it('the program says in one line that a file cannot be loaded, or is the module of no application', async () => {
  const file = join(temporaryFolder(), 'broken.cjs');
  writeFileSync(file, 'module.exports = {');
  const [missing, broken, other] = await Promise.all(
    ['dist/nowhere.js', file, 'dist/src/app.module.js'].map((app) =>
      runBin(['--app', app, 'list'], database),
    ),
  );
  expect(missing).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^.*dist\/nowhere\.js.*\n$/),
  });
  expect(broken).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^.+\n$/) });
  expect(other).toEqual({
    code: 1,
    stdout: '',
    stderr:
      'The file of --app must export one module, AppModule or a default module. It exports AppModule. If a function makes the module, export what the function returns.\n',
  });
});

it('the program says to compile a file in TypeScript', async () => {
  const file = join(temporaryFolder(), 'app.module.ts');
  writeFileSync(
    file,
    `import { Module } from '@nestjs/common';\n@Module({})\nexport class AppModule {\n  constructor(readonly a = 1) {}\n}\n`,
  );
  const wrong = await Promise.all(
    ['--app', '--data-source'].map((option) => runBin([option, file, 'list'], database)),
  );
  for (const { code, stdout, stderr } of wrong)
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('Compile the application, and give a JavaScript file'),
    });
});
