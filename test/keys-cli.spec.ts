import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runKeysCli } from 'nestjs-api-key/cli';
import { SCOPES } from '../src/scopes';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, sql } from './support/database';
import { runBin, runKeys } from './support/sample';

let database: string;
let app: TestApp;

beforeAll(async () => {
  database = await createMigratedDatabase();
  app = await bootApp({ database, options: { scopes: SCOPES } });
});

afterAll(() => app.close());

/** The command line of the sample app, in a process of its own. */
const keys = (...args: string[]) => runKeys(args, { DATABASE_URL: database });

/** That of the library, in this process, for what needs no program around it. */
async function keysHere(...args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const open = async () => ({ keys: app.keys, findOwner: async () => null, close: async () => {} });
  const code = await runKeysCli(args, { open, stdout, stderr });
  const [out, err] = [text(stdout.end()), text(stderr.end())];
  return { code, stdout: await out, stderr: await err };
}

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
  ['a limit that is none', [...CREATE, '--rate-limit', '100']],
  ['a quota that is none', [...CREATE, '--quota', '100/week']],
  ['an address that is none', [...CREATE, '--allow-ip', '10.0.0.256']],
  ['an overlap that is none', ['rotate', '1', '--overlap', 'soon']],
  ['an overlap of more than 30 days', ['rotate', '1', '--overlap', '31d']],
  ['a state that is none', ['list', '--state', 'gone']],
  ['an age in hours', ['prune', '--older-than', '5h']],
  ['an import without a file', ['import']],
  ['an import of a file that is not there', ['import', '--file', '/nowhere/keys.jsonl']],
  ['an empty name', ['create', '--user', 'x@example.com', '--name', '', '--scopes', 'orders:read']],
])('%s is one clear line on stderr, nothing on stdout, and exit 2', async (_, args) => {
  const { code, stdout, stderr } = await keysHere(...args);
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({
    code: 2,
    stdout: '',
    lines: 1,
  });
  expect(stderr).not.toMatch(/\bat .*:\d+/);
});

it('a wrong call of create ends the program with 2, and makes no user', async () => {
  const { code, stdout } = await keys(
    'create',
    '--user',
    'never@example.com',
    '--name',
    'x',
    '--scopes',
    'orders:delete',
  );
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
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
  expect(await keysHere(...args)).toEqual({ code: 1, stdout: '', stderr: `${line}\n` });
});

it('a database that is not there is one line on stderr and exit 1', async () => {
  const { code, stdout, stderr } = await runKeys(['list'], { DATABASE_URL: 'postgres://127.0.0.1:1/none' });
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({
    code: 1,
    stdout: '',
    lines: 1,
  });
});

it.each([
  [['--help']],
  [['create', '--help']],
  [['rotate', '--help']],
  [['import', '--help']],
])('help for %j is on stdout, with exit 0', async (args) => {
  const { code, stdout, stderr } = await keysHere(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: keys/);
});

it.each([
  ['rotate', '(default: 24h)'],
  ['prune', '(default: 90d, 90 days)'],
  ['revoke', 'revoke everywhere'],
])('the help of %s names its default: %s', async (command, words) => {
  expect((await keysHere(command, '--help')).stdout.replaceAll(/\s+/g, ' ')).toContain(words);
});

it('create takes a limit, a quota and addresses; usage tells how much a key is used', async () => {
  const args = [
    ...CREATE,
    '--rate-limit',
    '100/60s',
    '--quota',
    '10000/month',
    '--allow-ip',
    '10.0.0.0/8,2001:db8::/32',
    '--json',
  ];
  expect(JSON.parse((await keys(...args)).stdout)).toMatchObject({
    rateLimit: { limit: 100, windowSeconds: 60 },
    quota: { limit: 10_000, period: 'month' },
    allowedIps: ['10.0.0.0/8', '2001:db8::/32'],
  });
  const [{ id }] = (await sql(database, 'SELECT max(id) AS id FROM api_keys')) as [{ id: string }];
  await sql(
    database,
    `INSERT INTO api_key_usage SELECT ${id}, 'day', date_trunc('day', now(), 'UTC'), 42, 2`,
  );
  expect(JSON.parse((await keys('usage', id, '--json')).stdout)).toMatchObject({
    quota: { limit: 10_000, period: 'month', used: 0, remaining: 10_000 },
    hours: [],
    days: [{ requests: 42, limited: 2 }],
  });
  expect((await keys('usage', id)).stdout).toMatch(
    /^Quota: 0 of 10000 this month.*\n\nDAY +REQUESTS.*\n\S+ 00:00Z +42 +2\n\nNo requests by hour\.\n$/s,
  );
  expect(await keys('usage', '999999')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'There is no key 999999.\n',
  });
});

it('rotate issues the successor with its key, once; the trail names the command line', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  const rotated = JSON.parse((await keys('rotate', created.id, '--overlap', '1h', '--json')).stdout);
  expect(rotated).toMatchObject({
    replaces: created.id,
    key: expect.stringMatching(/^acme_live_/),
    name: 'ci',
  });
  expect(rotated.key).not.toBe(created.key);
  const again = await keys('rotate', created.id);
  expect(again).toMatchObject({ code: 1, stdout: '' });
  expect(again.stderr).toMatch(/^key \d+ was rotated already: rotate its successor \d+\n$/);
  const [event] = await sql(
    database,
    `SELECT actor_type, details FROM api_key_events WHERE key_id = $1 AND type = 'rotated'`,
    [created.id],
  );
  expect(event).toEqual({ actor_type: 'cli', details: { successorId: rotated.id, overlapSeconds: 3_600 } });
});

it('rotate with an overlap of 0 ends the old key at once, and shows the new one to a person', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  const { stdout } = await keys('rotate', created.id, '--overlap', '0');
  expect(stdout).toMatch(/^key +acme_live_\w{49}$/m);
  expect(JSON.parse((await keys('show', created.id, '--json')).stdout)).toMatchObject({ state: 'expired' });
});

it('revoke tells the reason in the trail', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  await keys('revoke', created.id, '--reason', 'leaked in a log');
  expect(
    await sql(database, `SELECT details FROM api_key_events WHERE key_id = $1 AND type = 'revoked'`, [
      created.id,
    ]),
  ).toEqual([{ details: { reason: 'leaked in a log' } }]);
});

it('prune removes what ended long ago', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  await sql(database, `UPDATE api_keys SET expires_at = now() - interval '8 days' WHERE id = $1`, [
    created.id,
  ]);
  expect((await keys('prune')).stdout).toBe('Removed 0 keys and 0 events.\n');
  expect(JSON.parse((await keys('prune', '--older-than', '1w', '--json')).stdout)).toEqual({
    keys: 1,
    events: 0,
  });
  expect((await keys('show', created.id)).code).toBe(1);
});

it('list by state', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  await keys('revoke', created.id);
  const listed = JSON.parse((await keys('list', '--state', 'revoked', '--json')).stdout);
  expect(listed.map(({ id }: { id: string }) => id)).toContain(created.id);
  expect(listed.every(({ state }: { state: string }) => state === 'revoked')).toBe(true);
});

it('the program of the package works on the data source of any app', async () => {
  const created = JSON.parse((await keys(...CREATE, '--json')).stdout);
  const shown = await runBin(['--data-source', 'dist/ormconfig.js', 'show', created.id, '--json'], database);
  expect(JSON.parse(shown.stdout)).toMatchObject({ id: created.id, masked: created.masked });
  const wrong = await runBin(['--data-source', 'dist/ormconfig.js', 'bogus'], database);
  expect([wrong.code, wrong.stdout]).toEqual([2, '']);
  expect((await runBin(['list'], database)).code).toBe(2);
});
