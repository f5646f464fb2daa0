#!/usr/bin/env node
import { Command, Option } from 'commander';
import { printableLines } from '../index';
import { type BinOptions, openSession, prefixOf } from './bin-session';
import { errorLine } from './failures';
import { type KeysCliHost, runKeysCli } from './index';
import { namesOf, programFor } from './program';

/** The start of each call, in usage and help. */
const PROGRAM = 'nestjs-api-key --data-source <file>';

/**
 * The command line for applications that do not write their own. It uses the DataSource that a file
 * exports, like the command line of TypeORM.
 */
function main(): void {
  const program = new Command('nestjs-api-key')
    .usage('--data-source <file> [--prefix <prefix>] [--format <format>] <command> [options]')
    .requiredOption(
      '--data-source <file>',
      'JavaScript file that exports the TypeORM DataSource, such as dist/ormconfig.js',
    )
    .addOption(
      new Option(
        '--prefix <prefix>',
        'prefix of keys, such as acme_live; or that of each environment, such as live=acme_live,test=acme_test',
      ).argParser(prefixOf),
    )
    .addOption(new Option('--format <format>', 'format of new keys').choices(['checksummed', 'hex']))
    .argument('[command...]')
    .enablePositionalOptions()
    .passThroughOptions()
    .showSuggestionAfterError(false)
    .addHelpText('after', ({ command }) => commandsHelp(command.opts()))
    .action(async (args: string[], options: BinOptions) => {
      process.exitCode = await runKeysCli(args, hostFor(options));
    });
  program
    .configureOutput({
      outputError: (text, write) => write(printableLines(errorLine('nestjs-api-key --help', text))),
    })
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : 2);
    });
  void program.parseAsync();
}

function hostFor(options: BinOptions): KeysCliHost {
  const { stdout, stderr } = process;
  return { program: PROGRAM, open: () => openSession(options), stdout, stderr };
}

function commandsHelp(options: BinOptions): string {
  return `\nCommands: ${namesOf(programFor(hostFor(options)))}\nHelp: ${PROGRAM} <command> --help`;
}

main();
