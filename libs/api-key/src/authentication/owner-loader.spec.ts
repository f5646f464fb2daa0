import { ForbiddenException } from '@nestjs/common';
import { until } from '../../../../test/support/until';
import { ApiKey } from '../model/api-key.entity';
import { OwnerLoader } from './owner-loader';

const apiKey = Object.assign(new ApiKey(), { id: '1', userId: '42' });

/** Remembers nobody, and lets nobody join. */
const NO_MEMORY = {
  recall: () => undefined,
  find: (userId: string, load: (userId: string) => Promise<unknown>) => load(userId),
};

const loaderOf = (loadUser: (userId: string) => unknown, maxLookUps = 10, patienceMs?: number) =>
  new OwnerLoader({ loadUser, cache: { maxLookUps } }, { owners: NO_MEMORY }, patienceMs);

it('the user of a key is the value of loadUser, or the value of its promise', async () => {
  expect(await loaderOf((id) => ({ id })).load(apiKey)).toEqual({ id: '42' });
  expect(await loaderOf(async (id) => ({ id })).load(apiKey)).toEqual({ id: '42' });
});

it.each([null, undefined, false, 0, ''])('a key whose owner is %p is refused', async (nobody) => {
  const refused = { code: 'INVALID_API_KEY' };
  await expect(loaderOf(async () => nobody).load(apiKey)).rejects.toMatchObject(refused);
  await expect(loaderOf(() => nobody).load(apiKey)).rejects.toMatchObject(refused);
});

it('a cached user is not loaded again', async () => {
  const loadUser = jest.fn();
  const loader = new OwnerLoader(
    { loadUser, cache: { maxLookUps: 1 } },
    { owners: { ...NO_MEMORY, recall: (id) => ({ id }) } },
  );
  expect(loader.recall('42')).toEqual({ id: '42' });
  expect(await loader.load(apiKey)).toEqual({ id: '42' });
  expect(loadUser).not.toHaveBeenCalled();
});

it('a failure of loadUser means that the key store is unavailable, whether it throws or rejects', async () => {
  const cause = new Error('no users today');
  const away = { code: 'KEY_STORE_UNAVAILABLE', cause };
  await expect(loaderOf(() => Promise.reject(cause)).load(apiKey)).rejects.toMatchObject(away);
  const fails = () => {
    throw cause;
  };
  await expect(loaderOf(fails).load(apiKey)).rejects.toMatchObject(away);
});

it('an HttpException from loadUser is the answer', async () => {
  const suspended = new ForbiddenException('suspended');
  await expect(loaderOf(() => Promise.reject(suspended)).load(apiKey)).rejects.toBe(suspended);
});

it('at most the allowed number of users is loaded at once, and each load that ends makes room for the next', async () => {
  const loads: PromiseWithResolvers<unknown>[] = [];
  const loader = loaderOf(() => {
    const load = withResolvers();
    loads.push(load);
    return load.promise;
  }, 2);
  const [first, second] = [loader.load(apiKey), loader.load(apiKey)];
  await expect(loader.load(apiKey)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  loads[0]?.resolve('a');
  loads[1]?.reject(new Error('away'));
  expect(await first).toBe('a');
  await expect(second).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  const [third, fourth] = [loader.load(apiKey), loader.load(apiKey)];
  loads[2]?.resolve('c');
  loads[3]?.resolve('d');
  expect(await Promise.all([third, fourth])).toEqual(['c', 'd']);
});

const ofUser = (userId: string) => Object.assign(new ApiKey(), { userId });

it('a call of loadUser that never settles gives its place back', async () => {
  const loadUser = (id: string) => (id === 'hangs' ? new Promise(() => {}) : Promise.resolve({ id }));
  const loader = loaderOf(loadUser, 2, 50);
  const load = async (id: string) => loader.load(ofUser(id));
  const hang = expect(Promise.all([load('hangs'), load('hangs')])).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
    cause: new Error('loadUser did not settle within 50 ms'),
  });
  await expect(load('fine')).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  await until(async () => (await load('fine').catch(() => null)) !== null);
  await hang;
});

it('a call of loadUser that settles late gives its place back only once', async () => {
  const loads: PromiseWithResolvers<unknown>[] = [];
  const loader = loaderOf(
    () => {
      const load = withResolvers();
      loads.push(load);
      return load.promise;
    },
    1,
    20,
  );
  const load = async (id: string) => loader.load(ofUser(id));
  const slow = expect(load('slow')).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  await until(() => {
    void load('next').catch(() => {});
    return loads.length === 2;
  });
  loads[0]?.resolve('late');
  await slow;
  await expect(load('third')).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers(): PromiseWithResolvers<unknown> {
  let [resolve, reject]: [(value: unknown) => void, (error: unknown) => void] = [() => {}, () => {}];
  const promise = new Promise((yes, no) => {
    [resolve, reject] = [yes, no];
  });
  return { promise, resolve, reject };
}
