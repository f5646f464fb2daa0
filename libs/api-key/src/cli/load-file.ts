import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf } from './failures';

/**
 * Loads the CommonJS or ES module that an option of the program names.
 * @param option name of the option, such as `--app`
 * @throws Error that says why the file cannot be loaded, and what to do
 */
export async function exportsOf(option: string, file: string): Promise<object> {
  const path = resolve(file);
  try {
    return await import(pathToFileURL(path).href);
  } catch (error) {
    throw new Error(`Cannot load ${option} ${file} (${messageOf(error)}).${adviceFor(path)}`, {
      cause: error,
    });
  }
}

/** A folder, a missing file or a source file: the application was not compiled, or is elsewhere. */
function adviceFor(path: string): string {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile();
  if (isFile && !/^\.[cm]?tsx?$/.test(extname(path))) return '';
  return ' Compile the application, and give a JavaScript file, such as dist/app.module.js.';
}
