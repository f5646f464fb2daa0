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

/** The event trail after a flood of requests. */
export interface TrailOfFlood {
  /** Number of refused requests without a valid key. */
  readonly flooded: number;
  /** Number of refused requests with a revoked key during the flood. */
  readonly withKey: number;
  readonly rows: number;
  readonly rowsWithKey: number;
  /** Maximum number of rows that the trail may write during the flood. */
  readonly bound: number;
  readonly dropped: DroppedEvents;
}

/**
 * Floods an app with a text that is not a key for `forMs` milliseconds. During the flood, one
 * client presents a revoked key, at a rate below the limit of the trail.
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
