import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Controller, Delete, ForbiddenException, Get, Module, Post, Version } from '@nestjs/common';
import { RouterModule } from '@nestjs/core';
import { AnyScope, ApiKeyAuth, type ApiKeyOptions, Public, Scopes } from 'nestjs-api-key';
import { runKeysCli } from 'nestjs-api-key/cli';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { runKeysHere } from './support/keys-here';
import { runKeys } from './support/sample';
import { watchStatements } from './support/statements';

@Controller('orders')
@ApiKeyAuth('orders:read')
class OrdersController {
  @Get()
  list() {
    return [];
  }

  @Post([':id/lines', ':id/items'])
  @Scopes('orders:write')
  add() {}

  @Delete(':id')
  @AnyScope('orders:write', 'api-keys:write')
  @Version('2')
  remove() {}

  @Get('prices')
  @Public()
  prices() {}
}

@Controller()
class OpenController {
  @Get('health')
  health() {}
}

@Controller(['a', 'b'])
@ApiKeyAuth()
class NestedController {
  @Get('/c/')
  read() {}
}

@Module({ controllers: [NestedController] })
class NestedModule {}

const ROUTES = {
  controllers: [OrdersController, OpenController],
  imports: [NestedModule, RouterModule.register([{ path: 'nested', module: NestedModule }])],
};

let database: string;
let userId: string;
let app: TestApp;

async function boot(options: ApiKeyOptions = {}): Promise<void> {
  app = await bootApp({ database, options: { prefix: 'acme_live', ...options }, ...ROUTES });
}

/** Whether a test has closed the app, or has changed more than keys. */
let isSpoiled = true;

async function startAnew(): Promise<void> {
  database = await createMigratedDatabase();
  userId = await createUser(database, 'ada@example.com');
  await boot();
  isSpoiled = false;
}

beforeEach(async () => {
  if (isSpoiled) await startAnew();
});

function end(): Promise<void> {
  isSpoiled = true;
  return app.close();
}

afterEach(async () => {
  if (isSpoiled) await app.close();
});

afterAll(() => app.close());

const create = (fields: object = {}) => app.keys.create({ userId, name: 'ci', ...fields });
const row = async (id: string) =>
  (await sql(database, 'SELECT xmin::text, * FROM api_keys WHERE id = $1', [id]))[0];

describe('inspect', () => {
  it('returns the key, no reason, and each route that needs a key with what the key lacks', async () => {
    const { key, apiKey } = await create({ scopes: ['orders:read', 'api-keys:write'] });
    const { routes, ...found } = await app.keys.inspect(key);
    expect(found).toMatchObject({ state: 'active', reason: null, apiKey: { id: apiKey.id, userId } });
    const ofAll = { environments: null, acceptsEnvironment: true };
    const write = {
      ...ofAll,
      handler: 'OrdersController.add',
      scopes: ['orders:read', 'orders:write'],
      anyScope: [],
      missing: ['orders:write'],
      passes: false,
    };
    const nested = {
      ...ofAll,
      handler: 'NestedController.read',
      scopes: [],
      anyScope: [],
      missing: [],
      passes: true,
    };
    const byPath = (one: { path: string }, other: { path: string }) => one.path.localeCompare(other.path);
    expect([...routes].sort(byPath)).toEqual([
      { method: 'GET', path: '/nested/a/c', ...nested },
      { method: 'GET', path: '/nested/b/c', ...nested },
      {
        ...ofAll,
        method: 'GET',
        path: '/orders',
        handler: 'OrdersController.list',
        scopes: ['orders:read'],
        anyScope: [],
        missing: [],
        passes: true,
      },
      {
        ...ofAll,
        method: 'DELETE',
        path: '/orders/:id',
        handler: 'OrdersController.remove',
        scopes: ['orders:read'],
        anyScope: [['orders:write', 'api-keys:write']],
        missing: [],
        passes: true,
      },
      { method: 'POST', path: '/orders/:id/items', ...write },
      { method: 'POST', path: '/orders/:id/lines', ...write },
    ]);
  });

  it('agrees with what the server answers on each route', async () => {
    const { key } = await create({ scopes: ['orders:read'] });
    const { routes } = await app.keys.inspect(key);
    expect(routes).toHaveLength(6);
    for (const { method, path, passes } of routes) {
      const url = `${app.url}${path.replace(':id', '1')}`;
      const { status } = await fetch(url, { method, headers: { 'X-API-Key': key } });
      expect([path, status < 300]).toEqual([path, passes]);
    }
  });

  it.each([
    ['revoked', (id: string) => app.keys.revoke(id)],
    ['disabled', (id: string) => app.keys.disable(id)],
    ['expired', (id: string) => sql(database, 'UPDATE api_keys SET expires_at = now() WHERE id = $1', [id])],
  ])('returns the row of a key that is %s, and that it passes nowhere', async (state, end) => {
    const { key, apiKey } = await create({ scopes: ['orders:read'] });
    await end(apiKey.id);
    const found = await app.keys.inspect(key);
    expect(found).toMatchObject({ state, reason: state, apiKey: { id: apiKey.id } });
    expect(found.routes.filter(({ passes }) => passes)).toEqual([]);
    expect(found.routes.filter(({ missing }) => missing.length === 0)).not.toEqual([]);
  });

  it.each([
    ['a text', 'nonsense'],
    ['a key with a wrong checksum', `acme_live_${'a'.repeat(49)}`],
    ['no text', undefined],
    ['a text that is too long', 'a'.repeat(100_000)],
  ])('returns malformed for %s, without a statement', async (_, key) => {
    const statements = watchStatements();
    expect(await app.keys.inspect(key)).toEqual({
      state: 'malformed',
      reason: 'malformed',
      apiKey: null,
      routes: [],
    });
    expect(statements.texts().filter((sent) => sent.includes('key_digest'))).toEqual([]);
    statements.restore();
  });

  it('returns unknown for a key that was deleted', async () => {
    const { key, apiKey } = await create();
    await app.keys.delete(apiKey.id);
    expect(await app.keys.inspect(key)).toEqual({
      state: 'unknown',
      reason: 'unknown',
      apiKey: null,
      routes: [],
    });
  });

  it.each<[string, () => unknown]>([
    ['returns nobody', () => null],
    [
      'refuses the owner',
      () => {
        throw new ForbiddenException();
      },
    ],
  ])('returns the reason owner if loadUser %s', async (_, loadUser) => {
    const { key } = await create({ scopes: ['orders:read'] });
    await end();
    await boot({ loadUser: loadUser as () => object });
    const found = await app.keys.inspect(key);
    expect(found).toMatchObject({ state: 'active', reason: 'owner', apiKey: { userId } });
    expect(found.routes.some(({ passes }) => passes)).toBe(false);
  });

  it('fails if loadUser fails, instead of guessing', async () => {
    const { key } = await create();
    await end();
    await boot({
      loadUser: () => {
        throw new Error('users are away');
      },
    });
    await expect(app.keys.inspect(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  });

  it('fails if the table cannot be read', async () => {
    isSpoiled = true;
    const { key } = await create();
    await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
    await expect(app.keys.inspect(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  });

  it('finds a key under an older pepper, and does not write its digest again', async () => {
    const [older, newer] = ['a'.repeat(32), 'b'.repeat(32)];
    await end();
    await boot({ pepper: { secrets: [older] } });
    const { key, apiKey } = await create();
    await end();
    await boot({ pepper: { secrets: [newer, older] } });
    const before = await row(apiKey.id);
    expect(await app.keys.inspect(key)).toMatchObject({ state: 'active', apiKey: { id: apiKey.id } });
    await end();
    expect(await row(apiKey.id)).toEqual(before);
  });

  it('sees a change that this instance has not heard of', async () => {
    isSpoiled = true;
    const { key, apiKey } = await create();
    await app.keys.verify(key);
    await sql(
      database,
      `ALTER TABLE api_keys DISABLE TRIGGER USER; UPDATE api_keys SET revoked_at = now() WHERE id = ${apiKey.id}`,
    );
    expect(await app.keys.inspect(key)).toMatchObject({ state: 'revoked' });
  });
});

describe('keys check', () => {
  const check = (input: string | Uint8Array, ...args: string[]) =>
    runKeysHere(app, ['check', ...args], undefined, input);

  it('prints whose the key is and which routes it opens, records nothing, and shows no part of the key', async () => {
    await end();
    await startAnew();
    const { key, apiKey } = await create({ scopes: ['orders:read'], allowedIps: ['192.0.2.0/24'] });
    const before = await row(apiKey.id);
    const [human, machine] = [await check(key), await check(key, '--json')];
    expect([human.code, machine.code, human.stderr, machine.stderr]).toEqual([0, 0, '', '']);
    expect(human.stdout).toMatch(/^ACCEPTED\n\nstate +active\nid +\d+\nuserId +\d+\n/);
    expect(human.stdout).toMatch(/Routes that it opens:\nMETHOD +PATH +NEEDS +HANDLER\n/);
    expect(human.stdout).toMatch(/^GET +\/orders +orders:read +OrdersController\.list$/m);
    expect(human.stdout).toMatch(
      /Routes for which it lacks scopes:\nMETHOD +PATH +MISSING +HANDLER\nPOST .*orders:write/,
    );
    expect(JSON.parse(machine.stdout)).toMatchObject({
      state: 'active',
      reason: null,
      id: apiKey.id,
      userId,
      name: 'ci',
      scopes: ['orders:read'],
      allowedIps: ['192.0.2.0/24'],
      rateLimit: null,
      expiresAt: null,
      lastUsedAt: null,
      ancestorIds: [],
    });
    await end();
    const visible = key.slice('acme_live_'.length);
    for (const output of [human.stdout, machine.stdout])
      for (const part of [visible.slice(0, 4), visible.slice(-4), apiKey.masked])
        expect(output).not.toContain(part);
    expect(await row(apiKey.id)).toEqual(before);
    expect(await sql(database, `SELECT FROM api_key_events WHERE type <> 'created'`)).toEqual([]);
  });

  it.each<[string, (key: string) => string | Uint8Array]>([
    ['a line end', (key) => `${key}\n`],
    ['a line end of Windows', (key) => `${key}\r\n`],
    ['a byte order mark', (key) => `\uFEFF${key}\n`],
    ['spaces and empty lines around it', (key) => `\n \t${key}  \n\n`],
  ])('takes a key with %s', async (_, input) => {
    const { key } = await create();
    expect(JSON.parse((await check(input(key), '--json')).stdout)).toMatchObject({ state: 'active' });
  });

  it.each([
    ['is revoked', (id: string) => app.keys.revoke(id), 'revoked', 'The key is revoked.'],
    [
      'has expired',
      (id: string) => sql(database, 'UPDATE api_keys SET expires_at = now() WHERE id = $1', [id]),
      'expired',
      'The key has expired.',
    ],
  ])('says why a key that %s is refused, and exits with 0', async (_, end, state, words) => {
    const { key, apiKey } = await create({ scopes: ['orders:read'] });
    await end(apiKey.id);
    const { code, stdout } = await check(key);
    expect(code).toBe(0);
    expect(stdout).toContain(`REFUSED. ${words}\n\nstate         ${state}\n`);
    expect(stdout).toContain('Routes that its scopes would open:\n');
    expect(JSON.parse((await check(key, '--json')).stdout)).toMatchObject({ state, reason: state });
  });

  it('prints the state of a text that is no stored key as one JSON document, and exits with 0', async () => {
    const { key, apiKey } = await create();
    await app.keys.delete(apiKey.id);
    for (const [input, state] of [
      [key, 'unknown'],
      ['nonsense', 'malformed'],
    ] as const) {
      const { code, stdout } = await check(input, '--json');
      expect([code, JSON.parse(stdout)]).toEqual([0, { state, reason: state, routes: [] }]);
    }
    expect((await check('nonsense')).stdout).toMatch(
      /^REFUSED\. This is not a key of this application: .*\n\nstate +malformed\n$/,
    );
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ['nothing', '', /standard input has no key\. Pipe one key, such as: keys check < key\.txt\./],
    ['spaces only', ' \r\n\t\n', /standard input has no key/],
    ['two lines', 'a\nb\n', /standard input has more than one line/],
    ['two lines of an old Mac', 'a\rb', /standard input has more than one line/],
    ['more than any key', 'a'.repeat(70_000), /standard input is longer than any key/],
  ])('exits with 2 and one line for an input of %s, without opening the database', async (_, input, words) => {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const open = jest.fn();
    stdin.end(input);
    expect(await runKeysCli(['check'], { open, stdin, stdout, stderr })).toBe(2);
    expect(open).not.toHaveBeenCalled();
    const [out, error] = [await text(stdout.end()), await text(stderr.end())];
    expect(out).toBe('');
    expect(error).toMatch(words);
    expect(error).toMatch(/^error: [^\n]*\. Help: keys check --help\n$/);
  });

  it('exits with 2 if standard input cannot be read', async () => {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    stdin.destroy(Object.assign(new Error('a folder'), { code: 'EISDIR' }));
    expect(await runKeysCli(['check'], { open: jest.fn(), stdin, stdout, stderr })).toBe(2);
    expect(await text(stderr.end())).toMatch(/^error: cannot read standard input \(EISDIR\)\. Help/);
  });

  it.each([
    ['check KEY', (key: string) => ['check', key]],
    ['check --key KEY', (key: string) => ['check', '--key', key]],
    ['check --key=KEY', (key: string) => ['check', `--key=${key}`]],
    ['check --json=KEY', (key: string) => ['check', `--json=${key}`]],
    ['check --json KEY', (key: string) => ['check', '--json', key]],
    ['check -KEY', (key: string) => ['check', `-${key}`]],
    ['KEY as the command', (key: string) => [key]],
    ['list --KEY', (key: string) => ['list', `--${key}`]],
    ['list --state KEY', (key: string) => ['list', '--state', key]],
    ['import --file KEY', (key: string) => ['import', '--file', key]],
  ])('%s exits with 2 and does not repeat the key', async (_, args) => {
    const { key } = await create();
    for (const given of [key, createHash('sha256').update(key).digest('hex')]) {
      const { code, stdout, stderr } = await runKeysHere(app, args(given), undefined, key);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^error: [^\n]*\. Help: keys[^\n]*--help\n$/);
      expect(stderr).not.toContain(given.slice(12, 40));
    }
  });

  it('no command repeats a key that is given instead of an id or an email address', async () => {
    const { key } = await create();
    for (const command of ['show', 'revoke', 'rotate', 'events']) {
      const { code, stderr } = await runKeysHere(app, [command, key]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^There is no key acme_live_\w{4}\.\.\.\w{4}\.\n$/);
    }
    const { stderr } = await runKeysHere(app, ['list', '--user', key]);
    expect(stderr).toMatch(/^There is no user acme_live_\w{4}\.\.\.\w{4}\.\n$/);
  });

  it('asks at a terminal without showing what is typed', async () => {
    const { key, apiKey } = await create();
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    Object.assign(stdin, { isTTY: true, setRawMode: () => stdin });
    const open = async () => ({ keys: app.keys, findOwner: async () => null, close: async () => {} });
    const ended = runKeysCli(['check', '--json'], { open, stdin, stdout, stderr });
    stdin.write(`${key}\r`);
    expect(await ended).toBe(0);
    const [out, error] = [await text(stdout.end()), await text(stderr.end())];
    expect(JSON.parse(out)).toMatchObject({ id: apiKey.id });
    expect(error).toBe('Key (not shown): \n');
  });

  it.each([
    ['Ctrl-C', '\x03'],
    ['Ctrl-D', '\x04'],
    ['Enter', '\r'],
  ])('exits with 2 if %s is pressed at a terminal', async (_, pressed) => {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    Object.assign(stdin, { isTTY: true, setRawMode: () => stdin });
    const ended = runKeysCli(['check'], { open: jest.fn(), stdin, stdout, stderr });
    stdin.write(pressed);
    expect(await ended).toBe(2);
    expect(await text(stderr.end())).toMatch(/error: standard input has no key/);
  });

  it('of the sample shows the email address of the owner and the routes of the sample', async () => {
    const created = JSON.parse(
      (
        await runKeys(
          ['create', '--user', 'ops@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'],
          { DATABASE_URL: database },
        )
      ).stdout,
    );
    const { code, stdout, stderr } = await runKeys(
      ['check', '--json'],
      { DATABASE_URL: database },
      `${created.key}\n`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ state: 'active', id: created.id, user: 'ops@example.com' });
    const passing = found.routes.filter(({ passes }: { passes: boolean }) => passes);
    const names = passing.map(({ method, path }: { method: string; path: string }) => `${method} ${path}`);
    expect(names.sort()).toEqual(['GET /me', 'GET /orders', 'GET /orders/:id']);
    expect(found.routes).toContainEqual({
      method: 'POST',
      path: '/orders',
      handler: 'OrdersController.create',
      scopes: ['orders:write'],
      anyScope: [],
      missing: ['orders:write'],
      environments: null,
      acceptsEnvironment: true,
      passes: false,
    });
  });
});
