import type { Command } from 'commander';
import { type ApiKeyInspection, describeKey } from '../index';
import { WrongCall } from './failures';
import type { KeysCliHost, KeysSession } from './host';
import { inSession } from './in-session';
import { json } from './options';
import { type Output, write } from './output';
import { readKey } from './read-key';
import { renderInspection } from './render-inspection';

/** Adds command `check`. It takes no argument, and an argument that is a key is not repeated. */
export function addCheck(program: Command, host: KeysCliHost): void {
  program
    .command('check')
    .description(
      'read a key from standard input; show whose it is, why it is refused, and which routes it opens; changes nothing',
    )
    .allowExcessArguments()
    .allowUnknownOption()
    .addOption(json())
    .action((options, command) => checkKey(host, command.args, options));
}

/** @param given arguments, which the command does not take */
async function checkKey(host: KeysCliHost, given: readonly string[], output: Output): Promise<void> {
  if (given.length > 0)
    throw new WrongCall(
      'check takes no argument but --json, and reads the key from standard input. A key in an argument is seen by other users of this machine, and stays in the history of the shell.',
    );
  const key = await readKey(host);
  await inSession(host, async (session) => {
    const found = await describeInspection(session, await session.keys.inspect(key));
    write(host, output, found, () => renderInspection(found));
  });
}

async function describeInspection(session: KeysSession, inspection: ApiKeyInspection) {
  const { state, reason, apiKey, routes } = inspection;
  if (!apiKey) return { state, reason, routes };
  const { masked: _, state: __, id, userId, ...shown } = describeKey(apiKey);
  const user = (await session.findEmail?.(userId)) ?? null;
  return { state, reason, id, userId, user, ...shown, routes };
}
