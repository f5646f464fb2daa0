import type { INestApplicationContext } from '@nestjs/common';
import { ApiKeyService } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { OrdersService } from './orders/orders.service';
import { UsersService } from './users/users.service';

const DEMO_LOCK = 7_160_212;

/**
 * Creates a user with two orders and a key if the database contains no users and no keys. Returns
 * the raw key, or `null` if the database contains users or keys.
 */
export async function createDemoKey(app: INestApplicationContext): Promise<string | null> {
  return app.get(DataSource).transaction(async (manager) => {
    await manager.query('SELECT pg_advisory_xact_lock($1)', [DEMO_LOCK]);
    const [{ used }] = await manager.query(
      'SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM api_keys) AS used',
    );
    return used ? null : fill(app);
  });
}

async function fill(app: INestApplicationContext): Promise<string> {
  const user = await app.get(UsersService).findOrCreate('demo@example.com');
  const orders = app.get(OrdersService, { strict: false });
  await orders.create(user.id, { item: 'A kilo of coffee', quantity: 2 });
  await orders.create(user.id, { item: 'A teapot', quantity: 1 });
  const { key } = await app
    .get(ApiKeyService)
    .create({ userId: user.id, name: 'demo', scopes: ['orders:*', 'api-keys:*'] });
  return key;
}
