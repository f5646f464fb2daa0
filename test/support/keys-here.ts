import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type KeysSession, runKeysCli } from 'nestjs-api-key/cli';
import { DataSource } from 'typeorm';
import { UsersService } from '../../src/users/users.service';
import type { TestApp } from './app';

/** Returns a function that finds an owner by email address, in the same way as the sample app. */
function ownersOf(app: TestApp): KeysSession['findOwner'] {
  const users = new UsersService(app.app.get(DataSource));
  return async (email, { create }) =>
    (await (create ? users.findOrCreate(email) : users.findByEmail(email)))?.id ?? null;
}

/**
 * Runs the command line of the library in this process, on the keys of an app. Resolves when the
 * command ends.
 */
export async function runKeysHere(
  app: TestApp,
  args: readonly string[],
  findOwner = ownersOf(app),
  input: string | Uint8Array = '',
) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const open = async () => ({ keys: app.keys, findOwner, close: async () => {} });
  stdin.end(input);
  const code = await runKeysCli(args, { open, stdin, stdout, stderr });
  const [out, err] = [text(stdout.end()), text(stderr.end())];
  return { code, stdout: await out, stderr: await err };
}
