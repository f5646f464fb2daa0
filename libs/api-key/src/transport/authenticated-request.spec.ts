import { ApiKey } from '../model/api-key.entity';
import {
  Authentication,
  attachAuthentication,
  authenticationOf,
  exposeThrough,
} from './authenticated-request';

const apiKey = new ApiKey();
const user = { id: '1' };

it('a request that was authenticated says so, and to whom', () => {
  const request = {};
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect(request).toMatchObject({ apiKey, user });
});

it.each<[string, (request: object) => object]>([
  ['inherits from it', (request) => Object.create(request)],
  ['is a copy of it', (request) => ({ ...request })],
  ['was assigned all of it', (request) => Object.assign({}, request)],
])('one that %s is not authenticated by that', (_, derive) => {
  const request = {};
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(derive(request))).toBeUndefined();
});

it('neither is one that pretends to be, by what a body or a header can fill in', () => {
  expect(authenticationOf(JSON.parse('{"apiKey":{},"user":{"id":1},"request":{}}'))).toBeUndefined();
});

it('a getter that the application put in the way is replaced', () => {
  const request = Object.create(Object.defineProperty({}, 'user', { get: () => 'nobody' }));
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(request.user).toBe(user);
});

it('a request without a prototype is authenticated as any', () => {
  const request = Object.create(null);
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect([request.apiKey, request.user]).toEqual([apiKey, user]);
});

it('what stands there already and is right is left alone', () => {
  const request = Object.defineProperty({}, 'user', { value: user });
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(request).toMatchObject({ apiKey, user });
});

it('requests read key and user through their prototype, where that is free', () => {
  const prototype = {};
  exposeThrough(prototype);
  const [request, other] = [Object.create(prototype), Object.create(prototype)];
  attachAuthentication(request, new Authentication(apiKey, user));
  expect([request.user, request.apiKey, Object.hasOwn(request, 'user')]).toEqual([user, apiKey, false]);
  expect([other.user, other.apiKey]).toEqual([undefined, undefined]);
});

it.each([
  'apiKey',
  'user',
])('a prototype that has %s of its own keeps it, and requests are given theirs', (name) => {
  const prototype = { [name]: 'of the application' };
  exposeThrough(prototype);
  const request = Object.create(prototype);
  expect(request[name]).toBe('of the application');
  attachAuthentication(request, new Authentication(apiKey, user));
  expect([request.apiKey, request.user]).toEqual([apiKey, user]);
});

const LINES = ['host', 'localhost'];

it.each<[string, () => object]>([
  [
    'is made anew for each who reads it',
    () => ({
      get rawHeaders() {
        return [...LINES];
      },
    }),
  ],
  ['is frozen', () => ({ rawHeaders: Object.freeze([...LINES]) })],
])('a request whose list of header lines %s is authenticated as any', (_, make) => {
  const request = make();
  attachAuthentication(request, new Authentication(apiKey, user));
  expect(authenticationOf(request)).toMatchObject({ apiKey, user });
  expect(authenticationOf(make())).toBeUndefined();
});

it('requests that share one list of header lines keep their keys apart', () => {
  const prototype = {};
  exposeThrough(prototype);
  const rawHeaders = [...LINES];
  const requests = ['1', '2', '3'].map((id) => ({
    id,
    it: Object.assign(Object.create(prototype), { rawHeaders }),
  }));
  for (const { id, it: request } of requests) attachAuthentication(request, new Authentication(apiKey, id));
  expect(requests.map(({ it: request }) => authenticationOf(request)?.user)).toEqual(['1', '2', '3']);
  expect(requests.map(({ it: request }) => request.user)).toEqual(['1', '2', '3']);
});

describe('a request that reads through its prototype, and whose list of header lines another one left', () => {
  const prototype = {};
  exposeThrough(prototype);
  const rawHeaders = [...LINES];
  const make = (): { user?: unknown; apiKey?: unknown } =>
    Object.assign(Object.create(prototype), { rawHeaders });
  const before = make();
  attachAuthentication(before, new Authentication(apiKey, user));

  it('is nobody', () => {
    const { user: found, apiKey: key } = make();
    expect([found, key]).toEqual([undefined, undefined]);
  });

  it.each([
    ['what inherits from the other', () => Object.create(before)],
    ['a proxy of the other', () => new Proxy(before, {})],
    ['what inherits from a proxy of the other', () => Object.create(new Proxy(before, {}))],
  ])('%s reads as the other', (_, derive) => {
    expect(derive()).toMatchObject({ user, apiKey });
  });
});
