#!/usr/bin/env node
import { runProgram } from './bin-program';

/** Ends the process, because the application may have timers and connections that never end. */
async function main(): Promise<void> {
  const [stdout, { stderr }] = [ownStdout(), process];
  const code = await runProgram(process.argv.slice(2), { stdout, stderr });
  for (const stream of [stdout, stderr]) await new Promise((done) => stream.write('', done));
  process.exit(code);
}

/** Stdout for the result alone. What the application prints on stdout goes to stderr. */
function ownStdout(): NodeJS.WritableStream {
  const { stdout, stderr } = process;
  const write = stdout.write.bind(stdout);
  stdout.write = stderr.write.bind(stderr);
  return Object.create(stdout, { write: { value: write } });
}

void main();
