import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Resolves packages of `bench/package.json`. The path is relative to the compiled file. */
const compared = createRequire(join(__dirname, '../../bench/package.json'));

/**
 * Imports a package of `bench/package.json`. Its types are missing, because packages of the
 * benchmark are installed apart from the packages of the project.
 */
export async function importCompared<Face>(name: string): Promise<Face> {
  return import(pathToFileURL(compared.resolve(name)).href);
}

/** Returns the version of a package of `bench/package.json`. */
export function comparedVersion(name: string): string {
  return compared(`./node_modules/${name}/package.json`).version;
}
