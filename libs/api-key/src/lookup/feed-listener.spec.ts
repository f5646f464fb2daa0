import { tell } from './feed-listener';

it.each([
  ['*', 'anything'],
  ['+', 'a new key'],
  ['u:', 'owner '],
  ['u:7', 'owner 7'],
  ['u:u:7', 'owner u:7'],
  ['u:*', 'owner *'],
  ['42', 'key 42'],
  ['', 'key '],
])('a notification of "%s" means %s', (payload, meaning) => {
  const heard: string[] = [];
  tell(
    {
      evict: (id) => void heard.push(`key ${id}`),
      evictUnknown: () => void heard.push('a new key'),
      evictOwner: (id) => void heard.push(`owner ${id}`),
      clear: () => void heard.push('anything'),
    },
    payload,
  );
  expect(heard).toEqual([meaning]);
});
