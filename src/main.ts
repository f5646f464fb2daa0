import { type INestApplication, Logger } from '@nestjs/common';
import { createApp } from './create-app';
import { openDatabase } from './database/open-database';
import { createDemoKey } from './demo';
import { useEmbeddedPostgres } from './embedded-postgres';
import { type Environment, environment } from './environment';
import { type Stoppable, shutDown } from './shut-down';
import { listenError } from './start-errors';

interface Database extends Stoppable {
  readonly url: string;
}

async function databaseFor({ databaseUrl, dataDir }: Environment): Promise<Database> {
  if (databaseUrl) return { url: databaseUrl, stop: async () => {} };
  const embedded = await useEmbeddedPostgres({ dataDir, report: print });
  return { url: embedded.appUrl, stop: () => embedded.stop() };
}

async function start(env: Environment, { url }: Database): Promise<INestApplication> {
  const dataSource = await openDatabase(url, print);
  const app = await createApp({ ...env, dataSource }, env.httpAdapter);
  await app.listen(env.port, env.host).catch((error) => {
    throw listenError(error, env);
  });
  announce(await app.getUrl(), await createDemoKey(app));
  return app;
}

const CREATE_KEY =
  "npm run -s keys -- create --user demo@example.com --name try --scopes 'orders:*,api-keys:*'";

function announce(listeningOn: string, demoKey: string | null): void {
  const url = listeningOn.replace('[::1]', 'localhost').replace(/\[::\]|0\.0\.0\.0/, '127.0.0.1');
  print(`Listening on ${url}`);
  print(`Try it in a browser: ${url}/docs`);
  if (demoKey) {
    print('The database was empty, so here is a key to try. It is shown only once:');
    print(`  ${demoKey}`);
  } else {
    print('This database has keys already. Create one more:');
    print(`  ${CREATE_KEY}`);
  }
  print('Then call the app with the key:');
  print(`  curl -H 'Authorization: Bearer ${demoKey ?? 'KEY'}' ${url}/orders`);
  print(
    `  curl -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' -d '{"item":"Tea","quantity":1}' ${url}/orders`,
  );
  print(`  curl -i ${url}/orders    # without a key: 401`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const env = environment(process.env);
  const database = databaseFor(env);
  const starting = database.then((opened) => start(env, opened));
  let ending = false;
  const end = () => {
    if (!ending) shutDown(starting, database).catch(fail);
    ending = true;
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  await starting.catch(end);
}

function fail(error: unknown): void {
  new Logger('App').error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

main().catch(fail);
