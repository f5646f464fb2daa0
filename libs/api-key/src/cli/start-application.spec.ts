import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type DynamicModule, Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource, type MigrationInterface } from 'typeorm';
import { createEmptyDatabase } from '../../../../test/support/database';
import { temporaryFolder } from '../../../../test/support/folder';
import { ApiKey, ApiKeyModule, ApiKeyService, apiKeyMigrations, runMigrations } from '../index';
import { runProgram } from './bin-program';
import { openSession } from './bin-session';
import { startApplication } from './start-application';

type Migrations = readonly (new () => MigrationInterface)[];

const settingsOf = (database: string, migrations: Migrations = []) => ({
  type: 'postgres' as const,
  url: database,
  entities: [ApiKey],
  migrations: [...migrations],
});

function appOn(database: string, migrations: Migrations = []): DynamicModule {
  class AppModule {}
  const retries = { retryAttempts: 3, retryDelay: 1 };
  const imports = [
    TypeOrmModule.forRoot({ ...settingsOf(database, migrations), ...retries }),
    ApiKeyModule.forRoot({ prefix: 'acme_live' }),
  ];
  return { module: AppModule, imports };
}

/** Starts an application and ends it. Returns what it reported. */
async function start(module: DynamicModule, migrate: boolean): Promise<string[]> {
  const reported: string[] = [];
  const app = await startApplication(module, { migrate, report: (sentence) => reported.push(sentence) });
  await app.close();
  return reported;
}

it('with --migrate, the migrations run before the hooks of the application, and only if they are pending', async () => {
  const database = await createEmptyDatabase();
  const found: unknown[] = [];
  @Module({})
  class EarlyModule implements OnModuleInit {
    constructor(private readonly dataSource: DataSource) {}
    async onModuleInit() {
      found.push(await this.dataSource.getRepository(ApiKey).count());
    }
  }
  const app = appOn(database, apiKeyMigrations());
  const early = { ...app, imports: [...(app.imports ?? []), EarlyModule] };
  const at = new URL(database);
  const running = `Running all pending migrations of the data source on database ${at.pathname.slice(1)} at ${at.host}.`;
  expect(await start(early, true)).toEqual([
    running,
    expect.stringMatching(/^Migrations run: CreateApiKeys\d+, .*\.$/),
  ]);
  expect(await start(early, true)).toEqual([running, 'No migration was pending.']);
  expect(await start(early, false)).toEqual([]);
  expect(found).toEqual([0, 0, 0]);
});

it('the program goes from an empty database to a first key by one command with --migrate', async () => {
  const database = await createEmptyDatabase();
  const file = join(temporaryFolder(), 'app.module.js');
  const of = (name: string) => `require(${JSON.stringify(require.resolve(name))})`;
  writeFileSync(
    file,
    `const { ApiKey, ApiKeyModule, apiKeyMigrations } = ${of('../index')};
class AppModule {}
${of('@nestjs/common')}.Module({ imports: [
  ${of('@nestjs/typeorm')}.TypeOrmModule.forRoot({ type: 'postgres', url: '${database}', entities: [ApiKey], migrations: apiKeyMigrations() }),
  ApiKeyModule.forRoot({ prefix: 'acme_live' }),
] })(AppModule);
exports.AppModule = AppModule;\n`,
  );
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const create = ['create', '--app', file, '--user-id', '42', '--name', 'first', '--scopes', 'orders:read'];
  expect(await runProgram([...create, '--migrate', '--json'], { stdout, stderr })).toBe(0);
  const { key } = JSON.parse(await text(stdout.end()));
  expect(key).toMatch(/^acme_live_\w{49}$/);
  const said = await text(stderr.end());
  expect(said).toMatch(/^Running all .*\.\nMigrations run: .*\.\n$/);
  expect(said).not.toContain(key);
});

it('an error of a missing table names --migrate, unless --migrate was given', async () => {
  const database = await createEmptyDatabase();
  const missing = /^ApiKeyModule: table api_keys cannot be used .* Add \.\.\.apiKeyMigrations\(\)/;
  const hint = 'Option --migrate of this command runs them.';
  const app = appOn(database);
  const [without, given] = await Promise.all([false, true].map((migrate) => failureOf(app, migrate)));
  expect(without).toMatch(missing);
  expect(without).toMatch(new RegExp(` ${hint}$`));
  expect(given).toMatch(missing);
  expect(given).not.toContain('--migrate');
});

it('a migration that fails is reported as such, and stops the start', async () => {
  class Fail1763855940000 {
    async up() {
      throw new Error('relation "orders" already exists');
    }
    async down() {}
  }
  jest.spyOn(console, 'log').mockReturnValue();
  const app = appOn(await createEmptyDatabase(), [Fail1763855940000, ...apiKeyMigrations()]);
  expect(await failureOf(app, true)).toBe('The migrations failed: relation "orders" already exists');
});

it('a database out of reach is reported while the application tries again, and the error names the variable', async () => {
  const reported: string[] = [];
  const report = (sentence: string) => reported.push(sentence);
  await expect(startApplication(appOn('postgres://127.0.0.1:1/none'), { report })).rejects.toThrow(
    /^The application does not start \(connect ECONNREFUSED 127\.0\.0\.1:1\)\. Set the same environment variables as for your server, such as DATABASE_URL\.$/,
  );
  expect(reported).toEqual([
    'No connection to the database yet, trying again (Error: connect ECONNREFUSED 127.0.0.1:1).',
  ]);
});

it('a data source is migrated by --migrate, and one out of reach is an error that names the variable', async () => {
  const database = await createEmptyDatabase();
  const source = (url: string) => {
    const file = join(temporaryFolder(), 'data-source.js');
    const typeorm = JSON.stringify(require.resolve('typeorm'));
    const index = JSON.stringify(require.resolve('../index'));
    writeFileSync(
      file,
      `const { ApiKey, apiKeyMigrations } = require(${index});
exports.source = new (require(${typeorm}).DataSource)({ type: 'postgres', url: '${url}', entities: [ApiKey], migrations: apiKeyMigrations() });\n`,
    );
    return file;
  };
  const session = await openSession({ dataSource: source(database), migrate: true }, () => {});
  expect(session.keys).toBeInstanceOf(ApiKeyService);
  await session.close();
  const dataSource = new DataSource(settingsOf(database, apiKeyMigrations()));
  expect(await runMigrations(await dataSource.initialize())).toEqual([]);
  await dataSource.destroy();
  await expect(openSession({ dataSource: source('postgres://127.0.0.1:1/none') }, () => {})).rejects.toThrow(
    /^The data source does not connect \(connect ECONNREFUSED .*\)\. Set .* DATABASE_URL\.$/,
  );
});

async function failureOf(module: DynamicModule, migrate: boolean): Promise<string> {
  return start(module, migrate).then(
    () => 'no failure',
    (error) => error.message,
  );
}
