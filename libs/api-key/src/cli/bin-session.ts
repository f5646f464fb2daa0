import { resolve } from 'node:path';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { ApiKeyModule, ApiKeyService, type KeyFormat, type KeyPrefix } from '../index';
import type { KeysSession } from './host';

/** The options of the program, before the command. */
export interface BinOptions {
  readonly dataSource: string;
  readonly prefix?: KeyPrefix;
  readonly format?: KeyFormat;
}

/** Reads `acme_live`, or `live=acme_live,test=acme_test`. */
export function prefixOf(text: string): KeyPrefix {
  if (!text.includes('=')) return text;
  return Object.fromEntries(text.split(',').map((each) => each.split('=', 2)));
}

/**
 * Opens the DataSource that a file exports.
 * @throws Error if the file exports none
 */
export async function openSession({ dataSource: file, ...options }: BinOptions): Promise<KeysSession> {
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

/** Finds the data source by its methods, because the file may use another copy of TypeORM. */
function dataSourceOf(exported: object): DataSource {
  const found = Object.values(exported).find((value) => 'createQueryRunner' in Object(value));
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
