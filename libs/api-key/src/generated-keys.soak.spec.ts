import { bootApp, QUIET } from '../../../test/support/app';
import { createMigratedDatabase, createUser } from '../../../test/support/database';
import { importKeys, misjudged } from '../../../test/support/generated-keys';
import { until } from '../../../test/support/until';
import { mintKey } from './credential/format';

it('100,000 generated keys all authenticate, each as its own row', async () => {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const app = await bootApp({ database, options: QUIET, connectTimeoutMs: 60_000 });
  await until(() => app.keys.verificationStatus.leaseHeld);
  const keys = Array.from({ length: 100_000 }, () => mintKey('checksummed', 'key'));
  await importKeys(app, userId, keys);
  expect(await misjudged(app, keys)).toEqual([]);
  await app.close();
});
