import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMigratedDatabase, createUser } from '../../../../test/support/database';
import { temporaryFolder } from '../../../../test/support/folder';
import { openSession, prefixOf } from './bin-session';

/** A file that exports this value. */
function fileWith(exported: string): string {
  const file = join(temporaryFolder(), 'data-source.js');
  writeFileSync(file, `module.exports = { exported: ${exported} };\n`);
  return file;
}

it('the session of a DataSource that a file exports finds users by their email address', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database, 'ada@example.com');
  const required = (name: string) => `require(${JSON.stringify(require.resolve(name))})`;
  const options = `{ type: 'postgres', url: '${database}', entities: [${required('../index')}.ApiKey] }`;
  const dataSource = fileWith(`new (${required('typeorm')}.DataSource)(${options})`);
  const session = await openSession({ dataSource, prefix: { live: 'acme_live', test: 'acme_test' } });
  expect(await session.findOwner('ada@example.com', { create: true })).toBe(userId);
  expect(await session.findOwner('eve@example.com', { create: true })).toBeNull();
  const { key } = await session.keys.create({ userId, name: 'ci', environment: 'test' });
  expect(key).toMatch(/^acme_test_/);
  await session.close();
});

it('a file that exports no DataSource is an error', async () => {
  await expect(openSession({ dataSource: fileWith('{}') })).rejects.toThrow(
    'The file of --data-source does not export a DataSource.',
  );
});

it.each([
  ['acme_live', 'acme_live'],
  ['live=acme_live,test=acme_test', { live: 'acme_live', test: 'acme_test' }],
])('the prefix %s is read as one prefix, or as one for each environment', (text, prefix) => {
  expect(prefixOf(text)).toEqual(prefix);
});
