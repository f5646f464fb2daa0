import { createEmptyDatabase, sql } from '../support/database';
import { flakyProxy } from '../support/flaky-proxy';
import { demoKey, runKeys, startSample } from '../support/sample';
import { until } from '../support/until';

it.concurrent('two instances on one empty database start at once, create one demo key, and accept each other’s keys', async () => {
  const database = await createEmptyDatabase();
  const instances = await Promise.all([
    startSample({ DATABASE_URL: database }),
    startSample({ DATABASE_URL: database }),
  ]);
  const outputs = () => instances.map((instance) => instance.output());
  await until(() => outputs().join().includes('curl -H'));
  const key = /acme_live_\w+/.exec(outputs().join())?.[0] ?? '';
  const answers = await Promise.all(
    instances.map(({ url }) => fetch(`${url}/orders`, { headers: { 'x-api-key': key } })),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  expect(await sql(database, 'SELECT FROM api_keys')).toHaveLength(1);
  await runKeys(['revoke', '1'], { DATABASE_URL: database });
  const afterwards = await Promise.all(
    instances.map(({ url }) => fetch(`${url}/orders`, { headers: { 'x-api-key': key } })),
  );
  expect(afterwards.map(({ status }) => status)).toEqual([401, 401]);
  await Promise.all(instances.map((instance) => instance.stop()));
});

it.concurrent.each([
  'away',
  'silent',
])('while the database is %s /health and guarded routes answer 503, never 500 or 401, and then recover', async (how) => {
  const proxy = await flakyProxy(await createEmptyDatabase());
  const sample = await startSample({ DATABASE_URL: proxy.url, API_KEY_OPTIONS: '{}' });
  const key = await demoKey(sample);
  const statuses = async () => {
    const answers = [
      fetch(`${sample.url}/health`),
      fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } }),
      fetch(`${sample.url}/orders`),
    ];
    return (await Promise.all(answers)).map(({ status }) => status);
  };
  await until(async () => (await statuses()).join() === '200,200,401');
  if (how === 'away') await proxy.cut();
  else proxy.silence('all');
  expect(await statuses()).toEqual([503, 503, 401]);
  await proxy.mend();
  await until(async () => (await statuses()).join() === '200,200,401');
  await sample.stop();
  await proxy.cut();
});
