import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, type DroppedEvents } from 'nestjs-api-key';
import { bootApp } from './app';
import { createMigratedDatabase, createUser, sql } from './database';
import { flood } from './pipelined-flood';
import { rawGet } from './raw-http';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {}
}

/** What a flood left in the trail. */
export interface TrailOfFlood {
  /** Requests without a valid key that were refused. */
  readonly flooded: number;
  /** Requests with a revoked key that were refused meanwhile. */
  readonly withKey: number;
  readonly rows: number;
  readonly rowsWithKey: number;
  /** The rows that the bound allows in the time that the flood took. */
  readonly bound: number;
  readonly dropped: DroppedEvents;
}

/**
 * Floods an app with a text that is not a key, as long as the given time. Meanwhile a caller
 * presents a revoked key, less often than the trail has places.
 */
export async function floodTrail(
  forMs: number,
  audit: { readonly queueSize: number; readonly flushIntervalMs: number },
): Promise<TrailOfFlood> {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const app = await bootApp({ database, controllers: [Routes], options: { audit } });
  const { key, apiKey } = await app.keys.create({ userId, name: 'ci' });
  await app.keys.revoke(apiKey.id);
  const start = performance.now();
  const goesOn = () => performance.now() - start < forMs;
  let withKey = 0;
  const [flooded] = await Promise.all([
    flood({
      port: app.port,
      path: '/',
      headerLines: ['X-API-Key: wrong'],
      connections: 8,
      pipelined: 25,
      goesOn,
    }),
    (async () => {
      for (; goesOn(); withKey++) {
        await rawGet(app.port, '/', [`X-API-Key: ${key}`]);
        await delay((4 * audit.flushIntervalMs) / audit.queueSize);
      }
    })(),
  ]);
  await app.close();
  const intervals = Math.ceil((performance.now() - start) / audit.flushIntervalMs) + 1;
  const rows = await sql<{ key_id: string | null }>(
    database,
    `SELECT key_id FROM api_key_events WHERE type = 'refused'`,
  );
  return {
    flooded,
    withKey,
    rows: rows.length,
    rowsWithKey: rows.filter((row) => row.key_id === apiKey.id).length,
    bound: intervals * audit.queueSize,
    dropped: app.keys.droppedEventsByKind,
  };
}
