import { DataSource } from 'typeorm';
import { bootApp, QUIET, type TestApp } from '../../../test/support/app';
import { createMigratedDatabase, createUser } from '../../../test/support/database';
import { importKeys, misjudged } from '../../../test/support/generated-keys';
import { until } from '../../../test/support/until';
import { mintKey } from './credential/format';

const PRINTABLE = Array.from({ length: 95 }, (_, i) => String.fromCharCode(0x20 + i));
const CHARACTERS = [...PRINTABLE, '\0', '\t', '\n', '\x7f', '\u00e9', '\u0430', '\uff3f', '\ud83d\ude00'];
let app: TestApp;
let userId: string;

beforeAll(async () => {
  const database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await bootApp({ database, options: QUIET, connectTimeoutMs: 60_000 });
  await until(() => app.keys.verificationStatus.leaseHeld);
});

afterAll(() => app.close());

afterEach(() => jest.restoreAllMocks());

/** Statements that the pool is given from now on. */
function countStatements(): () => number {
  const { master } = app.app.get(DataSource).driver as unknown as { master: { connect: () => unknown } };
  const connects = jest.spyOn(master, 'connect');
  return () => connects.mock.calls.length;
}

/** Every character of a key, replaced by every other. */
function changesOf(key: string): string[] {
  return [...key].flatMap((character, at) =>
    CHARACTERS.filter((other) => other !== character).map(
      (other) => key.slice(0, at) + other + key.slice(at + 1),
    ),
  );
}

it('2,000 generated keys all authenticate, each as its own row', async () => {
  const keys = Array.from({ length: 2_000 }, () => mintKey('checksummed', 'key'));
  await importKeys(app, userId, keys);
  expect(await misjudged(app, keys)).toEqual([]);
});

it.each([
  ['cached', true],
  ['not cached', false],
])('each single-character change of a key that is %s is refused without a query', async (_, isRemembered) => {
  const { key } = await app.keys.create({ userId, name: 'ci' });
  if (isRemembered) await app.keys.verify(key);
  const statements = countStatements();
  const changes = changesOf(key);
  const results = await Promise.all(changes.map((changed) => app.keys.verify(changed)));
  expect(changes).toHaveLength(key.length * (CHARACTERS.length - 1));
  expect(new Set(results.map((result) => JSON.stringify(result)))).toEqual(
    new Set(['{"ok":false,"reason":"malformed"}']),
  );
  expect(statements()).toBe(0);
  expect(await app.keys.verify(key)).toMatchObject({ ok: true });
  expect(statements()).toBe(isRemembered ? 0 : 1);
});
