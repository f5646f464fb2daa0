import { until } from '../../../../test/support/until';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyRefusal } from '../api-key.errors';
import { OwnerLoader } from './owner-loader';

const ofUser = (userId: string) => ({ userId }) as ApiKey;
const MEMORY = {
  remembered: () => undefined,
  find: (userId: string, load: (userId: string) => unknown) => load(userId),
};

it('calls of loadUser that never settle give their places back', async () => {
  const loadUser = (id: string) => (id === 'hangs' ? new Promise(() => {}) : Promise.resolve({ id }));
  const loader = new OwnerLoader({ loadUser, maxLookUps: 2 }, MEMORY, 50);
  const load = async (id: string) => loader.load(ofUser(id));
  void load('hangs');
  void load('hangs');
  await expect(load('fine')).rejects.toThrow(ApiKeyRefusal);
  await until(async () => (await load('fine').catch(() => null)) !== null);
});

it('one that settles late gives its place back once', async () => {
  const settle: (() => void)[] = [];
  const loadUser = (id: string) => new Promise((resolve) => settle.push(() => resolve({ id })));
  const loader = new OwnerLoader({ loadUser, maxLookUps: 1 }, MEMORY, 20);
  const load = async (id: string) => loader.load(ofUser(id));
  void load('slow');
  await until(() => {
    void load('next').catch(() => {});
    return settle.length === 2;
  });
  settle[0]?.();
  await expect(load('third')).rejects.toThrow(ApiKeyRefusal);
});
