import { rmSync } from 'node:fs';
import { runMigrations } from 'nestjs-api-key';
import { AppDataSource } from '../../ormconfig';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../../src/embedded-postgres';
import { binariesIn } from '../../src/embedded-postgres/binaries';
import { sql } from '../support/database';
import { temporaryFolder } from '../support/folder';
import { dumpSchema, postgresInstallation } from '../support/postgres-installation';
import { RAILS_DUMP } from '../support/rails';

const bin = postgresInstallation();

/**
 * npm's PostgreSQL comes without pg_dump; where the machine has none, the suite is reported as
 * skipped.
 */
const onInstallation = bin ? describe : describe.skip;

onInstallation('with the pg_dump of a PostgreSQL on this machine', () => {
  const folder = temporaryFolder();
  let server: EmbeddedPostgres;

  beforeAll(async () => {
    server = await useEmbeddedPostgres({
      dataDir: folder,
      settings: ['fsync=off'],
      binaries: binariesIn(bin ?? ''),
    });
    await sql(server.url, RAILS_DUMP);
  });

  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('down leaves the database of the Rails app as it was, byte for byte', async () => {
    const before = dumpSchema(bin ?? '', server.url);
    const dataSource = await new AppDataSource(server.url).initialize();
    const migrations = await runMigrations(dataSource);
    expect(dumpSchema(bin ?? '', server.url)).toContain('key_suffix');
    for (const _ of migrations) await dataSource.undoLastMigration();
    await dataSource.destroy();
    expect(dumpSchema(bin ?? '', server.url)).toBe(before);
  });
});
