import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startServer } from './application.mjs';

const README = join(import.meta.dirname, '../../README.md');
const SECTIONS = /^## (Install|Use)\n([\s\S]*?)(?=^## )/gm;
/** A block of code, and the paragraph before it. */
const BLOCK = /([^\n]*)\n\n```(\w+)[^\n]*\n([\s\S]*?)^```$/gm;
const SERVER = 'npm run start:prod';

/**
 * Returns what the README tells a new user to do, in its order: files to write, and lines to run.
 */
export function readmeSteps() {
  const sections = [...readFileSync(README, 'utf8').matchAll(SECTIONS)].map(([, , text]) => text);
  return sections.flatMap((text) =>
    [...text.matchAll(BLOCK)].flatMap(([, before, language, code]) => {
      const file = /`(src\/[\w./-]+\.ts)`/.exec(before)?.[1];
      if (language === 'ts' && file) return [{ file, code }];
      if (language !== 'sh') throw new Error(`README.md: no step can be made of the block after "${before}"`);
      return code
        .trim()
        .split('\n')
        .map((line) => ({ line }));
    }),
  );
}

/**
 * Follows the README word by word, and only replaces the name of the package by its tarball, the
 * example of DATABASE_URL, and the port.
 * @returns the number of steps
 * @throws Error if a step fails, or if the last call is not answered with 200
 */
export async function followReadme(app, env) {
  const steps = readmeSteps();
  const state = { key: '', output: '', server: null };
  try {
    for (const step of steps) await follow(step, app, env, state);
    if (!/^HTTP\/1\.1 200 /.test(state.output) || !state.output.includes('{"ordersOf":"42"}'))
      throw new Error(`The last line of the README printed:\n${state.output}\n${state.server?.log()}`);
  } finally {
    await state.server?.stop();
  }
  return steps.length;
}

async function follow({ file, code, line }, app, env, state) {
  if (file) return app.write(file, code);
  if (line.startsWith('export DATABASE_URL=')) return;
  if (line.endsWith(SERVER)) {
    await app.run(line.replace(new RegExp(`( && )?${SERVER}$`), ''), env);
    state.server = await startServer(SERVER, app.folder, env);
    return;
  }
  const here = line.replace('localhost:3000', `localhost:${state.server?.port}`);
  state.output = await app.run(here, { ...env, KEY: state.key });
  state.key = /^key +(\S+)$/m.exec(state.output)?.[1] ?? state.key;
}
