import { createMigratedDatabase, sql } from './support/database';
import { runKeys } from './support/sample';

let database: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
});

const keys = (...args: string[]) => runKeys(args, { DATABASE_URL: database });
const CREATE = ['create', '--user', 'ops@example.com', '--name', 'ci', '--scopes', 'orders:read,orders:*'];

it('create issues a key and makes the user; --json prints one document with the key and nothing else', async () => {
  const { code, stdout, stderr } = await keys(...CREATE, '--expires-in', '90d', '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const created = JSON.parse(stdout);
  expect(created).toMatchObject({
    name: 'ci',
    scopes: ['orders:read', 'orders:*'],
    state: 'active',
    key: expect.stringMatching(/^acme_live_/),
  });
  expect(Date.parse(created.expiresAt) - Date.parse(created.createdAt)).toBeGreaterThan(89.9 * 86_400_000);
  expect(await sql(database, `SELECT email FROM users WHERE id = $1`, [created.userId])).toEqual([
    { email: 'ops@example.com' },
  ]);
});

it('two creations at once for a new address make one user', async () => {
  const both = await Promise.all(
    [1, 2].map(() =>
      keys('create', '--user', 'new@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'),
    ),
  );
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(await sql(database, `SELECT FROM users WHERE email = 'new@example.com'`)).toHaveLength(1);
});

it('list, show and revoke tell keys without the key or its digest', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  const shown = await keys('show', created.id);
  expect(shown.stdout).toContain(created.masked);
  const listed = await keys('list', '--user', 'ops@example.com');
  expect(listed.stdout).toMatch(/^ID +USER +NAME +KEY +STATE +SCOPES +EXPIRES +LAST USED\n/);
  const revoked = JSON.parse((await keys('revoke', created.id, '--json')).stdout);
  expect(revoked).toMatchObject({ id: created.id, state: 'revoked', revokedAt: expect.any(String) });
  const [{ digest }] = (await sql(database, 'SELECT key_digest AS digest FROM api_keys WHERE id = $1', [
    created.id,
  ])) as [{ digest: string }];
  for (const output of [shown.stdout, listed.stdout, JSON.stringify(revoked)]) {
    expect(output).not.toContain(created.key);
    expect(output).not.toContain(digest);
  }
});

it.each([
  ['no command', []],
  ['an unknown command', ['bogus']],
  ['an unknown option', ['list', '--bogus']],
  ['one argument too many', ['list', 'extra']],
  ['a missing argument', ['show']],
  ['a missing --user', ['create', '--name', 'x', '--scopes', 'orders:read']],
  ['a missing --name', ['create', '--user', 'x@example.com', '--scopes', 'orders:read']],
  ['a missing --scopes', ['create', '--user', 'x@example.com', '--name', 'x']],
  ['a user that is no address', ['create', '--user', 'x', '--name', 'x', '--scopes', 'orders:read']],
  ['a duration that is none', [...CREATE, '--expires-in', '90']],
  [
    'a scope outside the catalogue',
    ['create', '--user', 'x@example.com', '--name', 'x', '--scopes', 'orders:delete'],
  ],
  ['an empty name', ['create', '--user', 'x@example.com', '--name', '', '--scopes', 'orders:read']],
])('%s is one clear line on stderr, nothing on stdout, and exit 2', async (_, args) => {
  const { code, stdout, stderr } = await keys(...args);
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({
    code: 2,
    stdout: '',
    lines: 1,
  });
  expect(stderr).not.toMatch(/\bat .*:\d+/);
});

it('a wrong call of create makes no user', async () => {
  await keys('create', '--user', 'never@example.com', '--name', 'x', '--scopes', 'orders:delete');
  expect(await sql(database, `SELECT FROM users WHERE email = 'never@example.com'`)).toHaveLength(0);
});

it.each([
  ['a key that is not there', ['show', '999999'], 'There is no key 999999.'],
  ['an id that cannot be one', ['revoke', 'x'], 'There is no key x.'],
  [
    'a user that is not there',
    ['list', '--user', 'nobody@example.com'],
    'There is no user nobody@example.com.',
  ],
])('%s is one line on stderr and exit 1', async (_, args, line) => {
  expect(await keys(...args)).toEqual({ code: 1, stdout: '', stderr: `${line}\n` });
});

it('a database that is not there is one line on stderr and exit 1', async () => {
  const { code, stdout, stderr } = await runKeys(['list'], { DATABASE_URL: 'postgres://127.0.0.1:1/none' });
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({
    code: 1,
    stdout: '',
    lines: 1,
  });
});

it.each([[['--help']], [['create', '--help']]])('help for %j is on stdout, with exit 0', async (args) => {
  const { code, stdout, stderr } = await keys(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: keys/);
});
