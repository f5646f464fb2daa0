import type { DynamicModule, INestApplicationContext, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE, runMigrations } from '../index';
import type { AppModule } from './app-module';
import { isMissing, nameOfDatabase } from './application-database';
import { CommandFailed, messageOf } from './failures';

/** How a command starts the application. */
export interface StartOptions {
  /** Run the pending migrations of its data source first. */
  readonly migrate?: boolean;
  /** Receives sentences for the user. */
  report(sentence: string): void;
}

const MIGRATED = Symbol('MIGRATED');

/** The root module of an application whose migrations run first. */
class MigratedApplication {}

/**
 * Starts a module without an HTTP server.
 * @throws Error that says what to do
 */
export async function startApplication(
  module: AppModule,
  options: StartOptions,
): Promise<INestApplicationContext> {
  const root = options.migrate ? migratedFirst(module, options) : module;
  try {
    return await NestFactory.createApplicationContext(root, {
      logger: logOfRetries(options),
      abortOnError: false,
    });
  } catch (error) {
    throw startError('The application does not start', error, !options.migrate);
  }
}

/**
 * Adds what to do to an error of the start, unless the error says it itself.
 * @param mayMigrate whether option `--migrate` could still help
 */
export function startError(what: string, error: unknown, mayMigrate: boolean): Error {
  const message = messageOf(error);
  if (error instanceof CommandFailed) return error;
  if (!message.startsWith('ApiKeyModule'))
    return new Error(
      `${what} (${message}). Set the same environment variables as for your server, such as DATABASE_URL.`,
      { cause: error },
    );
  const { cause } = Object(error);
  return mayMigrate && isMissing(cause)
    ? new Error(`${message} Option --migrate of this command runs them.`, { cause: error })
    : (error as Error);
}

/** Nest waits for this provider before it calls the first hook, so hooks find all tables. */
function migratedFirst(module: AppModule, { report }: StartOptions): DynamicModule {
  return {
    module: MigratedApplication,
    imports: [module],
    providers: [
      {
        provide: MIGRATED,
        inject: [{ token: API_KEY_DATA_SOURCE, optional: true }],
        useFactory: (dataSource?: DataSource) => dataSource && migrate(dataSource, report),
      },
    ],
  };
}

async function migrate(dataSource: DataSource, report: StartOptions['report']): Promise<void> {
  try {
    report(`Running all pending migrations of the data source on ${await nameOfDatabase(dataSource)}.`);
    const names = await runMigrations(dataSource);
    report(names.length === 0 ? 'No migration was pending.' : `Migrations run: ${names.join(', ')}.`);
  } catch (error) {
    throw new CommandFailed(`The migrations failed: ${messageOf(error)}`, { cause: error });
  }
}

/** Logs only that there is no connection, once: `TypeOrmModule` then tries for half a minute. */
function logOfRetries({ report }: StartOptions): LoggerService {
  let isReported = false;
  return {
    log: () => {},
    warn: () => {},
    error: (_message, stack = '', context = '') => {
      if (context !== 'TypeOrmModule' || isReported) return;
      isReported = true;
      report(`No connection to the database yet, trying again (${String(stack).split('\n')[0]}).`);
    },
  };
}
