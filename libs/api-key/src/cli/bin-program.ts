import type { Command } from 'commander';
import { printable } from '../index';
import { type BinOptions, openSession } from './bin-session';
import { oneLine, WrongCall } from './failures';
import type { KeysCliHost } from './host';
import { type ExitCode, runCommand } from './run';

/**
 * Commands that read or end keys. All others create, change or judge keys, and so depend on options
 * of the application, such as its pepper.
 */
const NEED_DATABASE_ONLY = ['list', 'show', 'events', 'usage', 'revoke', 'disable', 'prune'];

/** Runs one command of the program `nestjs-api-key`, which serves any application. Never throws. */
export function runProgram(args: readonly string[], streams: Omit<KeysCliHost, 'open'>): Promise<ExitCode> {
  let options: BinOptions = {};
  const report = (sentence: string) => void streams.stderr.write(`${printable(oneLine(sentence))}\n`);
  const open = () => openSession(options, report);
  const before = (program: Command, command: string) => {
    options = program.opts();
    requireApplication(command, options);
  };
  return runCommand(args, { ...streams, program: 'nestjs-api-key', open }, { define: defineOptions, before });
}

/** Defines the options that every command takes, and shows them in every help. */
function defineOptions(program: Command): void {
  program
    .configureHelp({ showGlobalOptions: true })
    .option(
      '--app <file>',
      'JavaScript file that exports the module of the application, such as dist/app.module.js',
    )
    .option(
      '--data-source <file>',
      `JavaScript file that exports the TypeORM DataSource; instead of --app, for ${NEED_DATABASE_ONLY.join(', ')}`,
    )
    .option('--migrate', 'first run all pending migrations of the data source, under a lock');
}

/** @throws WrongCall if the command needs another option */
function requireApplication(command: string, { app, dataSource }: BinOptions): void {
  const example = `Example: nestjs-api-key ${command} --app dist/app.module.js`;
  const needsApp = !NEED_DATABASE_ONLY.includes(command);
  if (app !== undefined && dataSource !== undefined)
    throw new WrongCall(`give --app or --data-source, not both. ${example}`);
  if (app !== undefined || (dataSource !== undefined && !needsApp)) return;
  if (dataSource !== undefined)
    throw new WrongCall(
      `${command} needs --app <file> instead of --data-source, because it depends on the pepper, prefix, scopes and policy of the application. ${example}`,
    );
  const other = needsApp ? '' : ', or --data-source <file> with its data source';
  throw new WrongCall(`give --app <file> with the module of the application${other}. ${example}`);
}
