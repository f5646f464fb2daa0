import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const DEBIAN = '/usr/lib/postgresql';

/**
 * Returns the `bin` folder of an installed PostgreSQL with a server and `pg_dump`, or `undefined`.
 * The PostgreSQL from npm has no `pg_dump`.
 */
export function postgresInstallation(): string | undefined {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).map((version) => join(DEBIAN, version, 'bin')) : [];
  const folders = [...debian.reverse(), ...(process.env.PATH ?? '').split(delimiter)];
  return folders.find((folder) =>
    ['initdb', 'postgres', 'pg_dump'].every((program) => existsSync(join(folder, program))),
  );
}

/**
 * Returns the output of `pg_dump` for the schema of a database, without the migration tables of
 * TypeORM.
 */
export function dumpSchema(bin: string, url: string): string {
  const program = join(bin, 'pg_dump');
  const fixedKey = spawnSync(program, ['--help'], { encoding: 'utf8' }).stdout.includes('--restrict-key')
    ? ['--restrict-key=test']
    : [];
  const args = ['--schema-only', '--exclude-table=migrations*', ...fixedKey, `--dbname=${url}`];
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`pg_dump failed: ${stderr}`);
  return stdout;
}
