import { createHook } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { CanActivate, INestApplicationContext } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import { percentile } from '../statistics';
import { GUARDS, ScopedController } from '../variants/ours';

/** Number of calls per batch, and number of batches, when allocations are measured. */
const BATCH = 256;
const HEAP_BATCHES = 31;

/**
 * Allocations of one guarded call. The allocations of its request and response are not included.
 */
export interface Allocations {
  readonly bytes: number;
  readonly promises: number;
}

/**
 * Calls the guards in the same way as Nest, without an HTTP server. Each call gets a new request
 * and response of Node on one real connection. The time to create requests and responses is not
 * measured.
 */
export class GuardedCalls {
  private readonly guards: readonly CanActivate[];
  private next = 0;

  private constructor(
    app: INestApplicationContext,
    private readonly socket: Socket,
  ) {
    this.guards = GUARDS.map((guard) => app.get<CanActivate>(guard, { strict: false }));
  }

  static async of(app: INestApplicationContext): Promise<GuardedCalls> {
    return new GuardedCalls(app, await openConnection());
  }

  /**
   * Calls all guards `count` times. Returns the mean CPU time of one call in microseconds, in user
   * and system mode.
   */
  async cpuMicros(keys: readonly string[], count: number): Promise<number> {
    const contexts = this.batch(keys, count);
    await turn();
    const before = process.cpuUsage();
    await this.enter(contexts);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  }

  async allocations(keys: readonly string[]): Promise<Allocations> {
    const bytes = await this.bytes(keys);
    return { bytes, promises: await this.promises(keys) };
  }

  private async bytes(keys: readonly string[]): Promise<number> {
    const collect = garbageCollection();
    const found: number[] = [];
    for (let i = 0; i < HEAP_BATCHES; i++) {
      const contexts = this.batch(keys, BATCH);
      collect();
      const before = process.memoryUsage().heapUsed;
      await this.enter(contexts);
      found.push((process.memoryUsage().heapUsed - before) / BATCH);
      await turn();
    }
    return percentile(found, 0.5);
  }

  private async promises(keys: readonly string[]): Promise<number> {
    const contexts = this.batch(keys, BATCH);
    let promises = 0;
    const hook = createHook({
      init: (_, type) => {
        if (type === 'PROMISE') promises += 1;
      },
    }).enable();
    await this.enter(contexts);
    hook.disable();
    return Math.round(promises / BATCH);
  }

  private async enter(contexts: readonly ExecutionContextHost[]): Promise<void> {
    for (const context of contexts)
      for (const guard of this.guards) {
        const passed = guard.canActivate(context);
        if (passed !== true && !(await passed)) throw new Error('A valid key was refused');
      }
  }

  private batch(keys: readonly string[], size: number): ExecutionContextHost[] {
    return Array.from({ length: size }, () => this.context(keys));
  }

  private context(keys: readonly string[]): ExecutionContextHost {
    const request = new IncomingMessage(this.socket);
    const key = keys[this.next++ % keys.length];
    request.rawHeaders = ['host', '127.0.0.1', 'authorization', `Bearer ${key}`];
    const response = new ServerResponse(request);
    return new ExecutionContextHost([request, response], ScopedController, ScopedController.prototype.answer);
  }
}

/**
 * Opens a connection and returns the socket of its server. The server never closes the connection
 * because of a timeout.
 */
async function openConnection(): Promise<Socket> {
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = await accepted;
  return socket;
}

/** Returns the `gc` function of V8. Node needs no command-line flag for this function. */
function garbageCollection(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}
