import type { Server } from 'node:http';
import { Logger } from '@nestjs/common';
import { createApp } from './create-app';
import { openDatabase } from './database/open-database';
import { createDemoKey } from './demo';
import { useEmbeddedPostgres } from './embedded-postgres';
import { type Environment, environment } from './environment';

/** A running app, and how to end it. */
interface Running {
  stop(): Promise<void>;
}

const IDLE_CHECK_MS = 50;
const DRAIN_MS = 3_500;

async function start(env: Environment): Promise<Running> {
  const embedded = env.databaseUrl
    ? null
    : await useEmbeddedPostgres({ dataDir: env.dataDir, report: print });
  try {
    const dataSource = await openDatabase(env.databaseUrl ?? embedded?.url ?? '', print);
    const app = await createApp({ ...env, dataSource }, env.httpAdapter);
    await app.listen(env.port, env.host);
    announce(await app.getUrl(), await createDemoKey(app));
    return {
      stop: async () => {
        const drained = drain(app.getHttpServer());
        await app.close();
        drained.end();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

function announce(listeningOn: string, demoKey: string | null): void {
  const url = listeningOn.replace('[::1]', 'localhost').replace(/\[::\]|0\.0\.0\.0/, '127.0.0.1');
  print(`Listening on ${url}`);
  if (!demoKey) return;
  print('The database was empty, so here is a key to try. It is shown this once:');
  print(`  ${demoKey}`);
  print(`  curl -H 'Authorization: Bearer ${demoKey}' ${url}/orders`);
}

/** Lets requests in flight be answered, closes connections as soon as they are idle, and all of them after 3.5 s. */
function drain(server: Server): { end(): void } {
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
  return {
    end: () => {
      clearInterval(idle);
      clearTimeout(deadline);
    },
  };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<void> {
  const starting = start(environment(process.env));
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await starting.then((app) => app.stop());
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop().catch(fail));
  process.on('SIGINT', () => void stop().catch(fail));
  await starting;
}

function fail(error: unknown): void {
  new Logger('App').error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

main().catch(fail);
