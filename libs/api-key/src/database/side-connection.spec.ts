import { EventEmitter } from 'node:events';
import type { Client } from 'pg';
import { SideConnection } from './side-connection';

/** A connection as the driver has it, whose promises are settled by hand. */
function clientOf(parts: object = {}) {
  const events: string[] = [];
  const client = Object.assign(new EventEmitter(), {
    events,
    connect: async () => void events.push('connected'),
    end: async () => void events.push('ended'),
    connection: { stream: { destroy: () => void events.push('destroyed') } },
    ...parts,
  });
  return Object.assign(client as unknown as Client, { events });
}

const never = () => new AbortController().signal;

it('opens the connection, or rejects with the error of the driver', async () => {
  const client = clientOf();
  await new SideConnection(client).connect();
  expect(client.events).toEqual(['connected']);
  const refused = clientOf({ connect: () => Promise.reject(new Error('refused')) });
  await expect(new SideConnection(refused).connect()).rejects.toThrow('refused');
});

it('handles errors of an idle connection, so that they do not end the process', () => {
  const client = clientOf();
  new SideConnection(client);
  expect(() => client.emit('error', new Error('reset'))).not.toThrow();
});

it('keeps a process alive until it is unreferenced, also if the driver has no unref', () => {
  const unref = jest.fn();
  const connection = new SideConnection(clientOf({ unref }));
  expect(unref).not.toHaveBeenCalled();
  connection.unref();
  expect(unref).toHaveBeenCalledTimes(1);
  expect(() => new SideConnection(clientOf()).unref()).not.toThrow();
});

describe('the failure of a connection', () => {
  it('is reported when the connection ends', async () => {
    const client = clientOf();
    const failure = new SideConnection(client).failure(never(), never());
    client.emit('end');
    await expect(failure).rejects.toThrow('the connection ended');
  });

  it('is reported when the driver emits an error', async () => {
    const client = clientOf();
    const failure = new SideConnection(client).failure(never(), never());
    client.emit('error', new Error('reset'));
    await expect(failure).rejects.toThrow('reset');
  });

  it('is reported when the application ends', async () => {
    const stopped = new AbortController();
    const failure = new SideConnection(clientOf()).failure(stopped.signal, never());
    stopped.abort();
    await expect(failure).rejects.toThrow('the application ends');
  });

  it('has no listener after the session, so that listeners do not pile up on the abort signal', async () => {
    const [stopped, over] = [new AbortController(), new AbortController()];
    const rejected = jest.fn();
    new SideConnection(clientOf()).failure(stopped.signal, over.signal).catch(rejected);
    over.abort();
    stopped.abort();
    await new Promise(setImmediate);
    expect(rejected).not.toHaveBeenCalled();
  });
});

describe('closing a connection', () => {
  it('ends it, then destroys its socket, and receives no more notifications', async () => {
    const client = clientOf();
    const connection = new SideConnection(client);
    await connection.connect();
    const heard = jest.fn();
    client.on('notification', heard);
    await connection.close();
    client.emit('notification', { channel: 'c', payload: 'p', processId: 1 });
    expect(heard).not.toHaveBeenCalled();
    expect(client.events).toEqual(['connected', 'ended', 'destroyed']);
  });

  it('does not wait if the connection does not answer', async () => {
    const client = clientOf({ end: () => new Promise(() => {}) });
    const connection = new SideConnection(client);
    await connection.connect();
    await connection.close();
    expect(client.events).toEqual(['connected', 'destroyed']);
  });

  it('succeeds if the driver fails to end it, or has no socket of its own', async () => {
    const end = () => Promise.reject(new Error('already gone'));
    for (const parts of [{ end }, { end, connection: undefined }, { end, connection: {} }])
      await expect(new SideConnection(clientOf(parts)).close()).resolves.toBeUndefined();
  });

  it('waits until the connection is established before it ends it', async () => {
    let connected = () => {};
    const connect = () =>
      new Promise<void>((resolve) => {
        connected = resolve;
      });
    const client = clientOf({ connect });
    const connection = new SideConnection(client);
    const connecting = connection.connect();
    await connection.close();
    expect(client.events).toEqual(['destroyed']);
    connected();
    await connecting;
    await new Promise(setImmediate);
    expect(client.events).toEqual(['destroyed', 'ended']);
  });

  it('does not end a connection that failed to open', async () => {
    const client = clientOf({ connect: () => Promise.reject(new Error('refused')) });
    const connection = new SideConnection(client);
    await connection.connect().catch(() => {});
    await connection.close();
    expect(client.events).toEqual(['destroyed']);
  });
});
