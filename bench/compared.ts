import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Seen from the compiled file. */
const compared = createRequire(join(__dirname, '../../bench/package.json'));

/** A package of `bench/package.json`, which is installed apart from those of the project, and so without its types. */
export async function importCompared<Face>(name: string): Promise<Face> {
  return import(pathToFileURL(compared.resolve(name)).href);
}

/** The version of such a package. */
export function comparedVersion(name: string): string {
  return compared(`./node_modules/${name}/package.json`).version;
}
