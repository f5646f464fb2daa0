import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { ApiKeyInputError } from 'nestjs-api-key';
import { runKeysCli } from 'nestjs-api-key/cli';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { temporaryFolder } from './support/folder';
import { runKeysHere } from './support/keys-here';
import { runKeys } from './support/sample';

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');

let database: string;
let userId: string;
let app: TestApp;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await bootApp({ database, options: { format: 'hex' } });
});

afterEach(() => app.close());

const line = (n: number, more: object = {}) => ({
  userId,
  name: `key ${n}`,
  keyDigest: digestOf(`raw ${n}`),
  keyPrefix: 'abcd1234',
  scopes: ['orders:read'],
  expiresAt: null,
  ...more,
});
const lines = (count: number) => Array.from({ length: count }, (_, i) => line(i + 1));
const names = async () =>
  (await sql<{ name: string }>(database, 'SELECT name FROM api_keys ORDER BY id')).map(({ name }) => name);

it('an imported key of another system is accepted with only its digest stored', async () => {
  const raw = 'a1'.repeat(32);
  const report = await app.keys.import([
    line(1, { keyDigest: digestOf(raw), expiresAt: '2999-01-01T00:00:00+02:00' }),
  ]);
  expect(report).toEqual({ lines: 1, imported: 1, problems: [] });
  const result = await app.keys.verify(raw);
  expect(result).toMatchObject({
    ok: true,
    apiKey: {
      userId,
      name: 'key 1',
      scopes: ['orders:read'],
      masked: 'abcd1234...',
      expiresAt: new Date('2998-12-31T22:00:00Z'),
    },
  });
  expect(await sql(database, 'SELECT type, masked FROM api_key_events')).toEqual([
    { type: 'imported', masked: 'abcd1234...' },
  ]);
});

it('a batch is imported completely or not at all, and an invalid line is reported by its number', async () => {
  const given: unknown[] = lines(12);
  given[4] = line(5, { keyDigest: 'short' });
  const report = await app.keys.import(given, { batchSize: 4 });
  expect(report).toEqual({
    lines: 12,
    imported: 8,
    problems: [{ line: 5, problem: 'keyDigest must be 64 lower-case hex digits' }],
  });
  expect(await names()).toEqual([1, 2, 3, 4, 9, 10, 11, 12].map((n) => `key ${n}`));
  expect(await sql(database, 'SELECT FROM api_key_events')).toHaveLength(8);
});

it.each<[string, unknown, RegExp]>([
  ['is not an object', 'text', /not a JSON object/],
  ['is not JSON', undefined, /not a JSON object/],
  ['violates a constraint of the table', { name: 'forbidden' }, /violates a constraint of table api_keys/],
  ['has a missing owner', { userId: '999999' }, /no owner with this userId/],
  ['has an owner of another type', { userId: 'x' }, /userId does not fit the type of column user_id/],
  ['has an existing digest', { keyDigest: digestOf('raw 1') }, /keyDigest already exists/],
  ['has a digest in upper case', { keyDigest: 'A'.repeat(64) }, /64 lower-case hex digits/],
  ['has the whole key as prefix', { keyPrefix: 'key_short', keyDigest: digestOf('key_short') }, /whole key/],
  ['has the prefix of another application', { keyPrefix: 'other_ab12' }, /an accepted prefix and "_": key_$/],
  ['has an unknown field', { key: 'secret' }, /"key" is not a field/],
  ['has an invalid scope', { scopes: ['a b'] }, /scopes must be/],
  ['has an expiry without zone', { expiresAt: '2030-01-01T00:00:00' }, /with its zone/],
  ['has no name', { name: '' }, /name must have/],
])('a line that %s is reported', async (_, fields, problem) => {
  await sql(database, `ALTER TABLE api_keys ADD CONSTRAINT allowed CHECK (name <> 'forbidden')`);
  const wrong = typeof fields === 'object' ? line(2, fields as object) : fields;
  const report = await app.keys.import([line(1), wrong, line(3)]);
  expect(report).toMatchObject({ lines: 3, imported: 0 });
  expect(report.problems).toEqual([{ line: 2, problem: expect.stringMatching(problem) }]);
  expect(await names()).toEqual([]);
});

it('a database failure ends the import and is not reported as an invalid line', async () => {
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  await expect(app.keys.import([line(1)])).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});

it('an invalid batch size is an error', async () => {
  await expect(app.keys.import([], { batchSize: 0 })).rejects.toThrow(ApiKeyInputError);
});

it('the command line imports a file, reports its invalid lines, and keeps the valid batches', async () => {
  const file = join(temporaryFolder(), 'keys.jsonl');
  const rows = lines(2_500).map((row) => JSON.stringify(row));
  rows[1_200] = '{"broken';
  rows[1_300] = '';
  writeFileSync(file, `${rows.join('\n')}\n`);
  const { code, stdout, stderr } = await runKeys(['import', '--file', file, '--json'], {
    DATABASE_URL: database,
  });
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ lines: 2_500, imported: 1_500 });
  expect(stderr).toBe(
    'line 1201: the line is not a JSON object\nline 1301: the line is not a JSON object\n1000 lines were not imported: their batches were rolled back.\n',
  );
  rows[1_200] = JSON.stringify(line(9_001));
  rows[1_300] = JSON.stringify(line(9_002));
  writeFileSync(file, rows.slice(1_000, 2_000).join('\n'));
  const again = await runKeysHere(app, ['import', '--file', file]);
  expect(again).toEqual({ code: 0, stdout: 'Imported 1000 of 1000 keys.\n', stderr: '' });
});

it.each([
  ['ends with blank lines', (rows: string[]) => `${rows.join('\n')}\n\n  \n`],
  ['was saved on Windows', (rows: string[]) => `\uFEFF${rows.join('\r\n')}\r\n`],
  ['ends within a line', (rows: string[]) => rows.join('\n')],
  [
    'was put together from two files with marks',
    (rows: string[]) => `\uFEFF${rows.join('\n\uFEFF')}\n\uFEFF`,
  ],
])('the command line imports a file that %s', async (_, text) => {
  const file = join(temporaryFolder(), 'keys.jsonl');
  writeFileSync(file, text(lines(2).map((row) => JSON.stringify(row))));
  const imported = await runKeysHere(app, ['import', '--file', file]);
  expect(imported).toEqual({ code: 0, stdout: 'Imported 2 of 2 keys.\n', stderr: '' });
});

const UTF16 =
  'error: the file is UTF-16. Save it as UTF-8, in PowerShell with: Out-File -Encoding utf8. Help: keys import --help\n';
const ARRAY =
  "error: the file is a JSON array. Write one object on each line, without commas between them: jq -c '.[]'. Help: keys import --help\n";

it.each<[string, (json: string) => Buffer, string]>([
  ['UTF-16 with a mark', (json) => Buffer.from(`\uFEFF${json}\n`, 'utf16le'), UTF16],
  ['big-endian UTF-16', (json) => Buffer.from(`\uFEFF${json}\n`, 'utf16le').swap16(), UTF16],
  ['UTF-16 without a mark', (json) => Buffer.from(json, 'utf16le'), UTF16],
  ['big-endian UTF-16 without a mark', (json) => Buffer.from(json, 'utf16le').swap16(), UTF16],
  ['an array on one line', (json) => Buffer.from(`[${json}]\n`), ARRAY],
  ['an array on several lines', (json) => Buffer.from(`\uFEFF [\r\n  ${json}\r\n]`), ARRAY],
])('the command line names %s for what it is, and imports nothing', async (_, bytesOf, stderr) => {
  const file = bytesOf(JSON.stringify(line(1)));
  const refused = await runKeysHere(app, ['import', '--file', '-'], undefined, file);
  expect(refused).toEqual({ code: 2, stdout: '', stderr });
  expect(await names()).toEqual([]);
});

it('the command line imports lines from standard input if the file is -', async () => {
  const input = lines(2).map((row) => JSON.stringify(row));
  const given = await runKeysHere(app, ['import', '--file', '-'], undefined, input[0]);
  expect(given).toEqual({ code: 0, stdout: 'Imported 1 of 1 keys.\n', stderr: '' });
  const stdin = Readable.from([input[1]]) as unknown as typeof process.stdin;
  jest.spyOn(process, 'stdin', 'get').mockReturnValue(stdin);
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const open = async () => ({ keys: app.keys, findOwner: async () => null, close: async () => {} });
  expect(await runKeysCli(['import', '--file', '-'], { open, stdout, stderr })).toBe(0);
  expect(await names()).toEqual(['key 1', 'key 2']);
});

it('the command line imports names with every character of UTF-8', async () => {
  const file = join(temporaryFolder(), 'keys.jsonl');
  const every = ['café', 'ключ 鍵 🔑', 'a\u2028b', '\uFFFD', 'a\u00A0b'];
  writeFileSync(file, every.map((name, i) => JSON.stringify(line(i, { name }))).join('\n'));
  const imported = await runKeysHere(app, ['import', '--file', file]);
  expect(imported).toEqual({ code: 0, stdout: 'Imported 5 of 5 keys.\n', stderr: '' });
  expect(await names()).toEqual(every);
});

it('the command line reports a line that is not UTF-8', async () => {
  const file = join(temporaryFolder(), 'keys.jsonl');
  const rows = [line(1), line(2, { name: 'café' })].map((row) => JSON.stringify(row));
  writeFileSync(file, rows.join('\n'), 'latin1');
  const { code, stdout, stderr } = await runKeysHere(app, ['import', '--file', file]);
  expect([code, stdout]).toEqual([1, 'Imported 0 of 2 keys.\n']);
  expect(stderr).toMatch(/^line 2: /m);
});
