import type { INestApplicationContext } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE, ApiKeyModule, ApiKeyService } from '../index';
import { moduleOf } from './app-module';
import { findOwner } from './application-database';
import type { KeysSession } from './host';
import { exportsOf } from './load-file';
import { startApplication, startError } from './start-application';

/** Where the program finds the application. */
export interface BinOptions {
  /** File of the module of the application. */
  readonly app?: string;
  /** File of its data source. */
  readonly dataSource?: string;
  /** Run the pending migrations of the data source first. */
  readonly migrate?: boolean;
}

/** What a data source may do to the schema when it connects, for example in development. */
const CHANGES_NOTHING = { synchronize: false, migrationsRun: false, dropSchema: false };

/**
 * Opens the application of option `app`, else the data source of option `dataSource`.
 * @param report receives sentences for the user
 * @throws Error if the file does not export what the option says, or does not start
 */
export async function openSession(
  { app, dataSource, migrate }: BinOptions,
  report: (sentence: string) => void,
): Promise<KeysSession> {
  const options = { migrate, report };
  if (app !== undefined) {
    const module = moduleOf(await exportsOf('--app', app));
    return sessionOf(await startApplication(module, options));
  }
  const source = await dataSourceOf(await exportsOf('--data-source', String(dataSource)));
  if (!source.isInitialized) await connect(source);
  const session = sessionOf(await startApplication(ApiKeyModule.forRoot({ dataSource: source }), options));
  return { ...session, close: () => session.close().finally(() => source.destroy()) };
}

async function connect(source: DataSource): Promise<void> {
  await source
    .setOptions(CHANGES_NOTHING)
    .initialize()
    .catch((error) => {
      throw startError('The data source does not connect', error, false);
    });
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
