import { setTimeout as delay } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { ours } from '../variants/ours';
import type { Call } from './index';

const POLL_MS = 20;

/** `ApiKeyService.verify` with the default options, once its lease is held. */
export async function ourVerify(databaseUrl: string, keys: readonly string[]): Promise<Call> {
  const app = await NestFactory.createApplicationContext(ours(databaseUrl), { logger: ['error'] });
  const service = app.get(ApiKeyService);
  while (!service.verificationStatus.leaseHeld) await delay(POLL_MS);
  let next = 0;
  return async () => {
    const { ok } = await service.verify(keys[next++ % keys.length]);
    if (!ok) throw new Error('A valid key was refused');
  };
}
