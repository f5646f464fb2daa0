import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ApiKey, ApiKeyService, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { untilLeased } from '../calls/ours';
import { oursScoped, UNREACHED } from '../variants/ours';
import { GuardedCalls } from './guarded-calls';
import type { OfKinds } from './pair';

const DAY_MS = 86_400_000;
const LOGGER: { logger: 'error'[] } = { logger: ['error'] };

/**
 * Functions that run on the library of one revision. A copy of this file is in the folder of each
 * revision, where `nestjs-api-key` is the library of that revision. Therefore this file uses only
 * public names that older revisions also have.
 */
export const revision = { prepare, openCalls, listen };
export type RevisionUnderTest = typeof revision;

/** Migrates an empty database and returns new keys. Each key has its own owner. */
async function prepare(databaseUrl: string, count: number): Promise<OfKinds<string[]>> {
  requireOwnLibrary();
  await migrate(databaseUrl);
  const app = await NestFactory.createApplicationContext(oursScoped(databaseUrl), LOGGER);
  try {
    const service = app.get(ApiKeyService);
    const issue = async (owner: number, limits: object) =>
      (await service.create({ ...keyOf(owner), ...limits })).key;
    const numbers = Array.from({ length: count }, (_, i) => i + 1);
    return {
      'no limit': await Promise.all(numbers.map((n) => issue(n, {}))),
      limit: await Promise.all(numbers.map((n) => issue(count + n, { rateLimit: UNREACHED }))),
    };
  } finally {
    await app.close();
  }
}

/**
 * Checks that Node loads the library of this folder.
 * @throws Error if Node loads the library of another folder, because then a revision would be
 *   compared with itself
 */
function requireOwnLibrary(): void {
  const folder = join(__dirname, '../../..');
  const library = require.resolve('nestjs-api-key');
  if (!library.startsWith(folder)) throw new Error(`${library} is not the library of ${folder}`);
}

async function migrate(databaseUrl: string): Promise<void> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    entities: [ApiKey],
    migrations: apiKeyMigrations(),
    migrationsTransactionMode: 'each',
  });
  await dataSource.initialize();
  try {
    await runMigrations(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

function keyOf(owner: number) {
  const expiresAt = new Date(Date.now() + DAY_MS);
  return { userId: String(owner), name: 'bench', scopes: ['orders:read'], expiresAt } as const;
}

/** Starts an application without an HTTP server and returns its guarded calls. */
async function openCalls(databaseUrl: string): Promise<GuardedCalls> {
  const app = await NestFactory.createApplicationContext(oursScoped(databaseUrl), LOGGER);
  await untilLeased(app);
  return GuardedCalls.of(app);
}

/**
 * Starts a server and returns its port. The server uses Fastify, because Fastify adds the least CPU
 * time to the guards.
 */
async function listen(databaseUrl: string): Promise<number> {
  const app = await NestFactory.create(oursScoped(databaseUrl), new FastifyAdapter(), LOGGER);
  await app.listen(0, '127.0.0.1');
  await untilLeased(app);
  return app.getHttpServer().address().port;
}
