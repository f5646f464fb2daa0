import { inspect } from 'node:util';
import { Test } from '@nestjs/testing';
import { ApiKey, ApiKeyModule, ApiKeyService } from 'nestjs-api-key';
import type { DataSource } from 'typeorm';
import { AppDataSource } from '../ormconfig';
import { createMigratedDatabase, createUser } from './support/database';
import { digestOf } from './support/digest';

let dataSource: DataSource;
let keys: ApiKeyService;
let userId: string;
let close: () => Promise<void>;

beforeAll(async () => {
  const database = await createMigratedDatabase();
  userId = await createUser(database);
  dataSource = await new AppDataSource(database).setOptions({ entitySkipConstructor: true }).initialize();
  const imports = [ApiKeyModule.forRoot({ dataSource, cache: { lookUpTimeoutMs: 10_000 } })];
  const module = await (await Test.createTestingModule({ imports }).compile()).init();
  keys = module.get(ApiKeyService);
  close = () => module.close();
});

afterAll(async () => {
  await close?.();
  if (dataSource?.isInitialized) await dataSource.destroy();
});

describe('with entitySkipConstructor, TypeORM', () => {
  it('reads a key without its digest', async () => {
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    const found = await dataSource.getRepository(ApiKey).findOneByOrFail({ id: apiKey.id });
    expect(found.keyDigest).toBeUndefined();
    expect(found.masked).toBe(apiKey.masked);
  });

  it('reads the digest of a key if it is selected, and no text of the key contains it', async () => {
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    const select = dataSource.getRepository(ApiKey).createQueryBuilder('k').addSelect('k.keyDigest');
    const found = await select.where({ id: apiKey.id }).getOneOrFail();
    expect(found.keyDigest).toBe(digestOf(key));
    expect(JSON.stringify(found) + inspect(found, { showHidden: true, getters: true })).not.toContain(
      digestOf(key),
    );
  });

  it('saves a key that it read, which is valid afterwards', async () => {
    const { key, apiKey } = await keys.create({ userId, name: 'before' });
    const repository = dataSource.getRepository(ApiKey);
    const found = await repository.findOneByOrFail({ id: apiKey.id });
    await repository.save(Object.assign(found, { name: 'after' }));
    expect(await keys.get(apiKey.id)).toMatchObject({ name: 'after' });
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('reads the ids of other keys as text, as the service does', async () => {
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    const successor = await keys.rotate(apiKey.id);
    const found = await dataSource.getRepository(ApiKey).findOneByOrFail({ replacesId: apiKey.id });
    expect(found).toMatchObject({ id: successor?.apiKey.id, replacesId: apiKey.id });
  });

  it('lists and finds keys of the service without a digest', async () => {
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    const { items } = await keys.list({ userId });
    const all = [...items, await keys.get(apiKey.id)];
    expect(all.map((item) => item?.keyDigest)).toEqual(all.map(() => undefined));
  });
});
