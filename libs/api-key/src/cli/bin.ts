#!/usr/bin/env node
import { resolve } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { Command, Option } from 'commander';
import { DataSource } from 'typeorm';
import { ApiKeyModule, ApiKeyService, type KeyFormat, type KeyPrefix, printableLines } from '../index';
import { errorLine } from './failures';
import { type KeysCliHost, type KeysSession, runKeysCli } from './index';
import { namesOf, programFor } from './program';

interface BinOptions {
  readonly dataSource: string;
  readonly prefix?: KeyPrefix;
  readonly format?: KeyFormat;
}

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

function prefixOf(text: string): KeyPrefix {
  if (!text.includes('=')) return text;
  return Object.fromEntries(text.split(',').map((each) => each.split('=', 2)));
}

function hostFor(options: BinOptions): KeysCliHost {
  const { stdout, stderr } = process;
  return { program: PROGRAM, open: () => openSession(options), stdout, stderr };
}

function commandsHelp(options: BinOptions): string {
  return `\nCommands: ${namesOf(programFor(hostFor(options)))}\nHelp: ${PROGRAM} <command> --help`;
}

async function openSession({ dataSource: file, ...options }: BinOptions): Promise<KeysSession> {
  const dataSource = dataSourceOf(require(resolve(file)));
  await dataSource.initialize();
  const app = await NestFactory.createApplicationContext(ApiKeyModule.forRoot({ dataSource, ...options }), {
    logger: false,
    abortOnError: false,
  });
  return {
    keys: app.get(ApiKeyService),
    findOwner: (user) => findOwner(dataSource, user),
    close: async () => {
      await app.close();
      await dataSource.destroy();
    },
  };
}

function dataSourceOf(exported: object): DataSource {
  const found = Object.values(exported).find((value) => value instanceof DataSource);
  if (found) return found;
  throw new Error('The file of --data-source does not export a DataSource.');
}

/** Finds users by the column `email` of table `users`. Creates no users. */
async function findOwner(dataSource: DataSource, email: string): Promise<string | null> {
  const [user] = await dataSource.query<{ id: string }[]>(
    'SELECT id::text AS id FROM users WHERE email = $1 ORDER BY users.id LIMIT 1',
    [email],
  );
  return user?.id ?? null;
}

main();
