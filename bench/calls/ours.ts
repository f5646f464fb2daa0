import { setTimeout as delay } from 'node:timers/promises';
import type { DynamicModule, INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ApiKeyService } from 'nestjs-api-key';
import { ours } from '../variants/ours';
import type { Call } from './call';

const POLL_MS = 20;
const PATIENCE_MS = 60_000;

/**
 * Returns a call of `ApiKeyService.verify` with the default options. After the warm-up, every key
 * is a cache hit.
 */
export async function ourVerify(databaseUrl: string, keys: readonly string[]): Promise<Call> {
  const service = (await ourContext(ours(databaseUrl))).get(ApiKeyService);
  let next = 0;
  return async () => {
    const { ok } = await service.verify(keys[next++ % keys.length]);
    if (!ok) throw new Error('A valid key was refused');
  };
}

/** Starts an application without an HTTP server. Resolves when the application has its lease. */
export async function ourContext(module: DynamicModule): Promise<INestApplicationContext> {
  const context = await NestFactory.createApplicationContext(module, { logger: ['error'] });
  await untilLeased(context);
  return context;
}

/**
 * Waits until an application has its lease, for at most one minute. Returns the `ApiKeyService` of
 * the application.
 */
export async function untilLeased(context: INestApplicationContext): Promise<ApiKeyService> {
  const service = context.get(ApiKeyService);
  const deadline = performance.now() + PATIENCE_MS;
  while (!service.verificationStatus.leaseHeld) {
    if (performance.now() > deadline) throw new Error('The lease was not held within a minute');
    await delay(POLL_MS);
  }
  return service;
}
