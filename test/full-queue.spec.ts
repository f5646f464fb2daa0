import { Logger } from '@nestjs/common';
import { bootApp, type TestApp } from './support/app';
import { createUser, sql } from './support/database';
import { StuckListener, startQueueServer } from './support/full-queue';
import { until } from './support/until';

const LEASE_MS = 500;

it('while the notification queue is full, a revocation and a DELETE in psql succeed, and no instance accepts the keys after the lease', async () => {
  const server = await startQueueServer();
  const running: TestApp[] = [];
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  try {
    const options = { cache: { leaseMs: LEASE_MS, heartbeatMs: 50 } };
    running.push(await bootApp({ database: server.url, options }));
    running.push(await bootApp({ database: server.url, options }));
    const [first, second] = running as [TestApp, TestApp];
    const userId = await createUser(server.url);
    const issue = () => first.keys.create({ userId, name: 'ci' });
    const issued = [await issue(), await issue()] as const;
    const accepted = async () => {
      const verdicts = [];
      for (const { keys } of running)
        for (const { key } of issued) verdicts.push((await keys.verify(key)).ok);
      return verdicts;
    };
    for (const { keys } of running) await until(() => keys.verificationStatus.leaseHeld);
    expect(await accepted()).toEqual([true, true, true, true]);
    const stuck = await StuckListener.begin(server.url);
    await stuck.fill();
    await first.keys.revoke(issued[0].apiKey.id);
    await sql(server.url, 'DELETE FROM api_keys WHERE id = $1', [issued[1].apiKey.id]);
    const ended = performance.now();
    await until(() => performance.now() - ended > LEASE_MS);
    expect(await accepted()).toEqual([false, false, false, false]);
    await stuck.end();
    await until(() => second.keys.verificationStatus.leaseHeld);
  } finally {
    await Promise.all(running.map((app) => app.close()));
    await server.stop();
    jest.restoreAllMocks();
  }
});
