import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ApiKey, CreateApiKeyInput } from 'nestjs-api-key';
import { runKeysCli } from 'nestjs-api-key/cli';
import { SCOPES } from '../src/scopes';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { removeFolder, temporaryFolder } from './support/folder';
import { runKeysHere } from './support/keys-here';
import { runKeys } from './support/sample';

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

it('create issues a key and creates the user; with --json it prints one document with the key and nothing else', async () => {
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

it('--user-id names an owner by id, in create, list and revoke', async () => {
  const userId = await createUser(database);
  const create = ['create', '--user-id', userId, '--name', 'ci', '--scopes', 'orders:read', '--json'];
  const { id } = JSON.parse((await keysHere(...create)).stdout);
  const owned = [{ id, userId }];
  expect(JSON.parse((await keysHere('list', '--user-id', userId, '--json')).stdout)).toMatchObject(owned);
  const revoked = await keysHere('revoke', '--user-id', userId, '--json');
  expect(JSON.parse(revoked.stdout)).toMatchObject([{ id, userId, state: 'revoked' }]);
});

it('create without an owner says how to name one', async () => {
  expect((await keysHere('create', '--name', 'x', '--scopes', 'orders:read')).stderr).toBe(
    'error: give the owner, by --user <email> or --user-id <id>. Help: keys create --help\n',
  );
});

it('two simultaneous create commands for a new email address create one user', async () => {
  const both = await Promise.all(
    [1, 2].map(() =>
      keysHere('create', '--user', 'new@example.com', '--name', 'ci', '--scopes', 'orders:read', '--json'),
    ),
  );
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(await sql(database, `SELECT FROM users WHERE email = 'new@example.com'`)).toHaveLength(1);
});

it('list, show and revoke print neither the raw key nor its digest', async () => {
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
  ['a missing id to disable', ['disable']],
  ['a missing id to enable', ['enable']],
  ['an unknown option of disable', ['disable', '1', '--user', 'x@example.com']],
  ['a missing --user', ['create', '--name', 'x', '--scopes', 'orders:read']],
  ['an unknown command of help', ['help', 'bogus']],
  ['both --user and --user-id', [...CREATE, '--user-id', '1']],
  ['both --user and --user-id of list', ['list', '--user', 'x@example.com', '--user-id', '1']],
  ['an empty --user-id', ['list', '--user-id', ' ']],
  ['an unknown --user-id', ['create', '--user-id', '999999', '--name', 'x', '--scopes', 'orders:read']],
  ['a --user-id of another type', ['create', '--user-id', 'x', '--name', 'x', '--scopes', 'orders:read']],
  ['a missing --name', ['create', '--user', 'x@example.com', '--scopes', 'orders:read']],
  ['a missing --scopes', ['create', '--user', 'x@example.com', '--name', 'x']],
  ['a --user without an email address', ['create', '--user', 'x', '--name', 'x', '--scopes', 'orders:read']],
  ['an invalid duration', [...CREATE, '--expires-in', '90']],
  [
    'a scope outside the catalogue',
    ['create', '--user', 'x@example.com', '--name', 'x', '--scopes', 'orders:delete'],
  ],
  ['an invalid rate limit', [...CREATE, '--rate-limit', '100']],
  ['an invalid quota', [...CREATE, '--quota', '100/week']],
  ['an invalid IP address', [...CREATE, '--allow-ip', '10.0.0.256']],
  ['an invalid overlap', ['rotate', '1', '--overlap', 'soon']],
  ['an overlap of more than 30 days', ['rotate', '1', '--overlap', '31d']],
  ['an unknown state', ['list', '--state', 'gone']],
  ['a rate limit with an invalid window', [...CREATE, '--rate-limit', '100/60x']],
  ['an age in hours', ['prune', '--older-than', '5h']],
  ['an invalid age', ['prune', '--older-than', 'long']],
  ['an import without a file', ['import']],
  ['an import of a missing file', ['import', '--file', '/nowhere/keys.jsonl']],
  ['an empty name', ['create', '--user', 'x@example.com', '--name', '', '--scopes', 'orders:read']],
])('%s prints one line that names the help on stderr, nothing on stdout, and exits with 2', async (_, args) => {
  const { code, stdout, stderr } = await keysHere(...args);
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({
    code: 2,
    stdout: '',
    lines: 1,
  });
  expect(stderr).toMatch(/^error: .*\. Help: keys( \w+)? --help\n$/);
  expect(stderr).not.toMatch(/\bat .*:\d+/);
});

const COMMANDS =
  'Commands: create, update, list, show, events, usage, check, rotate, revoke, disable, enable, prune, import, rename-scope, help.';

it.each([
  [[], `error: no command given. ${COMMANDS} Help: keys --help\n`],
  [['crate', '--json'], `error: unknown command 'crate'. ${COMMANDS} Help: keys --help\n`],
  [['a\nb'], `error: unknown command 'a b'. ${COMMANDS} Help: keys --help\n`],
  [
    ['--json', 'list'],
    `error: '--json' is not a command. Options follow the command. ${COMMANDS} Help: keys --help\n`,
  ],
  [['list', '--a\nb'], "error: unknown option '--a b'. Help: keys list --help\n"],
  [
    ['create', '--user', 'x'],
    "error: option '--user <email>' argument 'x' is invalid. Give an email address, such as ops@example.com, or --user-id <id>. Help: keys create --help\n",
  ],
  [
    [...CREATE, '--expires-in', '90'],
    "error: option '--expires-in <duration>' argument '90' is invalid. Give a whole number and s, m, h, d or w, such as 90d; at most 100 years. Help: keys create --help\n",
  ],
  [
    [...CREATE, '--rate-limit', '100'],
    "error: option '--rate-limit <limit>' argument '100' is invalid. Give requests per window, such as 100/60s or 10000/1h. Help: keys create --help\n",
  ],
  [
    [...CREATE, '--quota', '5'],
    "error: option '--quota <quota>' argument '5' is invalid. Give requests per day or month, such as 10000/day. Help: keys create --help\n",
  ],
  [
    ['rotate', '1', '--overlap', '31d'],
    "error: option '--overlap <duration>' argument '31d' is invalid. Give a whole number and s, m, h, d or w, such as 24h; at most 30d. Help: keys rotate --help\n",
  ],
  [
    ['prune', '--older-than', '5h'],
    "error: option '--older-than <days>' argument '5h' is invalid. Give whole days or weeks, such as 90d or 12w. Help: keys prune --help\n",
  ],
  [
    ['import', '--file', '/nowhere/keys.jsonl'],
    'error: cannot read the file /nowhere/keys.jsonl (ENOENT). Help: keys import --help\n',
  ],
])('%j prints what is wrong, what to give, and the command that shows the help', async (args, stderr) => {
  expect(await keysHere(...args)).toEqual({ code: 2, stdout: '', stderr });
});

it('a scope outside the catalogue is reported with the help of the command', async () => {
  const { stderr } = await keysHere('create', '--user', 'x@example.com', '--name', 'x', '--scopes', 'bogus');
  expect(stderr).toMatch(/^error: .*bogus.*\. Help: keys create --help\n$/);
});

it('create with an unknown scope exits with 2 and creates no user', async () => {
  const { code, stdout } = await keysHere(
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
  ['a missing key', ['show', '999999'], 'There is no key 999999.'],
  ['an invalid id', ['revoke', 'x'], 'There is no key x.'],
  ['a missing key to rotate', ['rotate', '999999'], 'There is no key 999999.'],
  ['a missing key to disable', ['disable', '999999'], 'There is no key 999999.'],
  ['an invalid id to enable', ['enable', 'x'], 'There is no key x.'],
  ['a missing user', ['list', '--user', 'nobody@example.com'], 'There is no user nobody@example.com.'],
])('%s prints one line on stderr and exits with 1', async (_, args, line) => {
  expect(await keysHere(...args)).toEqual({ code: 1, stdout: '', stderr: `${line}\n` });
});

it('create says that it created a missing user, but not with --json', async () => {
  const create = (user: string, ...more: string[]) =>
    keysHere('create', '--user', user, '--name', 'x', '--scopes', 'orders:read', ...more);
  const said = 'There was no user typo@exmple.com, so the user was created.\n';
  expect(await create('typo@exmple.com')).toMatchObject({ code: 0, stderr: said });
  expect(await create('typo@exmple.com')).toMatchObject({ code: 0, stderr: '' });
  expect(await create('other@exmple.com', '--json')).toMatchObject({ code: 0, stderr: '' });
});

it('create prints one line on stderr and exits with 1 if the application does not create the missing user', async () => {
  expect(await runKeysHere(app, CREATE, async () => null)).toEqual({
    code: 1,
    stdout: '',
    stderr: 'There is no user ops@example.com.\n',
  });
});

it('an unreachable database prints one line on stderr and exits with 1', async () => {
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
  [['help']],
  [['help', 'create']],
])('%j prints the help on stdout and exits with 0', async (args) => {
  const { code, stdout, stderr } = await keysHere(...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: keys/);
});

it.each([
  ['rotate', '(default: 24h)'],
  ['prune', '(default: 90d)'],
  ['revoke', 'revoke everywhere'],
])('the help of %s contains %j', async (command, words) => {
  expect((await keysHere(command, '--help')).stdout.replaceAll(/\s+/g, ' ')).toContain(words);
});

it('create accepts a rate limit, a quota and IP addresses; usage prints the requests of a key', async () => {
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

it('rotate issues one successor and prints its key; the audit event has the actor type cli', async () => {
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

it('rotate says until when the old key is accepted, and how to end it now', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  expect((await keysHere('rotate', id)).stdout).toMatch(
    new RegExp(`\nKey ${id} is accepted until \\S+Z at the latest\\. To end it now: revoke ${id}\n$`),
  );
});

it('rotate with an overlap of 0 ends the old key at once and prints the new key', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  const { stdout } = await keysHere('rotate', created.id, '--overlap', '0');
  expect(stdout).toMatch(/^key +acme_live_\w{49}$/m);
  expect(stdout).toMatch(new RegExp(`Store it in a safe place\\.\nKey ${created.id} has ended\\.\n$`));
  expect(JSON.parse((await keysHere('show', created.id, '--json')).stdout)).toMatchObject({
    state: 'expired',
  });
});

it('disable refuses a key until enable, which gives its expiry back; the audit events have the actor type cli', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--expires-in', '90d', '--json')).stdout);
  const { id, key, expiresAt } = created;
  const disabled = await keysHere('disable', id, '--reason', 'suspect', '--json');
  expect({ ...disabled, stdout: JSON.parse(disabled.stdout) }).toMatchObject({
    code: 0,
    stderr: '',
    stdout: { id, state: 'disabled', disabledAt: expect.any(String), expiresAt },
  });
  expect(disabled.stdout).not.toContain(key);
  expect(await app.keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
  expect((await keysHere('show', id)).stdout).toMatch(/^state +disabled$/m);
  expect((await keysHere('list', '--state', 'disabled')).stdout).toContain(created.masked);
  expect(await keysHere('rotate', id)).toEqual({
    code: 1,
    stdout: '',
    stderr: `key ${id} is disabled: enable it first\n`,
  });
  const enabled = await keysHere('enable', id);
  expect(enabled.stdout).toMatch(/^state +active$/m);
  expect(JSON.parse((await keysHere('enable', id, '--json')).stdout)).toMatchObject({
    state: 'active',
    expiresAt,
  });
  expect(await app.keys.verify(key)).toMatchObject({ ok: true });
  const events = JSON.parse((await keysHere('events', id, '--json')).stdout);
  expect(events).toMatchObject([
    { type: 'enabled', actor: { type: 'cli' }, details: { reason: null } },
    { type: 'disabled', actor: { type: 'cli' }, details: { reason: 'suspect' } },
    { type: 'created' },
  ]);
});

it('enable and disable of a revoked key print one line on stderr and exit with 1', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('revoke', id);
  for (const command of ['enable', 'disable'])
    expect(await keysHere(command, id)).toEqual({
      code: 1,
      stdout: '',
      stderr: `key ${id} is revoked and cannot be ${command}d\n`,
    });
});

describe('revoke', () => {
  const NO_KEY_NAMED =
    'error: give either the id of one key, or --user <email> or --user-id <id> for all keys of a user. Help: keys revoke --help\n';

  async function family(email: string) {
    const created = JSON.parse(
      (await keysHere('create', '--user', email, '--name', 'ci', '--scopes', 'orders:*', '--json')).stdout,
    );
    const apiKey = (await app.keys.get(created.id)) as ApiKey;
    const fields = { userId: created.userId, name: 'child', scopes: ['orders:read'] } as CreateApiKeyInput;
    const child = await app.keys.create(fields, { apiKey });
    return { root: created, child };
  }

  it('prints how many keys that the key created are still accepted; --descendants revokes them', async () => {
    const { root, child } = await family('family@example.com');
    const plain = await keysHere('revoke', root.id);
    expect(plain.stdout).toContain(
      `Keys created by this key that are still accepted: 1. To revoke them too: revoke ${root.id} --descendants`,
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

  it('with --descendants revokes the keys that a deleted key created', async () => {
    const { root, child } = await family('gone@example.com');
    await app.keys.delete(root.id);
    expect((await keysHere('revoke', root.id)).stderr).toBe(`There is no key ${root.id}.\n`);
    const { stdout } = await keysHere('revoke', root.id, '--descendants');
    expect(stdout).toContain(`The row of key ${root.id} was deleted.\n\nAlso revoked:\n`);
    expect(stdout).toContain(child.apiKey.masked);
  });

  it('with --user revokes all keys of a user and lists them', async () => {
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
    [['revoke'], NO_KEY_NAMED],
    [['revoke', '1', '--user', 'a@b'], NO_KEY_NAMED],
    [['revoke', '1', '--user-id', '1'], NO_KEY_NAMED],
    [
      ['revoke', '--user', 'a@b', '--user-id', '1'],
      'error: give --user <email> or --user-id <id>, not both. Help: keys revoke --help\n',
    ],
    [
      ['revoke', '--user', 'a@b', '--descendants'],
      'error: --descendants needs the id of a key. --user and --user-id revoke all keys of the user anyway. Help: keys revoke --help\n',
    ],
  ])('prints what is missing and exits with 2: %j', async (args, stderr) => {
    expect(await keysHere(...args)).toEqual({ code: 2, stdout: '', stderr });
  });
});

it('update changes the given fields, removes a limit by its word, and leaves other fields unchanged', async () => {
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
    stderr:
      'error: nothing to change. Give at least one option, such as --scopes or --expires-in. Help: keys update --help\n',
  });
  expect((await keysHere('update', '999999', '--name', 'x')).stderr).toBe('There is no key 999999.\n');
});

it('events prints the audit events of a key, newest first, also after the key was deleted', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('update', created.id, '--name', 'x');
  await app.keys.delete(created.id);
  const events = JSON.parse((await keysHere('events', created.id, '--json')).stdout);
  expect(events.map(({ type }: { type: string }) => type)).toEqual(['deleted', 'updated', 'created']);
  const { stdout } = await keysHere('events', created.id);
  expect(stdout).toMatch(/^TIME +EVENT +BY +ADDRESS +DETAILS\n\S+Z +deleted +system/);
  expect((await keysHere('events', '999999')).stderr).toBe('There is no key 999999.\n');
});

it('revoke writes the reason to the audit trail', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('revoke', created.id, '--reason', 'leaked in a log');
  expect(
    await sql(database, `SELECT details FROM api_key_events WHERE key_id = $1 AND type = 'revoked'`, [
      created.id,
    ]),
  ).toEqual([{ details: { reason: 'leaked in a log', ancestorId: null } }]);
});

it('prune deletes the keys that expired longer ago than --older-than', async () => {
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

it('prune with an age of 0 deletes every expired key', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = $1`, [id]);
  await keysHere('prune', '--older-than', '0');
  expect((await keysHere('show', id)).stderr).toBe(`There is no key ${id}.\n`);
});

it('create sets the expiry of the key from --expires-in', async () => {
  const { createdAt, expiresAt } = JSON.parse(
    (await keysHere(...CREATE, '--expires-in', '2w', '--json')).stdout,
  );
  expect(Math.round((Date.parse(expiresAt) - Date.parse(createdAt)) / 86_400_000)).toBe(14);
});

it('usage prints "Quota: none" for a key without a quota', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  expect((await keysHere('usage', id)).stdout).toMatch(/^Quota: none\n/);
});

it('usage prints the period of a daily quota', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--quota', '5/day', '--json')).stdout);
  expect((await keysHere('usage', id)).stdout).toMatch(/^Quota: 0 of 5 this day/);
});

it('list prints all keys, or "No keys." if the given user has no key', async () => {
  const { id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  expect((await keysHere('list')).stdout).toMatch(new RegExp(`^${id} `, 'm'));
  await sql(
    database,
    `INSERT INTO users (email, created_at, updated_at) VALUES ('idle@example.com', now(), now())`,
  );
  expect((await keysHere('list', '--user', 'idle@example.com')).stdout).toBe('No keys.\n');
});

it('list with --state prints only keys in that state', async () => {
  const created = JSON.parse((await keysHere(...CREATE, '--json')).stdout);
  await keysHere('revoke', created.id);
  const listed = JSON.parse((await keysHere('list', '--state', 'revoked', '--json')).stdout);
  expect(listed.map(({ id }: { id: string }) => id)).toContain(created.id);
  expect(listed.every(({ state }: { state: string }) => state === 'revoked')).toBe(true);
});

describe('control and format characters that another application wrote', () => {
  const HOSTILE = 'ci\u202e\u2066\u009b2K\u001b[2J\u2028\u2029\ufeff\u{e0041}\r\n9 root';
  const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
  let id: string;

  beforeAll(async () => {
    ({ id } = JSON.parse((await keysHere(...CREATE, '--json')).stdout));
    await sql(database, 'UPDATE api_keys SET name = $1, scopes = $2, metadata = $3 WHERE id = $4', [
      HOSTILE,
      [HOSTILE],
      JSON.stringify({ [HOSTILE]: HOSTILE }),
      id,
    ]);
    await sql(
      database,
      `UPDATE api_key_events SET actor_id = $1, address = $1, details = $2 WHERE key_id = $3`,
      [HOSTILE, JSON.stringify({ changes: { name: { old: HOSTILE, new: HOSTILE } } }), id],
    );
  });

  it.each([
    ['list', () => ['list']],
    ['show', () => ['show', id]],
    ['events', () => ['events', id]],
  ])('do not reach the terminal by %s, and --json has the same value without them', async (_, args) => {
    const [shown, document] = [await keysHere(...args()), await keysHere(...args(), '--json')];
    for (const { code, stdout, stderr } of [shown, document]) {
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout.replaceAll('\n', '')).not.toMatch(OBEYED);
      expect(stdout).toContain('ci\\u202e\\u2066\\u009b2K\\u001b[2J');
    }
    expect(JSON.stringify(JSON.parse(document.stdout))).toContain(JSON.stringify(HOSTILE));
  });

  it('do not reach the terminal by a wrong argument', async () => {
    for (const args of [
      [HOSTILE],
      ['show', HOSTILE],
      ['list', '--user', 'a@b\u009b2K\u202e'],
      ['list', '--state', HOSTILE],
      ['list', `--${HOSTILE}`],
      ['import', '--file', HOSTILE],
    ]) {
      const { code, stdout, stderr } = await keysHere(...args);
      expect([code, stdout]).toEqual([expect.any(Number), '']);
      expect(stderr).toMatch(/\\u/);
      expect(stderr.trimEnd()).not.toMatch(OBEYED);
    }
  });

  it('do not reach the terminal by a file of an import', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'keys.jsonl');
    writeFileSync(file, `${JSON.stringify({ userId: '1', name: HOSTILE, scopes: ['a'], [HOSTILE]: 1 })}\n`);
    const shown = await keysHere('import', '--file', file);
    const document = await keysHere('import', '--file', file, '--json');
    removeFolder(folder);
    expect(shown.stderr).toMatch(/^line 1: .*\\u202e.* is not a field/);
    for (const output of [shown.stdout, shown.stderr, document.stdout, document.stderr])
      expect(output.replaceAll('\n', '')).not.toMatch(OBEYED);
    expect(JSON.parse(document.stdout)).toMatchObject({ lines: 1, imported: 0 });
  });
});

it('a host that throws a text ends the command with this text', async () => {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const open = () => Promise.reject('the database has no certificate\nfor this host');
  expect(await runKeysCli(['list'], { open, stdout, stderr })).toBe(1);
  expect(await text(stderr.end())).toBe('the database has no certificate for this host\n');
});

it('a progress bar still moves the cursor of a terminal', async () => {
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  const folder = temporaryFolder();
  const file = join(folder, 'keys.jsonl');
  writeFileSync(file, '{}\n');
  await runKeysCli(['import', '--file', file], {
    open: async () => ({ keys: app.keys, findOwner: async () => null, close: async () => {} }),
    stdout: new PassThrough(),
    stderr,
  });
  removeFolder(folder);
  expect(await text(stderr.end())).toContain('\u001b[');
});
