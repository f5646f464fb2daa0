import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { openDatabase } from '../src/database/open-database';
import { ours } from './variants/ours';

const DAY_MS = 86_400_000;

/**
 * Migrates a database and creates `count` keys. Each key has its own user and expires after one
 * day.
 */
export async function createKeys(databaseUrl: string, count: number): Promise<string[]> {
  const userIds = await createUsers(databaseUrl, count);
  const app = await NestFactory.createApplicationContext(ours(databaseUrl), { logger: ['error'] });
  try {
    const service = app.get(ApiKeyService);
    const issued = await Promise.all(userIds.map((userId) => service.create(keyOf(userId))));
    return issued.map(({ key }) => key);
  } finally {
    await app.close();
  }
}

function keyOf(userId: string) {
  const expiresAt = new Date(Date.now() + DAY_MS);
  return { userId, name: 'bench', scopes: ['orders:read'], expiresAt } as const;
}

/** Migrates a database and creates `count` users. Returns the ids of the users. */
export async function createUsers(databaseUrl: string, count: number): Promise<string[]> {
  const dataSource = await openDatabase(databaseUrl);
  try {
    const users = await dataSource.query<{ id: string }[]>(
      `INSERT INTO users (email, created_at, updated_at)
       SELECT n || '@example.com', now(), now() FROM generate_series(1, $1) n RETURNING id`,
      [count],
    );
    return users.map(({ id }) => id);
  } finally {
    await dataSource.destroy();
  }
}
