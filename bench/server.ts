import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Subject } from './plan';
import { VARIANTS } from './variants';

/** What the parent process gives a server to serve. */
export interface ServerOrder extends Subject {
  readonly databaseUrl: string;
}

/** The server process: says its port, then answers each message with its CPU microseconds; ends with its parent. */
async function serve(order: ServerOrder): Promise<void> {
  process.on('disconnect', () => process.exit());
  const app = await createApp(order);
  await app.listen(0, '127.0.0.1');
  process.on('message', () => process.send?.(cpuMicros()));
  process.send?.(app.getHttpServer().address().port);
}

async function createApp({ variant, adapter, databaseUrl }: ServerOrder): Promise<INestApplication> {
  const module = VARIANTS[variant](databaseUrl);
  const options: NestApplicationOptions = { logger: ['error', 'fatal'], abortOnError: false };
  if (adapter === 'express') return NestFactory.create(module, options);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(module, new FastifyAdapter(), options);
}

/** Of the whole process so far, in user and system mode. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

serve(JSON.parse(process.argv[2] ?? '')).catch((error: unknown) => {
  console.error(String(error));
  process.exit(1);
});
