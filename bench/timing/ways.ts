import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { ApiKeyGuard, ApiKeyRefusal } from 'nestjs-api-key';
import { ourContext, untilLeased } from '../calls/ours';
import { oursColdAlone, oursLoading } from '../variants/ours';
import { ROUTE } from '../variants/route';
import { type KeysOfKinds, KINDS, type RefusedKeys } from './kinds';

/** Presents a key. Rejects if the key is accepted. */
type Ask = () => Promise<void>;

/**
 * Number of refusals that are in flight at the same time. Each refusal waits for a timer tick, so
 * refusals one after another would take hours.
 */
export const AT_ONCE = 128;

/** A way to present a key. */
export interface Way {
  /** Name of the way in the table. */
  readonly name: string;
  /** Does the unmeasured part of a measurement. Returns the measured part. */
  prepare(key: string): Ask;
  close(): Promise<void>;
}

/** Returns a way that calls the guard with its default options. Every key is a cache hit. */
export async function warmGuard(databaseUrl: string, { keys, loadUser }: RefusedKeys): Promise<Way> {
  const context = await ourContext(oursLoading(databaseUrl, { loadUser }));
  await remember(context, keys);
  return guardWay('guard, warm', context);
}

/** Returns a way that calls the guard without a cache. Every key is looked up. */
export async function coldGuard(databaseUrl: string, { loadUser }: RefusedKeys): Promise<Way> {
  const context = await NestFactory.createApplicationContext(oursColdAlone(databaseUrl, { loadUser }), {
    logger: ['error'],
  });
  return guardWay('guard, cold', context);
}

/**
 * Returns a way that sends whole requests to a server in this process. Every key is a cache hit.
 */
export async function warmHttp(databaseUrl: string, { keys, loadUser }: RefusedKeys): Promise<Way> {
  const module = oursLoading(databaseUrl, { loadUser });
  const app = await NestFactory.create(module, new FastifyAdapter(), { logger: ['error'] });
  await app.listen(0, '127.0.0.1');
  await remember(app, keys);
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const url = `http://127.0.0.1:${app.getHttpServer().address().port}/${ROUTE}`;
  return {
    name: 'HTTP, warm',
    prepare: (key) => () => requireUnauthorized(url, agent, key),
    close: async () => {
      agent.destroy();
      await app.close();
    },
  };
}

function guardWay(name: string, context: INestApplicationContext): Way {
  const guard = context.get(ApiKeyGuard);
  const prepare = (key: string) => {
    const request = contextOf(key);
    return () => requireRefused(guard, request);
  };
  return { name, prepare, close: () => context.close() };
}

/**
 * Verifies all keys, so that the keys are cached. `verify` accepts an ownerless key, because
 * `verify` does not load the owner.
 * @throws Error if the result does not fit the kind of a key
 */
async function remember(context: INestApplicationContext, keys: KeysOfKinds): Promise<void> {
  const service = await untilLeased(context);
  for (const kind of KINDS)
    for (const key of keys[kind]) {
      const result = await service.verify(key);
      const found = result.ok ? 'ownerless' : result.reason;
      if (found !== kind) throw new Error(`A key that is ${kind} was judged otherwise`);
    }
}

class TimedController {
  answer() {}
}

/**
 * Creates the execution context that Nest gives to a guard. The request has only the fields that
 * the guard reads.
 */
function contextOf(key: string): ExecutionContextHost {
  const authorization = `Bearer ${key}`;
  const request = {
    headers: { authorization },
    rawHeaders: ['authorization', authorization],
    socket: { remoteAddress: '127.0.0.1' },
    ip: '127.0.0.1',
  };
  const response = { setHeader: () => {} };
  return new ExecutionContextHost([request, response], TimedController, TimedController.prototype.answer);
}

async function requireRefused(guard: ApiKeyGuard, context: ExecutionContextHost): Promise<void> {
  try {
    await guard.canActivate(context);
  } catch (error) {
    if (error instanceof ApiKeyRefusal && error.code === 'INVALID_API_KEY') return;
    throw error;
  }
  throw new Error('A key that is not valid was accepted');
}

async function requireUnauthorized(url: string, agent: Agent, key: string): Promise<void> {
  const [response]: IncomingMessage[] = await once(
    get(url, { agent, headers: { authorization: `Bearer ${key}` } }),
    'response',
  );
  response?.resume();
  if (response?.statusCode !== 401) throw new Error(`A key was answered with ${response?.statusCode}`);
  await once(response, 'end');
}
