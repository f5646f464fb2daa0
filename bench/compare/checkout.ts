import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Root folder of the checkout, relative to the compiled file. */
const ROOT = join(__dirname, '../../..');
const LIBRARY = 'libs/api-key';
const COMPILER = join(ROOT, 'node_modules/typescript/bin/tsc');

/** Builds of two revisions of the library in one temporary folder. */
export interface Checkouts {
  /** Folder of the revision that this checkout is compared with. */
  readonly old: string;
  /** Folder of the library of this checkout, including uncommitted changes. */
  readonly new: string;
  /** Short hash and subject of the old commit. */
  readonly commit: string;
  remove(): void;
}

/**
 * Builds a revision with the installed dependencies of this checkout. Copies the built library of
 * this checkout next to that build. Both builds have the same layout and the same compiled
 * benchmark, so that only the library differs. If the process ends before `remove` is called, an
 * `exit` handler removes the temporary folder.
 * @throws Error if git does not know the revision, or if the revision does not compile
 */
export async function checkOut(revision: string): Promise<Checkouts> {
  const commit = await commitOf(revision);
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-compare-'));
  const removeNow = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  process.once('exit', removeNow);
  const remove = () => {
    process.off('exit', removeNow);
    removeNow();
  };
  try {
    symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await extract(commit, join(folder, 'old'));
    cpSync(join(ROOT, LIBRARY, 'package.json'), join(folder, 'new', LIBRARY, 'package.json'));
    cpSync(join(ROOT, LIBRARY, 'dist'), join(folder, 'new', LIBRARY, 'dist'), { recursive: true });
    for (const side of ['old', 'new']) furnish(join(folder, side));
    await build(join(folder, 'old'), revision);
    const title = await run('git', ['log', '-1', '--format=%h %s', commit]);
    return { old: join(folder, 'old'), new: join(folder, 'new'), commit: title, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

async function commitOf(revision: string): Promise<string> {
  try {
    return await run('git', ['rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`]);
  } catch (error) {
    throw new Error(
      `There is no revision ${revision} in this repository: give a commit, a tag or a branch to --compare. ` +
        'A shallow clone has only its newest commits.',
      { cause: error },
    );
  }
}

async function extract(commit: string, folder: string): Promise<void> {
  mkdirSync(folder);
  const archive = `${folder}.tar`;
  await run('git', ['archive', `--output=${archive}`, commit]);
  await run('tar', ['-xf', archive, '-C', folder]);
}

/**
 * Links the library of a revision into the nearest `node_modules`. Node finds all other packages in
 * the `node_modules` of the parent folder.
 */
function furnish(folder: string): void {
  const library = join(folder, LIBRARY);
  symlink(library, join(folder, 'node_modules/nestjs-api-key'));
  const installed = join(ROOT, LIBRARY, 'node_modules');
  if (existsSync(installed)) symlink(installed, join(library, 'node_modules'));
  cpSync(join(ROOT, 'dist/bench'), join(folder, 'dist/bench'), { recursive: true });
}

async function build(folder: string, revision: string): Promise<void> {
  try {
    await run(process.execPath, [COMPILER, '-p', join(folder, LIBRARY)]);
  } catch (error) {
    throw new Error(
      `Revision ${revision} does not compile with the dependencies that are installed here. ` +
        `Check out a revision whose package-lock.json is closer.\n${(error as Error).message}`,
      { cause: error },
    );
  }
}

function symlink(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path, 'junction');
}

/**
 * Runs a command and returns its output without the last line break. The command is killed when
 * this process exits.
 */
async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  try {
    const [code, signal] = await once(child, 'close');
    if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code ?? signal}: ${output.trim()}`);
    return output.trim();
  } finally {
    process.off('exit', kill);
  }
}
