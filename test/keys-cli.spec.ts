import type { ApiKey, CreateApiKeyInput } from 'nestjs-api-key';
import { SCOPES } from '../src/scopes';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, sql } from './support/database';
import { runKeysHere } from './support/keys-here';
import { runBin, runKeys } from './support/sample';

let database: string;
let app: TestApp;

beforeAll(async () => {
  database = await createMigratedDatabase();
  app = await bootApp({ database, options: { prefix: 'acme_live', scopes: SCOPES } });
});

afterAll(() => app.close());

/** The command line of the sample app, in a process of its own. */
const keys = (...args: string[]) => runKeys(args, { DATABASE_URL: database });

/** That of the library, in this process, for what needs no program around it. */
const keysHere = (...args: string[]) => runKeysHere(app, args);

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
      keysHere('create', '--user', 'new@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'),
    ),
  );
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(await sql(database, `SELECT FROM users WHERE email = 'new@example.com'`)).toHaveLength(1);
});

it('list, show and revoke tell keys without the key or its digest', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  const shown = await keysHere('show', created.id);
  expect(shown.stdout).toContain(created.masked);
  const listed = await keysHere('list', '--user', 'ops@example.com');
  expect(listed.stdout).toMatch(/^ID +USER +NAME +KEY +STATE +SCOPES +EXPIRES +LAST USED\n/);
  const revoked = JSON.parse((await keysHere('revoke', created.id, '--json')).stdout);
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
  ['a limit in a window that is none', [...CREATE, '--rate-limit', '100/60x']],
  ['an age in hours', ['prune', '--older-than', '5h']],
  ['an age that is none', ['prune', '--older-than', 'long']],
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
  ['a key to rotate that is not there', ['rotate', '999999'], 'There is no key 999999.'],
  [
    'a user that is not there',
    ['list', '--user', 'nobody@example.com'],
    'There is no user nobody@example.com.',
  ],
])('%s is one line on stderr and exit 1', async (_, args, line) => {
  expect(await keysHere(...args)).toEqual({ code: 1, stdout: '', stderr: `${line}\n` });
});

it('create for an address that the application makes no user of is one line on stderr and exit 1', async () => {
  expect(await runKeysHere(app, CREATE, async () => null)).toEqual({
    code: 1,
    stdout: '',
    stderr: 'There is no user ops@example.com.\n',
  });
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
  ['prune', '(default: 90d)'],
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
  expect(JSON.parse((await keysHere(...args)).stdout)).toMatchObject({
    rateLimit: { limit: 100, windowSeconds: 60 },
    quota: { limit: 10_000, period: 'month' },
    allowedIps: ['10.0.0.0/8', '2001:db8::/32'],
  });
  const [{ id }] = (await sql(database, 'SELECT max(id) AS id FROM api_keys')) as [{ id: string }];
  await sql(
    database,
    `INSERT INTO api_key_usage SELECT ${id}, 'day', date_trunc('day', now(), 'UTC'), 42, 2`,
  );
  expect(JSON.parse((await keysHere('usage', id, '--json')).stdout)).toMatchObject({
    quota: { limit: 10_000, period: 'month', used: 0, remaining: 10_000 },
    hours: [],
    days: [{ requests: 42, limited: 2 }],
  });
  expect((await keysHere('usage', id)).stdout).toMatch(
    /^Quota: 0 of 10000 this month.*\n\nDAY +REQUESTS.*\n\S+ 00:00Z +42 +2\n\nNo requests by hour\.\n$/s,
  );
  expect(await keysHere('usage', '999999')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'There is no key 999999.\n',
  });
});

it('rotate issues the successor with its key, once; the trail names the command line', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  const rotated = JSON.parse((await keysHere('rotate', created.id, '--overlap', '1h', '--json')).stdout);
  expect(rotated).toMatchObject({
    replaces: created.id,
    key: expect.stringMatching(/^acme_live_/),
    name: 'ci',
  });
  expect(rotated.key).not.toBe(created.key);
  const again = await keysHere('rotate', created.id);
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
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  const { stdout } = await keysHere('rotate', created.id, '--overlap', '0');
  expect(stdout).toMatch(/^key +acme_live_\w{49}$/m);
  expect(JSON.parse((await keysHere('show', created.id, '--json')).stdout)).toMatchObject({
    state: 'expired',
  });
});

describe('revoke', () => {
  async function family(email: string) {
    const created = JSON.parse(
      (await keysHere('create', '--user', email, '--name', 'ci', '--scopes', 'orders:*', '--json')).stdout,
    );
    const apiKey = (await app.keys.get(created.id)) as ApiKey;
    const fields = { userId: created.userId, name: 'child', scopes: ['orders:read'] } as CreateApiKeyInput;
    const child = await app.keys.create(fields, { apiKey });
    return { root: created, child };
  }

  it('of a key that made others says how many live on, and --descendants ends them', async () => {
    const { root, child } = await family('family@example.com');
    const plain = await keysHere('revoke', root.id);
    expect(plain.stdout).toContain(
      `Keys that it made and that are still accepted: 1. To end them as well: revoke ${root.id} --descendants`,
    );
    expect(await app.keys.verify(child.key)).toMatchObject({ ok: true });
    const { stdout } = await keysHere('revoke', root.id, '--descendants', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      id: root.id,
      state: 'revoked',
      descendants: [{ id: child.apiKey.id, state: 'revoked', ancestorIds: [root.id] }],
      liveDescendants: 0,
    });
    expect(await app.keys.verify(child.key)).toMatchObject({ reason: 'revoked' });
  });

  it('--descendants ends what a key made whose row is gone', async () => {
    const { root, child } = await family('gone@example.com');
    await app.keys.delete(root.id);
    expect((await keysHere('revoke', root.id)).stderr).toBe(`There is no key ${root.id}.\n`);
    const { stdout } = await keysHere('revoke', root.id, '--descendants');
    expect(stdout).toContain(`The row of key ${root.id} is gone.\n\nRevoked with it:\n`);
    expect(stdout).toContain(child.apiKey.masked);
  });

  it('--user ends all keys of a user and lists them', async () => {
    const { root, child } = await family('leaver@example.com');
    const { stdout } = await keysHere('revoke', '--user', 'leaver@example.com', '--reason', 'left', '--json');
    expect(
      JSON.parse(stdout)
        .map(({ id }: { id: string }) => id)
        .sort(),
    ).toEqual([root.id, child.apiKey.id].sort());
    expect((await keysHere('revoke', '--user', 'nobody@example.com')).code).toBe(1);
  });

  it.each([
    [['revoke'], 'error: name the id of one key, or --user <email> for all keys of a user\n'],
    [
      ['revoke', '1', '--user', 'a@b'],
      'error: name the id of one key, or --user <email> for all keys of a user\n',
    ],
    [
      ['revoke', '--user', 'a@b', '--descendants'],
      'error: --descendants goes with the id of a key; --user ends all keys\n',
    ],
  ])('called wrongly says so and exits with 2: %j', async (args, stderr) => {
    expect(await keysHere(...args)).toEqual({ code: 2, stdout: '', stderr });
  });
});

it('update changes what is named, takes bounds away by a word, and leaves the rest', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--quota', '5/day', '--json')).stdout);
  const bounds = ['--rate-limit', '5/60s', '--allow-ip', '10.0.0.0/8', '--expires-in', '1d'];
  const bound = JSON.parse((await keysHere('update', created.id, ...bounds, '--json')).stdout);
  expect(bound).toMatchObject({
    name: 'ci',
    rateLimit: { limit: 5, windowSeconds: 60 },
    quota: { limit: 5, period: 'day' },
    allowedIps: ['10.0.0.0/8'],
    expiresAt: expect.any(String),
  });
  const words = [
    '--rate-limit',
    'default',
    '--quota',
    'none',
    '--allow-ip',
    'everywhere',
    '--expires-in',
    'never',
  ];
  const freed = await keysHere(
    'update',
    created.id,
    ...words,
    '--name',
    'x',
    '--scopes',
    'orders:read',
    '--json',
  );
  expect(freed.stderr).toBe('');
  const free = JSON.parse(freed.stdout);
  const none = { rateLimit: null, quota: null, allowedIps: null, expiresAt: null };
  expect(free).toMatchObject({ ...none, name: 'x', scopes: ['orders:read'] });
  expect(await keysHere('update', created.id)).toMatchObject({
    code: 2,
    stderr: 'error: name what to change, such as --scopes or --expires-in; --help tells more\n',
  });
  expect((await keysHere('update', '999999', '--name', 'x')).stderr).toBe('There is no key 999999.\n');
});

it('events tells what happened to a key, newest first, also after it is gone', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('update', created.id, '--name', 'x');
  await app.keys.delete(created.id);
  const told = JSON.parse((await keysHere('events', created.id, '--json')).stdout);
  expect(told.map(({ type }: { type: string }) => type)).toEqual(['deleted', 'updated', 'created']);
  const { stdout } = await keysHere('events', created.id);
  expect(stdout).toMatch(/^TIME +EVENT +BY +ADDRESS +DETAILS\n\S+Z +deleted +system/);
  expect((await keysHere('events', '999999')).stderr).toBe('There is no key 999999.\n');
});

it('revoke tells the reason in the trail', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('revoke', created.id, '--reason', 'leaked in a log');
  expect(
    await sql(database, `SELECT details FROM api_key_events WHERE key_id = $1 AND type = 'revoked'`, [
      created.id,
    ]),
  ).toEqual([{ details: { reason: 'leaked in a log', ancestorId: null } }]);
});

it('prune removes what ended long ago', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await sql(database, `UPDATE api_keys SET expires_at = now() - interval '8 days' WHERE id = $1`, [
    created.id,
  ]);
  expect((await keysHere('prune')).stdout).toBe('Removed 0 keys and 0 events.\n');
  expect(JSON.parse((await keysHere('prune', '--older-than', '1w', '--json')).stdout)).toEqual({
    keys: 1,
    events: 0,
  });
  expect((await keysHere('show', created.id)).code).toBe(1);
});

it('prune with an age of 0 removes whatever has ended', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = $1`, [id]);
  await keysHere('prune', '--older-than', '0');
  expect((await keysHere('show', id)).stderr).toBe(`There is no key ${id}.\n`);
});

it('a key lives as long as --expires-in says', async () => {
  const { createdAt, expiresAt } = JSON.parse(
    (await keysHere(...CREATE, '--expires-in', '2w', '--json')).stdout,
  );
  expect(Math.round((Date.parse(expiresAt) - Date.parse(createdAt)) / 86_400_000)).toBe(14);
});

it('usage of a key without a quota says so', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  expect((await keysHere('usage', id)).stdout).toMatch(/^Quota: none\n/);
});

it('a quota may be of a day, and a person sees which', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--quota', '5/day', '--json')).stdout);
  expect((await keysHere('usage', id)).stdout).toMatch(/^Quota: 0 of 5 this day/);
});

it('list of the keys of nobody in particular is a table of all, and of nobody who has any a sentence', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  expect((await keysHere('list')).stdout).toMatch(new RegExp(`^${id} `, 'm'));
  await sql(
    database,
    `INSERT INTO users (email, created_at, updated_at) VALUES ('idle@example.com', now(), now())`,
  );
  expect((await keysHere('list', '--user', 'idle@example.com')).stdout).toBe('No keys.\n');
});

it('list by state', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('revoke', created.id);
  const listed = JSON.parse((await keysHere('list', '--state', 'revoked', '--json')).stdout);
  expect(listed.map(({ id }: { id: string }) => id)).toContain(created.id);
  expect(listed.every(({ state }: { state: string }) => state === 'revoked')).toBe(true);
});

it('the program of the package works on the data source of any app', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  const shown = await runBin(['--data-source', 'dist/ormconfig.js', 'show', created.id, '--json'], database);
  expect(JSON.parse(shown.stdout)).toMatchObject({ id: created.id, masked: created.masked });
  const wrong = await runBin(['--data-source', 'dist/ormconfig.js', 'bogus'], database);
  expect([wrong.code, wrong.stdout]).toEqual([2, '']);
  expect((await runBin(['list'], database)).code).toBe(2);
});
