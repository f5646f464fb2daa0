import { type Command, CommanderError } from 'commander';
import { ApiKeyInputError, ApiKeyPolicyError } from '../index';
import { errorLine, helpOf, messageOf, oneLine, WrongCall } from './failures';
import type { KeysCliHost } from './host';
import { printableHost } from './printable-host';
import { programFor } from './program';

/** Exit codes: 0 is success, 1 is failure, and 2 is a wrong call. */
export type ExitCode = 0 | 1 | 2;

/** What a program adds to the commands. */
export interface ProgramOptions {
  /** Defines options of the program. */
  define(program: Command): void;
  /** Called when the options of a command are valid. @throws WrongCall if the command cannot run */
  before(program: Command, command: string): void;
}

/**
 * Runs one command. Never throws. A failure is printed as one line on stderr.
 * @param args the arguments after the name of the program
 */
export async function runCommand(
  args: readonly string[],
  given: KeysCliHost,
  { define, before }: ProgramOptions = { define: () => {}, before: () => {} },
): Promise<ExitCode> {
  const host = printableHost(given);
  const program = programFor(host, define);
  let running: string | undefined;
  program.hook('preAction', (_, command) => {
    if (command === program || command.name() === 'help') return;
    running = command.name();
    before(program, running);
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const message = messageOf(error);
    const isWrongCall = isOfCall(error);
    host.stderr.write(
      isWrongCall ? errorLine(helpOf(host, running), `error: ${message}`) : `${oneLine(message)}\n`,
    );
    return isWrongCall ? 2 : 1;
  }
}

/** Whether another call could succeed now. The number of an owner's keys is no part of a call. */
function isOfCall(error: unknown): boolean {
  if (error instanceof ApiKeyPolicyError) return error.rule !== 'maxActiveKeys';
  return error instanceof ApiKeyInputError || error instanceof WrongCall;
}
