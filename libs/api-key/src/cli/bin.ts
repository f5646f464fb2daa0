#!/usr/bin/env node
import { resolve } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { Command, Option } from 'commander';
import { DataSource } from 'typeorm';
import { ApiKeyModule, ApiKeyService, type KeyFormat } from '../index';
import { type KeysSession, runKeysCli } from './index';

interface BinOptions {
  readonly dataSource: string;
  readonly prefix?: string;
  readonly format?: KeyFormat;
}

/**
 * The command line for applications that do not write their own. It uses the DataSource that a file
 * exports, like the command line of TypeORM.
 */
function main(): void {
  const program = new Command('nestjs-api-key')
    .usage('--data-source <file> [--prefix <prefix>] [--format <format>] <command> [options]')
    .requiredOption(
      '--data-source <file>',
      'JavaScript file that exports the DataSource, as dist/ormconfig.js',
    )
    .option('--prefix <prefix>', 'constant start of new keys')
    .addOption(new Option('--format <format>', 'form of new keys').choices(['checksummed', 'hex']))
    .argument('[command...]')
    .enablePositionalOptions()
    .passThroughOptions()
    .showSuggestionAfterError(false)
    .action(async (args: string[], options: BinOptions) => {
      const { stdout, stderr } = process;
      const open = () => openSession(options);
      process.exitCode = await runKeysCli(args, { program: 'nestjs-api-key', open, stdout, stderr });
    });
  program.configureOutput({ outputError: (text, write) => write(text) }).exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : 2);
  });
  void program.parseAsync();
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
  throw new Error('The file of --data-source exports no DataSource.');
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
