import type { DynamicModule, INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { CALLS } from './calls';
import type { Call } from './calls/call';
import type { InProcess, Route, Subject } from './plan';
import { VARIANTS } from './variants';

/** Order that the parent process gives to this process. */
export interface Order {
  readonly subject: Subject;
  readonly databaseUrl: string;
  /** Connection string of a Redis, or `null` if there is no Redis. */
  readonly redisUrl: string | null;
  readonly keys: readonly string[];
}

/**
 * A question for the CPU microseconds of the process. A process without an HTTP server first makes
 * `calls` calls.
 */
export interface Question {
  readonly calls: number;
}

/**
 * Sends the port of the HTTP server to the parent process, or `null`. Then answers each question
 * with the CPU microseconds of this process. Exits when the parent process disconnects.
 */
async function serve({ subject, databaseUrl, redisUrl, keys }: Order): Promise<void> {
  process.on('disconnect', () => process.exit());
  const { port, call } = isRoute(subject)
    ? { port: await listen(subject, databaseUrl, redisUrl), call: null }
    : { port: null, call: await prepare(subject, databaseUrl, keys) };
  process.on('message', ({ calls }: Question) => {
    repeat(call, calls).then(() => process.send?.(cpuMicros()), fail);
  });
  process.send?.(port);
}

async function listen(
  { variant, adapter }: Route,
  databaseUrl: string,
  redisUrl: string | null,
): Promise<number> {
  const module = await VARIANTS[variant](databaseUrl, redisUrl);
  const options: NestApplicationOptions = { logger: ['error', 'fatal'], abortOnError: false };
  const app = await createApp(adapter, module, options);
  await app.listen(0, '127.0.0.1');
  return app.getHttpServer().address().port;
}

async function createApp(
  adapter: Route['adapter'],
  module: DynamicModule,
  options: NestApplicationOptions,
): Promise<INestApplication> {
  if (adapter === 'express') return NestFactory.create(module, options);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(module, new FastifyAdapter(), options);
}

function prepare({ variant }: InProcess, databaseUrl: string, keys: readonly string[]): Promise<Call> {
  return CALLS[variant].prepare(databaseUrl, keys);
}

async function repeat(call: Call | null, times: number): Promise<void> {
  if (call) for (let i = 0; i < times; i++) await call();
}

/** Returns the CPU microseconds of this process since its start, in user and system mode. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function isRoute(subject: Subject): subject is Route {
  return subject.adapter !== null;
}

function fail(error: unknown): void {
  console.error(String(error));
  process.exit(1);
}

serve(JSON.parse(process.argv[2] ?? '')).catch(fail);
