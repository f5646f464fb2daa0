import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { type KeysSession, runKeysCli } from 'nestjs-api-key/cli';
import { AppModule } from './app.module';
import { openDatabase } from './database/open-database';
import { useEmbeddedPostgres } from './embedded-postgres';
import { environment } from './environment';
import { UsersService } from './users/users.service';

/**
 * Opens the database of the app and the services of the app. This also works while `npm start` is
 * running.
 */
async function open(): Promise<KeysSession> {
  const env = environment(process.env);
  const embedded = env.databaseUrl ? null : await useEmbeddedPostgres({ dataDir: env.dataDir, report });
  try {
    const dataSource = await openDatabase(env.databaseUrl ?? embedded?.appUrl ?? '', report);
    const module = AppModule.with({ ...env, rateLimitStorage: 'memory', dataSource });
    const app = await NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
    const users = app.get(UsersService, { strict: false });
    return {
      keys: app.get(ApiKeyService),
      findOwner: async (email, { create }) =>
        (await (create ? users.findOrCreate(email) : users.findByEmail(email)))?.id ?? null,
      findEmail: async (userId) => (await users.find(userId))?.email ?? null,
      close: async () => {
        await app.close();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Reports a slow step on a terminal. Writes nothing if stderr is not a terminal. */
function report(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${line}\n`);
}

async function main(): Promise<void> {
  process.exitCode = await runKeysCli(process.argv.slice(2), {
    open,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}

void main();
