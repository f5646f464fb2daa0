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

it('opens the connection, and rejects as the driver does', async () => {
  const client = clientOf();
  await new SideConnection(client).connect();
  expect(client.events).toEqual(['connected']);
  const refused = clientOf({ connect: () => Promise.reject(new Error('refused')) });
  await expect(new SideConnection(refused).connect()).rejects.toThrow('refused');
});

it('hears errors of a connection that nobody waits for, so that they do not end the process', () => {
  const client = clientOf();
  new SideConnection(client);
  expect(() => client.emit('error', new Error('reset'))).not.toThrow();
});

it('keeps a process alive until it is unreferenced, which a driver need not know', () => {
  const unref = jest.fn();
  const connection = new SideConnection(clientOf({ unref }));
  expect(unref).not.toHaveBeenCalled();
  connection.unref();
  expect(unref).toHaveBeenCalledTimes(1);
  expect(() => new SideConnection(clientOf()).unref()).not.toThrow();
});

describe('the failure of a connection', () => {
  it('is that it ended', async () => {
    const client = clientOf();
    const failure = new SideConnection(client).failure(never(), never());
    client.emit('end');
    await expect(failure).rejects.toThrow('the connection ended');
  });

  it('is an error of the driver', async () => {
    const client = clientOf();
    const failure = new SideConnection(client).failure(never(), never());
    client.emit('error', new Error('reset'));
    await expect(failure).rejects.toThrow('reset');
  });

  it('is that the application ends', async () => {
    const stopped = new AbortController();
    const failure = new SideConnection(clientOf()).failure(stopped.signal, never());
    stopped.abort();
    await expect(failure).rejects.toThrow('the application ends');
  });

  it('is not listened for once it is over, so that sessions do not add up on the signal', async () => {
    const [stopped, over] = [new AbortController(), new AbortController()];
    const rejected = jest.fn();
    new SideConnection(clientOf()).failure(stopped.signal, over.signal).catch(rejected);
    over.abort();
    stopped.abort();
    await new Promise(setImmediate);
    expect(rejected).not.toHaveBeenCalled();
  });
});

describe('to close a connection', () => {
  it('ends it, then destroys its socket, and hears no more notifications', async () => {
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

  it('does not wait for one that does not answer', async () => {
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

  it('ends one that is being made only once it is', async () => {
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

  it('does not end one that could not be made', async () => {
    const client = clientOf({ connect: () => Promise.reject(new Error('refused')) });
    const connection = new SideConnection(client);
    await connection.connect().catch(() => {});
    await connection.close();
    expect(client.events).toEqual(['destroyed']);
  });
});
