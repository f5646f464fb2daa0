import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE, ApiKeyModule, ApiKeyService } from '../index';
import { type AppModule, moduleOf } from './app-module';
import { WrongCall } from './failures';
import type { KeysSession } from './host';

/** Where the program finds the application. */
export interface BinOptions {
  /** File of the module of the application. */
  readonly app?: string;
  /** File of its data source. */
  readonly dataSource?: string;
}

/** What a data source may do to the schema when it connects, for example in development. */
const CHANGES_NOTHING = { synchronize: false, migrationsRun: false, dropSchema: false };
/** SQLSTATEs of a missing table and of a missing column. */
const MISSING = ['42P01', '42703'];

/**
 * Opens the application of option `app`, else the data source of option `dataSource`.
 * @throws Error if the file does not export what the option says
 */
export async function openSession({ app, dataSource }: BinOptions): Promise<KeysSession> {
  if (app !== undefined) return sessionOf(await contextOf(moduleOf(await exportsOf(app))));
  const source = await dataSourceOf(await exportsOf(String(dataSource)));
  if (!source.isInitialized) await source.setOptions(CHANGES_NOTHING).initialize();
  const session = sessionOf(await contextOf(ApiKeyModule.forRoot({ dataSource: source })));
  return { ...session, close: () => session.close().finally(() => source.destroy()) };
}

/**
 * Loads a CommonJS or an ES module.
 * @throws WrongCall if the file is TypeScript that Node cannot load
 */
async function exportsOf(file: string): Promise<object> {
  try {
    return await import(pathToFileURL(resolve(file)).href);
  } catch (error) {
    if (!/\.[cm]?ts$/.test(file) || !isOfLoading(error)) throw error;
    throw new WrongCall(`Node cannot load ${file}. Compile it, and give the JavaScript file that results`);
  }
}

/** Newer versions of Node load TypeScript, but no decorators. */
function isOfLoading(error: unknown): boolean {
  return error instanceof SyntaxError || Object(error).code === 'ERR_UNKNOWN_FILE_EXTENSION';
}

/** Starts a module without an HTTP server and without a log. */
function contextOf(module: AppModule): Promise<INestApplicationContext> {
  return NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
}

/** @throws Error if the application has no `ApiKeyModule` */
function sessionOf(context: INestApplicationContext): KeysSession {
  const keys = find(context, ApiKeyService);
  const dataSource = find<DataSource>(context, API_KEY_DATA_SOURCE);
  return { keys, findOwner: (email) => findOwner(dataSource, email), close: () => context.close() };
}

function find<T>(context: INestApplicationContext, token: (new (...given: never[]) => T) | symbol): T {
  try {
    return context.get<T>(token, { strict: false });
  } catch {
    throw new Error(
      'The module of --app does not import ApiKeyModule, or imports that of another copy of nestjs-api-key. Run the program of the copy that the application uses.',
    );
  }
}

/**
 * Finds the data source that a file exports, also as a promise, as the program of TypeORM does.
 * @throws Error if the file exports none, or several
 */
async function dataSourceOf(exported: object): Promise<DataSource> {
  const values = await Promise.all(Object.values(exported));
  const inDefault = values.some(isDataSource) ? [] : await Promise.all(values.flatMap(Object.values));
  const [found, ...others] = new Set([...values, ...inDefault].filter(isDataSource));
  if (found && others.length === 0) return found;
  const count = found ? `${others.length + 1} DataSources: export one` : 'no DataSource';
  throw new Error(`The file of --data-source exports ${count}.`);
}

/** Decides by methods, because the file may use another copy of TypeORM. */
function isDataSource(value: unknown): value is DataSource {
  return 'createQueryRunner' in Object(value) && 'initialize' in Object(value);
}

/** Finds users by the column `email` of table `users`. Creates no users. */
async function findOwner(dataSource: DataSource, email: string): Promise<string | null> {
  const [user] = await dataSource
    .query<{ id: string }[]>('SELECT id::text AS id FROM users WHERE email = $1 ORDER BY users.id LIMIT 1', [
      email,
    ])
    .catch((error) => {
      if (!MISSING.includes(error.code)) throw error;
      throw new WrongCall('there is no table users with columns id and email. Give --user-id <id>.');
    });
  return user?.id ?? null;
}
