import { CommanderError } from 'commander';
import { ApiKeyInputError, ApiKeyPolicyError } from '../index';
import { errorLine, helpOf, oneLine, WrongCall } from './failures';
import type { KeysCliHost } from './host';
import { printableHost } from './printable-host';
import { programFor } from './program';

export type { KeysCliHost, KeysSession } from './host';

/** Exit codes: 0 is success, 1 is failure, and 2 is a wrong call. */
export type ExitCode = 0 | 1 | 2;

/**
 * Runs one command. Never throws. A failure is printed as one line on stderr.
 * @param args the arguments after the name of the program
 */
export async function runKeysCli(args: readonly string[], given: KeysCliHost): Promise<ExitCode> {
  const host = printableHost(given);
  try {
    await programFor(host).parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const message = messageOf(error);
    const isWrongCall = isOfCall(error);
    host.stderr.write(
      isWrongCall ? errorLine(helpOf(host, args[0]), `error: ${message}`) : `${oneLine(message)}\n`,
    );
    return isWrongCall ? 2 : 1;
  }
}

/** Whether another call could succeed now. The number of an owner's keys is no part of a call. */
function isOfCall(error: unknown): boolean {
  if (error instanceof ApiKeyPolicyError) return error.rule !== 'maxActiveKeys';
  return error instanceof ApiKeyInputError || error instanceof WrongCall;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
