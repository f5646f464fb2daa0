import type { Session } from '../database/session';
import { refuseVagueOwners } from './column-types';

const checkOf = (type: string, isExact: 'true' | 'false') => {
  const row = async () => ({ type, is_exact: isExact });
  return refuseVagueOwners({ row, tables: { keys: 'api_keys' } } as unknown as Session);
};

it.each(['bigint', 'uuid', 'text'])('owners of type %s have one spelling', async (type) => {
  await expect(checkOf(type, 'true')).resolves.toBeUndefined();
});

it.each([
  ['numeric', 'true', /column user_id is of type numeric, in which two spellings can be one owner/],
  ['text', 'false', /column user_id is text of a collation that is not deterministic/],
] as const)('owners of type %s, exact: %s, are refused, because two spellings can be one owner', async (type, isExact, message) => {
  await expect(checkOf(type, isExact)).rejects.toThrow(message);
});
